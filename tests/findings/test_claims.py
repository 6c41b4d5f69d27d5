"""Planted cases decide the status of a claim and the conditions that it holds under."""

import pytest

from vggres.findings import claims
from vggres.findings.claims import Case, Claim, Evidence, Repeated, Status, Word, find

TEXT = {'en': 'words', 'zh': '词'}


def claim(cases):
    """A claim whose measure gives these cases."""
    return Claim(
        key='planted',
        sentence=TEXT,
        source=TEXT,
        sweep='depth',
        measure=lambda evidence: cases,
        quantity=TEXT,
        unit=TEXT,
        criterion=TEXT,
        repeated=Repeated(TEXT, TEXT),
        figure='error_against_depth',
    )


def case(holds, value=1.0, **where):
    return Case(where, holds, value, None, 3)


EVIDENCE = Evidence([], None, {})


def test_all_some_or_none():
    assert claims.decide([]) == ('not measured', [])
    assert claims.decide([case(True, a='x'), case(True, a='y')]) == ('holds', [])
    assert claims.decide([case(False, a='x'), case(False, a='y')]) == ('does not hold', [])
    assert claims.decide([case(None, a='x'), case(False, a='y')]) == ('undecided', [])
    assert claims.decide([case(True, a='x'), case(False, a='y')]) == ('holds only if', [('x',)])
    # "Only" would say that it fails elsewhere.
    undecided = [case(True, a='x'), case(None, a='y'), case(False, a='z')]
    assert claims.decide(undecided) == (Status.HOLDS_IF, [('x',)])


def test_a_condition_names_the_fewest_factors():
    grid = [(a, b) for a in 'xyz' for b in 'pq']

    def decided(true):
        return claims.decide([case((a, b) in true, a=a, b=b) for a, b in grid])

    assert decided([('x', 'p'), ('x', 'q')]) == ('holds only if', [('x',)])
    assert decided([(a, 'q') for a in 'xyz']) == ('holds only if', [('q',)])
    assert decided([('x', 'p'), ('y', 'q')]) == ('holds only if', [('x', 'p'), ('y', 'q')])
    # All of x, and q: two short conditions that overlap.
    covered = [('x', 'p'), ('x', 'q'), ('y', 'q'), ('z', 'q')]
    assert decided(covered) == ('holds only if', [('q',), ('x',)])


@pytest.mark.parametrize(('second', 'holds'), [(True, True), (False, None), (None, None)])
def test_cases_under_the_same_conditions_have_to_agree(second, holds):
    where = {'family': Word.PLAIN}
    cases = [
        case(True, 3.0, **where),
        case(second, 5.0, **where),
        case(True, None, family=Word.VGG),
    ]
    finding = find(claim(cases), EVIDENCE)
    first, other = finding.cases
    assert (first.holds, first.value, first.interval, first.n) == (holds, 4.0, None, 6)
    assert other == cases[2]


def test_without_evidence_nothing_is_measured():
    finding = find(claim([case(True)]), None)
    assert (finding.status, finding.cases) == ('not measured', [])


@pytest.mark.parametrize(
    ('interval', 'answer'), [((-2, -1), True), ((1, 2), False), ((-1, 1), None), ((-1, 0), None)]
)
def test_a_whole_interval_is_below_a_threshold_or_above_it(interval, answer):
    assert claims.is_below(interval, 0) is answer
