"""The primary contrasts of a claim about plain beside residual networks before training.

The claim is about weights before training, of which theory speaks: n counts draws of them. What
becomes of the networks in training is descriptive.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from vggres.findings.before_after import (
    AFTER,
    BEFORE,
    NORMS,
    AnyDifference,
    Found,
    Network,
    all_draws,
    groups,
)
from vggres.findings.claims import Description
from vggres.findings.contrasts import (
    FAMILIES,
    NETWORKS,
    Condition,
    Contrast,
    Status,
    Text,
    Word,
    above,
    barred,
    sample,
)
from vggres.findings.contrasts import NORMS as NORM_WORDS
from vggres.findings.controls import too_shallow

MOMENT_WORDS = {BEFORE: Word.BEFORE_TRAINING, AFTER: Word.AFTER_TRAINING}


def deepest_above(
    networks: Sequence[Network],
    differences: Sequence[AnyDifference],
    margin: float,
    finite: Text,
    prediction: Callable[[AnyDifference], float | None] = lambda _: None,
) -> list[Contrast]:
    """Whether the difference of the deepest networks before training is above a margin, by norm.

    Args:
        networks: all of the sweep.
        differences: between plain and residual networks.
        margin: above it the claim is true, and below it false.
        finite: what has to be finite in both networks: 'features' in each language.
        prediction: difference → what a closed form gives for it.

    Returns:
        One contrast for each norm that networks have.
    """
    contrasts = []
    for norm in NORMS:
        where: dict[str, Condition] = {'norm': NORM_WORDS[norm]}
        depth = max((n.depth for n in networks if n.norm == norm), default=None)
        if depth is None:
            continue
        found = [d for d in differences if (d.norm, d.depth, d.moment) == (norm, depth, BEFORE)]
        if shallow := too_shallow(depth, where):
            contrasts.append(shallow)
        elif values := sample(found[0].values) if found else None:
            contrasts.append(above(values, margin, where, prediction(found[0])))
        else:
            words = {
                'en': f'plain and residual networks of depth {depth} with finite {finite["en"]}',
                'zh': f'缺少深度为 {depth}、{finite["zh"]}有限的普通网络与残差网络',
            }
            contrasts.append(barred(Status.NOT_MEASURED, words, where))
    return contrasts


def deepest_described(
    networks: Sequence[Network[Found]], what: Text, values: Callable[[Found], Sequence[float]]
) -> Iterator[Description]:
    """The mean of a number in each kind of the deepest networks, before training and after it.

    Args:
        networks: all of the sweep.
        what: the number is, in each language.
        values: the number for each draw of the weights.
    """
    deepest = max((n.depth for n in networks), default=0)
    kinds = groups([n for n in networks if n.depth == deepest])
    for moment, word in MOMENT_WORDS.items():
        for group in kinds:
            if group.moment == moment:
                numbers = all_draws(group.found, values)
                yield Description(
                    what=what,
                    where={
                        'family': FAMILIES[group.family],
                        'norm': NORM_WORDS[group.norm],
                        'when': word,
                        'depth': deepest,
                    },
                    value=fmean(numbers),
                    n=len(numbers),
                    counted=NETWORKS,
                )
