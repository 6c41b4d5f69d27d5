"""What a network would cost on a TPU, by the word of the TPU's compiler, which needs no TPU.

The compiler is an extra: `pip install 'vggres[tpu]'`.
"""

import os
import re
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from vggres.config import Config
from vggres.data.source import DatasetInfo
from vggres.errors import UserError
from vggres.sweeps.cost import Cost
from vggres.training import programs
from vggres.training.compiling import megabytes
from vggres.training.optimizer import optimizer
from vggres.training.train_step import eval_step, init_state, train_step
from vggres.training.trainer import described_run

# A v5e computes 197 TFLOP/s in bfloat16 with 4 matrix units of 128 × 128 (Google's documentation);
# each of them does a multiplication and an addition in a cycle.
_HERTZ = 197e12 / (4 * 128 * 128 * 2)
_EVALUATED_AT_ONCE = 1024  # images, where the configuration does not say how many
_ENVIRONMENT = {  # keeps the compiler from looking for a TPU, and from reporting at length
    'TPU_SKIP_MDS_QUERY': '1',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # nothing is held, and a lock outlives a kill
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
    'TPU_STDERR_LOG_LEVEL': '3',
    'TPU_MIN_LOG_LEVEL': '3',
}


def estimate(config: Config, info: DatasetInfo) -> Cost:
    """Asks the TPU's compiler what a network costs on one TPU v5e.

    The estimate is of computation alone: the cycles that the compiler expects of each operation,
    those of a loop's body as often as the loop runs.

    Args:
        config: the configuration of a cell.
        info: the data set that it trains on.

    Raises:
        UserError: where the compiler is not installed, or the network does not fit the TPU.
    """
    device = _v5e()
    network = programs.described_network(config, info.num_classes)
    schedule = described_run(config, info.num_images['train']).schedule
    sgd = optimizer(config.optimizer, schedule, network.spec)

    def placed(*shapes: object) -> tuple:
        sharding = SingleDeviceSharding(device)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
        )

    def batch(size: int) -> tuple:
        images = jax.ShapeDtypeStruct((size, *info.image_shape), jnp.float32)
        return placed(images, jax.ShapeDtypeStruct((size,), jnp.int32))

    key = jax.eval_shape(lambda: jax.random.key(0))
    init = partial(init_state, network=network, optimizer=sgd, image_shape=info.image_shape)
    state, key = placed(jax.eval_shape(init, key), key)
    update = jax.jit(partial(train_step, network=network, optimizer=sgd), donate_argnums=0)
    evaluate = jax.jit(partial(eval_step, network=network))
    batch_size = config.evaluation.batch_size or _EVALUATED_AT_ONCE
    started = time.perf_counter()
    try:
        update = update.lower(state, *batch(config.train.batch_size), key).compile()
        evaluate = evaluate.lower(state, *batch(batch_size)).compile()
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        model = config.model
        raise UserError(
            f'{model.family} of depth {model.depth} does not fit a v5e, which has 16 GB: a smaller '
            'train.batch_size or evaluation.batch_size, or model.remat=True, needs less.'
        ) from None
    return Cost(
        memory_mb=megabytes(update),
        compile_seconds=time.perf_counter() - started,
        step_seconds=estimated_cycles(update.as_text() or '') / _HERTZ,
        batch_seconds=estimated_cycles(evaluate.as_text() or '') / _HERTZ,
        batch_size=batch_size,
    )


def _v5e() -> object:
    """A v5e that is described to the compiler, and need not be there."""
    if find_spec('libtpu') is None:
        raise UserError("--estimate v5e asks the TPU's compiler: pip install 'vggres[tpu]'.")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    return topologies.get_topology_desc(platform='tpu', topology_name='v5e:2x2').devices[0]


def estimated_cycles(hlo: str) -> int:
    """The sum of the TPU compiler's estimates in a compiled program's text.

    A loop's body counts as often as its condition, `counter < constant`, says; what is within a
    fusion is estimated by the fusion.
    """
    computations = dict(_computations(hlo))
    entry = next(name for name in computations if name.startswith('ENTRY '))

    def cycles(name: str) -> int:
        total = 0
        for line in computations[name]:
            if found := re.search(r'"estimated_cycles":"(\d+)"', line):
                total += int(found[1])
            if found := re.search(r' while\(.*condition=%?([\w.-]+), body=%?([\w.-]+)', line):
                condition, body = found.groups()
                total += _trips(computations[condition]) * cycles(body)
        return total

    return cycles(entry)


def _computations(hlo: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = '', []
    for line in hlo.splitlines():
        if found := re.match(r'(ENTRY )?%?([\w.-]+) \(.*\{$', line):
            name, lines = (found[1] or '') + found[2], []
        elif line == '}' and name:
            yield name, lines
        else:
            lines.append(line)


def _trips(condition: list[str]) -> int:
    limits = [int(n) for line in condition for n in re.findall(r'constant\((\d+)\)', line)]
    if len(limits) != 1 or not any('direction=LT' in line for line in condition):
        raise ValueError(f'not the condition of a counted loop: {condition}')
    return limits[0]
