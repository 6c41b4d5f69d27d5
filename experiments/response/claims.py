"""The claims about responses, with their margin.

The margin was fixed before anybody looked at responses. The unit is the seed, by which networks are
paired; the layers of a network give one number, their mean.
"""

from collections.abc import Iterator
from statistics import fmean

from experiments.response.analysis import COMPARED, ResponseVerdict, ratios
from vggres.findings import controls
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import SEEDS, Contrast, Status, barred, below, sample
from vggres.findings.controls import Control
from vggres.results import Result

# "Smaller" means by a twentieth at least. The curves of He et al., Fig. 7, differ by more at most
# layers, and the eye would call less than that equal.
SMALLER = 0.95


def _contrast(evidence: Evidence, of: tuple[str, int], to: tuple[str, int]) -> list[Contrast]:
    verdict: ResponseVerdict = evidence.verdict
    failed = [n for n in verdict.networks if (n.variant, n.depth) in (of, to) and n.failed]
    if failed:
        words = {
            'en': f'{len(failed)} of the runs that are compared failed to train',
            'zh': f'所比较的训练中有 {len(failed)} 次失败',
        }
        return [barred(Status.BUDGET, words)]
    found = sample(ratios(verdict.networks, of, to))
    return [below(found, SMALLER)] if found else []


def _smaller(evidence: Evidence) -> list[Contrast]:
    return _contrast(evidence, ('resnet', COMPARED), ('plain', COMPARED))


def _deeper(evidence: Evidence) -> list[Contrast]:
    deepest = max(evidence.planned.get('resnet', {0}))
    shallow = controls.too_shallow(deepest)
    if shallow:
        return [shallow]
    return _contrast(evidence, ('resnet', deepest), ('resnet', COMPARED))


def _errors(evidence: Evidence, variant: str) -> dict[int, list[float]]:
    errors: dict[int, list[float]] = {}
    for run in evidence.results:
        if run.variant == variant:
            errors.setdefault(run.depth, []).append(run.train_error)
    return errors


def _classes(results: list[Result]) -> int:
    return results[0].num_classes if results else 0


def _residual(evidence: Evidence) -> Control:
    return controls.residual(_errors(evidence, 'resnet'), _classes(list(evidence.results)))


def _both(evidence: Evidence) -> Control:
    plain = controls.plain(_errors(evidence, 'plain'), _classes(list(evidence.results)))
    return controls.both(_residual(evidence), plain)


def _other_depths(evidence: Evidence) -> Iterator[Description]:
    """The ratio of residual and plain networks at the other depths."""
    verdict: ResponseVerdict = evidence.verdict
    for depth in sorted(evidence.planned.get('resnet', ())):
        found = ratios(verdict.networks, ('resnet', depth), ('plain', depth))
        if depth != COMPARED and found:
            yield Description(
                what={
                    'en': 'response of the residual network over that of the plain one, '
                    'also where the plain one failed to train',
                    'zh': '残差网络与普通网络的响应之比，包括普通网络未能训练的情况',
                },
                where={'depth': depth},
                value=fmean(found),
                n=len(found),
                counted=SEEDS,
            )


_FIGURE = Picture(
    'responses',
    {
        'en': 'Standard deviations of the responses of the layers after training.',
        'zh': '训练后各层响应的标准差。',
    },
)

CLAIMS = (
    Claim(
        key='response',
        sentence={
            'en': 'Residual networks have smaller responses than their plain counterparts.',
            'zh': '残差网络的响应小于对应的普通网络。',
        },
        source={
            'en': 'He et al. 2015, §4.2, Fig. 7',
            'zh': 'He 等人 2015 年，第 4.2 节、图 7',
        },
        sweep='response',
        contrasts=_smaller,
        control=_both,
        factors=(),
        quantity={
            'en': 'Standard deviation of the response, the mean over the 3×3 layers, of '
            f'ResNet-{COMPARED} over that of plain-{COMPARED}, seed by seed, after training',
            'zh': '训练后 3×3 层响应的标准差（各层的平均）：残差网络与普通网络'
            f'（{COMPARED} 层）之比，逐个种子计算',
        },
        unit={'en': '(ratio)', 'zh': '（比值）'},
        criterion={
            'en': f'The claim is true below {SMALLER:g} and false above it: a smaller difference '
            f'than a twentieth could not be seen in the published figure. Networks of {COMPARED} '
            'layers are compared, because both kinds train.',
            'zh': f'小于 {SMALLER:g} 为真，大于它为假：小于二十分之一的差别在原图中看不出来。'
            f'比较 {COMPARED} 层的网络，因为两者都能训练。',
        },
        counted=SEEDS,
        figure=_FIGURE,
        describe=_other_depths,
    ),
    Claim(
        key='response_with_depth',
        sentence={
            'en': 'Deeper residual networks have smaller responses.',
            'zh': '残差网络越深，响应越小。',
        },
        source={
            'en': 'He et al. 2015, §4.2, Fig. 7',
            'zh': 'He 等人 2015 年，第 4.2 节、图 7',
        },
        sweep='response',
        contrasts=_deeper,
        control=_residual,
        factors=(),
        quantity={
            'en': 'Standard deviation of the response, the mean over the 3×3 layers, of the '
            f'deepest ResNet over that of ResNet-{COMPARED}, seed by seed, after training',
            'zh': '训练后 3×3 层响应的标准差（各层的平均）：最深的残差网络与 '
            f'{COMPARED} 层残差网络之比，逐个种子计算',
        },
        unit={'en': '(ratio)', 'zh': '（比值）'},
        criterion={
            'en': f'The claim is true below {SMALLER:g} and false above it, as for plain networks.',
            'zh': f'小于 {SMALLER:g} 为真，大于它为假，与普通网络的比较相同。',
        },
        counted=SEEDS,
        figure=_FIGURE,
    ),
)
