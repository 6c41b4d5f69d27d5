"""Variances against the papers' formulas, written out for layers of known size."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.config import INIT_SCHEMES, NORMAL_SCHEMES
from vggres.errors import UserError
from vggres.networks import grammar, initialisation
from vggres.networks.convolution import convolve
from vggres.networks.network import Network
from vggres.sweeps.cell import Cell
from vggres.sweeps.run import run

# Stage 2 of a resnet of width 32 starts with 3×3×32×64: fan in 288, fan out 576; its other
# convolutions are 3×3×64×64, stacked: 576 and 576. The head is 128×50.
VARIANCES = {
    'he': (2 / 576, 2 / 576, 2 / 128),
    'glorot': (2 / (288 + 576), 2 / (576 + 576), 2 / (128 + 50)),
    'vgg': (0.01, 0.01, 0.01),
}


@pytest.fixture(scope='module')
def drawn():
    network = Network(grammar.network_spec('resnet', 20, width=32), 50)
    image = jnp.zeros((1, 8, 8, 1))
    return jax.jit(lambda: network.init(jax.random.key(0), image, train=False))()


@pytest.mark.parametrize('scheme', VARIANCES)
def test_variances_are_those_of_the_papers(scheme, drawn):
    params = initialisation.rescaled(drawn['params'], scheme)
    kernels = (
        params['stage2']['block1']['conv1']['kernel'],
        params['stage2']['blocks']['conv2']['kernel'],
        params['head']['kernel'],
    )
    assert kernels[1].shape == (2, 3, 3, 64, 64)
    for kernel, variance in zip(kernels, VARIANCES[scheme], strict=True):
        # Of n normal numbers the sample variance has a relative deviation of √(2/n).
        expected = pytest.approx(variance, rel=5 * np.sqrt(2 / kernel.size))
        assert float(np.mean(np.square(kernel, dtype=np.float64))) == expected


def test_he_is_what_is_drawn_and_no_scheme_touches_the_rest(drawn):
    same = initialisation.rescaled(drawn['params'], 'he')
    jax.tree.map(np.testing.assert_array_equal, same, drawn['params'])
    other = initialisation.rescaled(drawn['params'], 'vgg')
    kept = jax.tree_util.tree_map_with_path(
        lambda path, a, b: path[-1].key == 'kernel' or np.array_equal(a, b), other, drawn['params']
    )
    assert all(jax.tree.leaves(kept))


def test_schemes_of_one_seed_differ_by_a_factor(drawn):
    glorot, vgg = (
        initialisation.rescaled(drawn['params'], scheme)['head']['kernel']
        for scheme in ('glorot', 'vgg')
    )
    np.testing.assert_allclose(vgg / glorot, np.sqrt(0.01 / (2 / 178)), rtol=1e-5)


def test_one_compiled_program_serves_all_schemes(drawn):
    head = {'head': drawn['params']['head']}
    compiled = jax.jit(initialisation.rescaled).lower(head, 0).compile()
    for scheme in VARIANCES:
        found = compiled(head, initialisation.index(scheme))['head']['kernel']
        expected = initialisation.rescaled(head, scheme)['head']['kernel']
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_schemes_have_one_order_everywhere():
    assert tuple(initialisation.VARIANCES) == NORMAL_SCHEMES == tuple(VARIANCES)
    assert [initialisation.index(scheme) for scheme in VARIANCES] == [0, 1, 2]
    assert (*VARIANCES, 'dirac', 'delta_orthogonal', 'looks_linear', 'fixup') == INIT_SCHEMES


def test_an_unknown_scheme_names_those_there_are():
    for look_up in (initialisation.index, lambda scheme: initialisation.rescaled({}, scheme)):
        with pytest.raises(UserError, match=r"unknown scheme 'xavier': .*glorot, he, vgg"):
            look_up('xavier')
    with pytest.raises(UserError, match=r"unknown scheme 'he': .*delta_orthogonal, dirac, fixup"):
        initialisation.structured({}, 'he')


def test_the_names_of_the_schemes_need_no_jax():
    code = "import sys; from vggres.networks import initialisation; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.slow
def test_programs_know_the_schemes_by_name(config, build):
    # A head of 8 inputs and 4 classes: 2/8 by He, 2/12 by Glorot, 0.01.
    compiled = build(config)
    kernels = {scheme: compiled.init(0, scheme)[0].params['head']['kernel'] for scheme in VARIANCES}
    np.testing.assert_allclose(kernels['vgg'] / kernels['he'], 0.2, rtol=1e-6)
    np.testing.assert_allclose(kernels['glorot'] / kernels['he'], np.sqrt(2 / 3), rtol=1e-6)


@pytest.mark.slow
def test_a_cell_starts_from_its_scheme(config, tmp_path):
    found = {}
    config.model.family = 'plain'
    for scheme in (*VARIANCES, 'dirac', 'delta_orthogonal', 'looks_linear'):  # fixup: see below
        config.init.scheme = scheme
        cell = Cell(config.copy_and_resolve_references(), tmp_path, '')
        run(cell)
        found[scheme] = cell.result().train_loss
    assert len(set(found.values())) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ('depth', 'block', 'factors'),
    # Both have 9 blocks: 9^(-1/2) with two layers in a branch, 9^(-1/4) with three.
    [(20, 'basic', [1 / 3, 0]), (29, 'bottleneck', [3**-0.5, 3**-0.5, 0])],
)
def test_fixup_scales_the_branches_and_silences_their_last_layers_and_the_head(
    depth, block, factors
):
    options = {'width': 4, 'block': block, 'norm': 'none', 'shortcut': 'B'}
    network = Network(grammar.network_spec('resnet', depth, **options), 7)
    he = jax.jit(lambda: network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False))()
    he = jax.tree.map(np.asarray, he)
    fixup = initialisation.structured(he['params'], 'fixup')
    names = [f'conv{k + 1}' for k in range(len(factors))]
    expected = dict(zip(names, factors, strict=True)) | {'projection': 1.0}
    for stage, part in (('stage1', 'blocks'), ('stage2', 'block1'), ('stage3', 'blocks')):
        for layer, leaves in fixup[stage][part].items():
            drawn = he['params'][stage][part][layer]
            np.testing.assert_allclose(
                leaves['kernel'], expected[layer] * drawn['kernel'], rtol=1e-6
            )
            np.testing.assert_array_equal(leaves['bias'], 0)
    np.testing.assert_array_equal(fixup['stem']['kernel'], he['params']['stem']['kernel'])
    np.testing.assert_array_equal(fixup['head']['kernel'], 0)
    logits = network.apply({'params': fixup}, jnp.ones((2, 8, 8, 1)), train=False)
    np.testing.assert_array_equal(logits, 0)


def plain(depth, **options):
    """A fresh plain network for images of 8×8 pixels and one channel, and its variables."""
    network = Network(grammar.network_spec('plain', depth, **options), 10)
    variables = network.init(jax.random.key(1), jnp.zeros((1, 8, 8, 1)), train=False)
    return network, jax.tree.map(np.asarray, variables)


def structured(variables, scheme):
    return variables | {'params': initialisation.structured(variables['params'], scheme)}


def dense_matrix(kernel, height, width):
    """The matrix [inputs, outputs] of a convolution of padded images, from what it does to each."""
    inputs = kernel.shape[2]
    images = np.eye(height * width * inputs, dtype=np.float32).reshape(-1, height, width, inputs)
    return np.asarray(convolve(images, kernel, padding=1)).reshape(len(images), -1)


@pytest.mark.slow
def test_a_dirac_convolution_returns_its_input_to_the_bit():
    _, variables = plain(20, width=4)
    kernels = initialisation.structured(variables['params'], 'dirac')['stage2']['blocks']
    x = np.random.default_rng(0).normal(size=(3, 5, 5, 8)).astype(np.float32)
    for convolution in ('conv1', 'conv2'):
        for kernel in kernels[convolution]['kernel']:
            np.testing.assert_array_equal(convolve(x, kernel, padding=1), x)


@pytest.mark.slow
def test_dirac_kernels_stand_where_the_number_of_channels_stays():
    """By hand: plain-8 has 1→16 | 16→16→16 | 16→32→32 | 32→64→64 channels."""
    _, variables = plain(8)
    found = initialisation.structured(variables['params'], 'dirac')
    changed = {
        jax.tree_util.keystr(path, simple=True, separator='/')
        for path, old in jax.tree_util.tree_leaves_with_path(variables['params'])
        if not np.array_equal(old, functools.reduce(lambda tree, key: tree[key.key], path, found))
    }
    names = initialisation.identities(grammar.network_spec('plain', 8))
    expected = ['stage1/block1/conv1', *(f'stage{i}/block1/conv2' for i in (1, 2, 3))]
    assert names == expected
    assert changed == {f'{name}/kernel' for name in expected}


def test_a_dirac_kernel_with_a_stride_is_no_identity():
    """Torchvision's bottlenecks have their stride on a convolution that keeps its channels."""
    options = {'block': 'bottleneck', 'stride_placement': 'torchvision'}
    names = initialisation.identities(grammar.network_spec('plain', 11, **options))
    assert 'stage1/block1/conv2' in names  # 3×3, 16 to 16 channels, stride 1
    assert 'stage2/block1/conv2' not in names  # 3×3, 32 to 32 channels, stride 2
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 8)).astype(np.float32)
    kernel = initialisation.dirac_kernel(np.zeros((3, 3, 8, 8), np.float32))
    subsampled = convolve(x, kernel, stride=2, padding=1)
    np.testing.assert_array_equal(subsampled, x[:, ::2, ::2])


@pytest.mark.slow
def test_delta_orthogonal_convolutions_have_singular_values_of_one():
    """The whole linear map of an image of 3×4 pixels, zero padding included, by its dense matrix.

    Where channels are added (8 to 16) all inputs keep their norm: 3 · 4 · 8 singular values.
    """
    _, variables = plain(14, width=8)
    found = initialisation.structured(variables['params'], 'delta_orthogonal')
    square, wider = found['stage2']['blocks']['conv1']['kernel'][0], found['stage2']['block1']
    for kernel, channels in ((square, 16), (wider['conv1']['kernel'], 8)):
        values = np.linalg.svd(dense_matrix(kernel, 3, 4), compute_uv=False)
        np.testing.assert_allclose(values[: 12 * channels], 1, atol=1e-6)
        assert len(values) == 12 * channels
    drawn = dense_matrix(variables['params']['stage2']['blocks']['conv1']['kernel'][0], 3, 4)
    assert np.linalg.svd(drawn, compute_uv=False).min() < 0.5  # He's draws are far from that


def test_orthogonal_matrices_have_haars_distribution():
    """The trace of a Haar-distributed 2×2 orthogonal matrix has mean 0, and of its square, 1.

    Half of them are rotations by a uniform angle, of trace 2 cos t; the others are reflections, of
    trace 0. QR without the correction of signs gives a first entry of one sign only.
    """
    drawn = np.random.default_rng(0).normal(size=(20_000, 1, 1, 2, 2))
    params = {'stage1': {'blocks': {'conv1': {'kernel': drawn}}}}
    found = initialisation.structured(params, 'delta_orthogonal')['stage1']['blocks']['conv1']
    matrices = found['kernel'][:, 0, 0]
    traces, dets = np.trace(matrices, axis1=1, axis2=2), np.linalg.det(matrices)
    assert abs(traces.mean()) < 5 * np.sqrt(1 / len(traces))
    assert abs(np.square(traces).mean() - 1) < 0.05
    assert abs(dets.mean()) < 0.05
    assert abs((matrices[:, 0, 0] > 0).mean() - 0.5) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize('options', [{}, {'preactivation': True}, {'norm': 'none'}])
def test_a_fresh_network_that_looks_linear_is_linear(options):
    """f(2x − 3y) = 2 f(x) − 3 f(y), for images of both signs; He's networks are far from it."""
    network, variables = plain(20, width=4, **options)
    x, y = np.random.default_rng(0).normal(size=(2, 5, 8, 8, 1)).astype(np.float32)

    def misfit(variables):
        f = jax.jit(lambda images: network.apply(variables, images, train=False))
        expected = 2 * f(x) - 3 * f(y)
        return float(np.abs(f(2 * x - 3 * y) - expected).max() / np.abs(expected).max())

    assert misfit(structured(variables, 'looks_linear')) < 1e-5
    assert misfit(variables) > 0.1


@pytest.mark.slow
def test_layers_that_look_linear_keep_the_variance_of_the_signal():
    """A linear layer needs variance 1 / fan in: that of its half, 9 · 64 / 2 inputs here."""
    _, variables = plain(20)
    kernels = initialisation.structured(variables['params'], 'looks_linear')['stage3']['blocks']
    kernel = kernels['conv1']['kernel'][..., :32, :32]
    expected = pytest.approx(1 / (9 * 32), rel=5 * np.sqrt(2 / kernel.size))
    assert float(np.mean(np.square(kernel, dtype=np.float64))) == expected


def test_projections_and_gates_stay_as_drawn():
    spec = grammar.network_spec('resnet', 8, shortcut='C', gate='exclusive')
    network = Network(spec, 10)
    params = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)['params']
    params = jax.tree.map(np.asarray, params)
    for scheme in initialisation.STRUCTURED:
        block = initialisation.structured(params, scheme)['stage1']['block1']
        for name in ('projection', 'gate'):
            kept = params['stage1']['block1'][name]['kernel']
            np.testing.assert_array_equal(block[name]['kernel'], kept)


def test_schemes_that_do_not_what_they_are_made_for_are_refused():
    allowed = grammar.network_spec('plain', 20)
    for scheme in initialisation.SCHEMES:
        initialisation.check(scheme, allowed)
    initialisation.check('delta_orthogonal', grammar.network_spec('resnet', 20))
    for spec, reason in (
        (grammar.network_spec('resnet', 20), 'shortcuts'),
        (grammar.network_spec('vgg', 11), 'max-pools'),
        (grammar.network_spec('plain', 18, images='imagenet'), 'max-pools'),
        (grammar.network_spec('plain', 20, width=15), 'layers of 15 channels'),
    ):
        with pytest.raises(UserError, match=f'looks_linear.*{reason}'):
            initialisation.check('looks_linear', spec)
