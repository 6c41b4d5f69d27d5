"""What a launch says about the executor that runs its cells: a frozen record for each executor."""

import re
import shlex
from dataclasses import dataclass

from vggres.errors import UserError

# The forms of a time that Slurm takes: minutes[:seconds], hours:minutes:seconds, and with days.
_TIME = re.compile(
    r'((?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d+)(:(?P<seconds>\d+))?)?'
    r'|((?P<h>\d+):(?=\d+:))?(?P<m>\d+)(:(?P<s>\d+))?)'
)


@dataclass(frozen=True)
class LocalOptions:
    """Worker processes of this machine.

    Attributes:
        workers: the number of cells that run at once; None for one per GPU or CPU core.
    """

    workers: int | None = None


@dataclass(frozen=True)
class SlurmOptions:
    """An array job of Slurm, a task for each cell.

    What is None or empty is left to the cluster.

    Attributes:
        partition: where the job is queued.
        account: who pays for it.
        gpus: the number of GPUs of a cell; 0 computes on CPUs.
        cpus: the number of CPUs of a cell.
        memory: the memory of a cell, as Slurm writes it: '8G'.
        time: the time limit of an attempt, as Slurm writes it: '4:00:00'. A cell that needs longer
            is saved and queued again.
        parallel: the number of cells that run at once, at most.
        extra: further options of sbatch, as one string: '--nodelist=n1 --qos=low'.
    """

    partition: str | None = None
    account: str | None = None
    gpus: int = 0
    cpus: int | None = None
    memory: str | None = None
    time: str | None = None
    parallel: int | None = None
    extra: str = ''

    def __post_init__(self) -> None:
        """Raises UserError for a time or for options that Slurm would not take."""
        self.limit_seconds()
        try:
            shlex.split(self.extra)
        except ValueError as error:
            raise UserError(f'--slurm.extra {self.extra!r} cannot be split: {error}.') from None

    def limit_seconds(self) -> int | None:
        """The time limit in seconds; None where the cluster's own holds."""
        if self.time is None:
            return None
        found = _TIME.fullmatch(self.time)
        parts = {name: int(text or 0) for name, text in found.groupdict().items()} if found else {}
        total = (
            86400 * parts.get('days', 0)
            + 3600 * (parts.get('hours', 0) + parts.get('h', 0))
            + 60 * (parts.get('minutes', 0) + parts.get('m', 0))
            + parts.get('seconds', 0)
            + parts.get('s', 0)
        )
        if not total:
            raise UserError(
                f'--slurm.time {self.time!r} is no time limit: give minutes, as in 90, or '
                'hours:minutes:seconds, as in 4:00:00, with days in front as in 1-12:00:00.'
            )
        return total


@dataclass(frozen=True)
class RayOptions:
    """Tasks of a Ray cluster.

    Attributes:
        address: of the cluster; None starts one on this machine.
        gpus: the GPUs of a cell, a fraction where cells share one; 0 computes on CPUs.
    """

    address: str | None = None
    gpus: float = 0.0

    def __post_init__(self) -> None:
        """Raises UserError for a number of GPUs that Ray would not take."""
        if not 0 <= self.gpus <= 1 and not float(self.gpus).is_integer():
            raise UserError(f'--ray.gpus {self.gpus:g}: give a fraction below 1 or a whole number.')


Options = LocalOptions | SlurmOptions | RayOptions
