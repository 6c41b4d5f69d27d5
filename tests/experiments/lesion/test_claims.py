"""Planted damages decide the claim each way."""

import planted
import pytest

from experiments.lesion.analysis import DESTROYED, HARDLY, Lesioned, LesionVerdict, analyse
from experiments.lesion.claims import CLAIMS
from vggres.findings.claims import Evidence, judge

(DELETION,) = CLAIMS


def networks(family, damage, depth=20, error=0.0, n=8):
    """Networks with this damage, but for a little spread."""
    return [
        Lesioned(
            family=family,
            depth=depth,
            seed=seed,
            train_error=error,
            has_failed=False,
            whole=10.0,
            deleted={},
            damage=damage + 0.002 * (seed - (n - 1) / 2),
            typical=0.0,
            worst=1.0,
            several={0: 10.0},
            swapped=(),
        )
        for seed in range(n)
    ]


def found(*groups):
    verdict = LesionVerdict(tuple(each for group in groups for each in group), 90.0)
    evidence = Evidence([planted.result()], verdict, {})
    (finding,) = judge([DELETION], {'lesion': evidence})
    return finding


@pytest.mark.parametrize(
    ('resnet', 'plain', 'status'),
    [
        (0.02, 0.9, 'holds'),
        (0.3, 0.2, 'fails'),
        (0.3, 0.9, 'mixed'),  # plain networks are destroyed, and residual ones are hurt
        (0.02, 0.2, 'mixed'),
        (HARDLY, DESTROYED, 'inconclusive'),
    ],
)
def test_each_family_has_its_margin(resnet, plain, status):
    finding = found(networks('resnet', resnet), networks('plain', plain))
    assert finding.status == status
    assert [each.contrast.n for each in finding.judged] == [8, 8]


def test_networks_have_to_train_before_they_are_lesioned():
    finding = found(networks('resnet', 0.0), networks('plain', 0.9, error=20.0))
    assert finding.status == 'budget insufficient'
    assert '20.0 % (plain, depth 20)' in finding.control.words['en']
    assert found(networks('resnet', 0.0)).status == 'not measured'
    assert found(networks('resnet', 0.0, n=1), networks('vgg', 1.0, n=1)).status == 'inconclusive'


def test_the_claim_reads_what_the_analysis_finds(sweep):
    evidence = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    (finding,) = judge([DELETION], {'lesion': evidence})
    conditions = [tuple(each.contrast.where.values())[1] for each in finding.judged]
    assert conditions == [20, 20, 56, 20]
    # Two equal values: the sign test leaves p = 1/4 for each.
    assert finding.status == 'inconclusive'
    assert len(finding.descriptions) == 8


def test_the_texts_quote_the_margins():
    for language in ('en', 'zh'):
        assert f'{HARDLY:g}' in DELETION.criterion[language]
        assert f'{DESTROYED:g}' in DELETION.criterion[language]
