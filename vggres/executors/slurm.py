"""Runs cells as an array job of Slurm, a task for each cell: submits it and leaves.

<sweep>/slurm/<n>/orders.jsonl   an order a line, the costliest first
                  task.sh        what a task runs: see `slurm_task.py`
                  job.json       the ids that Slurm gave, and the cells of each
<sweep>/logs/slurm-<job>_<task>.log

What became of the cells stands in their own files. Slurm is asked only what is still in its queue,
so that a second launch submits nothing twice; no accounting is needed.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from vggres.errors import UserError
from vggres.executors.options import SlurmOptions
from vggres.executors.orders import order
from vggres.files import read_json, write_atomically, write_json
from vggres.sweeps.cell import Cell
from vggres.sweeps.status import Queued

FOLDER = 'slurm'
_JOB_FILE, _ORDERS_FILE, _SCRIPT_FILE = 'job.json', 'orders.jsonl', 'task.sh'
_NAME = 'vggres-'  # how the names of jobs begin
_USUAL_ARRAY_SIZE = 1001  # Slurm's own default
_ANSWER_SECONDS = 120  # that a command of Slurm may take
_WARNING_SECONDS = 120  # before the time limit, to save and to queue the cell again


def submit(
    cells: Sequence[Cell], costs: Mapping[str, float], options: SlurmOptions, directory: Path
) -> list[str]:
    """Submits cells as one array job, or as several where the cluster takes no array of that size.

    Plain sbatch serves here, and takes less code than a library: orders are JSON already, results
    are files, and what Slurm's signals mean is written in `slurm_task.py`.

    Args:
        cells: what to run, at least one cell.
        costs: the relative cost of each cell, by its id: the costliest start first.
        options: what each task asks Slurm for.
        directory: of the sweep.

    Returns:
        The ids of the jobs.

    Raises:
        UserError: where there is no sbatch, or it refuses.
    """
    cells = sorted(cells, key=lambda cell: costs[cell.id], reverse=True)
    folder = _new_folder(directory / FOLDER)
    write_atomically(folder / _ORDERS_FILE, ''.join(_line(cell) for cell in cells))
    write_atomically(folder / _SCRIPT_FILE, _script(folder))
    (directory / 'logs').mkdir(exist_ok=True)
    command = _command(options, directory, cells[0].sweep)
    at_once = f'%{options.parallel}' if options.parallel else ''
    size, environment = _array_size(), _surroundings(options)
    jobs: dict[str, list[str]] = {}
    for first in range(0, len(cells), size):
        part = cells[first : first + size]
        own = [f'--array=0-{len(part) - 1}{at_once}']
        if jobs and options.parallel:  # the limit holds within a job: they run one after another
            own.append(f'--dependency=afterany:{[*jobs][-1]}')
        try:
            said = _said_by(*command, *own, folder / _SCRIPT_FILE, first, env=environment)
        except UserError:
            if jobs:  # some were taken, and the sweep as a whole is refused
                with contextlib.suppress(UserError):
                    _said_by('scancel', *jobs)
            shutil.rmtree(folder)
            raise
        jobs[said.strip().split(';')[0]] = [cell.id for cell in part]
        write_json(folder / _JOB_FILE, {'submitted': time.strftime('%Y-%m-%d %H:%M'), 'jobs': jobs})
    return [*jobs]


def queue(directory: Path) -> dict[str, Queued]:
    """The cells of a sweep that wait or run in Slurm, by id.

    Args:
        directory: of the sweep.

    Raises:
        UserError: where jobs were submitted, and Slurm does not say what became of them.
    """
    jobs = _jobs(directory)
    found = {}
    for job, task, state, started in _tasks(jobs):
        since = None if state == 'PENDING' else _seconds(started)
        if task < len(jobs[job]):
            found[jobs[job][task]] = Queued(since)
    return found


def cancel(directory: Path) -> dict[str, list[str]]:
    """Cancels what Slurm still holds of a sweep; running cells save before they end.

    Args:
        directory: of the sweep.

    Returns:
        The cells of each job that was cancelled.

    Raises:
        UserError: where Slurm does not answer.
    """
    jobs = _jobs(directory)
    cancelled: dict[str, list[str]] = {}
    for job, task, _, _ in _tasks(jobs):
        if task < len(jobs[job]):
            cancelled.setdefault(job, []).append(jobs[job][task])
    if cancelled:
        _said_by('scancel', *cancelled)
    return cancelled


def log_name(job: str, task: str) -> str:
    """The name of a task's log; sbatch fills in '%A' and '%a'."""
    return f'slurm-{job}_{task}.log'


def _line(cell: Cell) -> str:
    return json.dumps(order(cell).to_json()) + '\n'


def _new_folder(parent: Path) -> Path:
    taken = [int(path.name) for path in parent.glob('*') if path.name.isdigit()]
    folder = parent / str(max(taken, default=0) + 1)
    folder.mkdir(parents=True)
    return folder


def _script(folder: Path) -> str:
    orders = (folder / _ORDERS_FILE).absolute()
    command = shlex.join([sys.executable, '-m', 'vggres.executors.slurm_task', str(orders)])
    return f"""#!/bin/sh
# A warning that comes before the task can hear it must not kill it.
trap '' USR2
# Slurm warns this process alone, so it becomes the task.
exec {command} "$1"
"""


def _command(options: SlurmOptions, directory: Path, sweep: str) -> list[str]:
    """The command that submits a job, without its array and its script."""
    limit = options.limit_seconds()
    warning = _WARNING_SECONDS if limit is None else min(_WARNING_SECONDS, limit // 4)
    logs = str((directory / 'logs').absolute()).replace('%', '%%')
    given = {
        '--partition': options.partition,
        '--account': options.account,
        '--gres': f'gpu:{options.gpus}' if options.gpus else None,
        '--cpus-per-task': options.cpus,
        '--mem': options.memory,
        '--time': options.time,
    }
    return [
        *(
            'sbatch',
            '--parsable',
            f'--job-name={_NAME}{sweep or "cell"}',
            '--nodes=1',
            '--ntasks=1',
        ),
        *('--requeue', '--open-mode=append', f'--signal=B:USR2@{warning}'),
        f'--output={logs}/{log_name("%A", "%a")}',
        *(f'{flag}={value}' for flag, value in given.items() if value is not None),
        *shlex.split(options.extra),
    ]


def _surroundings(options: SlurmOptions) -> dict[str, str]:
    """The environment variables of the tasks, which sbatch hands on."""
    # With a platform named, JAX does not fall back to the CPU in silence.
    platforms = {'JAX_PLATFORMS': 'cuda,cpu' if options.gpus else 'cpu'}
    own = _own_environment()
    if options.gpus and own.get('JAX_PLATFORMS') == 'cpu':  # of the machine that submits
        del own['JAX_PLATFORMS']
    return platforms | own


def _own_environment() -> dict[str, str]:
    """The environment without what would change the meaning of Slurm's commands.

    Inside an allocation, that is all that Slurm has set there, such as the binding to its cores.
    """
    is_inside = 'SLURM_JOB_ID' in os.environ
    refused = ('SQUEUE_', *(('SLURM_', 'SBATCH_') if is_inside else ()))
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == 'SLURM_CONF' or not name.startswith(refused)
    }
    kept.pop('SLURM_TIME_FORMAT', None)  # times are read below
    return kept


def _array_size() -> int:
    """The number of tasks that a job may have."""
    try:
        found = re.search(
            r'^MaxArraySize\s*=\s*(\d+)', _said_by('scontrol', 'show', 'config'), re.M
        )
    except UserError:  # sbatch will say what is wrong
        found = None
    return max(1, int(found[1])) if found else _USUAL_ARRAY_SIZE


def _jobs(directory: Path) -> dict[str, list[str]]:
    """The cells of each job that was ever submitted for a sweep."""
    jobs: dict[str, list[str]] = {}
    for path in sorted(directory.glob(f'{FOLDER}/*/{_JOB_FILE}'), key=lambda p: int(p.parent.name)):
        jobs |= read_json(path)['jobs']
    return jobs


def _tasks(jobs: Mapping[str, list[str]]) -> list[tuple[str, int, str, str]]:
    """Job, task, state and start of what the queue holds of some jobs."""
    if not jobs:
        return []
    named = f'--jobs={",".join(jobs)}'
    try:
        text = _said_by('squeue', '--noheader', '--array', named, '--format=%F %K %T %S %j')
    except UserError as error:
        if 'Invalid job id' in str(error):  # a lone one, of which the queue knows no more
            return []
        raise
    fields = [line.split(maxsplit=4) for line in text.splitlines()]
    return [
        (job, int(task), state, started)
        for job, task, state, started, name in fields
        if job in jobs and task.isdigit() and name.startswith(_NAME)  # ids are used again
    ]


def _seconds(started: str) -> float | None:
    """A local time of Slurm in seconds of `time.time`; None for 'N/A'."""
    try:
        return datetime.fromisoformat(started).timestamp()
    except ValueError:
        return None


def _said_by(*command: object, env: Mapping[str, str] | None = None) -> str:
    """What a command of Slurm prints.

    Raises:
        UserError: one line, where the command is missing or fails.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            env=env or _own_environment(),
            timeout=_ANSWER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f'{words[0]} does not answer within {_ANSWER_SECONDS} s.') from None
    except FileNotFoundError:
        raise UserError(
            f'there is no {words[0]} on this machine: --executor slurm and --cancel need one that '
            'submits to Slurm.'
        ) from None
    if done.returncode:
        lines = [line.removeprefix(f'{words[0]}: error: ') for line in done.stderr.splitlines()]
        said = '; '.join(line.strip() for line in lines if line.strip())
        raise UserError(f'{words[0]} refuses: {said or f"exit code {done.returncode}"}')
    return done.stdout
