"""The degradation result: does the training error grow with depth, and does a shortcut change that?

He et al. 2015 (arXiv 1512.03385), §1, §4.2 and Fig. 6: a deeper plain network reaches a higher
training error than a shallower one, while a residual network does not. This would be refuted by a
plain family whose deepest network trains as well as its best shallower one, or by a residual family
whose deepest network does not. A deepest network that ends near guessing has failed to train within
the budget, which is another finding than degradation: see `vggres.findings.verdict`.

All networks share one learning rate and one budget. `--sweep rate` reproduces the choice of the
rate, and `--sweep depth_tuned` tests whether the finding survives other rates and budgets.
"""

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
from vggres.findings.tables import Table, outcomes_table, verdict_table
from vggres.findings.verdict import (
    CONFIDENCE,
    MARGIN,
    MIN_SEEDS,
    SIGNIFICANCE,
    TOLERATED_FAILURES,
    Verdict,
)
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
OTHER_RATES_AND_BUDGETS = (
    'Another learning rate or a longer budget may change the verdict; this tests it: '
    'python launch.py --sweep depth_tuned'
)

# The thresholds of the claims. They were written before the sweeps were run; amendments say so.

# A claim about a change is true beyond this value and false on its other side.
NO_CHANGE = 0.0
# In points of validation error. Amended after a first sweep: where the shallowest network errs by
# less, there is nothing to gain, and the claim is not measured.
ROOM_TO_GAIN = 2.0

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
    return verdicts.decide(
        sweep.results(),
        metric='train_error',
        planned=sweep.depths(),
        curves=sweep.curves(),
        learning_rate=sweep.config.optimizer.learning_rate,
    )


def words(verdict: Verdict) -> str:
    """The verdict in words, one finding per line, and what it leaves open."""
    return f'{verdicts.in_words(verdict)}\n{OTHER_RATES_AND_BUDGETS}'


def tables(verdict: Verdict) -> list[Table]:
    """The verdict in numbers."""
    return [verdict_table(verdict), outcomes_table(verdict)]


def figures(sweep: Sweep, verdict: Verdict) -> dict[str, tuple[Figure, str]]:
    """Error against depth, learning curves where any run completed an epoch, published errors."""
    drawn = {
        'error_against_depth': (
            error_against_depth(sweep.results(), verdict.failing_error),
            'Error of the final weights against depth. Each marker is one run, and each line is '
            f'the median over seeds. A run has failed to train (open marker) if it diverged or if '
            f'its training error is {verdict.failing_error:g} % or more (dotted line), half of '
            'that of guessing.',
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
        ratios = _deepest_minus_shallowest(evidence, family, verdicts.log_loss)
        if interval := _interval(ratios):
            holds = is_below(interval, NO_CHANGE)
            where = {'family': _FAMILIES[family]}
            yield Case(where, holds, float(ratios.mean()), interval, len(ratios))


def _degradation(evidence: Evidence) -> Iterator[Case]:
    """Whether plain networks degrade, by the sweep's own verdict."""
    verdict: Verdict = evidence.verdict
    judged = verdict.variants.get('plain')
    if judged and judged.best_shallower and judged.n >= MIN_SEEDS:
        answers = {'degrades': True, 'fails to train': True, 'does not degrade': False}
        means = dict(zip(judged.depths, judged.mean_error, strict=True))
        excess = judged.excess_error
        if judged.verdict == 'fails to train':  # of all runs, so that there is no interval
            excess = (means[judged.deepest] or 0.0) - (means[judged.best_shallower] or 0.0)
        interval = None if judged.verdict == 'fails to train' else judged.confidence_interval
        holds = answers.get(judged.verdict)
        yield Case({'family': Word.PLAIN}, holds, excess, interval, judged.n)


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
            'en': 'The claim counts as true where the deepest network fails to train more often '
            f'than shallower ones (exact test, p ≤ {SIGNIFICANCE:g}; the value is then the '
            'difference of the mean errors) or where the interval of the excess among trained '
            f'runs is above {MARGIN:g}, and as false where that interval is below {MARGIN:g} and '
            f'a probability of failure of {TOLERATED_FAILURES:.0%} or more is excluded.',
            'zh': f'最深网络训练失败多于较浅网络（精确检验，p ≤ {SIGNIFICANCE:g}；'
            '此时数值为平均误差之差），'
            f'或在训练成功的运行中超额误差的区间大于 {MARGIN:g} 为真；区间小于 {MARGIN:g} '
            f'且可排除 {TOLERATED_FAILURES:.0%} 以上的失败概率为假。',
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
