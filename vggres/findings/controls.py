"""Positive controls: networks that have to train, and be deep, before a comparison can count.

Where even the networks that should train do not, the budget decides the errors, and nothing can be
said about depth or shortcuts. Errors are in percent of the training set, by depth and seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from vggres.findings.contrasts import Condition, Contrast, Status, Text, barred
from vggres.findings.estimates import proportion_bound, proportion_interval, seeds_to_rule_out
from vggres.findings.outcomes import (
    CONFIDENCE,
    SIGNIFICANCE,
    TOLERATED_FAILURES,
    failing_error,
)
from vggres.findings.phrases import percent_interval

# In points of training error: by how much the deeper network of a control may be worse than the
# shallower one. It is wider than the margin of degradation, because the control asks whether the
# networks train at all; 5 % is the error at which updates are counted, too.
CONTROL_MARGIN = 5.0

# Weighted layers: the story is told of networks as deep as this (plain-56, He et al. 2015, Fig. 6),
# while plain-20 trains as well as plain-8. A sweep of shallower networks says nothing of it.
DEEP = 50

_NAMES = {'plain': {'en': 'plain', 'zh': '普通网络'}, 'resnet': {'en': 'ResNet', 'zh': '残差网络'}}

Errors = Mapping[int, Sequence[float]]  # depth → one error per seed


@dataclass(frozen=True)
class Control:
    """What became of the positive control of a claim.

    Attributes:
        passed: None where what it needs was not run.
        words: what was compared, or what is missing.
        is_needed: whether the claim needs one at all; if not, it counts as passed.
    """

    passed: bool | None
    words: Text
    is_needed: bool = True


NOTHING_IS_TRAINED = Control(
    True,
    {'en': 'not needed, because nothing is trained', 'zh': '不需要，因为不涉及训练'},
    is_needed=False,
)


def too_shallow(depth: int | None, where: Mapping[str, Condition] | None = None) -> Contrast | None:
    """A contrast behind a barrier where the deepest network has fewer layers than `DEEP`."""
    if depth is not None and depth >= DEEP:
        return None
    words = {
        'en': f'it takes networks of {DEEP} layers or more, and these have {depth}',
        'zh': f'需要不少于 {DEEP} 层的网络，而这里只有 {depth} 层',
    }
    return barred(Status.NOT_MEASURED, words, where)


def frequent_failures(failed: int, n: int, depth: int) -> Text | None:
    """Why it is not excluded that a network often fails to train; None where it is.

    The bound on the probability of a failure is that of Clopper and Pearson (see `verdict`).
    """
    if not (found := _not_excluded(failed, n)):
        return None
    bound, needed = found
    return {
        'en': f'depth {depth} failed to train in {failed} of {n} runs, which leaves a probability '
        f'of failure of up to {100 * bound:.0f} %; {needed} runs without another failure would '
        'exclude a third',
        'zh': f'深度 {depth} 的 {n} 次训练中有 {failed} 次失败，失败概率的上限为 '
        f'{100 * bound:.0f}%；共 {needed} 次且不再失败才能排除三分之一',
    }


def frequent(seen: int, n: int, what: Text) -> Text | None:
    """Why it is not excluded that something happens in a third of the runs; None where it is.

    Args:
        seen: the number of runs in which it has happened.
        n: the number of runs.
        what: what happens, as a clause: 'plain-44 does not reach 5 %'.
    """
    if not (found := _not_excluded(seen, n)):
        return None
    bound, needed = found
    return {
        'en': f'{what["en"]} in {seen} of {n} runs, which leaves a probability of up to '
        f'{100 * bound:.0f} %; {needed} runs without another case would exclude a third',
        'zh': f'{n} 次训练中有 {seen} 次{what["zh"]}，其概率的上限为 {100 * bound:.0f}%；'
        f'共 {needed} 次且不再出现才能排除三分之一',
    }


def _not_excluded(seen: int, n: int) -> tuple[float, int] | None:
    """The bound on a probability and the runs that would exclude a third; None where it is."""
    level = 1 - SIGNIFICANCE
    bound = proportion_bound(seen, n, level)
    if bound < TOLERATED_FAILURES:
        return None
    return bound, seeds_to_rule_out(seen, n, TOLERATED_FAILURES, level)


def failure_probability(failed: int, n: int) -> Text:
    """The probability that a run fails to train, as an interval of Clopper and Pearson."""
    interval = proportion_interval(failed, n, CONFIDENCE)
    low, high = (f'{100 * end:.0f}' for end in interval)
    return {
        'en': f'probability of failure: {percent_interval(interval)}',
        'zh': f'失败概率的 {100 * CONFIDENCE:g}% 区间为 {low}% 至 {high}%',
    }


def residual(errors: Errors, num_classes: int) -> Control:
    """Whether the deepest residual network trains: it fits no worse than the shallowest one."""
    if len(errors) < 2:
        return Control(
            None,
            {
                'en': 'residual networks of two depths were not run',
                'zh': '没有运行两种深度的残差网络',
            },
        )
    return _compared('resnet', errors, min(errors), max(errors), num_classes)


def plain(errors: Errors, num_classes: int) -> Control:
    """Whether the second plain network, plain-20 as a rule, fits no worse than the shallowest."""
    depths = sorted(errors)
    if len(depths) < 3:
        return Control(
            None,
            {
                'en': 'plain networks of two depths below the deepest were not run',
                'zh': '除最深的普通网络外，没有运行另外两种较浅的深度',
            },
        )
    return _compared('plain', errors, depths[0], depths[1], num_classes)


def both(first: Control, second: Control) -> Control:
    """A control that is passed where two are, and missing where one is."""
    answers = {first.passed, second.passed}
    passed = None if None in answers else answers == {True}
    decisive = [each for each in (first, second) if each.passed is passed]
    join = {'en': '; ', 'zh': '；'}
    return Control(
        passed, {code: join[code].join(each.words[code] for each in decisive) for code in join}
    )


def _compared(family: str, errors: Errors, low: int, high: int, num_classes: int) -> Control:
    shallow, deep = fmean(errors[low]), fmean(errors[high])
    passed = shallow < failing_error(num_classes) and deep <= shallow + CONTROL_MARGIN
    name = _NAMES[family]
    n = min(len(errors[low]), len(errors[high]))
    if passed:
        said = {'en': 'trains', 'zh': '能够训练'}
    elif deep >= failing_error(num_classes):
        said = {'en': 'does not train', 'zh': '未能训练'}
    elif deep <= shallow + CONTROL_MARGIN:
        said = {'en': 'fits no better than one that does not train', 'zh': '不比未能训练的网络更好'}
    else:
        said = {
            'en': f'fits worse by more than {CONTROL_MARGIN:g} points',
            'zh': f'拟合较差，相差超过 {CONTROL_MARGIN:g} 个百分点',
        }
    return Control(
        passed,
        {
            'en': f'{name["en"]}-{high} {said["en"]}: its training error is {deep:.1f} %, that of '
            f'{name["en"]}-{low} {shallow:.1f} % (n = {n})',
            'zh': f'{high} 层{name["zh"]}{said["zh"]}：训练误差为 {deep:.1f}%，{low} 层为 '
            f'{shallow:.1f}%（n = {n}）',
        },
    )
