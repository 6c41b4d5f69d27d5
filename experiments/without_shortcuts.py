"""Is the shortcut the only cure of deep plain networks, or does another activation do?

Zhang, Botev & Martens 2022 ("Deep Learning without Shortcuts: Shaping the Kernel with Tailored
Rectifiers", arXiv 2203.08120) say that deep networks without shortcuts are slow because ReLU turns
the features of all images into one direction before training, and that a leaky ReLU whose slope
follows the depth by a closed form prevents it (see `networks.activation`). Their networks train
nearly as fast as residual ones, with K-FAC, and less fast with SGD (§5). Xiao et al. 2018 (arXiv
1806.05393) train tanh networks of 10,000 layers without shortcuts and norms, from delta-orthogonal
weights. RepVGG (Ding et al. 2021, arXiv 2101.03697) has shortcuts while it trains, which are
fused into its convolutions afterwards (see `networks.reparameterisation`).

Each arm trains at its own fastest constant rate until its training error is 5 %, and the updates
are counted on fresh seeds. The untreated network is the plain one, the control the residual one of
the same depth; both have batch norm and ReLU. The primary arm changes the activation and nothing
else. The closed form holds for networks without a norm, so that arms without one stand beside it,
with weights of variance 1/(fan in), which the papers' activations are made for.

The claim would be refuted by a plain network with tailored rectifiers that, at its best rate, needs
at least twice the updates of the residual network.
"""

from collections.abc import Iterator, Mapping
from itertools import product

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres.findings import cure_claims, cures_telling
from vggres.findings.claims import Picture
from vggres.findings.cures_telling import ArmsVerdict
from vggres.results import Result
from vggres.sweeps import arms
from vggres.sweeps.sweep import Sweep

TITLE = 'Deep networks without shortcuts'
CLAIM = (
    'A shortcut is not the only cure: with rectifiers that are tailored to the depth, a deep plain '
    'network trains as fast as a residual one.'
)
SOURCE = (
    'Zhang, Botev & Martens 2022, Deep Learning without Shortcuts (arXiv 2203.08120); Xiao et al. '
    '2018, Dynamical Isometry and a Mean Field Theory of CNNs (arXiv 1806.05393)'
)
CONTROL, UNTREATED = 'resnet', 'plain'
TAILORED = 'plain, tailored'
_PLAIN: Mapping[str, object] = {'model.family': 'plain'}
_ACTIVATIONS = {'tailored': 'tailored_relu', 'tanh': 'tanh'}
_NO_NORM: Mapping[str, object] = _PLAIN | {'model.norm': 'none'}
_SCHEMES = ('glorot', 'delta_orthogonal')  # weights of variance 1/(fan in), normal or orthogonal
ARMS: arms.Arms = {
    CONTROL: {'model.family': 'resnet'},
    UNTREATED: _PLAIN,
    **{f'plain, {name}': _PLAIN | {'model.activation': a} for name, a in _ACTIVATIONS.items()},
    'plain, RepVGG': _PLAIN | {'model.reparameterised': True},
    **{
        f'plain, {name}, no norm, {scheme}': _NO_NORM
        | {'model.activation': a, 'init.scheme': scheme}
        for (name, a), scheme in product(_ACTIVATIONS.items(), _SCHEMES)
    },
}
TREATED = {arm: (UNTREATED, CONTROL) for arm in ARMS if arm not in (CONTROL, UNTREATED)}
VARIES = arms.varied(ARMS)

defaults = arms.defaults
words, tables = cures_telling.words, cures_telling.tables
in_short = cures_telling.in_short


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """The first stage: the shallowest network of each arm at each rate."""
    return arms.first_cells(config, ARMS)


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The tuning runs that searches still want, and the fresh seeds of networks with a rate."""
    return arms.next_cells(sweep, ARMS)


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at the rate of each network."""
    return arms.judged_runs(sweep, ARMS)


def analyse(sweep: Sweep) -> ArmsVerdict:
    """Compares each treated network with the untreated one and the control."""
    return arms.verdict(sweep, ARMS, TREATED)


def figures(sweep: Sweep, verdict: ArmsVerdict) -> dict[str, tuple[Figure, str]]:
    """The updates of each arm."""
    caption = (
        f'Updates to {verdict.target} % training error of plain networks with other activations, '
        'each at its own fastest constant rate. Each dot is one run, an arrow one that the budget '
        'ended.'
    )
    return cures_telling.figures(verdict, 'updates_without_shortcuts', caption)


CLAIMS = (
    cure_claims.claim(
        TAILORED,
        key='tailored',
        sentence={
            'en': 'Activations that are tailored to the depth cure deep plain networks without a '
            'shortcut.',
            'zh': '按深度定制的激活函数无需捷径即可治愈深层普通网络。',
        },
        source={
            'en': 'Zhang, Botev & Martens 2022',
            'zh': 'Zhang、Botev 与 Martens 2022 年',
        },
        sweep='without_shortcuts',
        figure=Picture(
            'updates_without_shortcuts',
            {
                'en': 'Updates to a training error of plain networks with other activations and of '
                'residual ones, each at its own fastest constant rate. An arrow is a run that the '
                'budget ended.',
                'zh': '采用其他激活函数的普通网络与残差网络达到某一训练误差所需的更新次数，'
                '每个网络取各自最快的恒定学习率；箭头是预算用尽的训练。',
            },
        ),
    ),
)
