"""What a run will cost, before it is paid for.

Of this machine by timing a few steps of each network; of a TPU by the word of its compiler, which
needs none (`pip install 'vggres[tpu]'`).
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
from ml_collections import FrozenConfigDict

from vggres import config as configuration
from vggres.data import tfds
from vggres.data.tfds import DatasetInfo
from vggres.errors import UserError
from vggres.sweeps.cell import Cell
from vggres.sweeps.cost import Cost
from vggres.training import programs
from vggres.training.programs import DeviceData
from vggres.training.train_step import eval_step, init_state, train_step

# Its 197 TFLOP/s in bfloat16 are those of 4 matrix units of 128 × 128 (Google's documentation).
_V5E_HERTZ = 197e12 / (4 * 128 * 128 * 2)
_V5E_EVALUATED = 1024  # images at once
_LONG_ENOUGH_SECONDS = 1.0  # of steps, to time one
_EVALUATED_BATCHES = 4


def of_networks(
    target: str, cells: Sequence[Cell], info: DatasetInfo, on_cost: Callable[[Cell, Cost], None]
) -> dict[str, Cost]:
    """The cost of each cell, by its id; those of one network share it.

    Args:
        target: 'here' or 'v5e'.
        cells: what would run, all on one data set.
        info: of that data set.
        on_cost: called with the first cell of each network as soon as its cost is known.
    """
    if target == 'v5e':
        estimate = partial(v5e, info=info)
    else:
        splits, data_config = tfds.load(cells[0].config.data), cells[0].config.data
        device_data = programs.to_device(splits, info.num_classes, data_config.normalisation)
        estimate = partial(here, device_data=device_data)
    known: dict[FrozenConfigDict, Cost] = {}
    for cell in cells:
        program = configuration.program(cell.config)
        if program not in known:
            known[program] = estimate(program)
            on_cost(cell, known[program])
    return {cell.id: known[configuration.program(cell.config)] for cell in cells}


def here(config: FrozenConfigDict, device_data: DeviceData) -> Cost:
    """Times a few steps on this machine's default device.

    Args:
        config: of the program (see `config.program`).
        device_data: what it trains on.
    """
    started = time.perf_counter()
    compiled = programs.build(config, device_data)
    compile_seconds = time.perf_counter() - started
    state, sums, order_key = compiled.init(0)
    arrays = device_data.arrays
    count, step, first_epoch = 1, 0, min(compiled.steps_per_epoch, compiled.total_steps)
    while step < first_epoch:
        stop = min(step + count, first_epoch)
        started = time.perf_counter()
        state, sums = compiled.train(state, sums, order_key, *arrays, stop)
        done, step = int(state.step) - step, int(state.step)
        elapsed = time.perf_counter() - started
        step_seconds = elapsed / max(1, done)
        if elapsed > _LONG_ENOUGH_SECONDS or step < stop:  # it diverged
            break
        count *= 2
    start, stop = device_data.ranges['train']
    batch_size = programs.evaluation_batch_size(config, device_data.images.shape[1:])
    batches = min(_EVALUATED_BATCHES, -(-(stop - start) // batch_size))
    stop = min(stop, start + batches * batch_size)
    for _ in range(2):  # the first warms up
        started = time.perf_counter()
        jax.block_until_ready(compiled.evaluate(state, *arrays, start, stop))
        batch_seconds = (time.perf_counter() - started) / batches
    memory = compiled.train.memory_analysis()
    return Cost(_megabytes(memory), compile_seconds, step_seconds, batch_seconds, batch_size)


def v5e(config: FrozenConfigDict, info: DatasetInfo) -> Cost:
    """Asks the TPU's compiler, for one TPU v5e.

    Its estimate is of compute alone, step by step: what it estimates of each operation, in
    cycles, those in a loop as often as the loop runs.

    Raises:
        UserError: where that compiler is not installed, or the network does not fit.
    """
    if find_spec('libtpu') is None:
        raise UserError("--estimate v5e asks the TPU's compiler: pip install 'vggres[tpu]'.")
    quiet = {'TPU_SKIP_MDS_QUERY': '1', 'TPU_WORKER_HOSTNAMES': 'localhost'}
    quiet |= {'TPU_ACCELERATOR_TYPE': 'v5litepod-4', 'TPU_STDERR_LOG_LEVEL': '3'}
    for name, value in (quiet | {'TPU_MIN_LOG_LEVEL': '3'}).items():
        os.environ.setdefault(name, value)
    device = topologies.get_topology_desc(platform='tpu', topology_name='v5e:2x2').devices[0]
    network, sgd, _ = programs.parts(config, info.num_classes, info.num_images['train'])

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
    batch_size = config.evaluation.batch_size or _V5E_EVALUATED
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
        _megabytes(update.memory_analysis()),
        time.perf_counter() - started,
        estimated_cycles(update.as_text()) / _V5E_HERTZ,
        estimated_cycles(evaluate.as_text()) / _V5E_HERTZ,
        batch_size,
    )


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


def _megabytes(memory: object) -> float:
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    return (held + memory.output_size_in_bytes - memory.alias_size_in_bytes) / 1e6
