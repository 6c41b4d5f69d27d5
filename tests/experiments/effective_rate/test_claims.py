"""Planted cures decide the claim each way."""

import pytest

from experiments import effective_rate
from experiments.effective_rate.analysis import analyse
from experiments.effective_rate.claims import CLAIMS
from vggres.findings.claims import Evidence, judge
from vggres.sweeps.sweep import assemble


@pytest.mark.parametrize(('cures', 'status'), [(True, 'inconclusive'), (False, 'fails')])
def test_the_claim_follows_from_the_cure(all_stages, cures, status):
    verdict = analyse(all_stages(cures))
    (finding,) = judge(CLAIMS, {'effective_rate': Evidence([], verdict, {})})
    assert finding.status == status
    if cures:  # a third of all runs may still not arrive
        assert 'in 0 of 3 runs' in finding.judged[0].contrast.remark['en']
    assert finding.control.passed
    assert finding.judged[0].contrast.n == 3
    values = [each.value for each in finding.descriptions]
    # As worked out in test_analysis.
    assert values == pytest.approx([2 * ((1 + 42 * 0.5) / 43 + 0.01), 0.2])


def test_before_any_run_is_judged_nothing_is_decided(asked, tmp_path):
    sweep = assemble('effective_rate', asked, tmp_path, effective_rate.cells(asked))
    (finding,) = judge(CLAIMS, {'effective_rate': Evidence([], analyse(sweep), {})})
    assert finding.status == 'not measured'
