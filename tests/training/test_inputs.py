import pytest

from vggres.config import program
from vggres.data.resident import ResidentData
from vggres.data.stream import Stream
from vggres.training import inputs


@pytest.mark.parametrize(('choice', 'kind'), [('resident', ResidentData), ('stream', Stream)])
def test_the_way_to_the_device_can_be_forced(config, choice, kind):
    config.data.input = choice
    assert isinstance(inputs.load(program(config), ''), kind)


@pytest.mark.parametrize(('memory', 'kind'), [(22_463, Stream), (22_464, ResidentData)])
def test_a_quarter_of_the_memory_is_for_images(config, monkeypatch, memory, kind):
    # 52 images of 6×6×3 bytes are 5,616, a quarter of 22,464.
    monkeypatch.setattr(inputs, '_device_memory', lambda: memory)
    assert isinstance(inputs.load(program(config), ''), kind)


def test_this_machine_has_memory():
    assert 1e8 < inputs._device_memory() < 1e15
