"""The words of the claims page, one table per language.

The claims bring their own sentences; these tables hold what all pages share: headings, statuses,
conditions, and how numbers and lists of them are put.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vggres.findings.claims import Condition, Finding, Status, Word


@dataclass(frozen=True)
class SweepProtocol:
    """What the findings of a sweep hold for.

    Attributes:
        finished: cells with a result.
        cells: all cells of the grid.
        data: the name of the data set.
        epochs: of each run; 0 where `steps` are given.
        steps: updates of each run; 0 where `epochs` are given.
        depths: of the grid.
        seeds: the lowest and the highest number of runs of a network.
        learning_rate: the only one.
    """

    finished: int
    cells: int
    data: str
    epochs: int
    steps: int
    depths: Sequence[int]
    seeds: tuple[int, int]
    learning_rate: float


@dataclass(frozen=True)
class Language:
    """The words of one language.

    Attributes:
        code: of HTML, and the key of a `claims.Text`.
        title: of the page.
        headings: of the table: claim, source, verdict, measured, n.
        statuses: by status; conditions follow where there are any.
        labels: each condition as a label of a case.
        conditions: each condition as a part of a sentence.
        depth: the label and the condition of a depth, with a gap for the number.
        figures: the heading above the figures.
        caption: in front of the claims that a figure bears on.
        origin: in front of the address of the report that a figure is taken from.
        quotes: around a claim.
        colon: between a quantity and its cases.
        comma: between the labels of a case.
        semicolon: between cases.
        stop: at the end of a sentence that another one follows.
        either: between conditions any of which will do.
        within: between what these conditions share and what they do not.
        pair: between the parts of one condition.
        to: between the ends of an interval.
        vanishes: instead of a number that is below the smallest float32.
        diverged: instead of a number where the run diverged before it was measured.
        run: before the command that would measure a claim.
        note: says what a sweep's findings hold for.
    """

    code: str
    title: str
    headings: tuple[str, str, str, str, str]
    statuses: Mapping[Status, str]
    labels: Mapping[Word, str]
    conditions: Mapping[Word, str]
    depth: str
    figures: str
    caption: str
    origin: str
    quotes: tuple[str, str]
    colon: str
    comma: str
    semicolon: str
    stop: str
    either: str
    within: str
    pair: str
    to: str
    vanishes: str
    diverged: str
    run: str
    note: Callable[[str, SweepProtocol], str]

    def label(self, condition: Condition) -> str:
        """A condition as a label of a case."""
        if isinstance(condition, int):
            return self.depth.format(condition)
        return self.labels[condition]

    def quoted(self, sentences: Sequence[str]) -> str:
        """Some claims, quoted because nothing here says whether they hold."""
        first, last = self.quotes
        return ' '.join(f'{first}{sentence}{last}' for sentence in sentences)

    def condition(self, condition: Condition) -> str:
        """A condition as a part of a sentence."""
        if isinstance(condition, int):
            return self.depth.format(condition)
        return self.conditions[condition]


_MOMENTS = (Word.BEFORE_TRAINING, Word.DURING_TRAINING, Word.AFTER_TRAINING)


def verdict_words(finding: Finding, language: Language) -> str:
    """The status of a claim with its conditions: 'holds only during training'.

    What all conditions have in common is said once, in front.
    """
    status = language.statuses[finding.status]
    if not finding.conditions:
        return status
    parts = [_moments_first(condition) for condition in finding.conditions]
    shared = [each for each in parts[0] if all(each in condition for condition in parts)]
    left = [[each for each in condition if each not in shared] for condition in parts]
    several = _either(left, language) if all(left) else ''
    if not shared:
        return status + several
    once = language.pair.join(map(language.condition, shared))
    return f'{status}{once}{language.within}{several}' if several else status + once


def _moments_first(condition: Sequence[Condition]) -> list[Condition]:
    return sorted(condition, key=lambda each: each not in _MOMENTS)


def _either(conditions: Sequence[Sequence[Condition]], language: Language) -> str:
    said = (language.pair.join(map(language.condition, each)) for each in conditions)
    return language.either.join(said)


def _counted(number: int, one: str, several: str) -> str:
    return f'{number:,} {one if number == 1 else several}'


def _english_note(sweep: str, protocol: SweepProtocol) -> str:
    length = (
        _counted(protocol.epochs, 'epoch', 'epochs')
        if protocol.epochs
        else _counted(protocol.steps, 'update', 'updates')
    )
    depths = ', '.join(map(str, protocol.depths))
    low, high = protocol.seeds
    seeds = _counted(high, 'seed', 'seeds') if low == high else f'{low} to {high} seeds'
    return (
        f'{sweep}: {protocol.finished} of {_counted(protocol.cells, "cell", "cells")} finished, on '
        f'{protocol.data}, {length} per run, {"depth" if len(protocol.depths) == 1 else "depths"} '
        f'{depths}, {seeds} per network, one learning rate, '
        f'{protocol.learning_rate:g}.'
    )


def _chinese_note(sweep: str, protocol: SweepProtocol) -> str:
    length = f'{protocol.epochs:,} 轮' if protocol.epochs else f'{protocol.steps:,} 次更新'
    low, high = protocol.seeds
    seeds = f'{high}' if low == high else f'{low} 至 {high}'
    return (
        f'{sweep}：数据集 {protocol.data}，已完成 {protocol.finished} / {protocol.cells} 个单元，'
        f'每次训练 {length}，深度 {"、".join(map(str, protocol.depths))}，'
        f'每个网络 {seeds} 个随机种子，只用一种学习率 {protocol.learning_rate:g}。'
    )


ENGLISH = Language(
    code='en',
    title='The story, claim by claim',
    headings=('claim', 'source', 'verdict', 'measured', 'n'),
    statuses={
        Status.HOLDS: 'holds',
        Status.FAILS: 'does not hold',
        Status.ONLY_IF: 'holds only ',
        Status.HOLDS_IF: 'holds at least ',
        Status.UNDECIDED: 'undecided',
        Status.NOT_MEASURED: 'not measured',
    },
    labels={
        Word.VGG: 'VGG networks',
        Word.PLAIN: 'plain networks',
        Word.RESNET: 'residual networks',
        Word.BATCH_NORM: 'batch norm',
        Word.NO_NORM: 'no norm',
        Word.HE: 'He initialisation',
        Word.GLOROT: 'Glorot initialisation',
        Word.SMALL_NORMAL: 'VGG initialisation',
        Word.BEFORE_TRAINING: 'before training',
        Word.DURING_TRAINING: 'during training',
        Word.AFTER_TRAINING: 'after training',
        Word.POSTACTIVATION: 'postactivation blocks',
        Word.POSTACTIVATION_WITHOUT_RELU: 'postactivation blocks without their final ReLU',
        Word.PREACTIVATION: 'preactivation blocks',
        Word.ALL_DEPTHS: 'among networks of all depths',
        Word.ONE_DEPTH: 'among networks of one depth',
    },
    conditions={
        Word.VGG: 'for VGG networks',
        Word.PLAIN: 'for plain networks',
        Word.RESNET: 'for residual networks',
        Word.BATCH_NORM: 'with batch norm',
        Word.NO_NORM: 'without a norm',
        Word.HE: 'with He initialisation',
        Word.GLOROT: 'with Glorot initialisation',
        Word.SMALL_NORMAL: 'with VGG initialisation',
        Word.BEFORE_TRAINING: 'before training',
        Word.DURING_TRAINING: 'during training',
        Word.AFTER_TRAINING: 'after training',
        Word.POSTACTIVATION: 'for postactivation blocks',
        Word.POSTACTIVATION_WITHOUT_RELU: (
            'for postactivation blocks if the final ReLU is excluded'
        ),
        Word.PREACTIVATION: 'for preactivation blocks',
        Word.ALL_DEPTHS: 'among networks of all depths',
        Word.ONE_DEPTH: 'among networks of one depth',
    },
    depth='at depth {}',
    figures='Figures',
    caption='This figure bears on:',
    origin='Source:',
    quotes=('“', '”'),
    colon=': ',
    comma=', ',
    semicolon='; ',
    stop='. ',
    either=', or ',
    within=': ',
    pair=' ',
    to=' to ',
    vanishes='vanishes',
    diverged='diverged',
    run='To measure it, run',
    note=_english_note,
)
CHINESE = Language(
    code='zh',
    title='逐条检验流行的解释',
    headings=('说法', '出处', '结论', '测量结果', 'n'),
    statuses={
        Status.HOLDS: '成立',
        Status.FAILS: '不成立',
        Status.ONLY_IF: '仅在以下情形成立：',
        Status.HOLDS_IF: '至少在以下情形成立：',
        Status.UNDECIDED: '未定',
        Status.NOT_MEASURED: '未测量',
    },
    labels={
        Word.VGG: 'VGG 网络',
        Word.PLAIN: '普通网络',
        Word.RESNET: '残差网络',
        Word.BATCH_NORM: '批归一化',
        Word.NO_NORM: '无归一化',
        Word.HE: 'He 初始化',
        Word.GLOROT: 'Glorot 初始化',
        Word.SMALL_NORMAL: 'VGG 初始化',
        Word.BEFORE_TRAINING: '训练前',
        Word.DURING_TRAINING: '训练中',
        Word.AFTER_TRAINING: '训练后',
        Word.POSTACTIVATION: '后激活块',
        Word.POSTACTIVATION_WITHOUT_RELU: '后激活块（不计末端 ReLU）',
        Word.PREACTIVATION: '预激活块',
        Word.ALL_DEPTHS: '所有深度的网络之间',
        Word.ONE_DEPTH: '同一深度的网络之间',
    },
    conditions={
        Word.VGG: 'VGG 网络',
        Word.PLAIN: '普通网络',
        Word.RESNET: '残差网络',
        Word.BATCH_NORM: '有批归一化',
        Word.NO_NORM: '无归一化',
        Word.HE: '采用 He 初始化',
        Word.GLOROT: '采用 Glorot 初始化',
        Word.SMALL_NORMAL: '采用 VGG 初始化',
        Word.BEFORE_TRAINING: '训练前',
        Word.DURING_TRAINING: '训练中',
        Word.AFTER_TRAINING: '训练后',
        Word.POSTACTIVATION: '后激活块',
        Word.POSTACTIVATION_WITHOUT_RELU: '不计末端 ReLU 的后激活块',
        Word.PREACTIVATION: '预激活块',
        Word.ALL_DEPTHS: '所有深度的网络之间',
        Word.ONE_DEPTH: '同一深度的网络之间',
    },
    depth='深度 {}',
    figures='图',
    caption='本图所涉及的说法：',
    origin='来源：',
    quotes=('“', '”'),
    colon='：',
    comma='，',
    semicolon='；',
    stop='。',
    either='；或',
    within='，且满足其一：',
    pair='且',
    to=' 至 ',
    vanishes='消失',
    diverged='发散',
    run='测量方法：运行',
    note=_chinese_note,
)
LANGUAGES = (ENGLISH, CHINESE)
