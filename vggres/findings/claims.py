"""The popular story, sentence by sentence, and what the finished sweeps say of each.

    more layers fit better → yet plain nets get worse → because the gradient shrinks on its way
    back → which a shortcut, whose derivative is 1, prevents → so residual nets gain from depth.

Each claim states its threshold beside it; they were written before the sweeps were run, but for
amendments that say so. A claim looks at cases (a family, a norm, a scheme of weights); what holds
in some of them and fails in all others holds only if.
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from vggres.findings import verdict
from vggres.findings.estimates import t_interval

HOLDS, FAILS = 'holds', 'does not hold'
ONLY_IF, HOLDS_IF = 'holds only if', 'holds at least if'
UNDECIDED, NOT_MEASURED = 'undecided', 'not measured'
LANGUAGES = ('en', 'zh')

ROOM_TO_GAIN = 2.0  # points of validation error
_SMALLEST_LOSS = 1e-30
_UNKNOWN = ('inconclusive', 'dead')
_SHRUNK = ('shrinks', 'vanishes')
_WHEN = {'before': 'before training', 'during': 'in training'}

Text = dict[str, str]  # language → words


@dataclass(frozen=True)
class Evidence:
    """A sweep: its results, a dict a run; what its experiment found; depths planned a variant."""

    results: Sequence[Mapping[str, Any]]
    verdict: Mapping[str, Any]
    planned: Mapping[str, Collection[int]]


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        where: of each factor that it was measured under its value, as in {'norm': 'no norm'}.
        holds: None where the interval decides neither.
        value: the measured number; `interval` of it, or None.
        n: what was repeated.
    """

    where: Mapping[str, str]
    holds: bool | None
    value: float | None
    interval: Sequence[float] | None
    n: int


@dataclass(frozen=True)
class Claim:
    """A sentence of the story.

    Attributes:
        key: names it.
        sentence: what is claimed.
        source: who says so.
        sweep: what has to have been run.
        measure: the evidence → the cases, [] where it holds nothing to judge by.
        quantity: what a case's number is, and from where on the claim counts as true.
        repeated: what n counts.
        figure: of the sweep, the file's name.
    """

    key: str
    sentence: Text
    source: str
    sweep: str
    measure: Callable[[Evidence], Sequence[Case]]
    quantity: Text
    repeated: Text
    figure: str


@dataclass(frozen=True)
class Finding:
    """What became of a claim: its status, where it holds, and the cases."""

    claim: Claim
    status: str
    condition: Sequence[Sequence[str]]
    cases: Sequence[Case]


def find(claim: Claim, evidence: Evidence | None) -> Finding:
    """Judges a claim; without evidence it is not measured."""
    cases = _pooled(claim.measure(evidence)) if evidence else []
    status, condition = decide(cases)
    return Finding(claim, status, condition, cases)


def decide(cases: Sequence[Case]) -> tuple[str, list[tuple[str, ...]]]:
    """The status of a claim from its cases, and the conditions of it, any of which does.

    It holds only under a condition where it fails in all other cases (amended after a first sweep:
    undecided ones had been enough).
    """
    true = [case for case in cases if case.holds]
    others = [case for case in cases if not case.holds]
    is_decided = all(case.holds is False for case in others)
    if not cases:
        return NOT_MEASURED, []
    if not others:
        return HOLDS, []
    if not true:
        return (FAILS if is_decided else UNDECIDED), []
    return (ONLY_IF if is_decided else HOLDS_IF), _conditions(true, others)


def _conditions(true: Sequence[Case], others: Sequence[Case]) -> list[tuple[str, ...]]:
    """Few and short ones, of which every true case meets one and no other case any.

    Greedy: next is always the one that most of what is left meets, of the fewest factors.
    """
    names = list(true[0].where)
    possible: dict[tuple, set[int]] = {}
    for count in range(1, len(names) + 1):
        for i, chosen in itertools.product(range(len(true)), itertools.combinations(names, count)):
            key = tuple((name, true[i].where[name]) for name in chosen)
            if not any(set(key) <= set(other.where.items()) for other in others):
                possible.setdefault(key, set()).add(i)
    found, left = [], set(range(len(true)))
    while left:
        key = max(possible, key=lambda each: len(possible[each] & left))  # the first of equals
        left -= possible[key]
        found.append(tuple(value for _, value in key))
    return found


def _pooled(cases: Iterable[Case]) -> list[Case]:
    """One case a place: several seeds have to agree."""
    places: dict[tuple, list[Case]] = {}
    for case in cases:
        places.setdefault(tuple(case.where.items()), []).append(case)
    return [found[0] if len(found) == 1 else _agreed(found) for found in places.values()]


def _agreed(found: Sequence[Case]) -> Case:
    verdicts = {case.holds for case in found}
    values = [case.value for case in found if case.value is not None]
    return Case(
        found[0].where,
        verdicts.pop() if len(verdicts) == 1 else None,
        median(values) if values else None,
        None,
        sum(case.n for case in found),
    )


# --- More layers fit better. Fit is the training loss, which has no floor as the error has; a
# diverged run has that of guessing (amended after a first sweep: it was left out). True where the
# interval of log10(loss of the deepest / loss of the shallowest), over seeds, is below 0, false
# where it is above.
def _fit(evidence: Evidence) -> Iterator[Case]:
    for family in _families(evidence):
        ratios = _deepest_minus_shallowest(evidence, family, _log_loss)
        interval = _interval(ratios)
        if interval:
            holds = True if interval[1] < 0 else False if interval[0] > 0 else None
            yield Case({'family': family}, holds, float(ratios.mean()), interval, len(ratios))


# --- Plain nets have a higher training error when deeper: the sweep's own verdict, whose thresholds
# stand in `verdict`.
def _degradation(evidence: Evidence) -> Iterator[Case]:
    judged = evidence.verdict['variants'].get('plain')
    if judged and judged['confidence_interval'] and judged['n'] >= verdict.MIN_SEEDS:
        holds = {'degrades': True, 'does not degrade': False}.get(judged['verdict'])
        found = judged['excess_error'], judged['confidence_interval'], judged['n']
        yield Case({'family': 'plain'}, holds, *found)


# --- The gradient shrinks geometrically towards the input, in the deepest networks without
# shortcuts, before the first update and in most observations after it: `judge` of the sweep, by a
# factor of ten at least with an R² of 0.8 at least. Where some of it falls below the smallest
# float32, it has shrunk. Amended after a first sweep: what happens in training is a case of its
# own.
def _shrinking(norm: str) -> Callable[[Evidence], Iterator[Case]]:
    def measure(evidence: Evidence) -> Iterator[Case]:
        for network, when in itertools.product(_deepest(evidence), _WHEN):
            if network['norm'] == norm and network['family'] != 'resnet':
                where = {'family': network['family'], 'scheme': _scheme(network)}
                yield from _gradient_case(network, when, where, _SHRUNK, _UNKNOWN)

    return measure


# --- The shrinking goes with the failure to train: over the networks without shortcuts, the rank
# correlation of the decades before training with the training error at the end. True where its
# interval is at 0.5 or above, false where it is below. Amended after a first sweep: networks of one
# depth are a case of their own, since depth moves both; the shrinking in training, which may as
# well follow from the failure, stands in the sweep's report alone; failed networks share a rank.
def _correlation(evidence: Evidence) -> Iterator[Case]:
    threshold = evidence.verdict['correlation']
    for norm, moments in evidence.verdict['correlations'].items():
        for which, found in moments.items():
            when, among = which.split(', ')
            if not found['interval'] or when != _WHEN['before']:
                continue
            low, high = found['interval']
            holds = True if low >= threshold else False if high < threshold else None
            where = {'norm': _norm(norm), 'among': f'among {among}'}
            yield Case(where, holds, found['correlation'], found['interval'], found['n'])


# --- A residual block's local Jacobian is close to the identity: ‖J − I‖ / ‖I‖ of the blocks that
# keep their shape. True where the interval over blocks is at 0.5 or below, false where it is above.
# Amended after a first sweep: a postactivation block's last ReLU closes a part of the identity
# too, so the distance from what that makes of it is a case of its own; means are geometric.
def _near_identity(evidence: Evidence) -> Iterator[Case]:
    close = evidence.verdict['close']
    blocks = {
        ('identity', 'distance_from_identity'): 'postactivation',
        ('identity', 'distance_from_relu'): 'postactivation but for its last ReLU',
        ('identity, preactivation', 'distance_from_identity'): 'preactivation',
    }
    for network, when in itertools.product(evidence.verdict['networks'], ('before', 'after')):
        for (variant, distance), name in blocks.items():
            if network['variant'] != variant or not network[when]:
                continue
            found = network[when][distance]
            low, high = found['interval'] or (found['mean'], found['mean'])
            holds = True if high <= close else False if low > close else None
            where = {
                'activation': name,
                'when': f'{when} training',
                'depth': f'depth {network["depth"]}',
            }
            yield Case(where, holds, found['mean'], found['interval'], network[when]['n'])


# --- Shortcuts keep the gradient from shrinking: where the gradient of the deepest plain network
# shrinks or vanishes, that of the residual one of the same norm and weights does neither; where
# the residual one diverged before it was looked at again, nothing is decided. Amended after a first
# sweep: 'irregular' and 'dead' decide nothing; they had counted as kept.
def _protection(evidence: Evidence) -> Iterator[Case]:
    networks = {(n['family'], n['norm'], n['scheme'], n['seed']): n for n in _deepest(evidence)}
    for (family, *rest), plain in networks.items():
        residual = networks.get(('resnet', *rest))
        for when in _WHEN if family == 'plain' and residual else ():
            if plain['judgement'][when] in _SHRUNK:
                where = {'norm': _norm(plain['norm']), 'scheme': _scheme(plain)}
                kept, unknown = {'level', 'grows'}, {'irregular', *_UNKNOWN}
                yield from _gradient_case(residual, when, where, kept, unknown)


# --- Residual nets gain from depth: validation error of the deepest minus that of the shallowest,
# over seeds. True where the interval is below 0, false where any gain is surely less than the
# margin of one point. Amended after a first sweep: where the shallowest errs by less than two
# points there is nothing to gain, and the claim is not measured.
def _gain(evidence: Evidence) -> Iterator[Case]:
    runs = [run for run in evidence.results if run['family'] == 'resnet']
    shallowest = min((run['depth'] for run in runs), default=0)
    errors = [run['validation_error'] for run in runs if run['depth'] == shallowest]
    gains = _deepest_minus_shallowest(evidence, 'resnet', lambda run: run['validation_error'])
    interval = _interval(gains)
    if interval and fmean(errors) >= ROOM_TO_GAIN:
        low, high = interval
        holds = True if high < 0 else False if low > -verdict.MARGIN else None
        yield Case({'family': 'resnet'}, holds, float(gains.mean()), interval, len(gains))


def _families(evidence: Evidence) -> list[str]:
    return list(dict.fromkeys(run['family'] for run in evidence.results))


def _deepest_minus_shallowest(evidence: Evidence, family: str, of: Callable) -> np.ndarray:
    """A value of the deepest net minus that of the shallowest, of each seed that has both."""
    runs = {(r['depth'], r['seed']): r for r in evidence.results if r['family'] == family}
    depths = sorted(evidence.planned.get(family, ()))
    ends = [(runs.get((depths[-1], s)), runs.get((depths[0], s))) for s in {s for _, s in runs}]
    if len(depths) < 2:
        return np.array([])
    return np.array([of(deep) - of(shallow) for deep, shallow in ends if deep and shallow])


def _log_loss(run: Mapping) -> float:
    """log10 of the training loss, of guessing for a diverged run: the log of all classes."""
    if run['train_loss'] is None:
        return math.log10(-math.log(1 - run['train_error'] / 100))
    return math.log10(max(run['train_loss'], _SMALLEST_LOSS))


def _interval(sample: np.ndarray) -> list[float] | None:
    return t_interval(sample, verdict.CONFIDENCE) if len(sample) >= verdict.MIN_SEEDS else None


def _deepest(evidence: Evidence) -> list[Mapping[str, Any]]:
    deepest = max(depth for depths in evidence.planned.values() for depth in depths)
    return [network for network in evidence.verdict['networks'] if network['depth'] == deepest]


def _gradient_case(
    network: Mapping,
    when: str,
    where: Mapping[str, str],
    true: Collection[str],
    undecided: Collection[str],
) -> Iterator[Case]:
    """The case by a network's judgement, in decades by which the gradient shrinks, if it has one.

    In training the number is the median over the observations, of which there are n.
    """
    judgement, flows = network['judgement'][when], network['input_gradient']
    holds = None if judgement is None or judgement in undecided else judgement in true
    where = {'when': _WHEN[when], **where}
    if judgement is None:  # it diverged before it was observed again
        yield Case(where, None, None, None, 0)
        return
    if when == 'during':
        found = flows['during'].values()
        decades = [f['decades'] for f in found if f['decades'] is not None]
        value = math.inf if judgement == 'vanishes' else median(decades) if decades else None
        yield Case(where, holds, value, None, len(found))
    elif judgement == 'vanishes':
        yield Case(where, holds, math.inf, None, flows['before']['n'])
    else:
        before = flows['before']
        yield Case(where, holds, before['decades'], before['interval'], before['n'])


def _norm(norm: str) -> str:
    return {'batch': 'batch norm', 'none': 'no norm'}[norm]


def _scheme(network: Mapping) -> str:
    return f'{network["scheme"]} weights'


_POPULAR = 'popular account'
_DECADES = {
    'en': 'decades by which the gradient shrinks, last block to first, in the deepest networks; '
    'true: a factor of ten or more, geometrically; small images lose gradient over their borders, '
    'under he weights too (the report says how much)',
    'zh': '最深网络的梯度从最后一块到第一块缩小的数量级（十倍为一级）；'
    '缩小十倍以上且成几何级数为真；小图像在边缘处损失梯度，He 初始化亦然（数值见报告）',
}
_DRAWS = {'en': 'draws of weights or looks in training', 'zh': '次随机权重或训练中的观测'}
_SEEDS = {'en': 'seeds', 'zh': '个随机种子'}

CLAIMS = (
    Claim(
        'fit',
        {'en': 'More layers fit better.', 'zh': '层数越多，拟合得越好。'},
        f'{_POPULAR}; asked by He et al. 2015, §1',
        'depth',
        _fit,
        {
            'en': 'log10 of the training loss of the deepest over that of the shallowest; true: '
            'below 0',
            'zh': '最深与最浅网络训练损失之比的 log10；小于 0 为真',
        },
        _SEEDS,
        'learning_curves',
    ),
    Claim(
        'degradation',
        {
            'en': 'Plain nets have a higher training error when deeper.',
            'zh': '普通网络越深，训练误差越高。',
        },
        'He et al. 2015, §1, §4.2, Fig. 6',
        'depth',
        _degradation,
        {
            'en': 'points of training error, deepest minus best shallower; true: above 0 with a '
            'trend over depth',
            'zh': '最深网络比最好的较浅网络多出的训练误差（百分点）；大于 0 且随深度上升为真',
        },
        _SEEDS,
        'error_against_depth',
    ),
    Claim(
        'shrinking',
        {
            'en': 'The gradient shrinks geometrically towards the input.',
            'zh': '梯度向输入端成几何级数缩小。',
        },
        f'{_POPULAR}; Glorot & Bengio 2010, §4',
        'gradient_flow',
        _shrinking('none'),
        _DECADES,
        _DRAWS,
        'gradient_by_layer_glorot',
    ),
    Claim(
        'shrinking_with_norm',
        {'en': 'It does so with batch norm too.', 'zh': '有批归一化时也是如此。'},
        f'{_POPULAR}; denied by He et al. 2015, §4.1',
        'gradient_flow',
        _shrinking('batch'),
        _DECADES,
        _DRAWS,
        'gradient_by_layer_he',
    ),
    Claim(
        'failure',
        {
            'en': 'The shrinking goes with the failure to train.',
            'zh': '梯度缩小与训练失败相伴。',
        },
        f'{_POPULAR}; doubted by He et al. 2015, §4.1',
        'gradient_flow',
        _correlation,
        {
            'en': 'rank correlation of the decades before training with the training error at the '
            'end, networks without shortcuts; true: 0.5 or more; no statement of cause',
            'zh': '无捷径的网络中，训练前梯度缩小的数量级与最终训练误差的秩相关；'
            '0.5 以上为真；不涉及因果',
        },
        {'en': 'networks', 'zh': '个网络'},
        'error_against_shrinking',
    ),
    Claim(
        'identity',
        {
            'en': "A residual block's local Jacobian is close to the identity.",
            'zh': '残差块的局部雅可比矩阵接近单位矩阵。',
        },
        f"{_POPULAR}: “the identity's derivative is 1”",
        'identity_shortcut',
        _near_identity,
        {
            'en': '‖J − I‖ / ‖I‖, mean over the blocks that keep their shape; true: 0.5 or less; a '
            'last ReLU alone takes a part of the identity away',
            'zh': '保持形状的各块的 ‖J − I‖ / ‖I‖ 均值；0.5 以下为真；'
            '仅末端 ReLU 就去掉单位矩阵的一部分',
        },
        {'en': 'blocks', 'zh': '个块'},
        'singular_values_after_training',
    ),
    Claim(
        'protection',
        {
            'en': 'Shortcuts keep the gradient from shrinking.',
            'zh': '捷径使梯度不再缩小。',
        },
        f'{_POPULAR}; He et al. 2016, §2',
        'gradient_flow',
        _protection,
        {
            'en': 'decades by which it shrinks in the residual network where it does in the plain '
            'one; true: not by a factor of ten',
            'zh': '在普通网络梯度缩小之处，残差网络梯度缩小的数量级；不到十倍为真',
        },
        _DRAWS,
        'gradient_by_layer_glorot',
    ),
    Claim(
        'gain',
        {'en': 'Residual nets gain from depth.', 'zh': '残差网络得益于深度。'},
        'He et al. 2015, §4.2, Table 6',
        'depth',
        _gain,
        {
            'en': 'points of validation error, deepest minus shallowest; true: below 0, false: a '
            'gain of less than a point; takes three seeds and a shallowest network with two points '
            'to lose, which these data may not leave',
            'zh': '最深减最浅网络的验证误差（百分点）；小于 0 为真，增益不足一个百分点为假；'
            '需要三个种子，且最浅网络的误差不低于两个百分点',
        },
        _SEEDS,
        'error_against_depth',
    ),
)
SWEEPS = tuple(dict.fromkeys(claim.sweep for claim in CLAIMS))
