"""Measures how the gradient flows through each network and how each network trains."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

import numpy as np

from experiments.gradient_flow.question import NORMS
from vggres.findings import along_layers, expected_gradient
from vggres.findings.along_layers import (
    DECADES,
    LEAST_SEEDS,
    R_SQUARED,
    UNEVENNESS,
    Change,
    Flow,
)
from vggres.findings.estimates import Interval, rank_correlation, t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.networks.spec import NetworkSpec
from vggres.probes.quantities import QUANTITIES
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# These were fixed before the first sweep was run; the thresholds for a single network stand in
# `along_layers`. Amended after the first sweep: what happens during training, and among networks of
# one depth, became cases of their own; failed networks share a rank; gradients are compared by norm
# instead of root mean square; a gradient that is zero at both ends is 'dead' and does not 'vanish'.

# Two things "go with" each other where their rank correlation is at least this, so that one
# explains a quarter of the variance of the other.
CORRELATION = 0.5
# Errors of at least this part of guessing count as equal: it orders nothing that one failed network
# always answers with the most frequent class and another one diverged.
GUESSING = 0.97

MOMENTS = ('before', 'during')
AMONG = ('all depths', 'one depth')


@dataclass(frozen=True)
class NetworkFlow:
    """How the gradient flows through one network, and how that network trains.

    Attributes:
        cell: the id of its cell.
        variant: its family, norm and scheme in words.
        family: 'vgg', 'plain' or 'resnet'.
        depth: weighted layers.
        seed: of its weights and the order of its data.
        status: 'finished' or 'diverged'.
        norm: 'batch' or 'none'.
        scheme: of its initialisation, one of `config.NORMAL_SCHEMES`.
        train_error: at the end, in percent.
        judgement: of `input_gradient` before the first update (`along_layers.judge`).
        shape: of the same (`along_layers.shape`).
        expected: the decades by which `expected_gradient` predicts that it shrinks before the first
            update, fitted as the measurement is; None where there is no closed form.
        finite_width: the decades that this prediction lacks for layers of finite width, estimated
            from the draws (`along_layers.finite_width`); None with fewer than two draws, or where a
            gradient is zero or not finite.
        input_gradient: the norm of the gradient in the inputs of blocks.
        weight_gradient: the root mean square of the gradient in the weights of layers.
        update_ratio: the root mean square of the update over that of the weights, by layer.
        activation: the root mean square of the inputs of blocks.
    """

    cell: str
    variant: str
    family: str
    depth: int
    seed: int
    status: str
    norm: str
    scheme: str
    train_error: float
    judgement: str
    shape: str
    expected: float | None
    finite_width: float | None
    input_gradient: Flow
    weight_gradient: Flow
    update_ratio: Flow
    activation: Flow

    @property
    def gradient(self) -> Change:
        """The change of `input_gradient` before the first update, which is what is judged."""
        return self.input_gradient.before


@dataclass(frozen=True)
class FlowInTraining:
    """How the gradient flows through one network in the course of training, over its seeds.

    Each seed has one profile, the median over all looks after the first update, because looks at
    one run are not independent.

    Attributes:
        variant: its family, norm and scheme in words.
        family: 'vgg', 'plain' or 'resnet'.
        depth: weighted layers.
        norm: 'batch' or 'none'.
        scheme: of its initialisation.
        gradient: the norm of the gradient in the inputs of blocks; its draws are the seeds that
            were observed after the first update.
        judgement: of `gradient`; None with fewer than `LEAST_SEEDS` seeds.
        shape: likewise.
        fallen: the decades by which the whole profile lies lower at the last look than before the
            first update, the mean over seeds; None where no gradient was finite.
        fallen_interval: Student's over seeds; None with fewer than `LEAST_SEEDS`.
    """

    variant: str
    family: str
    depth: int
    norm: str
    scheme: str
    gradient: Change
    judgement: str | None
    shape: str | None
    fallen: float | None
    fallen_interval: Interval | None


@dataclass(frozen=True)
class FailureCorrelation:
    """How the shrinking of the gradient goes with the training error at the end.

    Attributes:
        norm: of the networks: 'batch' or 'none'. They have no shortcuts.
        moment: of the shrinking: 'before' the first update, or the median 'during' training.
        among: 'all depths', or 'one depth', where ranks are taken within each depth.
        correlation: Spearman's; None with fewer than four networks.
        interval: of the correlation.
        n: networks.
    """

    norm: str
    moment: str
    among: str
    correlation: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True)
class FlowVerdict:
    """What the sweep says about the gradient.

    Attributes:
        networks: all that finished and were observed, before training.
        training: the same in training, over seeds.
        failed: the error in percent from which on networks count as failed alike; None where no
            network was observed.
        correlations: by norm, moment and comparison.
        confidence: the level of all intervals.
        decades: the threshold of `along_layers.DECADES`.
        unevenness: the threshold of `along_layers.UNEVENNESS`.
        r_squared: the threshold of `along_layers.R_SQUARED`.
        correlation: the threshold `CORRELATION`.
    """

    networks: tuple[NetworkFlow, ...]
    training: tuple[FlowInTraining, ...]
    failed: float | None
    correlations: tuple[FailureCorrelation, ...]
    confidence: float = CONFIDENCE
    decades: float = DECADES
    unevenness: float = UNEVENNESS
    r_squared: float = R_SQUARED
    correlation: float = CORRELATION


def analyse(sweep: Sweep) -> FlowVerdict:
    """Measures the gradient in each observed network, and how it goes with the training error."""
    observed = sweep.observed()
    networks = [_network(*each) for each in observed]
    # All cells of a sweep have the same data set.
    classes = max((result.num_classes for _, result, _ in observed), default=None)
    failed = None if classes is None else GUESSING * 100 * (1 - 1 / classes)
    return FlowVerdict(
        networks=tuple(networks),
        training=tuple(_training(observed)),
        failed=failed,
        correlations=tuple(
            correlate(networks, norm, moment, among, failed)
            for norm, moment, among in product(NORMS, MOMENTS, AMONG)
        ),
    )


def _network(cell: Cell, result: Result, observations: Sequence[Observation]) -> NetworkFlow:
    network_spec, image_shape = cell.network_spec, result.image_shape
    flows = {
        name: _flow(observations, name, network_spec, image_shape)
        for name in ('input_gradient', 'weight_gradient', 'update_ratio', 'activation')
    }
    before = flows['input_gradient'].before
    return NetworkFlow(
        cell=result.cell,
        variant=result.variant,
        family=result.family,
        depth=result.depth,
        seed=result.seed,
        status=result.status,
        norm=cell.config.model.norm,
        scheme=cell.config.init.scheme,
        train_error=result.train_error,
        judgement=along_layers.judge(before),
        shape=along_layers.shape(before),
        expected=expected(network_spec, image_shape, cell.config.init.scheme),
        finite_width=_finite_width(observations, network_spec, image_shape),
        **flows,
    )


def expected(
    network_spec: NetworkSpec, image_shape: tuple[int, int, int], scheme: str
) -> float | None:
    """The decades by which the gradient is predicted to shrink, fitted as measured ones are."""
    profile = expected_gradient.profile(network_spec, image_shape, scheme)
    if profile is None:
        return None
    _, positions = along_layers.along(network_spec, 'block')
    return along_layers.change([10**profile], positions).decades


def _finite_width(
    observations: Sequence[Observation],
    network_spec: NetworkSpec,
    image_shape: tuple[int, int, int],
) -> float | None:
    draws = [
        along_layers.norms(each, network_spec, image_shape)
        for each in observations
        if each.step == 0
    ]
    if len(draws) < 2:
        return None
    lost = along_layers.finite_width(draws, along_layers.along(network_spec, 'block')[1])
    return lost if math.isfinite(lost) else None


def _flow(
    observations: Sequence[Observation],
    quantity: str,
    network_spec: NetworkSpec,
    image_shape: tuple[int, int, int],
) -> Flow:
    names, positions = along_layers.along(network_spec, QUANTITIES[quantity].of)
    is_gradient = quantity == 'input_gradient'
    parts = along_layers.resolutions(network_spec, image_shape) if is_gradient else ()

    def measured(observation: Observation) -> np.ndarray:
        if is_gradient:
            return along_layers.norms(observation, network_spec, image_shape)
        return along_layers.values(observation, quantity, names)

    draws = [measured(observation) for observation in observations if observation.step == 0]
    return Flow(
        before=along_layers.change(np.array(draws), positions, parts),
        during={
            observation.epoch: along_layers.change([measured(observation)], positions, parts)
            for observation in observations
            if observation.step > 0
        },
    )


_Observed = tuple[Cell, Result, Sequence[Observation]]


def _training(observed: Iterable[_Observed]) -> list[FlowInTraining]:
    """The gradient in training of each variant at each depth, over its seeds."""
    seeds: dict[tuple[str, int], list[_Observed]] = {}
    for each in observed:
        seeds.setdefault((each[1].variant, each[1].depth), []).append(each)
    return [_over_seeds(each) for each in seeds.values()]


def _over_seeds(seeds: Sequence[_Observed]) -> FlowInTraining:
    cell, result, _ = seeds[0]
    network_spec, image_shape = cell.network_spec, result.image_shape
    _, positions = along_layers.along(network_spec, 'block')
    profiles, fallen = [], []
    for _, _, observations in seeds:
        own = [each for each in observations if each.draw == 0]
        rows = [along_layers.norms(each, network_spec, image_shape) for each in own]
        if later := [row for each, row in zip(own, rows, strict=True) if each.step > 0]:
            profiles.append(along_layers.typical(later))
            before, after = along_layers.level(rows[0]), along_layers.level(later[-1])
            fallen += [before - after] if before is not None and after is not None else []
    parts = along_layers.resolutions(network_spec, image_shape)
    gradient = along_layers.change(profiles, positions, parts)
    is_judged = len(profiles) >= LEAST_SEEDS
    return FlowInTraining(
        variant=result.variant,
        family=result.family,
        depth=result.depth,
        norm=cell.config.model.norm,
        scheme=cell.config.init.scheme,
        gradient=gradient,
        judgement=along_layers.judge(gradient) if is_judged else None,
        shape=along_layers.shape(gradient) if is_judged else None,
        fallen=fmean(fallen) if fallen else None,
        fallen_interval=t_interval(np.array(fallen), CONFIDENCE) if is_judged else None,
    )


def deepest_shared(depths: Iterable[Collection[int]]) -> int | None:
    """The greatest depth that several networks have in common; None where there is none.

    A grid that grew may hold one network at depths that the others lack: it must not speak for
    them.

    Args:
        depths: those of each network.
    """
    sets = [set(each) for each in depths]
    return max(set.intersection(*sets), default=None) if sets else None


def shrinkage(network: NetworkFlow, moment: str) -> float | None:
    """The decades by which a network's gradient shrinks: before training, or the median during."""
    flow = network.input_gradient
    changes: Iterable = [flow.before] if moment == 'before' else flow.during.values()
    return along_layers.shrinkage(changes)


def correlate(
    networks: Iterable[NetworkFlow], norm: str, moment: str, among: str, failed: float | None
) -> FailureCorrelation:
    """Correlates shrinking with the training error, over the networks without shortcuts.

    A network whose gradient vanishes shrinks the most.

    Args:
        networks: of any kind.
        norm: 'batch' or 'none': only networks with this norm count.
        moment: 'before' or 'during'.
        among: 'all depths' or 'one depth'.
        failed: errors from here on, in percent, are equal.
    """
    found = [
        (network.depth, decades, min(network.train_error, math.inf if failed is None else failed))
        for network in networks
        if network.family != 'resnet' and network.norm == norm
        if (decades := shrinkage(network, moment)) is not None
    ]
    if not found:
        return FailureCorrelation(norm, moment, among, correlation=None, interval=None, n=0)
    depths, decades, errors = zip(*found, strict=True)
    if among == 'one depth':
        decades, errors = (ranks_within(depths, values) for values in (decades, errors))
    ranked = rank_correlation(decades, errors, CONFIDENCE)
    return FailureCorrelation(norm, moment, among, ranked.correlation, ranked.interval, ranked.n)


def ranks_within(groups: Sequence[int], values: Sequence[float]) -> list[float]:
    """The mean rank of each value in its group, from −1 for the lowest to 1 for the highest."""
    ranks = []
    for group, value in zip(groups, values, strict=True):
        others = [v for g, v in zip(groups, values, strict=True) if g == group]
        below, above = sum(v < value for v in others), sum(v > value for v in others)
        ranks.append((below - above) / max(1, len(others) - 1))
    return ranks
