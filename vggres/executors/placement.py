"""Where a worker computes: its GPUs, its TPU chips, or its share of the CPU's cores."""

import os
from collections.abc import Iterable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from vggres import environment
from vggres.errors import UserError

PLATFORMS = {'cpu': 'cpu', 'gpu': 'cuda', 'tpu': 'tpu'}  # as JAX_PLATFORMS calls them
_DETERMINISTIC = '--xla_gpu_deterministic_ops=true'


def use(device: str | None, deterministic: bool, has_gpus: bool, console: Console) -> None:
    """Makes this process and its workers compute on a kind of device, and in what way.

    Args:
        device: one of `PLATFORMS`; None for what jax chooses.
        deterministic: whether a GPU has to come to equal bits each time, for which some of its
            operations are slower.
        has_gpus: whether workers on other machines get GPUs.
        console: is told where that changes nothing.
    """
    if device:
        os.environ['JAX_PLATFORMS'] = PLATFORMS[device]
    if deterministic and (has_gpus or _gpus()):
        given = os.environ.get('XLA_FLAGS', '')
        os.environ['XLA_FLAGS'] = f'{given} {_DETERMINISTIC}'.strip()
    elif deterministic:
        console.print('--deterministic is for GPUs, and changes nothing here.')


def default_workers(one_for_all_chips: bool = False) -> int:
    """The number of workers that is fastest on this machine.

    One per GPU; one per TPU chip, or one for all of them; or else one per CPU core, because at a
    demonstration's sizes several cores hardly speed up one run.

    Args:
        one_for_all_chips: whether one worker has all chips of a TPU, which is faster for cells that
            are large or alone.
    """
    if gpus := _gpus():
        return len(gpus)
    if chips := _tpu_chips():
        return 1 if one_for_all_chips else chips
    return len(environment.cores())


def gpus_each(num_workers: int, batch_sizes: Iterable[int]) -> int:
    """The number of GPUs that a worker gets where there are more GPUs than workers.

    All of them are shared out, as far as a number of GPUs can share every batch evenly.

    Args:
        num_workers: workers that run at once.
        batch_sizes: the number of images in an update, of each cell.
    """
    sizes = {*batch_sizes}
    most = max(1, len(_gpus()) // num_workers)
    return max(n for n in range(1, most + 1) if all(size % n == 0 for size in sizes))


def default_environment() -> dict[str, str]:
    """The environment variables of a worker, where the user has not set them."""
    return {
        'JAX_COMPILATION_CACHE_DIR': str(environment.cache_directory() / 'xla'),
        'TF_CPP_MIN_LOG_LEVEL': '2',
        'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1',  # huge pages: a deep network touches gigabytes
    }


def placement(number: int, num_workers: int, gpus_each: int = 1) -> dict[str, str]:
    """The environment variables that give a worker its GPUs, its TPU chip or its cores.

    Args:
        number: of the worker, from 0 on.
        num_workers: workers that run at once.
        gpus_each: the number of GPUs that a worker gets, where there are any.

    Raises:
        UserError: for more workers than TPU chips.
    """
    gpus, chips, given = _gpus(), _tpu_chips(), {}
    if _may_use('tpu') and not chips and 'JAX_PLATFORMS' not in os.environ:
        given['JAX_PLATFORMS'] = 'cuda,cpu' if gpus else 'cpu'  # or jax would look for a TPU
    if gpus:
        memory = 0.9 / -(-num_workers // len(gpus))
        return given | {
            'CUDA_VISIBLE_DEVICES': ','.join(
                gpus[(number * gpus_each + i) % len(gpus)] for i in range(gpus_each)
            ),
            'XLA_PYTHON_CLIENT_MEM_FRACTION': f'{memory:.2f}',
        }
    if chips:
        return given | _chip(number, num_workers, chips)
    if not hasattr(os, 'sched_setaffinity'):
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
    platforms = os.environ.get('JAX_PLATFORMS', '')
    asked = f' with JAX_PLATFORMS={platforms}' if platforms else ''
    try:
        import jax

        jax.devices()
    except Exception as error:
        message = f': {error}'.splitlines()[0] if str(error) else ''
        cause = '' if isinstance(error, AssertionError) else f': {type(error).__name__}{message}'
        raise UserError(f'jax finds no device{asked}{cause}.') from error
    # jax goes on to the next platform in silence where the first one has no device.
    if platforms.split(',')[0] not in ('', 'cpu') and jax.default_backend() == 'cpu':
        raise UserError(f'jax finds no device{asked}: there is only the CPU.')


def found_devices() -> dict[str, str]:
    """The hardware that this process computes on, in words, and its platform; imports jax."""
    import jax

    return {'hardware': environment.hardware(), 'platform': jax.default_backend()}


def fallen_back(platform: str) -> str:
    """What is to be said where a machine with a GPU computes on its CPU, and nobody asked for that.

    Args:
        platform: what jax computes on, as it calls it.
    """
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES') == ''
    if platform != 'cpu' or not _nvidia_devices() or hidden or not _is_asked_for('cuda'):
        return ''
    why = 'its CUDA plugin cannot use it, see nvidia-smi'
    if not _has_plugin('cuda'):
        why = "it has no CUDA plugin: pip install 'vggres[cuda]'"
    return (
        f'warning: this machine has an NVIDIA GPU, and jax computes on the CPU, because {why}. '
        '--device cpu keeps this line away.'
    )


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
    return _nvidia_devices()


def _nvidia_devices() -> list[str]:
    """The GPUs of this machine, as CUDA_VISIBLE_DEVICES names them by default."""
    return [str(i) for i in range(len(list(Path('/dev').glob('nvidia[0-9]*'))))]


def _tpu_chips() -> int:
    """The number of TPU chips that workers' jax could use; one process alone can hold a chip."""
    if not _may_use('tpu'):
        return 0
    return len([*Path('/dev').glob('accel[0-9]*'), *Path('/dev').glob('vfio/[0-9]*')])


def _chip(number: int, num_workers: int, chips: int) -> dict[str, str]:
    """Gives a worker one chip, or all of them where it is the only worker.

    The variables are those of libtpu for processes that do not communicate. This was not run on a
    TPU.
    """
    if num_workers == 1:
        return {}
    if num_workers > chips:
        raise UserError(
            f'--workers {num_workers} is too many: only one process can hold a TPU chip, and there '
            f'are {chips} of them.'
        )
    return {
        'TPU_VISIBLE_CHIPS': str(number),
        'TPU_CHIPS_PER_PROCESS_BOUNDS': '1,1,1',
        'TPU_PROCESS_BOUNDS': '1,1,1',
    }


def _may_use(platform: str) -> bool:
    """Whether jax has what it needs for a platform and is not told to leave it alone."""
    return _is_asked_for(platform) and _has_plugin(platform)


def _is_asked_for(platform: str) -> bool:
    asked = os.environ.get('JAX_PLATFORMS', '')
    return not asked or platform in asked or (platform == 'cuda' and 'gpu' in asked)


def _has_plugin(platform: str) -> bool:
    if platform == 'tpu':
        return find_spec('libtpu') is not None
    return any(platform in point.name for point in entry_points(group='jax_plugins'))
