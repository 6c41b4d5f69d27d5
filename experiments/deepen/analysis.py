"""What starts do to deep plain networks, and whether these keep a solution that they are given."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from experiments.deepen.question import CONTROL, SHALLOW, STARTS, UNTREATED
from experiments.deepen.stages import deepened, faded, runs, sources, tuned_rates
from vggres.findings.cures import Network
from vggres.findings.cures_telling import ArmsVerdict
from vggres.findings.fastest import TunedRate
from vggres.results import Look
from vggres.sweeps import arms
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

KEPT = 5.0  # percent of the training images: the error to which updates are counted


@dataclass(frozen=True)
class Held:
    """A deep plain network that was given a solution and trained on, at one rate.

    A shallow network was deepened, or the shortcuts of a residual network faded away while it
    trained. Errors are on the training set, in percent.

    Attributes:
        depth: weighted layers.
        rate: the learning rate.
        rate_of: the networks that this rate is the fastest for, in words.
        fade_steps: the updates over which the shortcuts faded; 0 where a network was deepened.
        updates: for which it was trained on, as a plain network.
        seeds: of the runs, ascending.
        start: the error of the solution, by seed. It is that of the shallow network, and so that of
            the deepened one; or the lowest at the end of an epoch before the shortcuts were gone,
            and that of guessing where no epoch had ended by then.
        worst: the highest error at the end of an epoch of training on, by seed.
        final: the error after the last update, by seed.
        status: 'nothing to keep' where a seed starts above `KEPT`; else 'keeps' where no seed was
            ever above it, 'regains' where none is in the end, 'loses' where all are in the end,
            'mixed' otherwise.
    """

    depth: int
    rate: float
    rate_of: str
    fade_steps: int
    updates: int
    seeds: tuple[int, ...]
    start: tuple[float, ...]
    worst: tuple[float, ...]
    final: tuple[float, ...]
    status: str


@dataclass(frozen=True)
class DeepenVerdict:
    """Whether deep plain networks fail by capacity, by architecture or by where they start.

    Attributes:
        starts: what other starts do, by updates to a training error.
        held: the deepened networks, by depth and rate.
        faded: the networks whose shortcuts faded away, by depth and rate.
    """

    starts: ArmsVerdict
    held: tuple[Held, ...]
    faded: tuple[Held, ...]


def analyse(sweep: Sweep) -> DeepenVerdict:
    """Judges each start against He's weights and the residual network, and what is kept."""
    treated, tuned = dict.fromkeys(STARTS, (UNTREATED, CONTROL)), tuned_rates(sweep)
    starts = arms.verdict_of(sweep.config, runs(sweep), tuned, treated)
    return DeepenVerdict(starts, tuple(_deepened(sweep, tuned)), tuple(_faded(sweep, tuned)))


def errors_seen(sweep: Sweep) -> dict[str, list[Look]]:
    """The updates done and the training error at the ends of epochs of each run, by its cell."""
    return {
        curve.cell: [
            (record.step, record.train_error)
            for record in curve.records
            if record.train_error is not None
        ]
        for curve in sweep.curves()
    }


def _deepened(sweep: Sweep, tuned: Mapping[Network, TunedRate]) -> Iterator[Held]:
    trained, seen = sources(sweep), errors_seen(sweep)
    for (depth, _), cells in deepened(sweep).items():
        start = [trained[cell.config.seed][1].train_error for cell in cells]
        errors = [[error for _, error in seen[cell.id]] for cell in cells]
        yield _held(
            cells, start, errors, _fastest(cells, tuned, [(UNTREATED, SHALLOW), (UNTREATED, depth)])
        )


def _faded(sweep: Sweep, tuned: Mapping[Network, TunedRate]) -> Iterator[Held]:
    seen = errors_seen(sweep)
    for (depth, _), cells in faded(sweep).items():
        start, errors = [], []
        for cell in cells:
            fade_steps, looks = cell.config.model.shortcut.fade_steps, seen[cell.id]
            before = [error for step, error in looks if step < fade_steps]
            start.append(min(before, default=_guessing(cell)))
            errors.append([error for step, error in looks if step >= fade_steps])
        yield _held(
            cells, start, errors, _fastest(cells, tuned, [(CONTROL, depth), (UNTREATED, depth)])
        )


def _guessing(cell: Cell) -> float:
    result = cell.result()
    assert result
    return 100 * (1 - 1 / result.num_classes)


def _fastest(
    cells: Sequence[Cell], tuned: Mapping[Network, TunedRate], networks: Iterable[Network]
) -> str:
    """The networks that the rate of some runs is the fastest for, in words."""
    rate = cells[0].config.optimizer.learning_rate
    return ' and '.join(
        f'{arm}-{depth}' for arm, depth in networks if tuned[arm, depth].rate == rate
    )


def _held(
    cells: Sequence[Cell], start: Sequence[float], errors: Sequence[Sequence[float]], rate_of: str
) -> Held:
    """What became of the solutions of some runs, by their errors at the ends of epochs after it."""
    final = [result.train_error for cell in cells if (result := cell.result())]
    worst = [max([*seen, last]) for seen, last in zip(errors, final, strict=True)]
    config = cells[0].config
    return Held(
        depth=config.model.depth,
        rate=config.optimizer.learning_rate,
        rate_of=rate_of,
        fade_steps=config.model.shortcut.fade_steps,
        updates=config.train.steps - config.model.shortcut.fade_steps,
        seeds=tuple(cell.config.seed for cell in cells),
        start=tuple(start),
        worst=tuple(worst),
        final=tuple(final),
        status=_status(start, worst, final),
    )


def _status(start: Sequence[float], worst: Sequence[float], final: Sequence[float]) -> str:
    if max(start) > KEPT:
        return 'nothing to keep'
    if max(worst) <= KEPT:
        return 'keeps'
    if max(final) <= KEPT:
        return 'regains'
    return 'loses' if min(final) > KEPT else 'mixed'
