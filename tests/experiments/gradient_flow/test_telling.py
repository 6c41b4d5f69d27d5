"""What was planted is told in words."""

import dataclasses

from experiments.gradient_flow.analysis import analyse
from experiments.gradient_flow.telling import in_short, words


def test_the_words_carry_the_numbers(sweep):
    said = words(analyse(sweep)).splitlines()
    assert said[0].startswith('At depth 14 and before the first update')
    (shrinks,) = [line for line in said if line.startswith('It shrinks geometrically in:')]
    # A decade per layer, over ten layers, for the root mean square. The norms of the six blocks
    # have factors of 1 1 1 √½ √½ ½, by the number of elements. At distances of −5 −3 … 5 layers
    # from the middle these take 10 · (1 · 0.1505 + 3 · 0.1505 + 5 · 0.301) / 70 = 0.3 decades away.
    assert 'plain, no norm (He −9.7, Glorot −9.7, VGG −9.7)' in shrinks
    (predicted,) = [line for line in said if line.startswith('With no norm, theory alone')]
    # What theory says of these networks has nothing to do with what was planted; n is three draws.
    expected = next(
        each.expected
        for each in analyse(sweep).networks
        if (each.variant, each.depth) == ('plain, no norm, he', 14)
    )
    assert f'plain with He initialisation: predicted +{expected:.1f}, measured +9.7 [' in predicted
    assert 'n = 3' in predicted
    assert 'resnet' not in predicted
    (described,) = [line for line in said if 'described and not judged' in line]
    assert 'because one seed cannot speak for others' in described
    assert 'plain, no norm, He init −9.7' in described
    assert not any('judged over' in line for line in said)
    (correlation,) = [
        line for line in said if line.startswith('In networks without shortcuts and with no norm')
    ]
    assert 'among all depths before training +0.' in correlation
    assert 'n = 12' in correlation


def test_no_network_is_said(sweep):
    nothing = dataclasses.replace(analyse(sweep), networks=(), failed=None)
    assert words(nothing) == 'No finished network was observed.'


def test_seeds_in_training_are_judged_in_words(sweep):
    verdict = analyse(sweep)
    judged = [
        dataclasses.replace(
            each, judgement='shrinks', gradient=dataclasses.replace(each.gradient, n=3)
        )
        for each in verdict.training
    ]
    said = words(dataclasses.replace(verdict, training=tuple(judged))).splitlines()
    (line,) = [line for line in said if line.startswith('During training, judged over 3 seeds: it')]
    assert 'it shrinks in: vgg, batch norm, He init' in line
    assert not any('described and not judged' in line for line in said)


def test_in_short_it_shrinks_where_a_decade_a_layer_was_planted(sweep):
    verdict = analyse(sweep)
    assert in_short(verdict) == {
        **{f'{family}, batch norm': 'level' for family in ('vgg', 'plain', 'resnet')},
        **{'vgg, no norm': 'shrinks', 'plain, no norm': 'shrinks', 'resnet, no norm': 'level'},
    }
    dead = [
        dataclasses.replace(each, judgement='dead' if each.scheme == 'vgg' else each.judgement)
        for each in verdict.networks
    ]
    mixed = in_short(dataclasses.replace(verdict, networks=tuple(dead)))
    assert mixed['plain, no norm'] == 'shrinks or dead'
    assert in_short(dataclasses.replace(verdict, networks=())) == {}


def test_with_one_depth_a_correlation_is_told_once(sweep):
    verdict = analyse(sweep)
    shallow = tuple(each for each in verdict.networks if each.depth == 8)
    one = dataclasses.replace(verdict, networks=shallow)
    assert 'among all depths' in words(verdict)
    assert 'among all depths' not in words(one)
