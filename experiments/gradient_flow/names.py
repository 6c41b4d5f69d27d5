"""What networks, moments and correlations are called, in words, tables and figures alike."""

from collections.abc import Iterable

from experiments.gradient_flow.analysis import (
    FailureCorrelation,
    FlowInTraining,
    FlowVerdict,
    NetworkFlow,
    deepest_shared,
)
from experiments.gradient_flow.question import NORMS

SCHEMES = {
    'he': 'He initialisation',
    'glorot': 'Glorot initialisation',
    'vgg': 'VGG initialisation',
}
MOMENTS = {'before': 'before training', 'during': 'during training'}
AMONG = {'all depths': 'among all depths', 'one depth': 'among networks of one depth'}


def called(network: NetworkFlow | FlowInTraining) -> str:
    """Its family, norm and initialisation; those of VGG are told apart from the family."""
    return f'{network.family}, {NORMS[network.norm]}, {SCHEMES[network.scheme].split()[0]} init'


def deepest(networks: Iterable[tuple[str, int]]) -> int:
    """The greatest depth that all variants have; where they share none, the greatest of all.

    Args:
        networks: the variant and the depth of each.
    """
    depths: dict[str, set[int]] = {}
    for variant, depth in networks:
        depths.setdefault(variant, set()).add(depth)
    greatest = max((max(each) for each in depths.values()), default=0)
    return deepest_shared(depths.values()) or greatest


def distinct(verdict: FlowVerdict) -> list[FailureCorrelation]:
    """The correlations; among networks of one depth, those of all depths are the same."""
    is_one = len({network.depth for network in verdict.networks}) < 2
    return [each for each in verdict.correlations if not (is_one and each.among == 'all depths')]
