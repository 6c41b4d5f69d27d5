"""The grid is what the question needs, and what does not suit it is refused."""

import pytest

from experiments import lesion
from vggres.config import set_defaults
from vggres.errors import UserError


def test_residual_networks_alone_are_deep(sweep):
    assert sweep.depths() == {'plain': {20}, 'resnet': {20, 56}, 'vgg': {20}}
    assert len(sweep.cells) == 4 * 2


def test_lesions_cannot_be_left_out(config):
    set_defaults(config, lesion.defaults(config), [])
    config.probes.also = ()
    with pytest.raises(UserError, match="leave 'lesion'"):
        lesion.cells(config)


@pytest.mark.parametrize(('epochs', 'steps'), [(40, 0), (0, 64_000)])
def test_nothing_is_lesioned_between_the_first_update_and_the_last(config, epochs, steps):
    config.train.epochs, config.train.steps = epochs, steps
    assert lesion.defaults(config)['probes.every_epochs'] == (epochs or steps)
