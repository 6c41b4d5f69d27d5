"""Does a residual network need batch norm, or only branches that start small?

De & Smith 2020 (arXiv 2002.10444) say that batch norm makes deep residual networks trainable
because it makes each residual branch small before training: the shortcut's variance grows from
block to block, the normalised branch adds a constant variance, so that the branch of block l
contributes about 1/√l. Then a factor α of the branch that is learned and starts at 0 or at 1/√L
(SkipInit, §4) should do without the norm, and one that starts at 1 should not. ReZero (Bachlechner
et al. 2020, arXiv 2003.04887) is the same formula, x + α·F(x) with a learned α that starts at 0.
Both papers have the same network where there is no norm, so that it is one arm here. Fixup (Zhang,
Dauphin & Ma 2019, arXiv 1901.09321, §3) keeps a factor of 1 and scales the weights of the branch
instead (see `initialisation.fixup_factor`).

Each arm trains at its own fastest constant rate until its training error is 5 %, and the updates
are counted on fresh seeds. The untreated network is the residual one without a norm, the control
the residual one with it. Plain networks stand beside them: a norm that is taken away is no matter
of shortcuts alone.

The claim would be refuted by a residual network whose branches start at 0, at its best rate, that
needs at least twice the updates of the one with batch norm.
"""

from collections.abc import Iterator, Mapping

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres.findings import cure_claims, cures_telling
from vggres.findings.claims import Picture
from vggres.findings.cures_telling import ArmsVerdict
from vggres.results import Result
from vggres.sweeps import arms
from vggres.sweeps.sweep import Sweep

TITLE = 'Residual networks without batch norm'
CLAIM = (
    'A residual network without a norm trains as fast as one with batch norm, if its residual '
    'branches start small.'
)
SOURCE = (
    'De & Smith 2020, Batch Normalization Biases Residual Blocks Towards the Identity Function '
    '(arXiv 2002.10444), §4; Bachlechner et al. 2020, ReZero is All You Need (arXiv 2003.04887); '
    'Zhang, Dauphin & Ma 2019, Fixup Initialization (arXiv 1901.09321)'
)
CONTROL, UNTREATED = 'resnet', 'resnet, no norm'
SMALL = 'resnet, SkipInit from 0'
_NO_NORM: Mapping[str, object] = {'model.family': 'resnet', 'model.norm': 'none'}
_LEARNED = _NO_NORM | {'model.shortcut.learned_branch_scale': True}
ARMS: arms.Arms = {
    CONTROL: {'model.family': 'resnet'},
    UNTREATED: _NO_NORM,
    SMALL: _LEARNED | {'model.shortcut.branch_scale': 0.0},
    'resnet, SkipInit from 1/√L': _LEARNED | {'model.shortcut.branch_scale_by_depth': True},
    'resnet, SkipInit from 1': _LEARNED,
    'resnet, Fixup': _LEARNED | {'init.scheme': 'fixup'},
    'plain': {'model.family': 'plain'},
    'plain, no norm': {'model.family': 'plain', 'model.norm': 'none'},
}
_REFERENCES = (CONTROL, UNTREATED, 'plain', 'plain, no norm')
TREATED = {arm: (UNTREATED, CONTROL) for arm in ARMS if arm not in _REFERENCES}
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
        f'Updates to {verdict.target} % training error of residual networks without a norm, each '
        'at its own fastest constant rate. Each dot is one run, an arrow one that the budget '
        'ended.'
    )
    return cures_telling.figures(verdict, 'updates_without_norm', caption)


CLAIMS = (
    cure_claims.claim(
        SMALL,
        key='small_branches',
        sentence={
            'en': 'A residual network without a norm trains as well as one with batch norm if its '
            'residual branches start at zero.',
            'zh': '若残差分支从零开始，没有归一化层的残差网络与带批归一化的训练得一样好。',
        },
        source={
            'en': 'De & Smith 2020, §4; Bachlechner et al. 2020',
            'zh': 'De 与 Smith 2020 年第 4 节；Bachlechner 等人 2020 年',
        },
        sweep='without_norm',
        figure=Picture(
            'updates_without_norm',
            {
                'en': 'Updates to a training error of networks with and without a norm, each at '
                'its own fastest constant rate. An arrow is a run that the budget ended.',
                'zh': '有无归一化层的网络达到某一训练误差所需的更新次数，每个网络取各自最快的恒定'
                '学习率；箭头是预算用尽的训练。',
            },
        ),
    ),
)
