"""All devices of a JAX program as one: each of them computes its part of every batch.

Weights and whatever else changes during training lie on every device, and a batch is divided among
them. The programs are written for the whole batch, and XLA divides the work and adds what has to be
added. Batch norm therefore works over the whole batch, however many devices there are.

With one device there is nothing to divide. All functions of this file then leave what they are
given as it is, so that the programs are those of a file that knows nothing of devices.
"""

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vggres.data.stream import Shardings
from vggres.errors import UserError

AXIS = 'batch'  # of the mesh
_told_to_end = threading.Event()


class ToldToEnd(KeyboardInterrupt):
    """One of several processes that train together was told to end, so that all of them end."""


@functools.cache
def shardings() -> Shardings | None:
    """How arrays lie on the devices of this program; None where there is only one device.

    The devices of one process follow one another, so that each process has consecutive rows of a
    batch.

    Raises:
        UserError: where the processes have different numbers of devices.
    """
    if jax.device_count() == 1:
        return None
    if jax.device_count() != jax.process_count() * jax.local_device_count():
        raise UserError(
            f'{jax.device_count()} devices in {jax.process_count()} processes, and '
            f'{jax.local_device_count()} of them in this one: each process needs as many.'
        )
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
    return Shardings(
        whole=NamedSharding(mesh, PartitionSpec()),
        first_axis=NamedSharding(mesh, PartitionSpec(AXIS)),
        second_axis=NamedSharding(mesh, PartitionSpec(None, AXIS)),
    )


def count() -> int:
    """The number of devices that a batch is divided among."""
    return jax.device_count()


def process() -> tuple[int, int]:
    """The index of this process, and the number of those that train together."""
    return jax.process_index(), jax.process_count()


def check_batch(size: int) -> None:
    """Raises UserError for a batch to train on that the devices cannot share evenly."""
    if size % count():
        raise UserError(
            f'train.batch_size {size} cannot be divided evenly among {count()} devices: choose a '
            'multiple, or fewer devices.'
        )


def rounded_up(size: int) -> int:
    """The next number of images to evaluate at once that the devices can share evenly."""
    return -(-size // count()) * count()


def divided(batch: Any) -> Any:
    """Inside jit: divides the arrays of a batch among the devices, by their first axis.

    Args:
        batch: arrays [batch, …], in any container of JAX.
    """
    placed = shardings()
    return jax.lax.with_sharding_constraint(batch, placed.first_axis) if placed else batch


def jit(function: Callable, **options: Any) -> Any:
    """`jax.jit` with results that lie on every device."""
    if placed := shardings():
        options['out_shardings'] = placed.whole
    return jax.jit(function, **options)


def shapes(tree: Any) -> Any:
    """Shapes of arrays → shapes, to compile with, of arrays that lie on every device."""
    placed = shardings()
    if not placed:
        return tree
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placed.whole), tree
    )


def replicate(tree: Any) -> Any:
    """Puts arrays on every device. Where several processes have them, those of the first count.

    Args:
        tree: arrays of one process or of all, in any container of JAX.
    """
    placed = shardings()
    if not placed:
        return tree
    if jax.process_count() == 1:
        return jax.device_put(tree, placed.whole)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(placed.whole, leaf),
        of_first_process(tree),
    )


def copied(tree: Any) -> Any:
    """A copy of arrays on every device, which stays when a program uses the arrays up.

    It lies on the host where several processes have the arrays, of which one may copy them alone.
    """
    return _copying()(tree) if jax.process_count() == 1 else jax.tree.map(np.array, tree)


@functools.cache
def _copying() -> Callable[[Any], Any]:
    """One program for all arrays: one by one, small networks would wait for it."""
    return jit(lambda tree: jax.tree.map(jnp.copy, tree))


def on_host(tree: Any) -> Any:
    """Arrays on every device of several processes → those of this process, for one that saves."""
    return tree if jax.process_count() == 1 else jax.tree.map(np.asarray, tree)


def of_first_process(tree: Any) -> Any:
    """What the first process has, to the last bit; all processes have to call this together.

    Args:
        tree: arrays, of the same shapes in every process, in any container of JAX.

    Returns:
        Arrays of the host; what was given where there is one process.
    """
    if jax.process_count() == 1:
        return tree
    from jax.experimental import multihost_utils

    arrays = jax.tree.map(np.asarray, tree)
    # As whole numbers: what is sent is a sum with the zeros of the others, and −0 + 0 is 0.
    bits = jax.tree.map(lambda array: array.view(f'u{array.dtype.itemsize}'), arrays)
    told = multihost_utils.broadcast_one_to_all(bits)
    return jax.tree.map(lambda bits, array: np.asarray(bits).view(array.dtype), told, arrays)


def ask_to_end() -> None:
    """Lets the processes that train together end when they next agree on something."""
    _told_to_end.set()


def agreed(number: int) -> int:
    """The number that the first process has: one that depends on a clock may differ elsewhere.

    All processes have to call this together.

    Raises:
        ToldToEnd: in each of several processes, if `ask_to_end` was called in one of them.
    """
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    mine = np.array([number, _told_to_end.is_set()], np.int32)
    numbers, are_told = np.asarray(multihost_utils.process_allgather(mine)).T
    if are_told.any():
        _wait_for_others()
        raise ToldToEnd
    return int(numbers[0])


def _wait_for_others() -> None:
    """Returns when all processes are here, or one is gone.

    One that ends as soon as it knows that all will end takes that knowledge from the others.
    """
    from jax.experimental import multihost_utils

    with contextlib.suppress(jax.errors.JaxRuntimeError):
        multihost_utils.sync_global_devices('the end')
