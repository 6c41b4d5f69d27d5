"""What counts as a failure, and the loss of a run that diverged."""

import math

import pytest
from planted import result

from vggres.findings import outcomes


def test_the_loss_of_a_diverged_run_is_that_of_guessing():
    diverged = result(status='diverged', train_error=90.0, train_loss=None)
    assert outcomes.log_loss(diverged) == pytest.approx(math.log10(math.log(10)))
    assert outcomes.log_loss(result(train_loss=0.0)) < -20  # no error


def test_failing_begins_at_half_of_guessing():
    assert outcomes.failing_error(10) == 45
    assert outcomes.failing_error(2) == 25
    assert outcomes.has_failed(result(error=45.0))
    assert not outcomes.has_failed(result(error=44.9))
    assert outcomes.has_failed(result(error=30.0, num_classes=2))
