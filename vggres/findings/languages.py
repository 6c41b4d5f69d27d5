"""The words of the claims page, one table per language.

The claims bring their own sentences; these tables hold what all pages share: headings, statuses,
conditions, and how numbers are put.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vggres.findings.contrasts import CONFIDENCE, LEVEL, MAX_N, POWER, Condition, Status, Word


@dataclass(frozen=True)
class SweepProtocol:
    """What the findings of a sweep hold for.

    Attributes:
        finished: cells with a result.
        cells: all cells of the grid.
        data: the name of the data set.
        steps: the lowest and the highest number of updates of a run.
        depths: of the grid.
        seeds: the lowest and the highest number of runs of a network.
        learning_rates: all of them, ascending.
        commits: of the code that ran the cells, shortened.
        hardware: that they ran on.
    """

    finished: int
    cells: int
    data: str
    steps: tuple[int, int]
    depths: Sequence[int]
    seeds: tuple[int, int]
    learning_rates: Sequence[float]
    commits: Sequence[str]
    hardware: Sequence[str]


@dataclass(frozen=True)
class Language:
    """The words of one language.

    Attributes:
        code: of HTML, and the key of a `contrasts.Text`.
        titles: of the pages: 'claims', the popular story, and 'causes'.
        headings: of the table, in the order of `claims_page.Row.cells`.
        statuses: by status.
        labels: the conditions that something was measured under.
        numbered: the labels of conditions that are numbers, by factor, with a gap for the number.
        exploratory: marks a claim whose margin was chosen or amended after data were seen.
        exploratory_tag: the same in a word, beside a status.
        frozen: marks another one, with a gap for the commit.
        true_for: in front of the conditions under which a claim is true.
        false_for: in front of those under which it is false.
        details: unfolds what decides nothing.
        source: in front of a source.
        number: in front of what the primary number is.
        all_contrasts: in front of the primary contrast under each condition.
        descriptive: marks the numbers that decide nothing.
        answers: after a contrast: true, false, or None where it is not decided.
        equal: instead of an interval, with a gap for n.
        adjusted: says an adjusted p-value, with a gap for it.
        seeds: says n, with gaps for the number and for what it counts.
        more_needed: what would decide, with gaps for n and for what it counts.
        too_many: the same where n would be beyond `contrasts.MAX_N`.
        one_is_none: the same where n is 1.
        confirm: what an exploratory claim needs next.
        longer: what would decide where the budget is insufficient.
        more_room: the same for a floor.
        run: before the command that would measure a claim.
        passed: in front of a control that is passed.
        failed: in front of one that is not.
        missing: in front of one that was not run.
        figures: the heading above the figures.
        bears_on: after a caption, with a gap for the numbers of claims.
        origin: in front of the address of the report that a figure is taken from.
        colon: between a label and what it labels.
        comma: between the labels of a condition.
        semicolon: between numbers.
        stop: at the end of a sentence that another one follows.
        brackets: around a remark.
        to: between the ends of an interval.
        diverged: instead of a number where the run diverged before it was measured.
        method: a paragraph on how claims are judged.
        note: says what a sweep's findings hold for.
    """

    code: str
    titles: Mapping[str, str]
    headings: tuple[str, ...]
    statuses: Mapping[Status, str]
    labels: Mapping[Word, str]
    numbered: Mapping[str, str]
    exploratory: str
    exploratory_tag: str
    frozen: str
    true_for: str
    false_for: str
    details: str
    source: str
    number: str
    all_contrasts: str
    descriptive: str
    answers: Mapping[bool | None, str]
    equal: str
    adjusted: str
    seeds: str
    more_needed: str
    too_many: str
    one_is_none: str
    confirm: str
    longer: str
    more_room: str
    run: str
    passed: str
    failed: str
    missing: str
    figures: str
    bears_on: str
    origin: str
    colon: str
    comma: str
    semicolon: str
    stop: str
    brackets: tuple[str, str]
    to: str
    diverged: str
    method: str
    note: Callable[[str, SweepProtocol], str]

    def label(self, factor: str, condition: Condition) -> str:
        """A condition in words."""
        if isinstance(condition, int):
            return self.numbered[factor].format(condition)
        return self.labels[condition]

    def conditions(self, where: Mapping[str, Condition]) -> str:
        """All conditions of a measurement in words; '' where there are none."""
        return self.comma.join(self.label(*each) for each in where.items())


def _english_note(sweep: str, protocol: SweepProtocol) -> str:
    depths = ', '.join(map(str, protocol.depths))
    rates = ', '.join(f'{rate:g}' for rate in protocol.learning_rates)
    return (
        f'{sweep}: {protocol.finished} of {_counted(protocol.cells, "cell", "cells")} finished, on '
        f'{protocol.data}, {_from_to(protocol.steps, "update", "updates")} per run, '
        f'{"depth" if len(protocol.depths) == 1 else "depths"} {depths}, '
        f'{_from_to(protocol.seeds, "seed", "seeds")} per network, '
        f'{"learning rates" if len(protocol.learning_rates) > 1 else "one learning rate,"} {rates}'
        f'; commit {_listed(protocol.commits)}; {_listed(protocol.hardware)}.'
    )


def _counted(number: int, one: str, several: str) -> str:
    return f'{number:,} {one if number == 1 else several}'


def _from_to(ends: tuple[int, int], one: str, several: str) -> str:
    low, high = ends
    return _counted(high, one, several) if low == high else f'{low:,} to {high:,} {several}'


def _listed(names: Sequence[str]) -> str:
    return ' and '.join(names) or 'not known'


def _chinese_note(sweep: str, protocol: SweepProtocol) -> str:
    steps, seeds = (
        f'{high:,}' if low == high else f'{low:,} 至 {high:,}'
        for low, high in (protocol.steps, protocol.seeds)
    )
    rates = '、'.join(f'{rate:g}' for rate in protocol.learning_rates)
    only = '学习率' if len(protocol.learning_rates) > 1 else '只用一种学习率'
    return (
        f'{sweep}：数据集 {protocol.data}，已完成 {protocol.finished} / {protocol.cells} 个单元，'
        f'每次训练 {steps} 次更新，深度 {"、".join(map(str, protocol.depths))}，'
        f'每个网络 {seeds} 个随机种子，{only} {rates}；'
        f'提交 {"、".join(protocol.commits) or "未知"}；{"、".join(protocol.hardware) or "未知"}。'
    )


ENGLISH = Language(
    code='en',
    titles={'claims': 'The story, claim by claim', 'causes': 'The causes, claim by claim'},
    headings=(
        'claim',
        'status',
        f'number [{100 * CONFIDENCE:g} % interval], n, p',
        'control',
        'prediction',
        'what would decide',
    ),
    statuses={
        Status.HOLDS: 'holds',
        Status.FAILS: 'fails',
        Status.MIXED: 'mixed',
        Status.INCONCLUSIVE: 'inconclusive',
        Status.FLOOR: 'floor',
        Status.BUDGET: 'budget insufficient',
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
        Word.DIRAC: 'Dirac kernels',
        Word.DELTA_ORTHOGONAL: 'delta-orthogonal kernels',
        Word.LOOKS_LINEAR: 'looks-linear kernels',
        Word.BEFORE_TRAINING: 'before training',
        Word.DURING_TRAINING: 'during training',
        Word.AFTER_TRAINING: 'after training',
        Word.POSTACTIVATION: 'postactivation blocks',
        Word.POSTACTIVATION_WITHOUT_RELU: 'postactivation blocks without their final ReLU',
        Word.PREACTIVATION: 'preactivation blocks',
        Word.ALL_DEPTHS: 'among networks of all depths',
        Word.ONE_DEPTH: 'among networks of one depth',
    },
    numbered={'depth': 'depth {}', 'budget': 'budget {}×'},
    exploratory='exploratory: thresholds amended after these data',
    exploratory_tag='exploratory',
    frozen='thresholds frozen by commit {}',
    true_for='true for',
    false_for='false for',
    details='Source, criterion, all numbers',
    source='Source',
    number='Number',
    all_contrasts='Under each condition',
    descriptive='descriptive, without weight in the status',
    answers={True: 'true', False: 'false', None: 'not decided'},
    equal='all {} equal',
    adjusted='p = {}',
    seeds='n = {} {}',
    more_needed='about {} {}, if mean and spread stay as observed',
    too_many=f'more than {MAX_N:,} {{}}: the mean is too close to the margin for its spread',
    one_is_none='several {}: a single value has no spread',
    confirm='a run on fresh seeds, with these thresholds frozen',
    longer='a budget, or a learning rate, at which these networks train',
    more_room='data or a measure with more room',
    run='run',
    passed='passed',
    failed='failed',
    missing='not run',
    figures='Figures',
    bears_on='For claim {}.',
    origin='From',
    colon=': ',
    comma=', ',
    semicolon='; ',
    stop='. ',
    brackets=(' (', ')'),
    to=' to ',
    diverged='diverged',
    method=(
        'Each claim rests on one number with a margin, which can confirm or refute it. n counts '
        'independent seeds, or draws of random weights where nothing is trained; layers, blocks '
        f'and looks in training are never counted. p is two-sided and adjusted by Holm’s method '
        f'for all numbers of this table; a claim is decided where it is below {LEVEL:g}, so that '
        f'any of them is decided wrongly in at most {100 * LEVEL:g} % of all cases, if the '
        'assumptions of the tests hold. That leaves out thresholds which were chosen after a look '
        'at the data. Intervals are not adjusted. A claim is stated for all of its conditions: one '
        'counterexample refutes it. Where the control does not train, nothing is concluded. What '
        f'would decide is computed for a chance of {100 * POWER:g} %.'
    ),
    note=_english_note,
)
CHINESE = Language(
    code='zh',
    titles={'claims': '逐条检验流行的解释', 'causes': '逐条检验各种原因'},
    headings=(
        '说法',
        '结论',
        f'数值 [{100 * CONFIDENCE:g}% 区间]、n、p',
        '对照',
        '理论值',
        '如何才能判定',
    ),
    statuses={
        Status.HOLDS: '成立',
        Status.FAILS: '不成立',
        Status.MIXED: '因条件而异',
        Status.INCONCLUSIVE: '无法判定',
        Status.FLOOR: '已无改进余地',
        Status.BUDGET: '训练预算不足',
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
        Word.DIRAC: '狄拉克卷积核',
        Word.DELTA_ORTHOGONAL: 'δ 正交卷积核',
        Word.LOOKS_LINEAR: '近似线性卷积核',
        Word.BEFORE_TRAINING: '训练前',
        Word.DURING_TRAINING: '训练中',
        Word.AFTER_TRAINING: '训练后',
        Word.POSTACTIVATION: '后激活块',
        Word.POSTACTIVATION_WITHOUT_RELU: '后激活块（不计末端 ReLU）',
        Word.PREACTIVATION: '预激活块',
        Word.ALL_DEPTHS: '所有深度的网络之间',
        Word.ONE_DEPTH: '同一深度的网络之间',
    },
    numbered={'depth': '深度 {}', 'budget': '预算 {}×'},
    exploratory='探索性：阈值在看过这些数据之后有过修改',
    exploratory_tag='探索性',
    frozen='阈值在提交 {} 中固定',
    true_for='成立的条件',
    false_for='不成立的条件',
    details='出处、判据与全部数值',
    source='出处',
    number='数值',
    all_contrasts='各条件下',
    descriptive='描述性数值，不影响结论',
    answers={True: '成立', False: '不成立', None: '未判定'},
    equal='{} 个值全部相等',
    adjusted='p = {}',
    seeds='n = {} {}',
    more_needed='约 {} {}（假定均值与离散程度不变）',
    too_many=f'需要超过 {MAX_N:,} {{}}：相对于离散程度，均值离阈值太近',
    one_is_none='需要多{}：单个数值没有离散程度可言',
    confirm='固定这些阈值，用全新的随机种子再运行一次',
    longer='更长的训练，或能使这些网络训练成功的学习率',
    more_room='余地更大的数据或指标',
    run='运行',
    passed='通过',
    failed='未通过',
    missing='未运行',
    figures='图',
    bears_on='对应第 {} 条说法。',
    origin='来源：',
    colon='：',
    comma='，',
    semicolon='；',
    stop='。',
    brackets=('（', '）'),
    to=' 至 ',
    diverged='发散',
    method=(
        '每条说法由一个数值及其阈值判定，既可证实，也可否定。n 只计独立的随机种子'
        '（不涉及训练时为随机权重的抽样次数），从不计入层、块或训练中的多次观测。'
        f'p 为双侧值，并按 Holm 方法对本表全部数值作了校正；小于 {LEVEL:g} 方可判定，'
        f'因此在检验的假设成立时，误判任何一条的概率不超过 {100 * LEVEL:g}%；'
        '阈值若在看过数据后选定，则未计入此影响。'
        '区间未作校正。每条说法都针对其全部条件：一个反例即可否定。对照未能训练时，不下结论。'
        f'“如何才能判定”按 {100 * POWER:g}% 的把握计算。'
    ),
    note=_chinese_note,
)
LANGUAGES = (ENGLISH, CHINESE)
