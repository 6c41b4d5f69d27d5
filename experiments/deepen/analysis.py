"""What starts do to deep plain networks, and whether a deepened network keeps its solution."""

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.deepen.question import CONTROL, SHALLOW, STARTS, UNTREATED
from experiments.deepen.stages import deepened, runs, sources, tuned_rates
from vggres.findings.cures_telling import ArmsVerdict
from vggres.sweeps import arms
from vggres.sweeps.sweep import Sweep

KEPT = 5.0  # percent of the training images: the error to which updates are counted


@dataclass(frozen=True)
class Held:
    """A deepened network, trained on at one rate. Errors are on the training set, in percent.

    Attributes:
        depth: weighted layers.
        rate: the learning rate.
        rate_of: the networks that this rate is the fastest for, in words.
        updates: for which it was trained on.
        seeds: of the runs, ascending.
        start: the error of the shallow network, and so that of the deepened one, by seed.
        worst: the highest error at the end of an epoch of training on, by seed.
        final: the error after the last update, by seed.
        status: 'keeps' where no seed was ever above `KEPT`, 'regains' where none is in the end,
            'loses' where all are in the end, 'mixed' otherwise.
    """

    depth: int
    rate: float
    rate_of: str
    updates: int
    seeds: tuple[int, ...]
    start: tuple[float, ...]
    worst: tuple[float, ...]
    final: tuple[float, ...]
    status: str


@dataclass(frozen=True)
class DeepenVerdict:
    """Whether deep plain networks fail by capacity or by where they start.

    Attributes:
        starts: what other starts do, by updates to a training error.
        held: the deepened networks, by depth and rate.
    """

    starts: ArmsVerdict
    held: tuple[Held, ...]


def analyse(sweep: Sweep) -> DeepenVerdict:
    """Judges each start against He's weights and the residual network, and what is deepened."""
    treated = dict.fromkeys(STARTS, (UNTREATED, CONTROL))
    starts = arms.verdict_of(sweep.config, runs(sweep), tuned_rates(sweep), treated)
    return DeepenVerdict(starts, tuple(_held(sweep)))


def _held(sweep: Sweep) -> Iterator[Held]:
    tuned, trained = tuned_rates(sweep), sources(sweep)
    curves = {curve.cell: curve for curve in sweep.curves()}
    for (depth, rate), cells in sorted(deepened(sweep).items()):
        start, worst, final = [], [], []
        for cell in cells:
            result = cell.result()
            assert result
            seen = [record.train_error for record in curves[cell.id].records]
            errors = [error for error in seen if error is not None]
            start.append(trained[cell.config.seed][1].train_error)
            worst.append(max([*errors, result.train_error]))
            final.append(result.train_error)
        fastest = [each for each in (SHALLOW, depth) if tuned[UNTREATED, each].rate == rate]
        yield Held(
            depth=depth,
            rate=rate,
            rate_of=' and '.join(f'plain-{each}' for each in fastest),
            updates=cells[0].config.train.steps,
            seeds=tuple(cell.config.seed for cell in cells),
            start=tuple(start),
            worst=tuple(worst),
            final=tuple(final),
            status=_status(worst, final),
        )


def _status(worst: list[float], final: list[float]) -> str:
    if max(worst) <= KEPT:
        return 'keeps'
    if max(final) <= KEPT:
        return 'regains'
    return 'loses' if min(final) > KEPT else 'mixed'
