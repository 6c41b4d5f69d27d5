import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres import environment
from vggres.training import compiling


class Lowered:
    """Stands for a lowered program; remembers with which options it was compiled."""

    def __init__(self, error=None):
        self.options, self.error = [], error

    def compile(self, options=None):
        self.options.append(options)
        if options and self.error:
            raise jax.errors.JaxRuntimeError(self.error)
        return 'compiled'


def test_both_ways_compute_the_same():
    lowered = jax.jit(lambda x: x @ x).lower(jnp.zeros((3, 3)))
    x = np.arange(9.0, dtype=np.float32).reshape(3, 3)
    for compile_program in (compiling.compile_well, compiling.compile_quickly):
        np.testing.assert_allclose(compile_program(lowered)(jnp.asarray(x)), x @ x)


@pytest.mark.parametrize(('cores', 'has_options'), [([0], False), ([0, 1], True)])
def test_several_cores_leave_convolutions_to_the_other_library(cores, has_options, monkeypatch):
    monkeypatch.setattr(environment, 'cores', lambda: cores)
    lowered = Lowered()
    compiling.compile_well(lowered)
    (options,) = lowered.options
    assert bool(options) == has_options


def test_what_runs_once_is_not_optimised():
    lowered = Lowered()
    compiling.compile_quickly(lowered)
    assert lowered.options == [{'xla_backend_optimization_level': 0}]


def test_a_release_of_xla_that_does_not_know_the_options_compiles_without_them():
    lowered = Lowered('INVALID_ARGUMENT: no such option')
    assert compiling.compile_quickly(lowered) == 'compiled'
    assert lowered.options == [{'xla_backend_optimization_level': 0}, None]


def test_other_errors_of_the_compiler_are_not_hidden():
    with pytest.raises(jax.errors.JaxRuntimeError, match='out of memory'):
        compiling.compile_quickly(Lowered('RESOURCE_EXHAUSTED: out of memory'))


def test_memory_counts_what_is_reused_once():
    # 1,000,000 float32 numbers in, as many out, and no temporaries: 8 MB, or 4 MB in place.
    def megabytes(**options):
        lowered = jax.jit(lambda x: 2 * x, **options).lower(jnp.zeros(1_000_000))
        return compiling.megabytes(lowered.compile())

    assert megabytes() == pytest.approx(8, rel=0.01)
    assert megabytes(donate_argnums=0) == pytest.approx(4, rel=0.01)
