"""The predicted gradient against counted paths, eigenvalues, and random convolutions."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from vggres.findings import along_layers, expected_gradient
from vggres.findings.expected_gradient import border_operator
from vggres.networks import grammar
from vggres.networks.convolution import convolve


def paths(sizes, strides):
    """How many chains of 3×3 windows lead from each pixel of the input to any output, by hand.

    A window of stride s around output o contains the input i where |i − s·o| is at most 1, on both
    axes. The pixels of each image are enumerated, and so are those of the image behind it.
    """
    counts = np.ones((sizes[-1], sizes[-1]), int)
    for size, stride in zip(sizes[-2::-1], strides[::-1], strict=True):
        behind, counts = counts, np.zeros((size, size), int)
        for row, column in itertools.product(range(size), repeat=2):
            for r, c in itertools.product(range(len(behind)), repeat=2):
                if abs(row - stride * r) <= 1 and abs(column - stride * c) <= 1:
                    counts[row, column] += behind[r, c]
    return counts


@pytest.mark.parametrize(
    ('sizes', 'strides'), [((4, 4, 4, 4), (1, 1, 1)), ((4, 2, 2), (2, 1)), ((4, 4, 2), (1, 2))]
)
def test_energies_are_counted_paths(sizes, strides):
    side = np.ones(sizes[-1])
    for size, stride in zip(sizes[-2::-1], strides[::-1], strict=True):
        side = border_operator(size, 3, stride) @ side
    assert np.outer(side, side) * 9 ** len(strides) == pytest.approx(paths(sizes, strides))


@pytest.mark.parametrize('size', [1, 2, 4, 8, 32])
def test_many_layers_decay_by_the_largest_eigenvalue(size):
    """The eigenvalues of a tridiagonal Toeplitz matrix of ones are 1 + 2 cos(kπ / (n + 1))."""
    energy, operator = np.ones(size), border_operator(size, 3)
    for _ in range(2000):
        energy = operator @ (energy / energy.sum())
    expected = (1 + 2 * math.cos(math.pi / (size + 1))) / 3
    assert energy.sum() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(('size', 'stride'), [(4, 1), (4, 2), (5, 2)])
def test_the_windows_are_those_of_the_networks(size, stride):
    """A kernel of ones turns one white pixel into a one wherever a window contains it."""
    images = jnp.eye(size**2).reshape(-1, size, size, 1)
    found = convolve(images, jnp.ones((3, 3, 1, 1)), stride, padding=1)
    side = 3 * border_operator(size, 3, stride)
    expected = np.einsum('io,jp->ijop', side, side)
    assert np.ravel(found) == pytest.approx(expected.ravel())


def pulled_back(gradient, size, stride, random):
    """A gradient [h, w, channels] behind a linear convolution with random weights, in front of it.

    No ReLU stops one half of the gradient, so that He's variance is 1 / (taps · output channels).
    """
    channels = gradient.shape[-1]
    kernel = random.normal(size=(3, 3, channels, channels)) / math.sqrt(9 * channels)
    padded = np.zeros((2 * stride * size + 2, 2 * stride * size + 2, channels))
    for row, column in itertools.product(range(3), repeat=2):
        rows, columns = (slice(tap, tap + stride * len(gradient), stride) for tap in (row, column))
        padded[rows, columns] += gradient @ kernel[row, column]
    return padded[1 : size + 1, 1 : size + 1]


@pytest.mark.parametrize(
    ('sizes', 'strides'),
    [((4,) * 7, (1,) * 6), ((8, 8, 8, 4, 4), (1, 1, 2, 1)), ((5, 3, 3, 2), (2, 1, 2))],
)
def test_wide_random_linear_convolutions(sizes, strides):
    """The mean energy of random networks is the predicted one, within four standard errors."""
    random, side = np.random.default_rng(0), np.ones(sizes[-1])
    layers = list(zip(sizes[-2::-1], strides[::-1], strict=True))
    found = []
    for _ in range(100):
        # As behind an average pool: the same gradient in all pixels, another one in each channel.
        gradient = np.broadcast_to(random.normal(size=48), (sizes[-1], sizes[-1], 48))
        for size, stride in layers:
            gradient = pulled_back(gradient, size, stride, random)
        found.append(np.square(gradient).mean(axis=2))
    for size, stride in layers:
        side = border_operator(size, 3, stride) @ side
    error = np.std(found, axis=0, ddof=1) / math.sqrt(len(found))
    assert (abs(np.mean(found, axis=0) - np.outer(side, side)) < 4 * error).all()
    # The error is small enough to tell it from an energy that stays uniform over the image.
    uniform = np.full(len(side), side.mean())
    assert (abs(np.mean(found, axis=0) - np.outer(uniform, uniform)) > 4 * error).any()


def decades(family, depth, scheme, image_shape=(8, 8, 1), **options):
    """The decades of the norm by which the prediction falls from the last block to the first."""
    described = grammar.network_spec(family, depth, **{'norm': 'none'} | options)
    found = expected_gradient.profile(described, image_shape, scheme)
    return float(found[-1] - found[0])


def test_known_decades_of_plain_networks():
    """Energies that an independent derivation gave for one channel, in decades of the norm."""
    channels = math.log10(2)  # of the first block and the last, √(64/16), as channels count here
    assert decades('plain', 110, 'he') - channels == pytest.approx(8.64, abs=0.005)
    assert decades('plain', 110, 'he', (32, 32, 3)) - channels == pytest.approx(0.85, abs=0.005)


def test_glorot_takes_half_a_layer():
    # 106 convolutions lie in between. Two of them double the channels, where 2 / (16 + 32) is two
    # thirds of He's variance, 2 / 32.
    more = decades('plain', 110, 'glorot') - decades('plain', 110, 'he')
    assert more == pytest.approx((104 * math.log10(2) + 2 * math.log10(1.5)) / 2)


def test_one_variance_in_all_layers():
    # 0.01 · 9 · channels / 2 of the energy for each convolution but the last block's, by hand.
    more = decades('plain', 14, 'vgg') - decades('plain', 14, 'he')
    energy = (0.72**4) * (1.44**4) * 2.88**2
    assert more == pytest.approx(-math.log10(energy) / 2)


def test_two_stages_by_hand():
    # VGG-8 has 2, 2 and 3 convolutions at 8, 4 and 2 pixels, with pools between that spread evenly.
    # The last convolution is behind the last block's input.
    side = np.ones(2) / 2
    for size, count in ((2, 2), (4, 2), (8, 2)):
        if size > 2:
            side = np.repeat(side, 2) / 2
        neighbours = np.eye(size) + np.eye(size, k=1) + np.eye(size, k=-1)
        for _ in range(count):
            side = neighbours @ side / 3
    lost = -math.log10(side.sum())  # of both sides, and of the root
    channels = math.log10(64 / 1) / 2  # in front of the last block; the first one sees the image
    assert decades('vgg', 8, 'he', vgg_stages=3) == pytest.approx(lost + channels)


def test_batch_norm_grows_by_its_law():
    # π / (π − 1) of the energy for each of the 106 convolutions; neither borders nor scheme count.
    expected = -106 * math.log10(math.pi / (math.pi - 1)) / 2
    for scheme in ('he', 'glorot', 'vgg'):
        assert decades('plain', 110, scheme, norm='batch') == pytest.approx(expected)


def test_batch_norm_and_relu_in_a_wide_dense_network():
    """The law itself, where it applies: linear layers, a large batch, no borders."""
    random = np.random.default_rng(0)
    width, batch, layers = 500, 500, 6

    def normal(shape):
        return random.normal(size=shape) * math.sqrt(2 / width)

    x, passed = random.normal(size=(batch, width)), []
    for _ in range(layers):
        weights = normal((width, width))
        y = x @ weights
        deviation = y.std(axis=0)
        z = (y - y.mean(axis=0)) / deviation
        passed.append((weights, z, deviation))
        x = np.maximum(z, 0)
    gradient, norms = random.normal(size=(batch, width)), []
    for weights, z, deviation in reversed(passed):
        reaching = gradient * (z > 0)
        reaching = reaching - reaching.mean(axis=0) - z * (reaching * z).mean(axis=0)
        gradient = (reaching / deviation) @ weights.T
        norms.append(np.square(gradient).sum())
    # The first layer sees Gaussian images rather than the outputs of a ReLU.
    growth = (norms[-2] / norms[0]) ** (1 / (layers - 2))
    assert growth == pytest.approx(expected_gradient.BATCH_NORM_GROWTH, rel=0.05)


def test_shortcuts_have_no_closed_form():
    described = grammar.network_spec('resnet', 14, norm='none')
    assert expected_gradient.profile(described, (8, 8, 1), 'he') is None
    described = grammar.network_spec('vgg', 11, vgg_stages=3, vgg_shortcuts=True, norm='none')
    assert expected_gradient.profile(described, (8, 8, 1), 'he') is None


def test_a_thousand_layers_do_not_leave_the_range_of_floats():
    described = grammar.network_spec('plain', 2000, norm='none')
    found = expected_gradient.profile(described, (8, 8, 1), 'glorot')
    assert np.isfinite(found).all()
    assert len(found) == len(along_layers.along(described, 'block')[0])
