"""Planted cosines give the differences that they were planted with."""

import pytest

from experiments.collapse.analysis import analyse, summary


def test_plain_and_residual_networks_are_compared_draw_by_draw(sweep):
    verdict = analyse(sweep)
    assert len(verdict.networks) == 16
    network = verdict.networks[0]
    assert network.before.layers == (2, 4, 6)
    assert network.before.cosine == pytest.approx((0.8 / 3, 1.6 / 3, 0.8))
    assert network.before.last == pytest.approx((0.8, 0.8))
    assert network.before.rank[-1] == pytest.approx(1 / 0.8)
    before, after = verdict.differences[:2]
    # Seeds and draws take 0, 1, 1 and 2 fiftieths off; after training, seeds 0 and 1.
    assert sorted(before.values) == pytest.approx([0.26, 0.28, 0.28, 0.3])
    assert before.mean == pytest.approx(0.28)
    assert after.values == pytest.approx((0.3, 0.28))


def test_what_is_not_finite_or_was_not_observed_is_left_out(sweep):
    _, _, observations = sweep.observed()[0]
    names = ['stage1/block1', 'stage3/block1']
    assert summary(observations, names, (2, 6)).last == pytest.approx((0.8, 0.8, 0.8))
    assert summary([], names, (2, 6)) is None
    observations[1].values['feature_cosine']['stage1/block1'] = None
    assert summary(observations, names, (2, 6)) is None
