"""Measures how the gradient flows through each network and how each network trains."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from experiments.gradient_flow.question import NORMS
from vggres.findings import along_layers
from vggres.findings.along_layers import CONFIDENCE, DECADES, R_SQUARED, Flow, Judgements
from vggres.findings.estimates import Interval, rank_correlation
from vggres.networks import spec
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
        scheme: of its initialisation, one of `config.INIT_SCHEMES`.
        train_error: at the end, in percent.
        padding: the decades that the gradient loses by padding alone (`along_layers.padding`).
        judgement: of `input_gradient`.
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
    padding: float
    judgement: Judgements
    input_gradient: Flow
    weight_gradient: Flow
    update_ratio: Flow
    activation: Flow


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
        networks: all that finished and were observed.
        failed: the error in percent from which on networks count as failed alike; None where no
            network was observed.
        correlations: by norm, moment and comparison.
        confidence: the level of all intervals.
        decades: the threshold of `along_layers.DECADES`.
        r_squared: the threshold of `along_layers.R_SQUARED`.
        correlation: the threshold `CORRELATION`.
    """

    networks: tuple[NetworkFlow, ...]
    failed: float | None
    correlations: tuple[FailureCorrelation, ...]
    confidence: float = CONFIDENCE
    decades: float = DECADES
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
        padding=along_layers.padding(network_spec, image_shape),
        judgement=along_layers.judgements(flows['input_gradient']),
        **flows,
    )


def _flow(
    observations: Sequence[Observation],
    quantity: str,
    network_spec: NetworkSpec,
    image_shape: tuple[int, int, int],
) -> Flow:
    names, positions = along_layers.along(network_spec, QUANTITIES[quantity].of)
    scales = np.ones(len(names))
    if quantity == 'input_gradient':  # the norm, from the root mean square
        inputs = spec.block_inputs(network_spec, image_shape)
        scales = np.array([math.sqrt(math.prod(inputs[name])) for name in names])

    def scaled(observation: Observation) -> np.ndarray:
        return along_layers.values(observation, quantity, names) * scales

    draws = [scaled(observation) for observation in observations if observation.step == 0]
    return Flow(
        before=along_layers.change(np.array(draws), positions),
        during={
            observation.epoch: along_layers.change(scaled(observation), positions)
            for observation in observations
            if observation.step > 0
        },
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
