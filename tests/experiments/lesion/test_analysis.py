"""Planted errors come out as parts of the way to guessing."""

import pytest

from experiments.lesion.analysis import analyse, damage


def test_a_part_of_the_way_to_guessing():
    assert damage(10.0, whole=10.0, guessing=90.0) == 0
    assert damage(90.0, whole=10.0, guessing=90.0) == 1
    assert damage(8.0, whole=10.0, guessing=90.0) == pytest.approx(-0.025)  # it may help
    assert damage(90.0, whole=90.0, guessing=90.0) == 0


def test_what_was_planted(sweep):
    verdict = analyse(sweep)
    assert verdict.guessing == 90
    groups = verdict.groups()
    assert list(groups) == [('plain', 20), ('resnet', 20), ('resnet', 56), ('vgg', 20)]
    # Of nine blocks of a plain network, eight cost 60 of 80 points and one all of them.
    plain = groups['plain', 20][0]
    assert plain.damage == pytest.approx((8 * 60 / 80 + 1) / 9)
    assert (plain.typical, plain.worst) == (0.75, 1)
    # Of 27 blocks, 26 cost 2 of 80 points and one 4.
    resnet = groups['resnet', 56][1]
    assert resnet.damage == pytest.approx((26 * 2 + 4) / 80 / 27)
    assert resnet.several == {0: 10, 2: 50}
    assert resnet.swapped == ((0.9, 20), (0.8, 30))
    assert not resnet.has_failed
