import pytest

from vggres.config import network_spec
from vggres.data import datasets
from vggres.errors import UserError
from vggres.networks import spec
from vggres.sweeps import estimate_tpu

HLO = """
HloModule jit_step

%fused (p: f32[2]) -> f32[2] {
  ROOT %c = f32[2] convolution(%p), backend_config={"estimated_cycles":"1000000"}
}

%inner_condition (arg: (s32[], f32[2])) -> pred[] {
  %limit = s32[]{:T(128)} constant(3)
  ROOT %lt = pred[] compare(%i, %limit), direction=LT
}

%inner_body (arg: (s32[], f32[2])) -> (s32[], f32[2]) {
  %f = f32[2] fusion(%x), calls=%fused, backend_config={"estimated_cycles":"10","other":"7"}
  ROOT %t = (s32[], f32[2]) tuple(%i, %f)
}

%outer_condition.clone (arg: (s32[])) -> pred[] {
  %limit = s32[] constant(5)
  ROOT %lt = pred[] compare(%i, %limit), direction=LT
}

%outer_body (arg: (s32[])) -> (s32[]) {
  %w = (s32[], f32[2]) while(%t), condition=%inner_condition, body=%inner_body
  ROOT %f = f32[2] fusion(%x), calls=%fused, backend_config={"estimated_cycles":"100"}
}

ENTRY %main (arg: f32[2]) -> f32[2] {
  %w = (s32[]) while(%t), condition=%outer_condition.clone, body=%outer_body
  ROOT %f = f32[2] fusion(%x), calls=%fused, backend_config={"estimated_cycles":"1"}
}
"""


def test_cycles_count_as_often_as_their_loop_runs():
    assert estimate_tpu.estimated_cycles(HLO) == 5 * (3 * 10 + 100) + 1


def test_a_loop_that_is_not_counted_is_no_estimate():
    with pytest.raises(ValueError, match='counted loop'):
        estimate_tpu.estimated_cycles(HLO.replace('direction=LT', 'direction=NE'))


@pytest.mark.slow
@pytest.mark.needs('tpu')
def test_the_tpu_compiler_is_believed_within_what_the_chip_can_do(config):
    info = datasets.describe(config.data)
    config.model.width, config.train.batch_size = 64, 40
    found = {}
    for depth in (20, 56):
        config.model.depth = depth
        found[depth] = estimate_tpu.estimate(config, info)
        described = network_spec(config)
        macs = spec.count_macs(described, info.image_shape, info.num_classes)
        assert found[depth].step_seconds > 3 * 2 * macs * 40 / 197e12  # its peak, in bfloat16
        parameters = spec.count_parameters(described, info.image_shape, info.num_classes)
        assert 2 * 4 * parameters / 1e6 < found[depth].memory_mb < 16e3  # weights and momentum
        assert found[depth].batch_size == 7
    # Of 27 blocks 9 are in the shallow network: scanned, their text is the same.
    assert 2 < found[56].step_seconds / found[20].step_seconds < 4


def test_without_libtpu_the_extra_is_named(config, monkeypatch):
    monkeypatch.setattr(estimate_tpu, 'find_spec', lambda name: None)
    info = datasets.describe(config.data)
    with pytest.raises(UserError, match=r"pip install 'vggres\[tpu\]'"):
        estimate_tpu.estimate(config, info)
