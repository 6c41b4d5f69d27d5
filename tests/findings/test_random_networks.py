"""Closed forms against numbers by hand and against wide random layers in numpy."""

import math

import numpy as np
import pytest

from vggres.findings import random_networks


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize('cosine', [-0.9, 0.0, 0.3, 0.95])
def test_one_wide_layer_with_a_relu(cosine):
    generator = np.random.default_rng(0)
    first, noise = generator.normal(size=(2, 1_000_000))
    a, b = relu(first), relu(cosine * first + math.sqrt(1 - cosine**2) * noise)
    measured = np.mean(a * b) / math.sqrt(np.mean(a**2) * np.mean(b**2))
    assert random_networks.relu_cosine(cosine) == pytest.approx(measured, abs=0.003)
    shared = np.mean((a > 0) & (b > 0)) / np.mean(a > 0)
    assert random_networks.shared_activity(cosine) == pytest.approx(shared, abs=0.003)


def test_the_ends_are_known_by_hand():
    assert random_networks.relu_cosine(1.0) == pytest.approx(1)
    assert random_networks.relu_cosine(-1.0) == pytest.approx(0)
    assert random_networks.relu_cosine(0.0) == pytest.approx(1 / math.pi)
    assert [random_networks.shared_activity(c) for c in (-1.0, 0.0, 1.0)] == [0, 0.5, 1]
    assert random_networks.relu_cosine(1 + 1e-9) == 1  # what rounding adds


def test_images_become_alike_and_more_slowly_with_shortcuts():
    plain = random_networks.plain_cosines(0.0, 54)
    assert plain[:2] == [0, pytest.approx(1 / math.pi)]
    assert plain == sorted(plain)
    assert len(plain) == 55
    # Near c = 1 the angle θ loses θ²/(3π) a layer, so that θ tends to 3π/n.
    assert math.acos(plain[-1]) == pytest.approx(3 * math.pi / 54, rel=0.2)
    residual = random_networks.preactivation_cosines(0.0, 27)
    once = random_networks.relu_cosine(1 / math.pi)
    assert residual[1] == pytest.approx(once / 2)
    assert residual[-1] < plain[-1]


def test_a_preactivation_block_in_numpy():
    generator = np.random.default_rng(1)
    width, cosine = 3000, 0.2
    basis = generator.normal(size=(2, width))
    x = np.stack([basis[0], cosine * basis[0] + math.sqrt(1 - cosine**2) * basis[1]])
    for expected in random_networks.preactivation_cosines(cosine, 2):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        assert unit[0] @ unit[1] == pytest.approx(expected, abs=0.04)
        w1, w2 = generator.normal(scale=math.sqrt(2 / width), size=(2, width, width))
        x = x + relu(relu(x) @ w1) @ w2


def test_the_laws_of_the_paper():
    assert random_networks.feed_forward(3) == 1 / 8
    assert random_networks.residual(2) == pytest.approx((3 / 4) ** 2)
    assert random_networks.residual(2, relus=2) == pytest.approx((5 / 8) ** 2)
    # (1 + 1/2)/(1 + 1) · (1 + 1/4)/(1 + 1/2)
    assert random_networks.residual_with_norm(1, 2) == pytest.approx(5 / 8)
    assert random_networks.residual_with_norm(2, 2) == pytest.approx(5 / 6)
    # About 1/√L: twice as deep, 1/√2 of the correlation.
    for relus, power in ((1, 1 / 2), (2, 3 / 4)):
        once, twice = (
            random_networks.residual_with_norm(1, blocks, relus) for blocks in (1000, 2000)
        )
        assert twice / once == pytest.approx(2**-power, rel=1e-3)


def test_the_laws_are_what_pulling_back_through_random_masks_gives():
    """The assumption of the paper, played out: a quarter of the units is open for both inputs."""
    generator = np.random.default_rng(2)
    width, blocks = 1500, 4

    def correlation(gradients):
        a, b = gradients
        return a @ b / math.sqrt((a @ a) * (b @ b))

    plain = residual = np.repeat(generator.normal(size=(1, width)), 2, axis=0)
    for _ in range(blocks):
        w = generator.normal(scale=math.sqrt(2 / width), size=(width, width))
        masks = generator.random((2, width)) < 0.5
        plain = (plain @ w) * masks
        residual = residual + (residual @ w) * masks
    assert correlation(plain) == pytest.approx(random_networks.feed_forward(blocks), abs=0.06)
    assert correlation(residual) == pytest.approx(random_networks.residual(blocks), abs=0.06)
