"""The flags that choose an executor, and what they say as a frozen record."""

from collections.abc import Mapping

from absl import flags
from rich.console import Console

from vggres.errors import UserError
from vggres.executors import placement
from vggres.executors.options import LocalOptions, Options, RayOptions, SlurmOptions

EXECUTORS = ('local', 'slurm', 'ray')


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines --executor, --device and so on, and what one executor understands: 'slurm.gpus'."""
    text = {'flag_values': values}
    flags.DEFINE_enum('executor', 'local', EXECUTORS, 'who runs the cells', **text)
    flags.DEFINE_enum('device', None, [*placement.PLATFORMS], 'what to compute on', **text)
    flags.DEFINE_bool('deterministic', False, 'equal bits on GPUs, too, but slower', **text)
    flags.DEFINE_string('multihost', None, 'auto or HOST:PORT,NUM,INDEX: see docs', **text)
    flags.DEFINE_bool('status', False, 'print what is done, running, failed, lost', **text)
    flags.DEFINE_bool('cancel', False, 'cancel what Slurm holds of --sweep', **text)
    flags.DEFINE_string('slurm.partition', None, 'where the job is queued', **text)
    flags.DEFINE_string('slurm.account', None, 'who pays for it', **text)
    flags.DEFINE_integer('slurm.gpus', 0, 'GPUs of a cell; 0: CPUs alone', 0, **text)
    flags.DEFINE_integer('slurm.cpus', None, 'CPUs of a cell', 1, **text)
    flags.DEFINE_string('slurm.memory', None, 'memory of a cell, as in 8G', **text)
    flags.DEFINE_string('slurm.time', None, 'time limit, as in 4:00:00; then it goes on', **text)
    flags.DEFINE_integer('slurm.parallel', None, 'cells run at once, at most', 1, **text)
    flags.DEFINE_string('slurm.extra', '', 'further options of sbatch, as one string', **text)
    flags.DEFINE_string('ray.address', None, 'of the cluster, or auto; else one is started', **text)
    flags.DEFINE_float('ray.gpus', 0.0, 'GPUs of a cell, or a fraction; 0: CPUs alone', 0.0, **text)


def options(given: Mapping[str, object]) -> Options:
    """What the flags of a launch say about its executor.

    Args:
        given: the values of the flags that were given, as `command_line.given` returns them.

    Raises:
        UserError: for a value that the executor would not take.
    """
    executor = given.get('executor', 'local')
    if executor == 'local':
        return LocalOptions(given.get('workers'))
    own = {
        name.removeprefix(f'{executor}.'): value
        for name, value in given.items()
        if name.startswith(f'{executor}.')
    }
    return SlurmOptions(**own) if executor == 'slurm' else RayOptions(**own)


def use_devices(given: Mapping[str, object], console: Console) -> None:
    """Lets jax, here and in workers, compute on what --device and --deterministic ask for."""
    has_gpus = bool(given.get('slurm.gpus') or given.get('ray.gpus'))  # of other machines
    placement.use(given.get('device'), given.get('deterministic', False), has_gpus, console)


def check(given: Mapping[str, object], mode: str | None) -> None:
    """Refuses the flags of an executor that does not run.

    Args:
        given: as for `options`.
        mode: what is done in place of training; None to train.

    Raises:
        UserError: for the first flag that changes nothing.
    """
    executor = given.get('executor', 'local')
    for name in given:
        owner = name.split('.')[0]
        if '.' not in name or owner not in EXECUTORS:
            continue
        if mode:
            raise UserError(f'--{name} changes nothing with --{mode}: leave it out.')
        if owner != executor:
            raise UserError(f'--{name} changes nothing without --executor {owner}.')
    if 'device' in given and executor != 'local' and not mode:
        raise UserError(
            f'--device changes nothing with --executor {executor}: see --{executor}.gpus.'
        )
    if 'workers' in given and executor != 'local':
        hint = ': see --slurm.parallel' if executor == 'slurm' else ': leave it out'
        raise UserError(f'--workers changes nothing with --executor {executor}{hint}.')
