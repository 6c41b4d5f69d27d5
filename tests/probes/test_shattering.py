"""Gradients of different inputs against numpy by hand, and the closed form of wide layers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres.config import network_spec
from vggres.findings.random_networks import relu_cosine, shared_activity
from vggres.networks import grammar, spec
from vggres.networks.network import Network
from vggres.probes import gram, jacobian, quantities, shattering
from vggres.training.train_step import init_state
from vggres.training.trainer import described_run

POINTS = shattering.LINES * (shattering.STEPS + 1)


def network(family='plain', depth=8, shape=(1, 1, 6), **options):
    """A network and its state, for images of one pixel: convolutions are their middle taps."""
    described = grammar.network_spec(family, depth, **options)
    built = Network(described, 10)
    return built, init_state(jax.random.key(0), built, optax.sgd(0.1), shape)


def images(count, shape=(1, 1, 6), seed=3):
    return jax.random.normal(jax.random.key(seed), (count, *shape))


def cosines(built, state, batch):
    """The probe's matrices between the first images, the mean over outputs, by name."""
    variables = jacobian.evaluated_variables(built, state, batch, jax.random.key(4))
    found = shattering.gradient_cosines(built, variables, batch, jax.random.key(5))
    return gram._by_name(found, built.spec, spec.observable_names(built.spec))


def middle(params, *path):
    for key in path:
        params = params[key]
    kernel = np.asarray(params['kernel'], np.float64)
    return kernel[1, 1] if kernel.ndim == 4 else kernel


@pytest.mark.slow
def test_a_relu_network_by_hand_in_numpy():
    """Seven matrices and ReLUs, pulled back image by image for each of the probe's outputs."""
    built, state = network(norm='none', width=5)
    batch = images(6)
    found = cosines(built, state, batch)
    assert list(found) == ['stem', 'stage1/block1', 'stage2/block1', 'stage3/block1', 'head']
    names = [f'stage{i}/block1/conv{j}' for i in (1, 2, 3) for j in (1, 2)]
    matrices = [middle(state.params, *name.split('/')) for name in ('stem', *names)]
    head = middle(state.params, 'head')

    def gradients(image, signs):
        """From the input of the stem to that of the head."""
        x, masks = np.asarray(image, np.float64).ravel(), []
        for matrix in matrices:
            x = x @ matrix
            masks.append(x > 0)
            x = x * masks[-1]
        back = [head @ signs]
        for matrix, mask in zip(matrices[::-1], masks[::-1], strict=True):
            back.append(matrix @ (mask * back[-1]))
        return back[::-1]

    given = shattering.inputs(batch)
    keys = jax.random.split(jax.random.key(5), shattering.OUTPUTS)
    for output, key in enumerate(keys):
        signs = np.asarray(jax.random.rademacher(key, (1, 10), jnp.float32), np.float64)[0]
        each = [gradients(image, signs) for image in given]
        for name, layer in zip(found, (0, 1, 3, 5, 7), strict=True):
            rows = np.stack([one[layer] for one in each])
            unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            np.testing.assert_allclose(found[name][output], unit @ unit.T, atol=2e-4)


@pytest.mark.slow
def test_wide_layers_lose_what_is_not_open_for_both():
    """Each ReLU keeps the share `shared_activity` of the correlation, as the arc-cosine says."""
    shape = (1, 1, 64)
    built, state = network(shape=shape, norm='none', width=192)
    batch = images(16, shape)
    found = cosines(built, state, batch)
    rows = np.asarray(batch, np.float64).reshape(16, -1)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[~np.eye(16, dtype=bool)]
    shares = []
    for cosine in pairs:
        kept = 1.0
        for _ in range(7):
            kept, cosine = kept * shared_activity(cosine), relu_cosine(cosine)
        shares.append(kept)
    # By hand, from a cosine of 0 on: 0.5 · 0.60 · 0.66 · 0.71 · 0.75 · 0.78 · 0.81.
    assert np.mean(shares) == pytest.approx(0.067, abs=0.01)
    measured = gram.between_images(found['stem'][:, :16, :16])
    assert measured == pytest.approx(np.mean(shares), abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize('family', ['plain', 'resnet'])
def test_gradients_are_those_of_single_images(family):
    """With fixed statistics no image counts for another: jax differentiates one at a time."""
    built, state = network(family, shape=(8, 8, 1), width=2)
    batch = images(6, (8, 8, 1))
    found = cosines(built, state, batch)
    variables = jacobian.evaluated_variables(built, state, batch, jax.random.key(4))
    key = jax.random.split(jax.random.key(5), shattering.OUTPUTS)[1]
    signs = jax.random.rademacher(key, (10,), jnp.float32)

    def output(image):
        return built.apply(variables, image[None], train=False)[0] @ signs

    gradient = jax.jit(jax.grad(output))
    rows = np.stack([np.asarray(gradient(image), np.float64).ravel() for image in batch])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found['stem'][1, :6, :6], unit @ unit.T, atol=1e-4)
    np.testing.assert_allclose(found['head'], 1, atol=1e-5)  # one linear function for all


def test_the_inputs_are_images_and_lines_between_them():
    batch = images(20)
    found = np.asarray(shattering.inputs(batch))
    assert found.shape == (shattering.IMAGES + POINTS, 1, 1, 6)
    np.testing.assert_array_equal(found[:16], batch[:16])
    first, second = found[16 : 16 + 33], found[16 + 33 :]
    for line, (start, end) in ((first, (0, 1)), (second, (2, 3))):
        np.testing.assert_allclose(line[0], batch[start], atol=1e-6)
        np.testing.assert_allclose(line[-1], batch[end], atol=1e-6)
        np.testing.assert_allclose(line[8], 0.75 * batch[start] + 0.25 * batch[end], atol=1e-6)


def test_the_summary_keeps_images_and_lines_apart():
    count = 5
    matrix = np.full((count + POINTS, count + POINTS), 0.9)  # between kinds: never looked at
    matrix[:count, :count] = 0.25
    steps = np.arange(33)
    fading = 0.5 ** np.abs(steps[:, None] - steps[None])
    for start in (count, count + 33):
        matrix[start : start + 33, start : start + 33] = fading
    np.fill_diagonal(matrix, 1)
    found = shattering.summary({'stem': matrix[None], 'head': matrix[None]}, 'stem')
    assert found['gradient_correlation']['stem'] == pytest.approx(0.25)
    equal = np.full((count, count), 0.25) + 0.75 * np.eye(count)
    assert found['gradient_rank']['stem'] == pytest.approx(gram.effective_rank(equal))
    assert found['neighbour_correlation']['head'] == pytest.approx(0.5)
    lags = found['gradient_autocorrelation']
    assert list(lags) == ['0.03125', '0.0625', '0.125', '0.25', '0.5', '1']
    assert lags['0.125'] == pytest.approx(2.0**-4)


@pytest.mark.slow
def test_an_observer_has_its_quantities(config, build, build_observer, data):
    config.model.depth = 14
    config.probes.every_epochs, config.probes.also = 1, ('shattering', 'collapse')
    state, _, order_key = build(config).init(0)
    schedule = described_run(config, data.num_train).schedule
    found = build_observer(config).observe(state, order_key, schedule)
    assert set(found) == set(quantities.names(also=config.probes.also))
    blocks = [n for n in spec.observable_names(network_spec(config)) if n.count('/') < 2]
    for name in ('gradient_correlation', 'neighbour_correlation', 'feature_cosine'):
        assert list(found[name]) == blocks
        assert all(-1 <= value <= 1 + 1e-6 for value in found[name].values())
    for name in ('gradient_rank', 'feature_rank'):
        assert all(1 - 1e-6 <= value <= 8 for value in found[name].values())  # a batch of eight
    assert set(found['gradient_autocorrelation'].values())
