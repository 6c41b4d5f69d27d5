"""Lines through the logarithms of counts that are known between two bounds only.

A run that is looked at every few updates reaches its target somewhere between two looks, and a run
that its budget ends may reach it at any later time. So an observation is an interval, from the last
look without the target to the first look with it, or to infinity. The model is

    log N = intercept + slope · x + σ · noise,

with normal noise, and the likelihood of a run is the probability of its interval. Its logarithm is
concave in intercept/σ, slope/σ and 1/σ (Burridge, J. R. Stat. Soc. B 43, 1981; Olsen, Econometrica
46, 1978, without intervals), so that Newton's method finds the only maximum. Many fits are made at
once: with other data, or of the same data with other weights.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

# As if there were one more residual of this size, in units of log N. Without it, runs that all
# reach the target between the same two looks would give σ = 0, and certainty from no spread. It is
# a few per cent, less than what a look every few updates resolves; among 40 residuals of 10 % it
# makes σ larger by 0.3 %.
LEAST_RESIDUAL = 0.05
# Newton's method doubles its digits in each iteration once it is near; simulated data took 12 at
# most. Data that fit with any steep slope need the bound.
_MOST_ITERATIONS = 40
_MOST_HALVINGS = 30
_TOLERANCE = 1e-9  # of the log-likelihood
_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Lines:
    """Fitted lines, one per entry of the leading axes.

    Attributes:
        intercept: `[...]`, log N at x = 0.
        slope: `[...]`, of log N, per unit of x.
        sigma: `[...]`, the standard deviation of log N around the line.
        slope_error: `[...]`, the standard error of the slope that the curvature of the likelihood
            gives, as if all observations were independent.
        log_likelihood: `[..., seeds, positions]`, the logarithm of the probability of each
            observation's interval, without weights.
    """

    intercept: np.ndarray
    slope: np.ndarray
    sigma: np.ndarray
    slope_error: np.ndarray
    log_likelihood: np.ndarray


def fit_lines(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, weights: np.ndarray | None = None
) -> Lines:
    """Fits log N against x by maximum likelihood, where N lies between two bounds.

    Args:
        x: `[positions]`, or any shape that broadcasts against that of the bounds.
        low: `[..., seeds, positions]`, 0 or more: N is above it.
        high: the same shape: N is at most that; infinity where it was never reached.
        weights: how often each observation counts; 1 by default. Its shape broadcasts against that
            of the bounds, so that leading axes make more fits.
    """
    weights = np.ones(1) if weights is None else np.asarray(weights, float)
    shape = np.broadcast_shapes(np.shape(x), np.shape(low), np.shape(weights))
    with np.errstate(divide='ignore'):
        low, high = (np.log(np.broadcast_to(each, shape)) for each in (low, high))
    # A common shift and scale of x keep Newton's equations well conditioned.
    x = np.asarray(x, float)
    centre, scale = x.mean(), np.ptp(x) or 1.0
    data = _Data(np.broadcast_to((x - centre) / scale, shape), low, high, weights)
    parameters, curvature = _maximum(data)
    gamma, inverse_sigma = parameters[..., :2], parameters[..., 2]
    slope = gamma[..., 1] / inverse_sigma / scale
    # The slope's derivatives in γ0, γ1 and 1/σ give its variance from that of the three.
    gradient = np.stack([np.zeros_like(slope), 1 / inverse_sigma, -slope * scale / inverse_sigma])
    gradient = np.moveaxis(gradient, 0, -1)[..., None]
    variance = (gradient * np.linalg.solve(curvature, gradient)).sum(axis=(-1, -2))
    return Lines(
        intercept=gamma[..., 0] / inverse_sigma - slope * centre,
        slope=slope,
        sigma=1 / inverse_sigma,
        slope_error=np.sqrt(variance) / scale,
        log_likelihood=_log_probability(*_standardised(data, parameters)),
    )


@dataclass(frozen=True)
class _Data:
    """Positions, logarithms of both bounds, and weights."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    weights: np.ndarray


def _maximum(data: _Data) -> tuple[np.ndarray, np.ndarray]:
    """The maximum of the likelihood, `[..., 3]`, and minus its second derivative there."""
    parameters = _start(data)
    value = _objective(data, parameters)
    for _ in range(_MOST_ITERATIONS):
        gradient, curvature = _derivatives(data, parameters)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        size, proposed, worse = np.ones(value.shape), value, np.zeros(value.shape, bool)
        for _ in range(_MOST_HALVINGS):
            proposed = _objective(data, parameters + size[..., None] * step)
            worse = proposed < value
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        size = np.where(worse, 0.0, size)
        parameters = parameters + size[..., None] * step
        gain, value = np.where(worse, 0.0, proposed - value), np.where(worse, value, proposed)
        if (gain < _TOLERANCE).all():
            break
    return parameters, _derivatives(data, parameters)[1]


def _start(data: _Data) -> np.ndarray:
    """A level line through the middle of the bounds, with the spread around it."""
    middle = np.where(np.isfinite(data.high), data.high, data.low)
    axes = (-1, -2)
    total = np.broadcast_to(data.weights, middle.shape).sum(axis=axes)
    mean = (data.weights * middle).sum(axis=axes) / total
    square = (data.weights * (middle - mean[..., None, None]) ** 2).sum(axis=axes) / total
    sigma = np.sqrt(square + LEAST_RESIDUAL**2)
    return np.stack([mean / sigma, np.zeros_like(mean), 1 / sigma], axis=-1)


def _standardised(data: _Data, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both bounds in units of σ, from the line."""
    constant, slope, inverse_sigma = (parameters[..., i, None, None] for i in range(3))
    line = constant + slope * data.x
    return inverse_sigma * data.low - line, inverse_sigma * data.high - line


def _objective(data: _Data, parameters: np.ndarray) -> np.ndarray:
    """The weighted log-likelihood with the residual of `LEAST_RESIDUAL`; −∞ for σ below 0."""
    inverse_sigma = parameters[..., 2]
    is_possible = inverse_sigma > 0
    safe = np.where(is_possible[..., None], parameters, np.array([0.0, 0.0, 1.0]))
    found = (data.weights * _log_probability(*_standardised(data, safe))).sum(axis=(-1, -2))
    found = found - 0.5 * (LEAST_RESIDUAL * inverse_sigma) ** 2
    return np.where(is_possible, found, -np.inf)


def _derivatives(data: _Data, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradient, `[..., 3]`, and minus the second derivative, `[..., 3, 3]`."""
    low, high = _standardised(data, parameters)
    log_p = _log_probability(low, high)
    at_low, at_high = (np.exp(-0.5 * z**2 - _LOG_SQRT_2PI - log_p) for z in (low, high))
    # Bounds at 0 and at infinity have no density, so that any finite number may stand for them.
    low, high, log_low, log_high = (
        np.where(np.isfinite(each), each, 0.0) for each in (low, high, data.low, data.high)
    )
    ones = np.ones_like(data.x)
    toward = [np.stack([-ones, -data.x, y], axis=-1) for y in (log_low, log_high)]
    slopes = at_high[..., None] * toward[1] - at_low[..., None] * toward[0]
    gradient = (data.weights[..., None] * slopes).sum(axis=(-2, -3))
    bent = np.einsum('...i,...j->...ij', slopes, slopes)
    for z, density, way in zip((-low, high), (at_low, at_high), toward, strict=True):
        outer = np.einsum('...i,...j->...ij', way, way)
        bent = bent + (z * density)[..., None, None] * outer
    curvature = (data.weights[..., None, None] * bent).sum(axis=(-3, -4))
    last = np.array([0.0, 0.0, 1.0])
    gradient = gradient - LEAST_RESIDUAL**2 * parameters[..., 2, None] * last
    curvature = curvature + LEAST_RESIDUAL**2 * np.diag(last) + 1e-9 * np.eye(3)
    return gradient, curvature


def _log_probability(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """log(Φ(high) − Φ(low)), exact in both tails."""
    mirrored = low > 0
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    log_high = special.log_ndtr(high)
    with np.errstate(divide='ignore'):
        return log_high + np.log(-np.expm1(np.minimum(special.log_ndtr(low) - log_high, 0.0)))
