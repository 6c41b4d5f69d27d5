"""What does the optimiser have to be spared, so that a deep plain network trains?

The popular story says that gradients shrink on their way back, so that the first layers of a deep
plain network hardly learn. If the sizes of gradients along depth are the cause, then equalising
them is a cure, and the direction of the update, which is all that is left, suffices. Each arm
changes one thing in the update of a plain network, and the same thing in that of the residual
network of the same depth, where nothing has to be cured and the treatment may do harm:

    equal gradients     the gradients of all layers get the same norm
    relative updates    each update changes every layer by the same part of its norm (LARS)
    clipped             the norm of the whole gradient is at most 1 (Pascanu et al. 2013)
    long warm-up        the learning rate rises over a quarter of the budget
    first layers frozen
    last layers frozen  a third of the layers stay at their random weights

Every arm has its own best rate: the one of the grid at which it reaches 5 % training error with the
fewest updates, on tuning seeds. Fresh seeds are counted at that rate (see `vggres.sweeps.arms`).

The sentence "it is the size of the gradients along depth" would be refuted by a plain network that
stays slow with equal gradients. "The first layers do not learn" would be refuted by one that is no
slower where they cannot learn at all. A frozen third that makes the network faster says that its
training is in the way of the rest.

The default depth is 44: there the plain network needs about seven times the updates of the residual
one, and the sweep takes minutes. Give --config.sweep.depths='(56,)' and --config.train.steps=1500
for the depth of He et al.
"""

from collections.abc import Iterator

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres.config import Config
from vggres.errors import UserError
from vggres.findings import cure_claims, cures_telling
from vggres.findings.claims import Picture
from vggres.findings.cures_telling import ArmsVerdict
from vggres.results import Result
from vggres.sweeps import arms
from vggres.sweeps.sweep import Sweep

TITLE = 'Interventions into the updates of single layers'
CLAIM = (
    'What slows deep plain networks down is the size of their gradients along depth: with '
    'gradients of equal size in all layers they train as fast as residual networks.'
)
SOURCE = (
    'the popular explanation of residual networks; against it He et al. 2015, Deep Residual '
    'Learning for Image Recognition, §4.1 (arXiv 1512.03385)'
)
VARIES = ('optimizer.learning_rate',)

_CLIPPED_AT = 1.0
_LONG_WARMUP = 0.25  # of the budget
_FROZEN_PART = 3  # one in so many layers
UNTREATED, CONTROL = 'plain', 'resnet'
_EQUAL = f'{UNTREATED}, equal gradients'

words, tables = cures_telling.words, cures_telling.tables
in_short = cures_telling.in_short


def defaults(config: ConfigDict) -> dict[str, object]:
    """One depth, three seeds, a wide grid of rates; a run ends at 5 % training error."""
    return arms.defaults(config) | {
        'sweep.families': (UNTREATED, CONTROL),
        'sweep.depths': (44,),
        'sweep.rates': (*arms.RATES, 1.0),
    }


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """The first stage: each arm at each rate, on tuning seeds.

    Raises:
        UserError: for other families, and for treatments that are part of the configuration.
    """
    if set(config.sweep.families) != {UNTREATED, CONTROL}:
        raise UserError(
            'this sweep compares plain networks with residual ones: leave sweep.families at '
            f'({UNTREATED!r}, {CONTROL!r}).'
        )
    optimizer = config.optimizer
    treated = {
        'clip_norm': optimizer.clip_norm,
        'layerwise': optimizer.layerwise != 'none',
        'frozen_first': optimizer.frozen_first,
        'frozen_last': optimizer.frozen_last,
    }
    for knob, is_given in treated.items():
        if is_given:
            raise UserError(f'this sweep sets optimizer.{knob} itself, arm by arm: leave it out.')
    return arms.first_cells(config, all_arms(config))


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The tuning runs that are still wanted, and the fresh seeds of arms with a rate."""
    return arms.next_cells(sweep, all_arms(sweep.config))


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at the rate of each arm."""
    return arms.judged_runs(sweep, all_arms(sweep.config))


def analyse(sweep: Sweep) -> ArmsVerdict:
    """Judges each treatment by the updates that it saves."""
    return arms.verdict(sweep, all_arms(sweep.config), judged_by(sweep.config))


def figures(sweep: Sweep, verdict: ArmsVerdict) -> dict[str, tuple[Figure, str]]:
    """The updates of each arm; nothing before the first one was judged."""
    caption = (
        f'Updates to {verdict.target} % training error of each arm, at its own fastest constant '
        'rate. Each dot is a run of a fresh seed, each bar a median; the dotted line is the budget.'
    )
    return cures_telling.figures(verdict, 'updates_by_treatment', caption)


def treatments(config: Config) -> dict[str, dict[str, object]]:
    """The knobs of each treatment, by its name."""
    frozen = max(1, min(config.sweep.depths, default=0) // _FROZEN_PART)
    return {
        'equal gradients': {'optimizer.layerwise': 'equal_gradients'},
        'relative updates': {'optimizer.layerwise': 'relative_updates'},
        'clipped': {'optimizer.clip_norm': _CLIPPED_AT},
        'long warm-up': {'optimizer.warmup_fraction': _LONG_WARMUP},
        'first layers frozen': {'optimizer.frozen_first': frozen},
        'last layers frozen': {'optimizer.frozen_last': frozen},
    }


def all_arms(config: Config) -> arms.Arms:
    """The knobs of each arm, by its name: both families, untreated and with each treatment."""
    families = {name: {'model.family': name} for name in (UNTREATED, CONTROL)}
    return families | {
        f'{name}, {treatment}': own | knobs
        for name, own in families.items()
        for treatment, knobs in treatments(config).items()
    }


def judged_by(config: Config) -> dict[str, tuple[str, str]]:
    """Of each treated arm the untreated one and the control."""
    return {
        f'{name}, {treatment}': (name, CONTROL)
        for name in (UNTREATED, CONTROL)
        for treatment in treatments(config)
    }


CLAIMS = (
    cure_claims.claim(
        _EQUAL,
        key='gradient_size',
        sentence={
            'en': 'What slows deep plain networks down is the size of their gradients along depth: '
            'with gradients of equal size in all layers they train as fast as residual networks.',
            'zh': '使深层普通网络变慢的是梯度大小沿深度的变化：'
            '若各层梯度大小相等，它们就与残差网络训练得一样快。',
        },
        source={
            'en': 'the popular explanation, turned into an intervention',
            'zh': '通行的解释，改写为一项干预',
        },
        sweep='surgery',
        figure=Picture(
            'updates_by_treatment',
            {
                'en': 'Updates to a training error under each intervention, each network at its '
                'own fastest rate.',
                'zh': '每种干预下达到某一训练误差所需的更新次数，每个网络取各自最快的学习率。',
            },
        ),
    ),
)
