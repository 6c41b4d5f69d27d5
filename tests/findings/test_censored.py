"""Lines through intervals, beside closed forms and a likelihood written anew."""

import numpy as np
import pytest
from scipy import optimize, stats

from vggres.findings.censored import LEAST_RESIDUAL, fit_lines

DEPTHS = np.arange(8, 51, 6)


def counts(rng, replicates=(), seeds=5, sigma=0.1, budget=np.inf, look=5):
    """Bounds of an exponential law through 66 updates at depth 20 and 242 at depth 44."""
    line = np.log(66) + np.log(242 / 66) / 24 * (DEPTHS - 20)
    n = np.exp(line + sigma * rng.normal(size=(*replicates, seeds, len(DEPTHS))))
    high = look * np.ceil(n / look)
    low = high - look
    return np.where(high > budget, budget, low), np.where(high > budget, np.inf, high)


def test_counts_that_are_known_exactly_give_least_squares():
    exact = np.exp(np.random.default_rng(0).normal(5, 1, size=(5, len(DEPTHS))))
    found = fit_lines(DEPTHS, exact * (1 - 1e-6), exact * (1 + 1e-6))
    x, y = np.tile(DEPTHS, 5), np.log(exact).ravel()
    slope, intercept = np.polyfit(x, y, 1)
    squares = np.square(y - intercept - slope * x).sum() + LEAST_RESIDUAL**2
    sigma = np.sqrt(squares / y.size)
    assert found.slope == pytest.approx(slope, rel=1e-5)
    assert found.intercept == pytest.approx(intercept, rel=1e-5)
    assert found.sigma == pytest.approx(sigma, rel=1e-5)
    assert found.slope_error == pytest.approx(sigma / np.sqrt(y.size * x.var()), rel=1e-4)


@pytest.mark.parametrize('budget', [np.inf, 250, 120])
def test_the_maximum_is_that_of_the_likelihood_written_anew(budget):
    low, high = counts(np.random.default_rng(1), budget=budget, look=20)

    def loss(parameters):
        line, sigma = parameters[0] + parameters[1] * (DEPTHS - 29), np.exp(parameters[2])
        with np.errstate(divide='ignore'):
            below, above = (stats.norm.cdf(np.log(each), line, sigma) for each in (low, high))
            return -np.log(above - below).sum() + 0.5 * (LEAST_RESIDUAL / sigma) ** 2

    best = optimize.minimize(loss, [4.7, 0.05, -2], method='Nelder-Mead', options={'xatol': 1e-7})
    found = fit_lines(DEPTHS, low, high)
    assert best.success
    assert found.slope == pytest.approx(best.x[1], abs=1e-5)
    assert found.intercept + 29 * found.slope == pytest.approx(best.x[0], abs=1e-4)
    assert found.sigma == pytest.approx(np.exp(best.x[2]), rel=1e-3)
    total = found.log_likelihood.sum() - 0.5 * (LEAST_RESIDUAL / found.sigma) ** 2
    assert total == pytest.approx(-best.fun, abs=1e-6)


def test_censoring_moves_neither_the_mean_nor_the_stated_error():
    """1,000 simulated sweeps, in which 37 % of the runs are censored."""
    low, high = counts(np.random.default_rng(2), (1000,), budget=150)
    assert np.isinf(high).mean() == pytest.approx(0.37, abs=0.03)
    found = fit_lines(DEPTHS, low, high)
    truth, spread = np.log(242 / 66) / 24, found.slope.std()
    assert found.slope.mean() == pytest.approx(truth, abs=4 * spread / np.sqrt(1000))
    assert np.sqrt(np.square(found.slope_error).mean()) == pytest.approx(spread, rel=0.1)


def test_a_weight_counts_an_observation_so_often():
    low, high = counts(np.random.default_rng(3), budget=250)
    weights = np.ones((2, 5, 1))
    weights[:, 0] = [[0], [2]]
    found = fit_lines(DEPTHS, low, high, weights)
    without, twice = np.arange(1, 5), [0, *range(5)]
    for place, rows in enumerate((without, twice)):
        alone = fit_lines(DEPTHS, low[rows], high[rows])
        assert found.slope[place] == pytest.approx(alone.slope, rel=1e-6)
        assert found.sigma[place] == pytest.approx(alone.sigma, rel=1e-6)
        assert found.slope_error[place] == pytest.approx(alone.slope_error, rel=1e-6)


def test_equal_looks_are_no_certainty():
    """All runs between the same two looks: the slope is 0, with an error of the looks' size."""
    low, high = np.full((5, 8), 50.0), np.full((5, 8), 55.0)
    found = fit_lines(DEPTHS, low, high)
    assert found.slope == pytest.approx(0, abs=1e-9)
    assert 0.001 < found.sigma < np.log(55 / 50)
    assert found.slope_error > 1e-4


def test_units_of_x_do_not_matter():
    low, high = counts(np.random.default_rng(4), budget=250)
    one, other = fit_lines(DEPTHS, low, high), fit_lines(1e4 + DEPTHS / 1000, low, high)
    assert other.slope / 1000 == pytest.approx(one.slope, rel=1e-6)
    assert other.slope_error / 1000 == pytest.approx(one.slope_error, rel=1e-6)


def test_probabilities_are_right_far_from_the_line():
    low, high = counts(np.random.default_rng(5))
    low[0, 0], high[0, 0] = 5000.0, 5005.0
    found = fit_lines(DEPTHS, low, high, np.arange(5)[:, None] > 0)  # without that seed
    z = [(np.log(each) - found.intercept - 8 * found.slope) / found.sigma for each in (5000, 5005)]
    between = stats.norm.logsf(z[0]) + np.log1p(-np.exp(np.diff(stats.norm.logsf(z))[0]))
    assert z[0] > 40
    assert found.log_likelihood[0, 0] == pytest.approx(between, rel=1e-9)
