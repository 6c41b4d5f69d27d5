"""What ran where: versions, commit, hardware. For the record, not for decisions."""

import functools
import hashlib
import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'tensorflow-datasets', 'wandb')

_CODE = ('vggres', 'experiments', 'configs', 'launch.py')  # of a checkout, what runs

# Vector instructions by their flag in Linux, the widest first.
_VECTORS = {'amx_tile': 'AMX', 'avx512f': 'AVX-512', 'avx2': 'AVX2', 'avx': 'AVX'}


def versions() -> dict[str, str]:
    """Python's and the packages' versions."""
    return {'python': platform.python_version()} | {name: version(name) for name in PACKAGES}


def git_commit() -> str | None:
    """The commit of the code, '+' for code that was changed since; None outside of a checkout."""
    code = code_version()
    return code and code.split('+')[0] + ('+' if '+' in code else '')


@functools.cache  # what a process has loaded stays, whatever is edited meanwhile
def code_version() -> str | None:
    """The commit of the code and, after a '+', a digest of what was changed in it since.

    It is looked up once in a process, and None outside of a checkout.
    """
    root = Path(__file__).parent.parent

    def git(*arguments: str) -> bytes:
        command = ('git', '-C', str(root), *arguments)
        return subprocess.run(command, capture_output=True, check=True).stdout

    try:
        if Path(os.fsdecode(git('rev-parse', '--show-toplevel').strip())) != root:
            return None
        changes = git('diff', 'HEAD', '--', *_CODE)
        digest = '+' + hashlib.sha256(changes).hexdigest()[:8] if changes else ''
        return git('rev-parse', 'HEAD').decode().strip() + digest
    except (OSError, subprocess.CalledProcessError):
        return None


def cache_directory() -> Path:
    """Where vggres keeps what it can make again: compiled programs and decoded images."""
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'vggres'


def hardware() -> str:
    """The devices that jax computes on, in words."""
    import jax

    devices = jax.devices()
    kind = devices[0].device_kind
    if devices[0].platform == 'cpu':
        simulated = f' as {len(devices)} devices' if len(devices) > 1 else ''
        count = len(cores())
        return f'{_cpu_model()}, {count} {"core" if count == 1 else "cores"}{simulated}'
    return f'{len(devices)} × {kind}'


def peak_memory_mb() -> float:
    """The most memory that this process has held so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == 'darwin' else 1e3)  # bytes there, kilobytes elsewhere


def cores() -> list[int]:
    """The CPU cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _cpu_model() -> str:
    try:
        return cpu_in_words(Path('/proc/cpuinfo').read_text())
    except (OSError, KeyError):  # no Linux, or no x86
        return platform.processor() or platform.machine()


def cpu_in_words(cpuinfo: str) -> str:
    r"""A processor by its name and by what decides the last digits of its results.

    Processors of one name differ in the instructions that they have, and compiled programs add in
    another order with other instructions.

    >>> lines = 'model name: EPYC', 'cpu family: 25', 'model: 1', 'flags: fpu avx avx2'
    >>> cpu_in_words('\n'.join(lines))
    'EPYC (family 25, model 1, AVX2)'

    Args:
        cpuinfo: what Linux says of its x86 processors, the text of `/proc/cpuinfo`.

    Raises:
        KeyError: where the text describes no x86 processor.
    """
    lines = (line.split(':', 1) for line in cpuinfo.split('\n\n')[0].splitlines() if ':' in line)
    about = {key.strip(): value.strip() for key, value in lines}
    flags = about['flags'].split()
    vectors = next((words for flag, words in _VECTORS.items() if flag in flags), 'no AVX')
    return (
        f'{about["model name"]} (family {about["cpu family"]}, model {about["model"]}, {vectors})'
    )
