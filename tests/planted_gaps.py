"""Simulated families of networks, each at its own rate, with planted gaps."""

import dataclasses
import math

import numpy as np
import planted

from vggres.findings import budgets, tuned

SHALLOW, DEEP = 20, 56
FAMILIES = ('plain', 'resnet')


def run(family, depth, seed, decades, failed=False):
    """A run whose loss is 10 to the power of `decades`; one that fails is near guessing.

    It errs by 2 %, above the floor, so that its loss counts.
    """
    loss, error = (2.3, 88.0) if failed else (10**decades, 2.0)
    return planted.result(family, depth, seed, error, train_loss=loss)


def world(gaps, seeds=8, spread=0.15, fails=0.0, draw=0, families=FAMILIES):
    """Families at depths 20 and 56, with gaps of `plain` in decades by budget.

    Args:
        gaps: {budget: gap of plain}; resnet has none.
        seeds: of each network.
        spread: the standard deviation of log10(loss) among the seeds of a network.
        fails: the probability that a run of plain-56 fails to train.
        draw: of the random numbers.
        families: those that there are.
    """
    random = np.random.default_rng(draw)
    runs = {}
    for budget, gap in gaps.items():
        for family in families:
            for depth in (SHALLOW, DEEP):
                is_deep_plain = (family, depth) == ('plain', DEEP)
                middle = -2 - math.log10(budget) + (gap if is_deep_plain else 0)
                runs[family, depth, budget] = [
                    run(
                        family,
                        depth,
                        seed,
                        random.normal(middle, spread),
                        failed=is_deep_plain and random.random() < fails,
                    )
                    for seed in range(seeds)
                ]
    return runs


def judged(runs, family='plain', **more):
    """The gaps of a family by budget, and its verdict over all budgets."""
    shallower = {(name, budget): SHALLOW for name, _, budget in runs}
    gaps = [gap for gap in tuned.judge(runs, shallower, **more) if gap.family == family]
    return {gap.budget: gap for gap in gaps}, budgets.over_budgets(gaps)


def shares(statuses):
    """How often each status was given."""
    statuses = list(statuses)
    return {status: statuses.count(status) / len(statuses) for status in set(statuses)}


def with_errors(runs, family, shallow, deep):
    """The same runs with other training errors; odd seeds of the deep network have 0.01 more."""
    error_of = {SHALLOW: (shallow, shallow), DEEP: (deep, deep + 0.01)}
    return runs | {
        place: [
            dataclasses.replace(each, train_error=error_of[place[1]][each.seed % 2])
            for each in found
        ]
        for place, found in runs.items()
        if place[0] == family
    }
