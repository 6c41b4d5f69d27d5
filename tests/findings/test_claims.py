"""Planted contrasts decide what a claim comes to, the same way for true as for false."""

import dataclasses
import itertools

import pytest

from vggres.findings.claims import Claim, Description, Evidence, Picture, judge
from vggres.findings.contrasts import SEEDS, Barrier, Contrast, Status, Word
from vggres.findings.controls import Control

TEXT = {'en': 'words', 'zh': '词'}
PASSED = Control(True, TEXT)
PLAIN, RESNET, VGG = ({'family': word} for word in (Word.PLAIN, Word.RESNET, Word.VGG))
EVIDENCE = Evidence([], None, {})


def claim(contrasts, control=PASSED, key='planted', **values):
    """A claim whose measure gives these contrasts."""
    return Claim(
        key=key,
        sentence=TEXT,
        source=TEXT,
        sweep='depth',
        contrasts=lambda evidence: contrasts,
        control=lambda evidence: control,
        factors=('family',),
        quantity=TEXT,
        unit=TEXT,
        criterion=TEXT,
        counted=SEEDS,
        figure=Picture('error_against_depth', TEXT),
        **values,
    )


def contrast(true=1.0, false=1.0, where=None, **values):
    return Contrast(where or {}, 1.0, (0.5, 1.5), 8, true, false, effect=1.0, **values)


TRUE, FALSE, OPEN = (1e-6, 1.0), (1.0, 1e-6), (0.4, 0.6)


def came_to(*answers, control=PASSED):
    """The status of a claim with one contrast per (p_true, p_false)."""
    wheres = (PLAIN, RESNET, VGG)
    planted = [contrast(*p, where) for p, where in zip(answers, wheres, strict=False)]
    (finding,) = judge([claim(planted, control)], {'depth': EVIDENCE})
    return finding.status


STATUSES = [
    ([TRUE], 'holds'),
    ([TRUE, TRUE], 'holds'),
    ([FALSE], 'fails'),
    ([FALSE, FALSE], 'fails'),
    ([FALSE, OPEN, OPEN], 'fails'),  # one decided counterexample refutes
    ([TRUE, FALSE], 'mixed'),
    ([TRUE, FALSE, OPEN], 'mixed'),
    ([OPEN], 'inconclusive'),
    ([TRUE, OPEN], 'inconclusive'),  # not shown for all, and not refuted
]


@pytest.mark.parametrize(('answers', 'status'), STATUSES)
def test_what_contrasts_come_to(answers, status):
    for order in itertools.permutations(answers):
        assert came_to(*order) == status


@pytest.mark.parametrize(('answers', 'status'), STATUSES)
def test_true_and_false_are_alike(answers, status):
    """Of one contrast, to swap true and false swaps `holds` and `fails` and nothing else."""
    swapped = {'holds': 'fails', 'fails': 'holds'}
    for p in answers:
        alone = came_to(p)
        assert came_to(p[::-1]) == swapped.get(alone, alone)
    if status == 'mixed':
        assert came_to(*(p[::-1] for p in answers)) == 'mixed'


def barred(status, where=None, p=FALSE):
    return contrast(*p, where, barrier=Barrier(status, TEXT))


def test_behind_a_barrier_nothing_is_decided_however_small_the_p_value():
    for status in (Status.FLOOR, Status.BUDGET, Status.NOT_MEASURED):
        (finding,) = judge([claim([barred(status)])], {'depth': EVIDENCE})
        assert finding.status == status
        assert (finding.judged[0].answer, finding.judged[0].p) == (None, None)
        # A barrier at one level leaves a counterexample at another, but no "holds".
        for p, expected in ((FALSE, 'fails'), (TRUE, 'inconclusive')):
            pair = [barred(status, PLAIN), contrast(*p, RESNET)]
            (finding,) = judge([claim(pair)], {'depth': EVIDENCE})
            assert finding.status == expected


@pytest.mark.parametrize(
    ('passed', 'status'), [(False, 'budget insufficient'), (None, 'not measured')]
)
def test_without_its_control_a_claim_is_neither_true_nor_false(passed, status):
    for p in (TRUE, FALSE, OPEN):
        assert came_to(p, control=Control(passed, TEXT)) == status


def test_without_a_sweep_or_networks_nothing_is_measured():
    (missing,) = judge([claim([contrast(*TRUE)])], {})
    assert (missing.status, missing.judged, missing.control) == ('not measured', [], None)
    (empty,) = judge([claim([])], {'depth': EVIDENCE})
    assert empty.status == 'not measured'


def test_conditions_are_over_declared_factors_alone():
    strayed = claim([contrast(*TRUE, {'moon': Word.VGG})])
    with pytest.raises(ValueError, match='does not declare'):
        judge([strayed], {'depth': EVIDENCE})


def test_holm_counts_every_contrast_of_the_story():
    """By hand. Two-sided: 0.004, 0.02, 1 and, unmeasured, 1: times 4, 3, 2, 1 in this order."""
    planted = [contrast(0.002, 1.0, PLAIN), contrast(1.0, 0.01, RESNET)]
    told = [
        claim(planted, key='two'),
        claim([contrast(0.5, 0.5)], key='open'),
        dataclasses.replace(claim([], key='missing'), sweep='another'),
    ]
    two, undecided, missing = judge(told, {'depth': EVIDENCE})
    assert [each.p for each in two.judged] == pytest.approx([0.016, 0.06])
    assert [each.answer for each in two.judged] == [True, None]
    assert undecided.judged[0].p == 1
    assert missing.status == 'not measured'
    # Alone, the second contrast would have been decided.
    (alone,) = judge([claim(planted[1:])], {'depth': EVIDENCE})
    assert alone.judged[0].p == pytest.approx(0.02)
    assert alone.status == 'fails'


def test_the_n_that_would_decide_is_asked_for_where_nothing_is_decided():
    (undecided,) = judge([claim([contrast(*OPEN)])], {'depth': EVIDENCE})
    assert undecided.judged[0].needed == 10  # for a distance of one deviation, as in any textbook
    (decided,) = judge([claim([contrast(*TRUE)])], {'depth': EVIDENCE})
    assert decided.judged[0].needed is None
    # n = 8 does not decide here although its spread would let it: something else is in the way.
    clear = dataclasses.replace(contrast(*OPEN), effect=5.0)
    assert judge([claim([clear])], {'depth': EVIDENCE})[0].judged[0].needed is None


def test_the_primary_number_is_the_one_that_makes_the_status():
    def primary(*planted):
        (finding,) = judge([claim(list(planted))], {'depth': EVIDENCE})
        return [each.contrast.where for each in finding.primary]

    clear, weak = contrast(1e-9, 1.0, PLAIN), contrast(1e-4, 1.0, RESNET)
    assert primary(clear, weak) == [RESNET]  # as strong as its weakest part
    clear, weak = contrast(1.0, 1e-9, PLAIN), contrast(1.0, 1e-4, RESNET)
    assert primary(weak, clear) == [PLAIN]  # one counterexample, the clearest
    assert primary(contrast(*TRUE, PLAIN), contrast(*FALSE, RESNET)) == [PLAIN, RESNET]
    assert primary(contrast(*TRUE, PLAIN), contrast(*OPEN, RESNET)) == [RESNET]


def test_descriptions_do_not_decide():
    described = Description(TEXT, {}, 1e9, 100, SEEDS)
    told = claim([contrast(*OPEN)], describe=lambda evidence: iter([described]))
    (finding,) = judge([told], {'depth': EVIDENCE})
    assert finding.status == 'inconclusive'
    assert finding.descriptions == [described]
