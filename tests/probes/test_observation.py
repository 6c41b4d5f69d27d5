import jax
import numpy as np
import pytest

from vggres.probes import quantities
from vggres.training import trainer
from vggres.training.trainer import Listeners, described_run


def rms(x):
    return np.sqrt(np.mean(np.asarray(x, np.float64) ** 2))


def train(build, build_observer, data, config):
    """The outcome of a run, its last state, and what was observed."""
    observations = []
    listeners = Listeners(on_observation=observations.append)
    observer = build_observer(config)
    run = described_run(config, data.num_train)
    outcome, state = trainer.train(build(config), data, run, None, observer, listeners)
    return outcome, state, observations


@pytest.mark.slow
@pytest.mark.parametrize('family', ['plain', 'resnet'])
def test_who_is_observed_trains_as_without(family, config, build, build_observer, data):
    config.model.family = family
    outcome, state, observations = train(build, build_observer, data, config)
    assert observations == []
    config.probes.every_epochs = 1
    again, same, observations = train(build, build_observer, data, config)
    assert [(each.epoch, each.step, each.draw) for each in observations] == [
        (0, 0, 0),
        (1, 5, 0),
        (2, 10, 0),
    ]
    assert again == outcome
    jax.tree.map(np.testing.assert_array_equal, same, state)


def test_it_looks_as_often_and_at_what_the_configuration_says(config, build_observer, build, data):
    assert build_observer(config) is None
    config.probes.every_epochs, config.probes.draws = 2, 3
    config.probes.names = ('stage1/block1', 'head')
    observer = build_observer(config)
    assert (observer.every_epochs, observer.draws) == (2, 3)
    state, _, order_key = build(config).init(0)
    found = observer.observe(state, order_key, described_run(config, data.num_train).schedule)
    assert set(found) == set(quantities.names(jacobians=False))
    assert list(found['activation']) == ['stage1/block1', 'head']
    assert list(found['weight_gradient']) == ['head']


@pytest.mark.slow
def test_it_looks_at_the_update_that_comes_next(config, build, build_observer, data):
    config.data.crop_padding, config.data.flip = 2, True
    config.probes.every_epochs, config.model.shortcut.dropout = 1, 0.5
    compiled, observer = build(config), build_observer(config)
    schedule = described_run(config, data.num_train).schedule
    state, sums, order_key = compiled.init(0)
    for stop in range(1, 5):  # the first update's learning rate is zero, by the warm-up
        found = observer.observe(state, order_key, schedule)
        old = jax.device_get(state.params)
        state, sums = compiled.train(state, sums, order_key, data, schedule, stop)
        for name in ('stem', 'head'):
            kernel = old[name]['kernel']
            moved = rms(state.params[name]['kernel'] - kernel)
            assert found['update_ratio'][name] == pytest.approx(moved / rms(kernel), rel=2e-3)
    assert found['update_ratio']['head'] > 0


@pytest.mark.slow
def test_jacobians_come_with_the_rest(config, build, build_observer, data):
    config.probes.every_epochs, config.probes.jacobians = 1, True
    state, _, order_key = build(config).init(0)
    schedule = described_run(config, data.num_train).schedule
    found = build_observer(config).observe(state, order_key, schedule)
    assert set(found) == set(quantities.names(jacobians=True))
    for name in set(found) - set(quantities.names(jacobians=False)):
        assert list(found[name]) == ['stage1/block1', 'stage2/block1', 'stage3/block1']
