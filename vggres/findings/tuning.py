"""Chooses learning rates by the validation loss of seeds that serve no other purpose.

The same rule chooses one rate for many networks (`experiments/rate.py`) or the best rate of each
network. It sees validation losses alone: neither a test set, nor a verdict, nor which family a
network belongs to.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from vggres.config import HIGHEST_RATE
from vggres.errors import UserError
from vggres.findings.outcomes import SMALLEST_LOSS

# Seeds from here on choose learning rates; those below serve the sweeps that are judged. Sweeps
# start at `config.seed`, which is 0 by default, and need a few dozen seeds at most.
FIRST_TUNING_SEED = 1000
# An optimum inside a grid has a neighbour on either side.
MIN_RATES = 3
_DECIMALS = 9  # of a score: beyond them is round-off


@dataclass(frozen=True)
class Trial:
    """A run of a network at a learning rate.

    Attributes:
        network: its name, as in 'plain-56'.
        rate: the learning rate.
        seed: of the run.
        loss: the validation loss of the final weights; None where the run diverged.
    """

    network: str
    rate: float
    seed: int
    loss: float | None


@dataclass(frozen=True)
class Choice:
    """The learning rate that was chosen from a grid.

    Attributes:
        rate: the chosen one; None where no rate is better than guessing, or where no network has
            been run at every rate.
        rates: the grid, ascending.
        losses: the geometric mean of the validation loss at each rate; () where nothing was run
            at every rate.
        edge: 'lowest' or 'highest' where the chosen rate is the first or the last of the grid, so
            that a better one may lie beyond; '' otherwise.
        n: the number of runs at each rate.
    """

    rate: float | None
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    edge: str
    n: int


def choose(trials: Iterable[Trial], guessing: float) -> Choice:
    """Chooses the learning rate with the lowest geometric mean of the validation loss.

    The mean is over networks and seeds. It weighs ratios of losses, so that networks whose losses
    are large and networks whose losses are small count alike. A run that diverged, or ended above
    the loss of guessing, counts with the loss of guessing, so that no rate is punished for how
    badly a run failed. A network that fails at every rate favours none of them. Of equal rates,
    the lowest is chosen.

    >>> tried = [('a', 0.01, 0.2), ('a', 0.1, 0.1), ('b', 0.01, 0.02), ('b', 0.1, 0.3)]
    >>> choose([Trial(network, rate, 1000, loss) for network, rate, loss in tried], 2.3).rate
    0.01

    Args:
        trials: those of one network choose its own rate. A network and seed counts only if it was
            run at every rate.
        guessing: the cross-entropy of guessing, which is the logarithm of the number of classes.
    """
    trials = list(trials)
    rates = tuple(sorted({trial.rate for trial in trials}))
    rows: dict[tuple[str, int], dict[float, float]] = {}
    for trial in trials:
        loss = guessing if trial.loss is None else min(trial.loss, guessing)
        rows.setdefault((trial.network, trial.seed), {})[trial.rate] = _decades(loss)
    complete = [row for row in rows.values() if len(row) == len(rates)]
    if not complete:
        return Choice(rate=None, rates=rates, losses=(), edge='', n=0)
    scores = [round(fmean(row[rate] for row in complete), _DECIMALS) for rate in rates]
    best = min(scores)
    place = scores.index(best)
    trains = best < round(_decades(guessing), _DECIMALS)
    edges = {0: 'lowest', len(rates) - 1: 'highest'}
    return Choice(
        rate=rates[place] if trains else None,
        rates=rates,
        losses=tuple(10**score for score in scores),
        edge=edges.get(place, '') if trains else '',
        n=len(complete),
    )


def around(rate: float | None, rates: Sequence[float]) -> set[float]:
    """A rate and its neighbours in a grid; the whole grid for None.

    A search that tries these, and goes on as long as the best rate has an untried neighbour, finds
    the best rate of the grid wherever there is one minimum along it.
    """
    if rate is None:
        return {*rates}
    place = rates.index(rate)
    return {*rates[max(0, place - 1) : place + 2]}


def check_rates(rates: Iterable[object]) -> tuple[float, ...]:
    """The learning rates of a grid, ascending.

    Raises:
        UserError: for fewer than `MIN_RATES`, and for one that is not positive, above
            `HIGHEST_RATE` or named twice.
    """
    given = tuple(rates)
    numbers = [each for each in given if isinstance(each, float | int) and 0 < each <= HIGHEST_RATE]
    if len({*numbers}) < max(len(given), MIN_RATES):
        raise UserError(
            f'sweep.rates names {MIN_RATES} or more positive learning rates, up to '
            f'{HIGHEST_RATE:g} and each once, as in '
            f'(0.01, 0.03, 0.1), not {given}: with fewer, every optimum lies at an edge.'
        )
    return tuple(sorted(map(float, numbers)))


def check_tuning_seed(seed: int) -> None:
    """Raises UserError for a first tuning seed that sweeps that are judged might use."""
    if seed < FIRST_TUNING_SEED:
        raise UserError(
            f'seed {seed} serves the sweeps that are judged; seeds that choose a learning rate '
            f'start at {FIRST_TUNING_SEED}: give --config.seed={FIRST_TUNING_SEED} or more.'
        )


def check_fresh_seeds(seed: int, count: int) -> None:
    """Raises UserError where seeds of a sweep that is judged are tuning seeds."""
    if seed + count > FIRST_TUNING_SEED:
        raise UserError(
            f'seeds {seed} to {seed + count - 1} overlap with those that choose the learning rate, '
            f'which start at {FIRST_TUNING_SEED}: choose a lower seed.'
        )


def _decades(loss: float) -> float:
    return math.log10(max(loss, SMALLEST_LOSS))
