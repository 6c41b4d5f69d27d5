"""Chooses the charts of a sweep: single runs against depth, and along the layers.

Charts show what every sweep has, whatever its question: the errors of its runs, the updates to a
training error where they were counted, and the gradient that reaches each block where it was
observed. A line stands for a variant, or for all rates of one where each depth has a rate of its
own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from vggres.figures.charts import Chart, RunTable
from vggres.figures.style import order_variants
from vggres.findings.along_layers import along
from vggres.findings.outcomes import has_failed
from vggres.networks.spec import NetworkSpec
from vggres.results import Observation, Result

# What the name of a variant has before its learning rate, where depths have rates of their own.
_RATE = ', rate '
_RUN = ('variant', 'depth', 'seed')
_ERRORS = {'train_error': 'Training error', 'validation_error': 'Validation error'}
_GRADIENT = 'input_gradient'
_MOMENTS = ('before training', 'after training')

_PART_OF_GAP = 0.6  # of the distance between two depths, over which the runs of one stand
_FINEST = 60  # runs side by side over the whole axis: closer ones hide each other
_RUNS = (
    'Each marker is one run, and runs of one depth stand side by side. Lines join the medians over '
    'seeds; bands reach from the lowest to the highest.'
)
_CENSORED = (
    'An open marker with an arrow is a run that its budget ended before; a line ends where the '
    'median is such a run, and a band is open there.'
)
_BLOCKS = (
    'Each marker is one block, before training in one draw of the weights and after it in one run. '
    'Lines join the medians and bands reach from the lowest to the highest. Networks of one depth '
    'may have different numbers of blocks, and a run that diverged has none after training.'
)
_NOT_DRAWN = 'Values that are zero or not finite are not drawn: {:,} of all depths and moments.'

Observed = tuple[Result, NetworkSpec, Sequence[Observation]]


def of_sweep(results: Sequence[Result], observed: Iterable[Observed]) -> list[Chart]:
    """The charts of a sweep; none against depth where no line has two depths.

    Args:
        results: of the runs that its verdict is about.
        observed: the runs whose gradient was observed, each with its network and its observations.
            Those that the verdict is not about are left out.
    """
    cells = {result.cell for result in results}
    runs = sorted(results, key=lambda run: (run.depth, run.seed))
    gradients = _gradients(each for each in observed if each[0].cell in cells)
    if not _has_depths(runs):
        return list(gradients)
    errors = () if _ended_by_error(runs) else _errors(runs)
    return [*errors, *_updates(runs), *gradients]


def _line(result: Result) -> str:
    """What the line of a run stands for."""
    return result.variant.partition(_RATE)[0]


def _has_depths(results: Iterable[Result]) -> bool:
    depths: dict[str, set[int]] = {}
    for result in results:
        depths.setdefault(_line(result), set()).add(result.depth)
    return any(len(each) > 1 for each in depths.values())


def _ended_by_error(results: Iterable[Result]) -> bool:
    """Whether runs ended as soon as they reached their last error, so that all have the same."""
    reached = [(run.steps, each) for run in results if (each := _last_reached(run)) is not None]
    return bool(reached) and all(steps == last for steps, last in reached)


def _last_reached(run: Result) -> int | None:
    """The updates after which a run had reached all of its errors; None where it did not."""
    updates = list((run.steps_to_error or {}).values())
    reached = [each for each in updates if each is not None]
    return max(reached) if reached and len(reached) == len(updates) else None


def _ordered(rows: Iterable[tuple]) -> list[tuple]:
    """Rows that begin with a variant, in the order in which variants are drawn."""
    rows = list(rows)
    places = {name: place for place, name in enumerate(order_variants(row[0] for row in rows))}
    return sorted(rows, key=lambda row: places[row[0]])


def _placed(results: Sequence[Result]) -> dict[str, float]:
    """Where each run stands on the axis of depths, by its cell: beside others of its depth."""
    lines = order_variants(map(_line, results))
    seeds = sorted({run.seed for run in results})
    depths = sorted({run.depth for run in results})
    gaps = [deeper - depth for depth, deeper in pairwise(depths)]
    places = len(lines) * len(seeds)
    slot = min(_PART_OF_GAP * min(gaps) / places, (depths[-1] - depths[0]) / _FINEST)
    first = -slot * (places - 1) / 2
    return {
        run.cell: round(
            run.depth
            + first
            + slot * (lines.index(_line(run)) * len(seeds) + seeds.index(run.seed)),
            3,
        )
        for run in results
    }


def _errors(results: Sequence[Result]) -> Iterator[Chart]:
    """Training and validation error against depth."""
    placed = _placed(results)
    rows = [
        (*_run(run, placed), *(getattr(run, each) for each in _ERRORS), _ended(run))
        for run in results
    ]
    table = RunTable('errors', (*_RUN, 'place', *_ERRORS, 'ended'), _ordered(rows))
    for column, title in _ERRORS.items():
        yield Chart(
            name=f'{column}_against_depth',
            kind='error_against_depth',
            title=f'{title} against depth',
            table=table,
            caption=f'{_RUNS} An open marker is a run that failed to train.',
            renamed={'error': column},
        )


def _run(run: Result, placed: Mapping[str, float]) -> tuple[str, int, int, float]:
    return _line(run), run.depth, run.seed, placed[run.cell]


def _ended(run: Result) -> str:
    if run.status == 'diverged':
        return 'diverged'
    return 'failed to train' if has_failed(run) else 'trained'


def _updates(results: Sequence[Result]) -> Iterator[Chart]:
    """The updates to each training error against depth; those that a budget ended have its size."""
    placed = _placed(results)
    targets = dict.fromkeys(name for run in results for name in run.steps_to_error or {})
    for target in targets:
        rows = [
            (*_run(run, placed), *_reached(run, run.steps_to_error[target]))
            for run in results
            if run.steps_to_error and target in run.steps_to_error
        ]
        name = f'updates_to_{target.replace(".", "_")}'
        yield Chart(
            name=f'{name}_against_depth',
            kind='updates_against_depth',
            title=f'Updates to {target} % training error against depth',
            table=RunTable(name, (*_RUN, 'place', 'updates', 'ended'), _ordered(rows)),
            caption=f'{_RUNS} {_CENSORED}',
        )


def _reached(run: Result, updates: int | None) -> tuple[int, str]:
    return (run.steps, 'not reached') if updates is None else (updates, 'reached')


def _gradients(observed: Iterable[Observed]) -> Iterator[Chart]:
    """The gradient that reaches each block, at first that in the deepest networks."""
    rows = [row for each in observed for row in _blocks(*each)]
    drawn = [row for row in rows if row[-1]]
    if not drawn:
        return
    columns = (*_RUN, 'moment', 'draw', 'block', 'name', 'gradient')
    table = RunTable('gradients', columns, _ordered(drawn))
    moments = table.distinct('moment')
    missing = len(rows) - len(drawn)
    yield Chart(
        name=_GRADIENT,
        kind='gradient_along_layers',
        title='Gradient that reaches each block',
        table=table,
        caption=f'{_BLOCKS} {_NOT_DRAWN.format(missing)}' if missing else _BLOCKS,
        choices={
            'depth': sorted(table.distinct('depth'), reverse=True),
            'moment': [each for each in _MOMENTS if each in moments],
        },
    )


def _blocks(
    run: Result, network_spec: NetworkSpec, observations: Sequence[Observation]
) -> Iterator[tuple]:
    """A row for each block before the first update, in each draw of weights, and after the last.

    A value that was not finite is None.
    """
    names, _ = along(network_spec, 'block')
    first = [(_MOMENTS[0], each) for each in observations if each.step == 0]
    is_there = run.status == 'finished'
    last = [(_MOMENTS[1], each) for each in observations[-1:] if each.step > 0 and is_there]
    for moment, each in [*first, *last]:
        values: Mapping[str, float | None] = each.values.get(_GRADIENT, {})
        for place, name in enumerate(names, start=1):
            if name in values:
                value = values[name]
                rounded = None if value is None else float(f'{value:.4g}')
                yield (_line(run), run.depth, run.seed, moment, each.draw, place, name, rounded)
