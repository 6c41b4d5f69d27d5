"""Compares the whole default sweep with a plain PyTorch script that trains the same cells in turn.

    python -m benchmarks.sweep
    python -m benchmarks.sweep --depths '(8, 20)' --seeds 1 --json

Our sweep begins with nothing compiled and ends with verdict and report, and its time is that of the
whole command. One run of each takes some ten minutes on two cores.
"""

import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks import command
from configs import digits
from vggres import environment
from vggres.errors import UserError
from vggres.executors.placement import placement
from vggres.networks import grammar

FLAGS = flags.FLAGS
_ROOT = Path(__file__).parents[1]


def define_flags() -> None:
    """Defines the command line."""
    sweep = digits.get_config().sweep
    flags.DEFINE_string('depths', str(tuple(sweep.depths)), 'Weighted layers, as a Python tuple.')
    flags.DEFINE_integer(
        'seeds', sweep.seeds, 'Cells of each network, with one seed each.', lower_bound=1
    )
    flags.DEFINE_integer('rounds', 1, 'Runs of each contender, in turn.', lower_bound=1)
    flags.DEFINE_bool('json', False, 'Print a JSON object instead of a table.')


def ours() -> dict:
    """Times the whole command from an empty cache.

    Returns:
        `seconds`, and `errors`, the mean training errors in percent by family and depth.
    """
    with tempfile.TemporaryDirectory() as directory:
        command = [
            *(sys.executable, 'launch.py', '--sweep', 'depth', '--workdir', directory),
            f'--config.sweep.depths={FLAGS.depths}',
            f'--config.sweep.seeds={FLAGS.seeds}',
            '--config.wandb.mode=offline',
        ]
        surroundings = os.environ | {'XDG_CACHE_HOME': f'{directory}/cache'}
        started = time.perf_counter()
        subprocess.run(command, cwd=_ROOT, env=surroundings, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        files = Path(directory, 'depth', 'cells').glob('*/result.json')
        return {'seconds': seconds, 'errors': _errors(json.loads(f.read_text()) for f in files)}


def torch() -> dict:
    """Times the PyTorch script; returns what `ours` returns."""
    command = [sys.executable, '-m', 'benchmarks.torch_sweep', FLAGS.depths, str(FLAGS.seeds)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - started
    return {'seconds': seconds, 'errors': _errors(map(json.loads, done.stdout.splitlines()))}


def _errors(cells: object) -> dict[str, float]:
    """The mean training errors of cells in percent, by family and depth."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        found.setdefault(f'{cell["family"]} {cell["depth"]}', []).append(cell['train_error'])
    return {name: statistics.mean(found[name]) for name in sorted(found, key=_order)}


def _order(name: str) -> tuple[str, int]:
    family, depth = name.split()
    return family, int(depth)


def _check_depths() -> None:
    """Raises UserError, in one line, for depths that do not exist."""
    try:
        depths = ast.literal_eval(FLAGS.depths)
    except (SyntaxError, ValueError):
        depths = None
    if (
        not isinstance(depths, tuple)
        or not depths
        or not all(type(depth) is int for depth in depths)
    ):
        raise UserError(f"depths are whole numbers, as in '(8, 20)', not {FLAGS.depths!r}.")
    for depth in depths:
        grammar.network_spec('resnet', depth)


def main() -> None:
    """Runs both in turn, and prints their times and errors."""
    _check_depths()
    if find_spec('torch') is None:
        raise UserError("it compares with PyTorch: pip install -e '.[torch]'")
    os.environ |= placement(0, 1)
    rounds = [{'ours': ours(), 'torch': torch()} for _ in range(FLAGS.rounds)]
    if FLAGS.json:
        print(json.dumps(rounds))
        return
    title = f'Depths {FLAGS.depths}, {FLAGS.seeds} seeds, {environment.hardware()}'
    table = Table('', 'ours', 'torch', title=title, title_justify='left')
    for i, both in enumerate(rounds, start=1):
        seconds = [both[name]['seconds'] for name in ('ours', 'torch')]
        table.add_row(f'run {i} [s]', *(f'{value:.0f}' for value in seconds))
        table.add_row('ours / torch', f'{seconds[0] / seconds[1]:.2f}', '')
    for name in rounds[-1]['ours']['errors']:
        errors = (rounds[-1][who]['errors'][name] for who in ('ours', 'torch'))
        table.add_row(f'{name}: train error [%]', *(f'{error:.2f}' for error in errors))
    Console(markup=False).print(table)


if __name__ == '__main__':
    define_flags()
    command.run('sweep', main)
