"""The claim holds where equal gradients cure, and fails where they do not."""

import pytest

from experiments import surgery
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Status


def judged(sweep):
    evidence = Evidence(surgery.judged(sweep), surgery.analyse(sweep), {})
    (found,) = judge(surgery.CLAIMS, {'surgery': evidence})
    return found


@pytest.mark.parametrize(('factor', 'status'), [(1 / 6, Status.HOLDS), (1, Status.FAILS)])
def test_the_status_is_that_of_what_was_planted(finished, factor, status):
    found = judged(finished({'plain, equal gradients': factor}, seeds=8))
    assert found.control.passed
    assert found.status is status


def test_before_any_run_nothing_is_measured(begun):
    assert judged(begun).status is Status.NOT_MEASURED
