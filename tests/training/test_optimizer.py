import jax.numpy as jnp
import numpy as np
import pytest

from configs import cifar10, digits
from vggres.training.optimizer import learning_rate_schedule, optimizer


def rates(config, total_steps, depth, steps):
    schedule = learning_rate_schedule(config.get_config().optimizer, total_steps, depth)
    return [float(schedule(step)) for step in steps]


def test_the_schedule_of_the_paper():
    # He et al. 2015, §4.2: 0.1, divided by 10 at 32k and 48k steps.
    steps = [0, 31_999, 32_000, 47_999, 48_000, 63_999]
    assert rates(cifar10, 64_000, 56, steps) == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3])


def test_depth_110_warms_up_and_then_decays_from_the_full_rate():
    steps = [0, 399, 400, 31_999, 32_000, 48_000]
    expected = [0.01, 0.01, 0.1, 0.1, 0.01, 1e-3]
    assert rates(cifar10, 64_000, 110, steps) == pytest.approx(expected)


def test_a_linear_warm_up_arrives_at_the_full_rate():
    # 10 % of 220 steps: the 22nd update is the first at 0.1.
    steps = [0, 10, 21, 22, 109, 110, 164, 165]
    expected = [0.1 / 22, 0.05, 0.1, 0.1, 0.1, 0.01, 0.01, 1e-3]
    assert rates(digits, 220, 20, steps) == pytest.approx(expected)


def test_two_updates_by_hand():
    config = digits.get_config().optimizer
    config.momentum, config.weight_decay = 0.5, 0.25
    chain = optimizer(config, lambda step: jnp.where(step == 0, 0.5, 0.25))
    weight = jnp.array([2.0])
    state = chain.init(weight)
    # g + decay·w = 1 + 0.5 is the first velocity; 2 − 0.5·1.5 = 1.25.
    update, state = chain.update(jnp.array([1.0]), state, weight)
    weight += update
    np.testing.assert_allclose(weight, [1.25])
    # 0.5·1.5 + (−1 + 0.25·1.25) = 0.0625; 1.25 − 0.25·0.0625.
    update, state = chain.update(jnp.array([-1.0]), state, weight)
    np.testing.assert_allclose(weight + update, [1.25 - 0.25 * 0.0625])
