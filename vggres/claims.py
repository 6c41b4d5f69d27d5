"""The popular story, sentence by sentence, and what the finished sweeps say of each.

    more layers fit better → yet plain nets get worse → because the gradient shrinks on its way
    back → which a shortcut, whose derivative is 1, prevents → so residual nets gain from depth.

Each claim states its threshold beside it; they were written before the sweeps were run. A claim
looks at cases (a family, a norm, a scheme of weights); what holds in some of them holds only if.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from vggres import verdict
from vggres.estimates import t_interval

HOLDS, FAILS = 'holds', 'does not hold'
ONLY_IF, UNDECIDED, NOT_MEASURED = 'holds only if', 'undecided', 'not measured'
LANGUAGES = ('en', 'zh')

_WHEN = {'before': 'before training', 'during': 'in training'}

Text = dict[str, str]  # language → words


@dataclass(frozen=True)
class Evidence:
    """A finished sweep: its results, a dict a run, and what its experiment found in them."""

    results: Sequence[Mapping[str, Any]]
    verdict: Mapping[str, Any]


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
    cases = list(claim.measure(evidence)) if evidence else []
    status, condition = decide(cases)
    return Finding(claim, status, condition, cases)


def decide(cases: Sequence[Case]) -> tuple[str, list[tuple[str, ...]]]:
    """The status of a claim from its cases, and for `ONLY_IF` the conditions, any of which does.

    A condition names the values of the fewest factors that tell the cases in which the claim holds
    from all others.
    """
    true = [case for case in cases if case.holds]
    if not cases:
        return NOT_MEASURED, []
    if len(true) == len(cases):
        return HOLDS, []
    if not true:
        return (FAILS if all(case.holds is False for case in cases) else UNDECIDED), []
    others = [case for case in cases if not case.holds]
    factors = list(cases[0].where)
    for count in range(1, len(factors) + 1):
        for chosen in itertools.combinations(factors, count):
            keys = [tuple(case.where[factor] for factor in chosen) for case in true]
            if not set(keys) & {tuple(case.where[f] for f in chosen) for case in others}:
                return ONLY_IF, list(dict.fromkeys(keys))
    return UNDECIDED, []  # cases that nothing tells apart disagree


# --- More layers fit better. Fit is the training loss, which has no floor as the error has. True
# where the interval of log10(loss of the deepest / loss of the shallowest), over seeds, is below 0,
# false where it is above.
def _fit(evidence: Evidence) -> Iterator[Case]:
    for family in _families(evidence):
        ratios = _paired(evidence, family, lambda r: math.log10(r['train_loss']), 'train_loss')
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
# float32, it has shrunk.
def _shrinking(norm: str) -> Callable[[Evidence], Iterator[Case]]:
    def measure(evidence: Evidence) -> Iterator[Case]:
        for network, when in itertools.product(_deepest(evidence), _WHEN):
            if network['norm'] == norm and network['family'] != 'resnet':
                where = {'family': network['family'], 'scheme': _scheme(network)}
                yield from _gradient_case(network, when, where, ('shrinks', 'vanishes'))

    return measure


# --- The shrinking goes with the failure to train: over the networks without shortcuts, the rank
# correlation of the decades with the final training error. True where its interval is at 0.5 or
# above, false where it is below.
def _correlation(evidence: Evidence) -> Iterator[Case]:
    threshold = evidence.verdict['correlation']
    for norm, moments in evidence.verdict['correlations'].items():
        for when, found in moments.items():
            if not found['interval']:
                continue
            low, high = found['interval']
            holds = True if low >= threshold else False if high < threshold else None
            where = {'when': _WHEN[when], 'norm': _norm(norm)}
            yield Case(where, holds, found['correlation'], found['interval'], found['n'])


# --- A residual block's local Jacobian is close to the identity: ‖J − I‖ / ‖I‖ of the blocks that
# keep their shape. True where the interval over blocks is at 0.5 or below, false where it is above.
def _near_identity(evidence: Evidence) -> Iterator[Case]:
    close = evidence.verdict['close']
    blocks = {'identity': 'postactivation', 'identity, preactivation': 'preactivation'}
    for network in evidence.verdict['networks']:
        for when in ('before', 'after'):
            found = network[when]
            if network['variant'] in blocks and found and found['interval']:
                low, high = found['interval']
                holds = True if high <= close else False if low > close else None
                where = {
                    'when': f'{when} training',
                    'activation': blocks[network['variant']],
                    'depth': f'depth {network["depth"]}',
                }
                value = found['distance_from_identity']
                yield Case(where, holds, value, found['interval'], found['n'])


# --- Shortcuts keep the gradient from shrinking: where the gradient of the deepest plain network
# shrinks or vanishes, that of the residual one of the same norm and weights does neither.
def _protection(evidence: Evidence) -> Iterator[Case]:
    networks = {(n['family'], n['norm'], n['scheme'], n['seed']): n for n in _deepest(evidence)}
    for (family, *rest), plain in networks.items():
        residual = networks.get(('resnet', *rest))
        for when in _WHEN if family == 'plain' and residual else ():
            if plain['judgement'][when] in ('shrinks', 'vanishes'):
                where = {'norm': _norm(plain['norm']), 'scheme': _scheme(plain)}
                yield from _gradient_case(residual, when, where, ('level', 'grows', 'irregular'))


# --- Residual nets gain from depth: validation error of the deepest minus that of the shallowest,
# over seeds. True where the interval is below 0, false where any gain is surely less than the
# margin of one point.
def _gain(evidence: Evidence) -> Iterator[Case]:
    gains = _paired(evidence, 'resnet', lambda run: run['validation_error'], 'validation_error')
    interval = _interval(gains)
    if interval:
        low, high = interval
        holds = True if high < 0 else False if low > -verdict.MARGIN else None
        yield Case({'family': 'resnet'}, holds, float(gains.mean()), interval, len(gains))


def _families(evidence: Evidence) -> list[str]:
    return list(dict.fromkeys(run['family'] for run in evidence.results))


def _paired(evidence: Evidence, family: str, of: Callable, key: str) -> np.ndarray:
    """Of each seed that has both, a value of the deepest net minus that of the shallowest."""
    runs = {(r['depth'], r['seed']): r for r in evidence.results if r['family'] == family}
    depths = sorted({depth for depth, _ in runs})
    seeds = sorted({seed for _, seed in runs})
    ends = [(runs.get((depths[-1], seed)), runs.get((depths[0], seed))) for seed in seeds]
    usable = [
        (deep, shallow)
        for deep, shallow in ends
        if len(depths) > 1
        and deep
        and shallow
        and deep[key] is not None
        and shallow[key] is not None
    ]
    return np.array([of(deep) - of(shallow) for deep, shallow in usable])


def _interval(sample: np.ndarray) -> list[float] | None:
    return t_interval(sample, verdict.CONFIDENCE) if len(sample) >= verdict.MIN_SEEDS else None


def _deepest(evidence: Evidence) -> list[Mapping[str, Any]]:
    networks = evidence.verdict['networks']
    deepest = max((network['depth'] for network in networks), default=0)
    return [network for network in networks if network['depth'] == deepest]


def _gradient_case(
    network: Mapping, when: str, where: Mapping[str, str], true: Sequence[str]
) -> Iterator[Case]:
    """The case by a network's judgement, in decades by which the gradient shrinks, if it has one.

    In training the number is the median over the observations, of which there are n.
    """
    judgement, flows = network['judgement'][when], network['input_gradient']
    if judgement is None:
        return  # it diverged before it was observed again
    holds = None if judgement == 'inconclusive' else judgement in true
    where = {'when': _WHEN[when], **where}
    if when == 'during':
        found = [math.inf if f['zeros'] else f['decades'] for f in flows['during'].values()]
        decades = [each for each in found if each is not None]
        yield Case(where, holds, median(decades) if decades else None, None, len(found))
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
    'true: a factor of ten or more, geometrically',
    'zh': '最深网络的梯度从最后一块到第一块缩小的数量级（十倍为一级）；'
    '缩小十倍以上且成几何级数为真',
}
_DRAWS = {'en': 'draws of weights or observations', 'zh': '次随机权重或观测'}
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
        'cause',
        {
            'en': 'The shrinking goes with the failure to train.',
            'zh': '梯度缩小与训练失败相伴。',
        },
        f'{_POPULAR}; doubted by He et al. 2015, §4.1',
        'gradient_flow',
        _correlation,
        {
            'en': 'rank correlation of the decades with the final training error, networks without '
            'shortcuts; true: 0.5 or more',
            'zh': '无捷径的网络中，梯度缩小的数量级与最终训练误差的秩相关；0.5 以上为真',
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
        f"{_POPULAR} (“the identity's derivative is 1”); He et al. 2016, §2",
        'identity_shortcut',
        _near_identity,
        {
            'en': '‖J − I‖ / ‖I‖, mean over the blocks that keep their shape; true: 0.5 or less',
            'zh': '保持形状的各块的 ‖J − I‖ / ‖I‖ 均值；0.5 以下为真',
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
            'gain of less than a point',
            'zh': '最深减最浅网络的验证误差（百分点）；小于 0 为真，增益不足一个百分点为假',
        },
        _SEEDS,
        'error_against_depth',
    ),
)
SWEEPS = tuple(dict.fromkeys(claim.sweep for claim in CLAIMS))
