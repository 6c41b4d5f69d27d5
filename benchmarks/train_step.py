"""A training step against stock Flax and PyTorch: time, compilation, memory.

    python -m benchmarks.train_step --depth 20,56 --image_size 8
    python -m benchmarks.train_step --name resnet18 --image_size 64
    python -m benchmarks.train_step --depth 1202 --batch 32 --contenders ours --remat --json

Every number is of this machine, at this moment. Each contender is a process of its own; they take
turns, and a ratio is the median over the rounds (smallest to largest).
"""

import json
from dataclasses import asdict
from importlib.util import find_spec

from absl import app, flags
from rich.console import Console
from rich.table import Table

from benchmarks import timing
from benchmarks.contenders import CONTENDERS, MATMUL_GFLOPS, Case
from vggres import environment, grammar
from vggres.errors import UserError

FLAGS = flags.FLAGS
_UNROLLED_LIMIT = 200  # weighted layers from which an unrolled network compiles for many minutes


def define_flags() -> None:
    """Defines the command line."""
    flags.DEFINE_list('depth', ['20'], 'Weighted layers; several, with commas, for a row each.')
    flags.DEFINE_list('image_size', ['32'], 'Pixels, of height and width.')
    flags.DEFINE_integer('batch', 128, 'Images in a step.', lower_bound=1)
    flags.DEFINE_enum('family', 'resnet', grammar.FAMILIES, 'For small images.')
    flags.DEFINE_string('name', '', 'A published network instead of family and depth.')
    flags.DEFINE_list('contenders', list(CONTENDERS), f'Of {", ".join(CONTENDERS)}.')
    flags.DEFINE_integer('rounds', 9, 'Turns of each contender.', lower_bound=1)
    flags.DEFINE_bool('remat', False, 'Ours: compute blocks again in the backward pass.')
    flags.DEFINE_bool('json', False, 'A JSON line for each row instead of a table.')


def compare(case: Case, names: list[str], rounds: int) -> dict[str, dict]:
    """Measures the contenders on one case.

    Returns:
        Of each: `step_ms` with `step_ms_range`, `compile_s`, `temporaries_mb` (what the compiler
        plans; None for PyTorch), `peak_mb` (of the whole process), `images_per_second`,
        `percent_of_peak` (of the matrix products measured in the same run), and `ratio_to_torch`
        and `ratio_of_ours` (ours to it) with their ranges.
    """
    argument = json.dumps(asdict(case))
    contenders = [timing.start(name, (argument,)) for name in (*names, 'matmul')]
    timing.alternate(contenders, rounds)
    timing.stop(contenders)
    *contenders, matmul = contenders
    peak = MATMUL_GFLOPS / min(matmul.step_seconds)
    ours = next((c for c in contenders if c.name == 'ours'), None)
    found = {}
    for contender in contenders:
        step, fastest, slowest = timing.spread(contender.step_seconds)
        found[contender.name] = {
            'step_ms': 1e3 * step,
            'step_ms_range': [1e3 * fastest, 1e3 * slowest],
            **contender.begun,
            'peak_mb': contender.peak_mb,
            'images_per_second': case.batch / step,
            'percent_of_peak': 100 * case.gflops / step / peak,
        }
        if ours and contender is not ours:
            median, low, high = timing.ratios(ours, contender)
            found[contender.name] |= {'ratio_of_ours': median, 'ratio_of_ours_range': [low, high]}
    return found


def table(case: Case, found: dict[str, dict]) -> Table:
    """What `compare` found, for people."""
    title = case.name or f'{case.family} of depth {case.depth}'
    height, width, channels = case.image_shape
    title += f', {height}×{width}×{channels}, batch {case.batch}, {environment.hardware()}'
    columns = ('', 'step [ms]', 'images/s', '% of peak', 'compile [s]', 'temporaries [MB]')
    rows = Table(*columns, 'process [MB]', 'ours / it', title=title, title_justify='left')
    for name, values in found.items():
        temporaries, ratio = values['temporaries_mb'], values.get('ratio_of_ours')
        low, high = values['step_ms_range']
        rows.add_row(
            name,
            f'{values["step_ms"]:.1f} ({low:.1f} to {high:.1f})',
            f'{values["images_per_second"]:,.0f}',
            f'{values["percent_of_peak"]:.0f}',
            f'{values["compile_s"]:.1f}',
            '' if temporaries is None else f'{temporaries:,.0f}',
            f'{values["peak_mb"]:,.0f}',
            ''
            if ratio is None
            else '{:.2f} ({:.2f} to {:.2f})'.format(ratio, *values['ratio_of_ours_range']),
        )
    return rows


def main(argv: list[str]) -> None:
    """Compares on each depth and image size that was asked for."""
    console = Console()
    names = FLAGS.contenders
    for name in names:
        if name not in CONTENDERS:
            raise app.UsageError(f'no contender {name!r}: there is {", ".join(CONTENDERS)}.')
    if find_spec('torch') is None:
        names = [name for name in names if not name.startswith('torch')]
    for image_size in map(int, FLAGS.image_size):
        for depth in map(int, FLAGS.depth):
            case = Case(FLAGS.name, FLAGS.family, depth, image_size, FLAGS.batch, FLAGS.remat)
            try:
                case.network_spec  # noqa: B018
            except UserError as error:
                raise app.UsageError(str(error)) from None
            found = compare(case, names, FLAGS.rounds)
            if FLAGS.json:
                print(json.dumps(found), flush=True)
            else:
                console.print(table(case, found))


if __name__ == '__main__':
    define_flags()
    app.run(main)
