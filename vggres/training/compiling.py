"""How programs are compiled: well where they run often, quickly where they run once."""

import jax

from vggres import environment

Options = dict[str, str | bool | int]  # of XLA's compiler

_CONVOLUTIONS_ELSEWHERE: Options = {
    'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE'
}
_UNOPTIMISED: Options = {'xla_backend_optimization_level': 0}


def compile_well(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compiles a program that runs often.

    XLA:CPU has two libraries for convolutions. One of them is the faster one, but only on a single
    core; where there are several cores, convolutions are left to the other library.
    """
    if jax.default_backend() == 'cpu' and len(environment.cores()) > 1:
        return _compile(lowered, _CONVOLUTIONS_ELSEWHERE)
    return lowered.compile()


def compile_quickly(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compiles a program that runs once, such as one that draws random weights.

    XLA:CPU takes long to optimise random numbers, and little time to compute them.
    """
    return _compile(lowered, _UNOPTIMISED if jax.default_backend() == 'cpu' else {})


def megabytes(compiled: jax.stages.Compiled) -> float:
    """The memory that a compiled program needs while it runs, temporaries included, in MB.

    What is given to the program and reused for its results counts once.
    """
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    return (held + memory.output_size_in_bytes - memory.alias_size_in_bytes) / 1e6


def _compile(lowered: jax.stages.Lowered, options: Options) -> jax.stages.Compiled:
    try:
        return lowered.compile(options)
    except jax.errors.JaxRuntimeError as error:
        if 'INVALID_ARGUMENT' not in str(error):
            raise
        return lowered.compile()  # this release of XLA does not know these options
