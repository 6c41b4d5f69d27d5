"""Planted shares decide the claim each way."""

import planted
import pytest

from experiments.paths.analysis import MOST, PathLengths, PathsVerdict, analyse
from experiments.paths.claims import CLAIMS
from vggres.findings.before_after import AFTER, BEFORE
from vggres.findings.claims import Evidence, judge
from vggres.findings.controls import DEEP

(SHORT_PATHS,) = CLAIMS


def lengths(variant, when, share, depth=56, failed=0, n=8):
    """Networks whose share of short paths is this one, but for a little spread."""
    short = tuple(share + 0.01 * (i - (n - 1) / 2) for i in range(n))
    fields = {'share': (), 'norm': (), 'single': (), 'expected': ()}
    return PathLengths(
        variant=variant,
        depth=depth,
        when=when,
        blocks=(depth - 2) // 2,
        short=short,
        half=short,
        length=short,
        failed=failed,
        **fields,
    )


def found(before, after, **values):
    every = [
        lengths(variant, when, share, **values)
        for variant in ('identity', 'identity, preactivation')
        for when, share in ((BEFORE, before), (AFTER, after))
    ]
    errors = {each.variant: {each.depth: 1.0} for each in every}
    evidence = Evidence([planted.result()], PathsVerdict(tuple(every), errors), {})
    (finding,) = judge([SHORT_PATHS], {'paths': evidence})
    return finding


@pytest.mark.parametrize(
    ('before', 'after', 'status'),
    [
        (0.8, 0.9, 'holds'),
        (0.2, 0.1, 'fails'),
        (0.2, 0.9, 'mixed'),
        (MOST, MOST, 'inconclusive'),
    ],
)
def test_the_share_of_short_paths_decides(before, after, status):
    finding = found(before, after)
    assert finding.status == status
    assert [each.contrast.n for each in finding.judged] == [8] * 4
    # P(at most 9 of 27) with probability ½ each, from a table of the binomial distribution.
    assert finding.judged[0].contrast.prediction == pytest.approx(0.0610, abs=5e-5)


def test_what_stands_in_the_way():
    assert found(0.9, 0.9, n=1).status == 'inconclusive'
    shallow = found(0.9, 0.9, depth=20)
    assert shallow.status == 'not measured'
    assert f'{DEEP} layers or more' in shallow.judged[0].contrast.barrier.words['en']
    failed = found(0.9, 0.9, failed=2)
    assert failed.judged[0].contrast.barrier.words['en'] == '2 of 8 runs failed to train'


def test_the_claim_reads_what_the_analysis_finds(sweep):
    evidence = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    (finding,) = judge([SHORT_PATHS], {'paths': evidence})
    assert finding.status == 'not measured'  # 20 layers are too few
    assert finding.control.words['en'].endswith('at most 3.0 %')
    assert {(round(each.value, 6), each.n) for each in finding.descriptions} == {(0.25, 2)}


def test_the_texts_quote_the_margins():
    for language in ('en', 'zh'):
        assert f'{MOST:g}' in SHORT_PATHS.criterion[language]
        assert '0.33' in SHORT_PATHS.criterion[language]
