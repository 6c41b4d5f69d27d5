"""Where a worker computes: its GPU, or its share of the CPU's cores."""

import os
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from vggres import environment
from vggres.errors import UserError


def default_workers() -> int:
    """The number of workers that is fastest on this machine.

    One per GPU; one for all TPU cores; or else one per CPU core, because at a demonstration's sizes
    several cores hardly speed up one run.
    """
    return len(_gpus()) or (1 if _has_tpu() else len(environment.cores()))


def default_environment() -> dict[str, str]:
    """The environment variables of a worker, where the user has not set them."""
    return {
        'JAX_COMPILATION_CACHE_DIR': str(environment.cache_directory() / 'xla'),
        'TF_CPP_MIN_LOG_LEVEL': '2',
        'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1',  # huge pages: a deep network touches gigabytes
    }


def placement(number: int, num_workers: int) -> dict[str, str]:
    """The environment variables that give a worker its GPU or its cores.

    Args:
        number: of the worker, from 0 on.
        num_workers: workers that run at once.
    """
    gpus, given = _gpus(), {}
    if _may_use('tpu') and not _has_tpu() and 'JAX_PLATFORMS' not in os.environ:
        given['JAX_PLATFORMS'] = 'cuda,cpu' if gpus else 'cpu'  # or jax would look for a TPU
    if gpus:
        memory = 0.9 / -(-num_workers // len(gpus))
        return given | {
            'CUDA_VISIBLE_DEVICES': gpus[number % len(gpus)],
            'XLA_PYTHON_CLIENT_MEM_FRACTION': f'{memory:.2f}',
        }
    if _has_tpu() or not hasattr(os, 'sched_setaffinity'):
        return given
    cores = environment.cores()
    share = max(1, len(cores) // num_workers)
    first = number * share % len(cores)
    return given | {'VGGRES_CORES': ','.join(map(str, cores[first : first + share]))}


def check_devices() -> None:
    """Imports jax and finds its devices.

    Raises:
        UserError: where there is no device of a kind that JAX_PLATFORMS asks for.
    """
    try:
        import jax

        jax.devices()
    except Exception as error:
        platforms = os.environ.get('JAX_PLATFORMS')
        asked = f' with JAX_PLATFORMS={platforms}' if platforms else ''
        message = f': {error}'.splitlines()[0] if str(error) else ''
        raise UserError(f'jax finds no device{asked}: {type(error).__name__}{message}') from error


def take_cores() -> None:
    """Keeps this process on the cores that `placement` gave it."""
    if cores := os.environ.get('VGGRES_CORES'):
        os.sched_setaffinity(0, {int(core) for core in cores.split(',')})


def _gpus() -> list[str]:
    """The CUDA devices that a worker's jax could use, as CUDA_VISIBLE_DEVICES names them."""
    if not _may_use('cuda'):
        return []
    if (visible := os.environ.get('CUDA_VISIBLE_DEVICES')) is not None:
        return [name for name in visible.split(',') if name]
    return [str(i) for i in range(len(list(Path('/dev').glob('nvidia[0-9]*'))))]


def _has_tpu() -> bool:
    """Whether a worker's jax could use a TPU, which only one process can hold."""
    return _may_use('tpu') and bool([*Path('/dev').glob('accel*'), *Path('/dev').glob('vfio/*')])


def _may_use(platform: str) -> bool:
    """Whether jax has what it needs for a platform and is not told to leave it alone."""
    asked = os.environ.get('JAX_PLATFORMS', '')
    if asked and platform not in asked and not (platform == 'cuda' and 'gpu' in asked):
        return False
    if platform == 'tpu':
        return find_spec('libtpu') is not None
    return any(platform in point.name for point in entry_points(group='jax_plugins'))
