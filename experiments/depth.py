"""The degradation result: does the training error grow with depth, and does a shortcut change that?

He et al. 2015 (arXiv 1512.03385), §1, §4.2 and Fig. 6: a deeper plain network reaches a higher
training error than a shallower one, while a residual network does not. This would be refuted by a
plain family whose deepest network trains as well as its best shallower one, or by a residual family
whose deepest network does not.
"""

import math
from collections.abc import Callable, Iterator
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import no_more_cells
from vggres.figures.error import (
    Published,
    error_against_depth,
    error_beside_published,
    learning_curves,
)
from vggres.findings import published_errors
from vggres.findings import verdict as verdicts
from vggres.findings.claims import Case, Claim, Evidence, Repeated, Word, is_below
from vggres.findings.estimates import Interval, t_interval
from vggres.findings.tables import Table, verdict_table
from vggres.findings.verdict import CONFIDENCE, MARGIN, MIN_SEEDS, SIGNIFICANCE, Verdict
from vggres.results import Result
from vggres.sweeps.grid import families, grid
from vggres.sweeps.sweep import Sweep

TITLE = 'Error against depth'
CLAIM = (
    'Deeper plain networks have a higher training error than shallower ones; residual networks '
    'of the same depths do not.'
)
SOURCE = 'He et al. 2015, Deep Residual Learning for Image Recognition, §4.2 (arXiv 1512.03385)'
VARIES = ()

# The thresholds of the claims. They were written before the sweeps were run; amendments say so.

# A claim about a change is true beyond this value and false on its other side.
NO_CHANGE = 0.0
# In points of validation error. Amended after a first sweep: where the shallowest network errs by
# less, there is nothing to gain, and the claim is not measured.
ROOM_TO_GAIN = 2.0
_SMALLEST_LOSS = 1e-30

_FAMILIES = {'vgg': Word.VGG, 'plain': Word.PLAIN, 'resnet': Word.RESNET}


def defaults(config: ConfigDict) -> dict[str, object]:
    """Nothing: the grid of the configuration is the one of this question."""
    return {}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family at each depth, once per seed.

    The seed pairs random weights and the order of the data across families.
    """
    return grid(config, families(config))


next_cells = no_more_cells


def analyse(sweep: Sweep) -> Verdict:
    """Judges the training error of the final weights, over the depths planned for each family."""
    return verdicts.decide(sweep.results(), metric='train_error', planned=sweep.depths())


def words(verdict: Verdict) -> str:
    """The verdict in words, one finding per line."""
    return verdicts.in_words(verdict)


def tables(verdict: Verdict) -> list[Table]:
    """The verdict in numbers."""
    return [verdict_table(verdict)]


def figures(sweep: Sweep, verdict: Verdict) -> dict[str, tuple[Figure, str]]:
    """Error against depth, learning curves where any run completed an epoch, published errors."""
    drawn = {
        'error_against_depth': (
            error_against_depth(sweep.results()),
            'Error of the final weights against depth. Each marker is one run; each line is the '
            'mean over seeds.',
        ),
    }
    curves = sweep.curves()
    if any(curve.records for curve in curves):
        drawn['learning_curves'] = (
            learning_curves(curves),
            'Error during training, drawn as in Fig. 6 of He et al. 2015. The vertical axis ends '
            'just above the highest error that any curve has after the first quarter of its '
            'epochs.',
        )
    config, results = sweep.config.to_dict(), sweep.results()
    if published := published_errors.comparable(config, results):
        networks = {(each.family, each.depth) for each in published}
        drawn['error_beside_published'] = (
            error_beside_published(
                [run for run in results if (run.variant, run.depth) in networks],
                [Published(each.family, each.depth, each.metric, each.error) for each in published],
            ),
            'Error of the final weights against depth, beside errors that others published, of the '
            'networks that have any. The table of published errors says by whom, from how many '
            'runs, and where their protocol differs.',
        )
    return drawn


def _fit(evidence: Evidence) -> Iterator[Case]:
    """Whether more layers fit better: the change of the training loss, family by family.

    Fit is the training loss because it has no floor, as the error has. A diverged run has the loss
    of guessing. (Amended after a first sweep: diverged runs had been left out.)
    """
    for family in dict.fromkeys(result.family for result in evidence.results):
        ratios = _deepest_minus_shallowest(evidence, family, _log_loss)
        if interval := _interval(ratios):
            holds = is_below(interval, NO_CHANGE)
            where = {'family': _FAMILIES[family]}
            yield Case(where, holds, float(ratios.mean()), interval, len(ratios))


def _degradation(evidence: Evidence) -> Iterator[Case]:
    """Whether plain networks degrade, by the sweep's own verdict."""
    verdict: Verdict = evidence.verdict
    judged = verdict.variants.get('plain')
    if judged and judged.confidence_interval and judged.n >= MIN_SEEDS:
        holds = {'degrades': True, 'does not degrade': False}.get(judged.verdict)
        where = {'family': Word.PLAIN}
        yield Case(where, holds, judged.excess_error, judged.confidence_interval, judged.n)


def _gain(evidence: Evidence) -> Iterator[Case]:
    """Whether residual networks gain from depth, by the change of the validation error."""
    runs = [run for run in evidence.results if run.family == 'resnet']
    shallowest = min((run.depth for run in runs), default=0)
    errors = [run.validation_error for run in runs if run.depth == shallowest]
    gains = _deepest_minus_shallowest(evidence, 'resnet', lambda run: run.validation_error)
    interval = _interval(gains)
    if interval and fmean(errors) >= ROOM_TO_GAIN:
        low, high = interval
        holds = True if high < NO_CHANGE else False if low > -MARGIN else None
        yield Case({'family': Word.RESNET}, holds, float(gains.mean()), interval, len(gains))


def _deepest_minus_shallowest(
    evidence: Evidence, family: str, of: Callable[[Result], float]
) -> np.ndarray:
    """A value of the deepest network minus that of the shallowest, for each seed that has both."""
    runs = {(r.depth, r.seed): r for r in evidence.results if r.family == family}
    depths = sorted(evidence.planned.get(family, ()))
    if len(depths) < 2:
        return np.array([])
    ends = [(runs.get((depths[-1], s)), runs.get((depths[0], s))) for s in {s for _, s in runs}]
    return np.array([of(deep) - of(shallow) for deep, shallow in ends if deep and shallow])


def _log_loss(run: Result) -> float:
    """log10 of the training loss; of a diverged run, that of guessing among all classes."""
    if run.train_loss is None:
        return math.log10(-math.log(1 - run.train_error / 100))
    return math.log10(max(run.train_loss, _SMALLEST_LOSS))


def _interval(sample: np.ndarray) -> Interval | None:
    return t_interval(sample, CONFIDENCE) if len(sample) >= MIN_SEEDS else None


_SEEDS = Repeated(
    one={'en': 'seed', 'zh': '个随机种子'},
    several={'en': 'seeds', 'zh': '个随机种子'},
)

CLAIMS = (
    Claim(
        key='fit',
        sentence={'en': 'More layers fit better.', 'zh': '层数越多，拟合得越好。'},
        source={
            'en': 'popular account; asked by He et al. 2015, §1',
            'zh': '流行说法；He 等人 2015 年第 1 节提出此问',
        },
        sweep='depth',
        measure=_fit,
        quantity={
            'en': 'Base-10 logarithm of the training loss of the deepest network over that of the '
            'shallowest',
            'zh': '最深网络与最浅网络训练损失之比的常用对数',
        },
        unit={'en': 'decades of loss', 'zh': '个数量级（损失）'},
        criterion={
            'en': f'The claim counts as true where the whole interval is below {NO_CHANGE:g}, and '
            'as false where it is above.',
            'zh': f'整个区间小于 {NO_CHANGE:g} 为真，大于 {NO_CHANGE:g} 为假。',
        },
        repeated=_SEEDS,
        figure='learning_curves',
    ),
    Claim(
        key='degradation',
        sentence={
            'en': 'Plain networks have a higher training error when they are deeper.',
            'zh': '普通网络越深，训练误差越高。',
        },
        source={
            'en': 'He et al. 2015, §1, §4.2, Fig. 6',
            'zh': 'He 等人 2015 年，第 1 节、第 4.2 节、图 6',
        },
        sweep='depth',
        measure=_degradation,
        quantity={
            'en': 'Training error of the deepest network minus that of the best shallower one, in '
            'percentage points',
            'zh': '最深网络比最好的较浅网络多出的训练误差（百分点）',
        },
        unit={'en': 'points', 'zh': '个百分点'},
        criterion={
            'en': f'The claim counts as true where the interval is above {NO_CHANGE:g} and the '
            f'error rises over all depths (p < {SIGNIFICANCE:g}), and as false where the interval '
            f'is below {MARGIN:g}.',
            'zh': f'区间大于 {NO_CHANGE:g} 且误差随深度上升（p < {SIGNIFICANCE:g}）为真，'
            f'区间小于 {MARGIN:g} 为假。',
        },
        repeated=_SEEDS,
        figure='error_against_depth',
    ),
    Claim(
        key='gain',
        sentence={'en': 'Residual networks gain from depth.', 'zh': '残差网络得益于深度。'},
        source={
            'en': 'He et al. 2015, §4.2, Table 6',
            'zh': 'He 等人 2015 年，第 4.2 节、表 6',
        },
        sweep='depth',
        measure=_gain,
        quantity={
            'en': 'Validation error of the deepest network minus that of the shallowest, in '
            'percentage points',
            'zh': '最深网络减最浅网络的验证误差（百分点）',
        },
        unit={'en': 'points', 'zh': '个百分点'},
        criterion={
            'en': f'The claim counts as true where the interval is below {NO_CHANGE:g}, and as '
            f'false where it is above −{MARGIN:g}. Judging it takes {MIN_SEEDS} seeds and a '
            f'shallowest network with a validation error of {ROOM_TO_GAIN:g} % or more, which '
            'small data sets may not leave.',
            'zh': f'区间小于 {NO_CHANGE:g} 为真，大于 −{MARGIN:g} 为假；'
            f'需要 {MIN_SEEDS} 个随机种子，且最浅网络的验证误差不低于 {ROOM_TO_GAIN:g}%，'
            '小数据集未必满足。',
        },
        repeated=_SEEDS,
        figure='error_against_depth',
    ),
)
