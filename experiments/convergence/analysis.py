"""Counts the updates of fresh seeds at each network's rate, and judges how they grow with depth."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from experiments.convergence.stages import judged, tuned_rates
from vggres.config import Config
from vggres.findings.fastest import TunedRate, updates_to
from vggres.findings.growth import (
    Difference,
    Growth,
    Shape,
    difference,
    judge,
    shape,
)
from vggres.results import Result
from vggres.sweeps.arms import grid_of, targets
from vggres.sweeps.sweep import Sweep

Bounds = tuple[np.ndarray, np.ndarray]  # [seeds, depths]: see `growth.judge`
_PAIR = ('plain', 'resnet')


@dataclass(frozen=True)
class Network:
    """One network of the sweep.

    Attributes:
        family: 'vgg', 'plain' or 'resnet'.
        depth: weighted layers.
        tuned: its learning rate, and how it was chosen.
        seeds: the fresh seeds that were counted, ascending.
        updates: for each target, by its text, the updates at the first look with that training
            error, by seed; None where the budget ended first.
        diverged: the number of these runs that diverged.
    """

    family: str
    depth: int
    tuned: TunedRate
    seeds: tuple[int, ...]
    updates: Mapping[str, tuple[int | None, ...]]
    diverged: int


@dataclass(frozen=True)
class ConvergenceVerdict:
    """How the updates to a training error grow with depth.

    Attributes:
        networks: by family and depth.
        targets: the training errors, in percent, as texts, the highest first.
        budget: updates after which a run ends in any case.
        resolution: updates between two looks.
        rates: the grid, ascending.
        growth: the verdict by family and target.
        shapes: by family and target, where the number of updates grows.
        differences: by target, of the slopes of plain and residual networks, where both have laws.
    """

    networks: tuple[Network, ...]
    targets: tuple[str, ...]
    budget: int
    resolution: int
    rates: tuple[float, ...]
    growth: Mapping[str, Mapping[str, Growth]]
    shapes: Mapping[str, Mapping[str, Shape]]
    differences: Mapping[str, Difference]


def analyse(sweep: Sweep) -> ConvergenceVerdict:
    """Judges each family at each target by the seeds that have every depth."""
    config = sweep.config
    names = targets(config)
    networks = _networks(sweep, names)
    families = dict.fromkeys(network.family for network in networks)
    growth: dict[str, dict[str, Growth]] = {}
    shapes: dict[str, dict[str, Shape]] = {}
    for family in families:
        own = [network for network in networks if network.family == family]
        depths = np.array([network.depth for network in own])
        for name in names:
            bounds = _bounds(own, name, complete(own), config)
            growth.setdefault(family, {})[name] = found = judge(depths, *bounds)
            if found.laws and any(law.interval[0] > 0 for law in found.laws.values()):
                shapes.setdefault(family, {})[name] = shape(depths, *bounds)
    differences = {
        name: found for name in names if (found := _difference(networks, name, growth, config))
    }
    return ConvergenceVerdict(
        networks=networks,
        targets=names,
        budget=config.train.steps,
        resolution=config.evaluation.every_steps,
        rates=grid_of(sweep),
        growth=growth,
        shapes=shapes,
        differences=differences,
    )


def _networks(sweep: Sweep, names: Iterable[str]) -> tuple[Network, ...]:
    fresh: dict[tuple[str, int], list[Result]] = {}
    for run in judged(sweep):
        fresh.setdefault((run.family, run.depth), []).append(run)
    found = []
    for (family, depth), tuned in tuned_rates(sweep).items():
        runs = fresh.get((family, depth), [])
        updates = {name: tuple(updates_to(run, name) for run in runs) for name in names}
        diverged = sum(run.status == 'diverged' for run in runs)
        seeds = tuple(run.seed for run in runs)
        found.append(Network(family, depth, tuned, seeds, updates, diverged))
    order = dict.fromkeys(network.family for network in found)
    return tuple(sorted(found, key=lambda each: (list(order).index(each.family), each.depth)))


def complete(networks: Iterable[Network]) -> list[int]:
    """The seeds that every one of some networks has."""
    return sorted(set.intersection(*(set(network.seeds) for network in networks)))


def _bounds(networks: list[Network], name: str, seeds: Iterable[int], config: Config) -> Bounds:
    """Between which looks each seed of each network reached a target."""
    budget, every = config.train.steps, config.evaluation.every_steps
    high = np.array(
        [[_updates(network, name, seed) for network in networks] for seed in seeds], float
    ).reshape(-1, len(networks))
    # There is a look at the end of each epoch as well, which may come sooner.
    low = np.where(np.isinf(high), budget, (np.ceil(high / every) - 1) * every)
    return low, high


def _updates(network: Network, name: str, seed: int) -> float:
    found = network.updates[name][network.seeds.index(seed)]
    return math.inf if found is None else found


def _difference(
    networks: Iterable[Network],
    name: str,
    growth: Mapping[str, Mapping[str, Growth]],
    config: Config,
) -> Difference | None:
    """Plain minus resnet, over the depths and seeds that both have; None without both laws."""
    if not all(family in growth and growth[family][name].laws for family in _PAIR):
        return None
    pair = [[each for each in networks if each.family == family] for family in _PAIR]
    depths = sorted(set.intersection(*({each.depth for each in own} for own in pair)))
    pair = [[each for each in own if each.depth in depths] for own in pair]
    seeds = complete([*pair[0], *pair[1]])
    if len(depths) < 2 or len(seeds) < 2:
        return None
    first, second = (_bounds(own, name, seeds, config) for own in pair)
    return difference(np.array(depths), first, second)
