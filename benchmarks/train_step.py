"""Compares a training step with stock Flax and PyTorch: time, compilation, memory.

    python -m benchmarks.train_step --depth 20,56 --image_size 8
    python -m benchmarks.train_step --name resnet18 --image_size 64
    python -m benchmarks.train_step --depth 1202 --batch 32 --contenders ours --remat --json

All numbers hold for this machine at this moment. Each contender is a process of its own; the
contenders take turns, and a ratio is the median over the rounds (smallest to largest).
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec

from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks import command, timing
from benchmarks.contenders import CONTENDERS, MATMUL_GFLOPS, Case
from vggres import environment
from vggres.errors import UserError, unknown
from vggres.executors.placement import placement
from vggres.networks import grammar, spec

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the command line."""
    flags.DEFINE_list(
        'depth', ['20'], 'Weighted layers; several, separated by commas, give a table each.'
    )
    flags.DEFINE_list('image_size', ['32'], 'Height and width of the images in pixels.')
    flags.DEFINE_integer('batch', 128, 'Images in a step.', lower_bound=1)
    flags.DEFINE_enum(
        'family', 'resnet', grammar.FAMILIES, 'The family of the network, for small images.'
    )
    flags.DEFINE_string('name', '', 'The name of a published network, instead of family and depth.')
    flags.DEFINE_list(
        'contenders', list(CONTENDERS), f'Who takes part, of {", ".join(CONTENDERS)}.'
    )
    flags.DEFINE_integer('rounds', 9, 'Turns that each contender takes.', lower_bound=1)
    flags.DEFINE_bool('remat', False, 'Let our network compute blocks again in the backward pass.')
    flags.DEFINE_bool('json', False, 'Print a JSON line for each case instead of a table.')


def compare(case: Case, names: list[str], rounds: int) -> dict[str, dict]:
    """Measures the contenders on one case.

    Args:
        case: the network, its images and its batch.
        names: the names of the contenders.
        rounds: the number of turns that each of them takes.

    Returns:
        For each contender: `case`; `step_ms` with `step_ms_range`; `compile_s`; `temporaries_mb`,
        the memory that the compiler plans for (None for PyTorch); `peak_mb` of the whole process;
        `images_per_second`; `percent_of_peak`, relative to the matrix products measured in the same
        run; and, where we take part, `ratio_of_ours`, our time divided by the contender's, with
        `ratio_of_ours_range`.
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
            'case': asdict(case),
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
    """The table that shows what `compare` returns."""
    title = case.name or f'{case.family} of depth {case.depth}'
    height, width, channels = case.image_shape
    title += f', {height}×{width}×{channels}, batch {case.batch}, {environment.hardware()}'
    columns = ('', 'step [ms]', 'images/s', '% of peak', 'compile [s]', 'temp. [MB]')
    rows = Table(*columns, 'process [MB]', 'our time / its', title=title, title_justify='left')
    for column in rows.columns:
        column.no_wrap = True
    for name, values in found.items():
        temporaries, ratio = values['temporaries_mb'], values.get('ratio_of_ours')
        low, high = values['step_ms_range']
        rows.add_row(
            name,
            f'{values["step_ms"]:,.1f} ({low:,.1f}-{high:,.1f})',
            f'{values["images_per_second"]:,.0f}',
            f'{values["percent_of_peak"]:.0f}',
            f'{values["compile_s"]:.1f}',
            '' if temporaries is None else f'{temporaries:,.0f}',
            f'{values["peak_mb"]:,.0f}',
            ''
            if ratio is None
            else '{:.2f} ({:.2f}-{:.2f})'.format(ratio, *values['ratio_of_ours_range']),
        )
    return rows


def main() -> None:
    """Compares the contenders at each depth and image size that was asked for."""
    os.environ |= placement(0, 1)
    names, cases = _names(), list(_cases())
    console = Console(width=150, markup=False)
    for case in cases:
        found = compare(case, names, FLAGS.rounds)
        if FLAGS.json:
            print(json.dumps(found), flush=True)
        else:
            console.print(table(case, found))


def _names() -> list[str]:
    for name in FLAGS.contenders:
        if name not in CONTENDERS:
            raise unknown('contender', name, CONTENDERS)
    has_torch = find_spec('torch') is not None
    names = [name for name in FLAGS.contenders if has_torch or not name.startswith('torch')]
    if not names:
        raise UserError("no contender is left: torch needs pip install -e '.[torch]'.")
    return names


def _cases() -> Iterator[Case]:
    for image_size in FLAGS.image_size:
        for depth in FLAGS.depth[:1] if FLAGS.name else FLAGS.depth:
            for word in (image_size, depth):
                if not word.isdecimal():
                    raise UserError(f'depth and image_size are whole numbers, not {word!r}.')
            size = int(image_size)
            case = Case(FLAGS.name, FLAGS.family, int(depth), size, FLAGS.batch, FLAGS.remat)
            if size < 1:
                raise UserError(f'images have at least 1 pixel, not {size}.')
            spec.check_image(case.network_spec, case.image_shape)
            if not case.is_stock and FLAGS.contenders != ['ours']:
                raise UserError(
                    f'the others have no preactivation: --contenders ours for {FLAGS.name}.'
                )
            yield case


if __name__ == '__main__':
    define_flags()
    command.run('train_step', main)
