"""The claims of the story about the errors, with their margins.

The margins were chosen or amended after sweeps with these data were seen, so that the claims are
exploratory; that of `degradation` is `outcomes.MARGIN`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np

from vggres.findings import controls
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import (
    FAMILIES,
    SEEDS,
    Barrier,
    Condition,
    Contrast,
    Sample,
    Status,
    Text,
    above,
    barred,
    below,
    sample,
)
from vggres.findings.controls import DEEP, Control
from vggres.findings.estimates import best_shallower, excess, excess_without_hindsight
from vggres.findings.outcomes import (
    FAILED_SHARE,
    MARGIN,
    failing_error,
    is_at_floor,
    log_loss,
)
from vggres.results import Result

# In decades of training loss, a factor of 1.26: seeds of one network differ by as much.
FIT_MARGIN = 0.1
# In points of validation error: where the shallowest network errs by less, there is no room to gain
# as much as the margin and to show it.
ROOM_TO_GAIN = 2.0


def _fit(evidence: Evidence) -> list[Contrast]:
    """Whether more layers fit better: the change of the training loss, family by family.

    Fit is the training loss because it has no floor, as the error has. A diverged run has the loss
    of guessing.
    """
    contrasts = []
    for family in dict.fromkeys(result.family for result in evidence.results):
        where = {'family': FAMILIES[family]}
        found = sample(_deepest_minus_shallowest(evidence, family, log_loss))
        shallow = _too_shallow(evidence, family, where)
        contrasts.append(shallow or _measured(found, where, below, -FIT_MARGIN))
    return contrasts


def _degradation(evidence: Evidence) -> list[Contrast]:
    """Whether plain networks degrade: the excess error of the deepest one.

    A run of the deepest network that failed to train says nothing about degradation, which is a
    higher error of networks that train. Where more than half of them failed, nothing is decided;
    the claim is false only where frequent failures are excluded. It is true only if it is so
    without hindsight, too.
    """
    if shallow := _too_shallow(evidence, 'plain'):
        return [shallow]
    depths = sorted(evidence.planned['plain'])
    errors = _errors(evidence, 'plain', depths)
    if not len(errors):
        return [_measured(None, {}, above, MARGIN)]
    failed = errors[:, -1] >= failing_error(_num_classes(evidence))
    trained = errors[~failed]
    if 2 * failed.sum() > len(errors):
        contrast = _excess_contrast(errors)
        barrier = Barrier(Status.BUDGET, _failed_words(depths[-1], failed))
        return [dataclasses.replace(contrast, barrier=barrier)]
    contrast = _excess_contrast(trained)
    if is_at_floor(trained[:, [best_shallower(trained), -1]]):
        barrier = Barrier(
            Status.FLOOR,
            {
                'en': 'no run of the deepest network or of the best shallower one errs by more '
                f'than {MARGIN:g} %',
                'zh': f'最深的网络与最好的较浅网络每次的误差都不超过 {MARGIN:g}%',
            },
        )
        return [dataclasses.replace(contrast, barrier=barrier)]
    remark = controls.frequent_failures(int(failed.sum()), len(failed), depths[-1])
    if remark is None:
        return [contrast]
    is_low = contrast.value is not None and contrast.value < MARGIN
    return [dataclasses.replace(contrast, p_false=1.0, remark=remark if is_low else None)]


def _excess_contrast(errors: np.ndarray) -> Contrast:
    found = sample(excess(errors))
    contrast = _measured(found, {}, above, MARGIN)
    if len(errors) < 2:
        return contrast
    fair = _measured(sample(excess_without_hindsight(errors)), {}, above, MARGIN)
    return dataclasses.replace(contrast, p_true=max(contrast.p_true, fair.p_true))


def _failed_words(depth: int, failed: np.ndarray) -> Text:
    probability = controls.failure_probability(int(failed.sum()), len(failed))
    return {
        'en': f'{failed.sum()} of {len(failed)} runs of plain-{depth} failed to train '
        f'({probability["en"]}), which is another regime than degradation',
        'zh': f'{depth} 层普通网络的 {len(failed)} 次训练中有 {failed.sum()} 次失败'
        f'（{probability["zh"]}），这与退化不是一回事',
    }


def _gain(evidence: Evidence) -> list[Contrast]:
    """Whether residual networks gain from depth, by the change of the validation error."""
    if shallow := _too_shallow(evidence, 'resnet'):
        return [shallow]
    runs = [run for run in evidence.results if run.family == 'resnet']
    if not runs:
        return [_measured(None, {}, below, -MARGIN)]
    shallowest = min(run.depth for run in runs)
    room = fmean(run.validation_error for run in runs if run.depth == shallowest)
    gains = _deepest_minus_shallowest(evidence, 'resnet', lambda run: run.validation_error)
    contrast = _measured(sample(gains), {}, below, -MARGIN)
    if room >= ROOM_TO_GAIN or contrast.barrier:
        return [contrast]
    words = {
        'en': f'the validation error of ResNet-{shallowest} is {room:.1f} %, which leaves less '
        f'than {ROOM_TO_GAIN:g} points to gain',
        'zh': f'{shallowest} 层残差网络的验证误差为 {room:.1f}%，改进的余地不足 '
        f'{ROOM_TO_GAIN:g} 个百分点',
    }
    return [dataclasses.replace(contrast, barrier=Barrier(Status.FLOOR, words))]


def _measured(
    found: Sample | None,
    where: Mapping[str, Condition],
    against: Callable[..., Contrast],
    margin: float,
) -> Contrast:
    """The contrast of a sample; without one, that no seed has all depths."""
    if found is None:
        words = {'en': 'no seed has all depths', 'zh': '没有随机种子跑完所有深度'}
        return barred(Status.NOT_MEASURED, words, where)
    return against(found, margin, where)


def _too_shallow(
    evidence: Evidence, family: str, where: Mapping[str, Condition] | None = None
) -> Contrast | None:
    """A barrier where a family was not planned at two depths, of which one is `DEEP`."""
    depths = evidence.planned.get(family, ())
    if len(depths) >= 2 and max(depths) >= DEEP:
        return None
    said = ', '.join(map(str, sorted(depths))) or '–'
    words = {
        'en': f'it takes two depths, one of them {DEEP} or more; this sweep has {said}',
        'zh': f'需要两种深度，其一不小于 {DEEP}；本实验的深度为 {said}',
    }
    return barred(Status.NOT_MEASURED, words, where)


def _residual_control(evidence: Evidence) -> Control:
    return controls.residual(_by_depth(evidence, 'resnet'), _num_classes(evidence))


def _control(evidence: Evidence) -> Control:
    """The deepest residual network trains, and plain-20 fits no worse than plain-8."""
    plain = controls.plain(_by_depth(evidence, 'plain'), _num_classes(evidence))
    return controls.both(_residual_control(evidence), plain)


def _num_classes(evidence: Evidence) -> int:
    return evidence.results[0].num_classes


def _by_depth(evidence: Evidence, family: str) -> dict[int, list[float]]:
    """The training errors of a family by depth."""
    errors: dict[int, list[float]] = {}
    for run in evidence.results:
        if run.family == family:
            errors.setdefault(run.depth, []).append(run.train_error)
    return errors


def _errors(evidence: Evidence, family: str, depths: Sequence[int]) -> np.ndarray:
    """The training errors `[num_seeds, num_depths]` of the seeds that have all depths."""
    found = {(r.seed, r.depth): r.train_error for r in evidence.results if r.family == family}
    rows = [
        [found.get((seed, depth)) for depth in depths] for seed in sorted({s for s, _ in found})
    ]
    complete = [row for row in rows if None not in row]
    return np.array(complete, dtype=float).reshape(-1, len(depths))


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


def _failures(evidence: Evidence) -> Iterator[Description]:
    """How many runs of each plain network failed to train."""
    failing = failing_error(_num_classes(evidence))
    for depth, errors in sorted(_by_depth(evidence, 'plain').items()):
        failed = sum(error >= failing for error in errors)
        yield Description(
            what={'en': 'Runs that failed to train', 'zh': '未能训练的次数'},
            where={'depth': depth},
            value=failed,
            n=len(errors),
            counted=SEEDS,
        )


_ERRORS = Picture(
    'error_against_depth',
    {
        'en': 'Error of the final weights against depth; each marker is one run, each line the '
        'median over seeds. Open markers are runs that failed to train.',
        'zh': '最终权重的误差随深度的变化；每个点是一次训练，每条线是各种子的中位数；'
        '空心点未能训练。',
    },
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
        contrasts=_fit,
        control=_control,
        factors=('family',),
        levels=2,
        quantity={
            'en': 'Base-10 logarithm of the training loss of the deepest network over that of the '
            'shallowest, seed by seed',
            'zh': '最深网络与最浅网络训练损失之比的常用对数，逐个种子计算',
        },
        unit={'en': 'decades of loss', 'zh': '个数量级（损失）'},
        criterion={
            'en': f'The claim is true below −{FIT_MARGIN:g} and false above it. Seeds of one '
            'network differ by as much.',
            'zh': f'小于 −{FIT_MARGIN:g} 为真，大于它为假；同一网络的不同种子也相差这么多。',
        },
        counted=SEEDS,
        figure=Picture(
            'learning_curves',
            {
                'en': 'Error during training, one line per network and seed.',
                'zh': '训练过程中的误差，每个网络和种子一条线。',
            },
        ),
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
        contrasts=_degradation,
        control=_control,
        factors=(),
        quantity={
            'en': 'Training error of the deepest network minus that of the best shallower one, '
            'seed by seed, over the runs that did not fail to train, or over all where most failed',
            'zh': '最深网络比最好的较浅网络多出的训练误差，逐个种子计算，不计未能训练的；'
            '若多数未能训练，则计入全部',
        },
        unit={'en': 'points', 'zh': '个百分点'},
        criterion={
            'en': f'The claim is true above {MARGIN:g} and false below it: a smaller difference is '
            'what another learning-rate schedule would make. A run has failed to train if its '
            f'error is at least {100 * FAILED_SHARE:g} % of that of guessing.',
            'zh': f'大于 {MARGIN:g} 为真，小于它为假：更小的差别换一种学习率方案也会出现。'
            f'训练误差不低于随机猜测的 {100 * FAILED_SHARE:g}% 即为未能训练。',
        },
        counted=SEEDS,
        figure=_ERRORS,
        describe=_failures,
    ),
    Claim(
        key='gain',
        sentence={'en': 'Residual networks gain from depth.', 'zh': '残差网络得益于深度。'},
        source={
            'en': 'He et al. 2015, §4.2, Table 6',
            'zh': 'He 等人 2015 年，第 4.2 节、表 6',
        },
        sweep='depth',
        contrasts=_gain,
        control=_residual_control,
        factors=(),
        quantity={
            'en': 'Validation error of the deepest network minus that of the shallowest, seed by '
            'seed',
            'zh': '最深网络减最浅网络的验证误差，逐个种子计算',
        },
        unit={'en': 'points', 'zh': '个百分点'},
        criterion={
            'en': f'The claim is true below −{MARGIN:g} and false above it. Where the shallowest '
            f'network errs by less than {ROOM_TO_GAIN:g} %, there is too little room to gain.',
            'zh': f'小于 −{MARGIN:g} 为真，大于它为假；最浅网络的误差低于 {ROOM_TO_GAIN:g}% '
            '时改进的余地不足。',
        },
        counted=SEEDS,
        figure=_ERRORS,
    ),
)
