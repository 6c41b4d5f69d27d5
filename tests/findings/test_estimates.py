"""Estimates against published examples, exact enumeration, scipy and sums by hand."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from vggres.findings import estimates

# Page's test


def test_page_on_cotton_fibres():
    # Hollander & Wolfe, Nonparametric Statistical Methods, example 7.2: strength against potash,
    # L = 158; their table gives 155 for 1 % and 160 for 0.1 %.
    cotton = np.array(
        [
            [7.46, 7.17, 7.76, 8.14, 7.63],
            [7.68, 7.57, 7.73, 8.15, 8.00],
            [7.21, 7.80, 7.74, 7.87, 7.93],
        ]
    )
    p = estimates.exchangeability_p(cotton)
    assert 0.001 < p <= 0.01
    assert p == pytest.approx(stats.page_trend_test(cotton, method='exact').pvalue)


# Page 1963, table 2: the smallest L significant at 5 % and at 1 %.
@pytest.mark.parametrize(
    ('num_seeds', 'num_depths', 'at_5', 'at_1'),
    [(2, 4, 58, 60), (2, 5, 103, 106), (3, 3, 41, 42), (3, 4, 84, 87), (3, 5, 150, 155)],
)
def test_page_critical_values(num_seeds, num_depths, at_5, at_1):
    position = np.arange(1, num_depths + 1)
    p_of = {}
    orders = list(itertools.permutations(range(1, num_depths + 1)))
    for rows in itertools.product(
        orders[:: max(1, len(orders) // 12)] + orders[:8], repeat=num_seeds
    ):
        page_l = int((np.array(rows) @ position).sum())
        if page_l not in p_of:
            p_of[page_l] = estimates.exchangeability_p(np.array(rows, dtype=float))
    for level, critical in ((0.05, at_5), (0.01, at_1)):
        assert p_of[critical] <= level < p_of[critical - 1]


def enumerated_p(rows):
    """P(L ≥ observed) over all orders of every row, in exact fractions."""
    null = Counter({Fraction(0): Fraction(1)})
    observed = Fraction(0)
    for row in rows:
        ranks = [
            Fraction(sum(y < x for y in row)) + Fraction(1 + sum(y == x for y in row), 2)
            for x in row
        ]
        orders = list(itertools.permutations(ranks))
        moved = Counter()
        for value, weight in null.items():
            for order in orders:
                moved[value + sum(i * r for i, r in enumerate(order, 1))] += weight / len(orders)
        null = moved
        observed += sum(i * r for i, r in enumerate(ranks, 1))
    return float(sum(weight for value, weight in null.items() if value >= observed))


STATEXT = [
    [3, 4, 3], [2, 2, 4], [3, 3, 5], [1, 3, 2], [2, 3, 2],
    [2, 4, 5], [1, 2, 4], [3, 4, 4], [2, 4, 5], [1, 3, 4],
]  # fmt: skip


@pytest.mark.parametrize(
    'rows',
    [
        STATEXT,
        [[0, 0, 1], [0, 2, 2], [1, 0, 1]],
        [[0, 0, 0, 3], [0, 0, 1, 2]],
        [[5, 5, 5, 5], [0, 1, 0, 2], [4, 3, 2, 1]],
        [[0, 0, 0, 7, 0]],
    ],
)
def test_page_with_ties_is_exact(rows):
    assert estimates.exchangeability_p(np.array(rows, dtype=float)) == pytest.approx(
        enumerated_p(rows)
    )


def test_page_is_at_least_as_sharp_as_scipys_published_example():
    # The scipy documentation's example: L = 133.5 for statext.com's table, p = 0.0018191 from the
    # distribution without ties, "somewhat larger" than the true one.
    assert estimates.exchangeability_p(np.array(STATEXT, dtype=float)) < 0.0018191


@pytest.mark.parametrize('num_depths', [3, 5, 8, 9, 12])
def test_page_of_equal_errors_is_1(num_depths):
    assert estimates.exchangeability_p(np.zeros((3, num_depths))) == 1


@pytest.mark.parametrize('num_depths', [3, 4, 5, 8])
def test_page_where_only_the_deepest_fails(num_depths):
    errors = np.zeros((3, num_depths))
    errors[:, -1] = [10, 20, 90]
    assert estimates.exchangeability_p(errors) == pytest.approx(num_depths**-3.0)


def test_page_of_many_depths_is_drawn():
    errors = np.zeros((2, 10))
    errors[:, -1] = 50
    spread = math.sqrt(0.01 * 0.99 / 9999)
    assert estimates.exchangeability_p(errors) == pytest.approx(0.01, abs=4 * spread)
    assert estimates.exchangeability_p(errors) == estimates.exchangeability_p(errors)
    rising = np.tile(np.arange(10.0), (3, 1))
    assert estimates.exchangeability_p(rising) == pytest.approx(1 / 10_000)  # never 0
    assert estimates.exchangeability_p(-rising) == 1


def test_hindsight_is_worth_what_order_statistics_say():
    # The lowest of four standard normal means lies 1.02938 / √n below 0 (tables of order
    # statistics); chosen on other seeds it lies at 0.
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((4000, 4, 5))
    biased = np.array([estimates.excess(errors).mean() for errors in samples])
    fair = np.array([estimates.excess_without_hindsight(errors).mean() for errors in samples])
    for values, expected in ((biased, 1.02938 / 2), (fair, 0)):
        assert values.mean() == pytest.approx(expected, abs=4 * values.std() / math.sqrt(4000))


def test_interval_by_hand():
    # 1 2 3 4 10: mean 4, variance (9 + 4 + 1 + 0 + 36) / 4 = 12.5; t table, 4 d.f.: 2.776445.
    half = 2.776445 * math.sqrt(12.5 / 5)
    sample = np.array([1.0, 2, 3, 4, 10])
    assert estimates.t_interval(sample, 0.95) == pytest.approx([4 - half, 4 + half], abs=1e-5)
    assert estimates.t_interval([1.0, 2, 3, 4, 10], 0.95) == estimates.t_interval(sample, 0.95)
    assert estimates.t_interval(np.array([7.0]), 0.95) is None


@pytest.mark.parametrize('values', [[2.5] * 3, [0.0] * 8, [0.1 + 0.2, 0.3]])
def test_values_without_spread_have_no_interval(values):
    assert estimates.t_interval(np.array(values), 0.95) is None


# Failures


def test_a_proportion_as_clopper_and_pearson_have_it():
    # Their table, 95 %: 0 of 10 up to 0.308, 5 of 10 from 0.187 to 0.813; and scipy.
    assert estimates.proportion_interval(0, 10, 0.95) == pytest.approx([0, 0.3085], abs=1e-4)
    assert estimates.proportion_interval(5, 10, 0.95) == pytest.approx([0.1871, 0.8129], abs=1e-4)
    for count, n in ((0, 3), (1, 3), (3, 3), (2, 8)):
        theirs = stats.binomtest(count, n).proportion_ci(0.95, 'exact')
        assert estimates.proportion_interval(count, n, 0.95) == pytest.approx([*theirs])
    assert estimates.proportion_bound(0, 8, 0.95) == pytest.approx(1 - 0.05 ** (1 / 8))
    assert estimates.proportion_bound(3, 3, 0.95) == 1


def test_the_runs_that_rule_out_failures():
    # Without a failure (1 − p)ⁿ ≤ 5 %: for a third from 7.4 runs on, for a tenth from 28.4 on.
    assert estimates.seeds_to_rule_out(0, 3, 1 / 3, 0.95) == 8
    assert estimates.seeds_to_rule_out(0, 3, 0.1, 0.95) == 29
    n = estimates.seeds_to_rule_out(1, 5, 1 / 3, 0.95)
    upper = [stats.binomtest(1, m, alternative='less').proportion_ci(0.95).high for m in (n - 1, n)]
    assert upper[1] < 1 / 3 <= upper[0]


def failing(counts, n):
    """`[n, depths]`: the first runs of each depth failed."""
    return np.arange(n)[:, None] < np.array(counts)


def brute_force_p(counts, n):
    """The probability of all tables that are at least as extreme, at the worst chance."""

    def statistic(table):
        return min(
            stats.fisher_exact(
                [[table[-1], n - table[-1]], [sum(table[:j]), j * n - sum(table[:j])]], 'greater'
            ).pvalue
            for j in range(1, len(table))
        )

    chance = np.linspace(0.002, 0.998, 499)
    total, observed = np.zeros(499), statistic(counts)
    for table in itertools.product(range(n + 1), repeat=len(counts)):
        if statistic(table) <= observed * (1 + 1e-9):
            total += np.prod([stats.binom.pmf(count, n, chance) for count in table], axis=0)
    return total.max()


@pytest.mark.parametrize(
    ('counts', 'n'),
    [((0, 3), 3), ((0, 0, 3), 3), ((0, 1, 3), 3), ((0, 3, 3), 3), ((1, 0, 2), 3), ((1, 4), 5)],
)
def test_the_test_of_failures_counts_every_table(counts, n):
    found = estimates.failure_p(failing(counts, n))
    assert found == pytest.approx(brute_force_p(counts, n), rel=1e-3)


def test_the_test_of_failures_by_hand():
    # Barnard's own example: three against three is 1/64, not Fisher's 1/20.
    assert estimates.failure_p(failing((0, 3), 3)) == pytest.approx(1 / 64, rel=1e-3)
    # The most extreme table of all: p³(1 − p)⁶ is largest at 1/3.
    assert estimates.failure_p(failing((0, 0, 3), 3)) == pytest.approx(2**6 / 3**9, rel=1e-3)
    for counts in ((0, 0, 0), (3, 3, 3), (2, 1, 0)):
        assert estimates.failure_p(failing(counts, 3)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(('n', 'depths'), [(3, 5), (8, 2), (8, 3)])
def test_the_test_of_failures_is_wrong_in_at_most_5_percent(n, depths):
    """All tables, all chances: exact, without simulation. Nor is it needlessly timid."""
    chance = np.linspace(0.01, 0.99, 99)
    pmf = [stats.binom.pmf(count, n, chance) for count in range(n + 1)]
    wrong = np.zeros(99)
    for table in itertools.product(range(n + 1), repeat=depths):
        if estimates.failure_p(failing(table, n)) <= 0.05:
            wrong += np.prod([pmf[count] for count in table], axis=0)
    assert 0.01 < wrong.max() <= 0.05


def test_more_failures_of_the_deepest_and_fewer_of_others_are_more_extreme():
    """Equal chances are the worst case of the hypothesis only if the p-value is monotone."""
    n = 4
    p = {
        table: estimates.failure_p(failing(table, n))
        for table in itertools.product(range(n + 1), repeat=3)
    }
    for (a, b, c), value in p.items():
        assert c == n or p[a, b, c + 1] <= value + 1e-9
        assert a == n or p[a + 1, b, c] >= value - 1e-9
        assert b == n or p[a, b + 1, c] >= value - 1e-9


def test_a_median_of_values_that_are_partly_limits():
    def median(values, is_reached):
        found = estimates.censored_median(values, is_reached)
        return found.value, found.is_exceeded

    assert median([33, 44, 22], [True] * 3) == (33, False)
    assert median([33, 220, 22], [True, False, True]) == (33, False)
    assert median([33, 220, 220], [True, False, False]) == (220, True)
    assert median([33, 55], [True, True]) == (44, False)
    assert median([33, 220], [True, False]) == (126.5, True)
    assert median([220, 220], [True, False]) == (220, True)  # a limit comes last among equals
    assert median([30, 40, 220, 220], [True, True, False, False]) == (130, True)


def test_the_seeds_for_an_interval_are_those_of_the_t_table():
    # Deviation 1, distance 1: t(n − 1, 97.5 %) < √n from n = 7 on (2.447 < 2.646; 2.571 > 2.449).
    sample = np.array([1.0, 2.0, 3.0])
    assert estimates.seeds_for_interval(sample, 1.0, 0.95) == 7
    assert estimates.seeds_for_interval(sample, 2.0, 0.95) is None
    assert estimates.seeds_for_interval(np.ones(3), 2.0, 0.95) is None


# Geometric fits


def test_a_planted_slope_is_recovered_exactly():
    positions = np.arange(2, 56, 2)
    found = estimates.geometric_fit(positions, 3e-7 * 10 ** (0.125 * positions), 0.95)
    assert found.slope == pytest.approx(0.125)
    assert found.interval == pytest.approx([0.125, 0.125])
    assert found.r_squared == pytest.approx(1)


def test_a_noisy_slope_as_scipy_has_it():
    random = np.random.default_rng(0)
    positions = np.arange(30)
    values = 10 ** (0.05 * positions + 0.3 * random.normal(size=30))
    found = estimates.geometric_fit(positions, values, 0.95)
    line = stats.linregress(positions, np.log10(values))
    half = stats.t.ppf(0.975, 28) * line.stderr
    assert found.slope == pytest.approx(line.slope)
    assert found.interval == pytest.approx([line.slope - half, line.slope + half])
    assert found.r_squared == pytest.approx(line.rvalue**2)


def test_the_interval_of_a_slope_covers_it_as_often_as_it_says():
    random = np.random.default_rng(1)
    positions = np.arange(12)
    covered = 0
    for _ in range(1000):
        values = 10 ** (0.2 * positions + random.normal(size=12))
        low, high = estimates.geometric_fit(positions, values, 0.95).interval
        covered += low <= 0.2 <= high
    assert 930 <= covered <= 968  # 95 % of 1000, ± 2.6 standard deviations


def test_zeros_and_what_is_not_finite_are_left_out():
    values = [0.0, 1e-3, np.nan, 1e-1, 1.0, np.inf]
    found = estimates.geometric_fit([0, 1, 2, 3, 4, 5], values, 0.95)
    assert found.slope == pytest.approx(1)


def test_two_values_are_no_line_and_equal_ones_explain_nothing():
    nothing = estimates.Fit(slope=None, interval=None, r_squared=None)
    assert estimates.geometric_fit([1, 2], [1.0, 2.0], 0.95) == nothing
    assert estimates.geometric_fit([1, 2, 3], [2.0, 2.0, 2.0], 0.95).r_squared == 0


# Rank correlation


def test_rank_correlation_as_scipy_has_it():
    random = np.random.default_rng(2)
    first = random.integers(0, 6, 25).astype(float)  # with ties
    second = first + random.normal(0, 2, 25).round()
    found = estimates.rank_correlation(first, second, 0.95)
    assert found.correlation == pytest.approx(stats.spearmanr(first, second).statistic)
    assert found.n == 25


def test_the_interval_of_a_rank_correlation_by_hand():
    # Bonett & Wright 2000: z ± 1.96 √((1 + r²/2) / (n − 3)); here r = 0.9 and n = 5.
    found = estimates.rank_correlation([1, 2, 3, 4, 5], [1, 2, 4, 3, 5], 0.95)
    assert found.correlation == pytest.approx(0.9)
    half = 1.959964 * math.sqrt((1 + 0.81 / 2) / 2)
    z = math.atanh(0.9)
    assert found.interval == pytest.approx([math.tanh(z - half), math.tanh(z + half)], rel=1e-6)


def test_infinite_values_rank_last_and_constant_ones_not_at_all():
    found = estimates.rank_correlation([1, 2, 3, math.inf, math.inf], [1, 2, 3, 4, 4], 0.95)
    assert found.correlation == pytest.approx(1)
    for constant in ([2, 2, 2, 2], [math.inf] * 4):
        assert estimates.rank_correlation(constant, [1, 2, 3, 4], 0.95).correlation is None
    assert estimates.rank_correlation([1, 2, 3], [1, 2, 3], 0.95).interval is None
