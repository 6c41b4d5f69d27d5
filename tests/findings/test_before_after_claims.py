"""Planted differences against a margin, decided by the p-values of scipy's test."""

import pytest
from scipy import stats

from vggres.findings.before_after import AFTER, BEFORE, Difference, Network
from vggres.findings.before_after_claims import deepest_above, deepest_described
from vggres.findings.contrasts import NETWORKS, Status, Word

VALUES = (0.31, 0.22, 0.4, 0.29, 0.33)
FEATURES = {'en': 'features', 'zh': '特征'}


def network(family, depth, norm='batch', before=(0.5,), after=None):
    return Network(f'{family}, {norm}', family, norm, depth, 0, 0.0, before, after)


def planted(depth, norm='batch', moment=BEFORE, values=VALUES):
    return Difference(norm, depth, moment, values, 0.0, None)


def contrasts(networks, *differences, **more):
    return deepest_above(networks, differences, 0.25, FEATURES, **more)


def test_the_deepest_networks_before_training_decide():
    others = planted(20, values=(9.0, 9.5)), planted(56, moment=AFTER, values=(8.0, 8.5))
    networks = [network('plain', 56), network('plain', 20)]
    (found,) = contrasts(networks, *others, planted(56), prediction=lambda each: each.depth / 2)
    assert found.where == {'norm': Word.BATCH_NORM}
    assert (found.value, found.n, found.prediction) == (pytest.approx(0.31), 5, 28)
    test = stats.ttest_1samp(VALUES, 0.25, alternative='greater')
    assert found.p_true == pytest.approx(test.pvalue)
    (without_law,) = contrasts(networks, planted(56))
    assert without_law.prediction is None


def test_each_norm_has_its_own_greatest_depth():
    networks = [network('plain', 20), network('plain', 56, 'none')]
    batch, none = contrasts(networks, planted(20), planted(56, 'none'))
    assert batch.barrier.status is Status.NOT_MEASURED
    assert '50 layers or more' in batch.barrier.words['en']
    assert (none.where, none.barrier, none.n) == ({'norm': Word.NO_NORM}, None, 5)
    assert contrasts([]) == []


def test_without_a_pair_it_is_said_what_is_missing():
    (found,) = contrasts([network('plain', 56)], planted(20))
    assert found.barrier.words == {
        'en': 'plain and residual networks of depth 56 with finite features',
        'zh': '缺少深度为 56、特征有限的普通网络与残差网络',
    }


def test_each_kind_of_the_deepest_networks_is_described_at_both_moments():
    networks = [
        network('plain', 20, before=(9.0,)),
        network('plain', 56, before=(1.0, 2.0), after=(7.0,)),
        network('plain', 56, before=(6.0,)),
        network('resnet', 56, 'none', before=None, after=(0.5,)),
    ]
    what = {'en': 'a number', 'zh': '数'}
    found = list(deepest_described(networks, what, lambda found: found))
    assert [(tuple(each.where.values()), each.value, each.n) for each in found] == [
        ((Word.PLAIN, Word.BATCH_NORM, Word.BEFORE_TRAINING, 56), 3.0, 3),
        ((Word.PLAIN, Word.BATCH_NORM, Word.AFTER_TRAINING, 56), 7.0, 1),
        ((Word.RESNET, Word.NO_NORM, Word.AFTER_TRAINING, 56), 0.5, 1),
    ]
    assert (found[0].what, found[0].counted) == (what, NETWORKS)
    assert list(deepest_described([], what, lambda found: found)) == []
