"""Variances against the papers' formulas, written out for layers of known size."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.config import INIT_SCHEMES
from vggres.errors import UserError
from vggres.networks import grammar, initialisation
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
    assert tuple(initialisation.SCHEMES) == INIT_SCHEMES == (*VARIANCES, 'fixup')
    assert [initialisation.index(scheme) for scheme in VARIANCES] == [0, 1, 2]


def test_an_unknown_scheme_names_those_there_are():
    for look_up in (initialisation.index, lambda scheme: initialisation.rescaled({}, scheme)):
        with pytest.raises(UserError, match=r"unknown scheme 'xavier': .*fixup, glorot, he, vgg"):
            look_up('xavier')


def test_the_names_of_the_schemes_need_no_jax():
    code = "import sys; from vggres.networks import initialisation; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, '-c', code], check=True)


def test_programs_know_the_schemes_by_name(config, build):
    # A head of 8 inputs and 4 classes: 2/8 by He, 2/12 by Glorot, 0.01.
    compiled = build(config)
    kernels = {scheme: compiled.init(0, scheme)[0].params['head']['kernel'] for scheme in VARIANCES}
    np.testing.assert_allclose(kernels['vgg'] / kernels['he'], 0.2, rtol=1e-6)
    np.testing.assert_allclose(kernels['glorot'] / kernels['he'], np.sqrt(2 / 3), rtol=1e-6)


def test_a_cell_starts_from_its_scheme(config, tmp_path):
    found = {}
    for scheme in INIT_SCHEMES:
        config.init.scheme = scheme
        cell = Cell(config.copy_and_resolve_references(), tmp_path, '')
        run(cell)
        found[scheme] = cell.result().train_loss
    assert len(set(found.values())) == len(INIT_SCHEMES)


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
    fixup = initialisation.rescaled(he['params'], 'fixup')
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
