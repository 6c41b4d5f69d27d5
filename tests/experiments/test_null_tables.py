"""Both tables of claims where every number lies on its margin, so that each decision is an error.

Here the contrasts are those of the experiments. `test_contrasts` counts thousands of tables of
plain t-tests.
"""

import dataclasses
import functools
import itertools
import math

import numpy as np
import planted
import pytest

import experiments
from experiments.collapse import analysis as collapse
from experiments.collapse.analysis import COSINE_MARGIN, CollapseNetwork, CollapseVerdict, Features
from experiments.convergence.analysis import ConvergenceVerdict, Network
from experiments.deepen.analysis import DeepenVerdict, Held
from experiments.deepen.question import STARTS
from experiments.depth.claims import FIT_MARGIN
from experiments.depth_tuned.analysis import Fit, TunedNetwork, TunedVerdict
from experiments.effective_rate.analysis import EffectiveRateVerdict
from experiments.gradient_flow.analysis import FlowVerdict, NetworkFlow
from experiments.identity_shortcut.analysis import ShortcutNetwork, ShortcutVerdict
from experiments.identity_shortcut.jacobians import CLOSE, Distance, Jacobians
from experiments.identity_shortcut.question import IDENTITY, PREACTIVATION
from experiments.landscape.analysis import CurvatureNetwork, LandscapeVerdict
from experiments.landscape.analysis import Look as CurvatureLook
from experiments.landscape.claims import SHARPER
from experiments.lesion.analysis import DESTROYED, HARDLY, Lesioned, LesionVerdict
from experiments.paths import analysis as paths
from experiments.response.analysis import ResponseNetwork, ResponseVerdict
from experiments.response.claims import SMALLER
from experiments.shattering import analysis as shattering
from experiments.shattering.analysis import (
    SLOPE_MARGIN,
    Shattering,
    ShatteringNetwork,
    ShatteringVerdict,
)
from experiments.without_norm import SMALL
from experiments.without_shortcuts import TAILORED
from vggres.findings import before_after
from vggres.findings.along_layers import DECADES, Change, Flow
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import LEVEL, two_sided
from vggres.findings.controls import CONTROL_MARGIN
from vggres.findings.cures import CURED
from vggres.findings.cures_telling import ArmOutcome, ArmsVerdict
from vggres.findings.estimates import t_interval
from vggres.findings.fastest import TunedRate
from vggres.findings.growth import Comparison, Growth, Law
from vggres.findings.outcomes import MARGIN
from vggres.findings.tuned import LOSS_MARGIN, Gap, estimate
from vggres.findings.tuned import Outcome as TunedOutcome

TABLES = 150
RATE = TunedRate(0.1, (), {}, '', 1)


def only(kind, unknown=None, **known):
    """A record of which only some fields are known."""
    return kind(**dict.fromkeys((each.name for each in dataclasses.fields(kind)), unknown) | known)


def judged_tables(claims, worlds):
    """What becomes of every contrast in each table; the worlds are drawn with a fixed seed."""
    generator = np.random.default_rng(0)
    tables = []
    for _ in range(TABLES):
        findings = judge(claims, {sweep: world(generator) for sweep, world in worlds.items()})
        tables.append([each for finding in findings for each in finding.judged])
    return tables


def num_tested(table):
    """The number of contrasts of a table that may decide."""
    return sum(each.contrast.barrier is None for each in table)


def assert_errors_are_rare(tables):
    """Any decision is one; without the adjustment, a table would tell stories."""
    wrong = np.mean([any(each.answer is not None for each in table) for table in tables])
    alone = np.mean([any(two_sided(each.contrast) < LEVEL for each in table) for table in tables])
    assert alone > 0.4
    assert wrong <= LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / len(tables))


# The story.

SEEDS, DRAWS = 5, 5
KINDS = [(f, s) for f in ('plain', 'vgg') for s in ('he', 'glorot', 'vgg')]


def null_depth(generator):
    """Loss, excess and gain on their margins; the controls train."""
    results = []
    for family, depth, seed in itertools.product(('plain', 'resnet'), (8, 20, 56), range(SEEDS)):
        is_deep = depth == 56
        loss = generator.normal(-2 - is_deep * FIT_MARGIN, 0.2)
        results.append(
            planted.result(
                family,
                depth,
                seed,
                train_error=generator.normal(5 + is_deep * MARGIN, 1),
                validation_error=generator.normal(10 - is_deep * MARGIN, 1),
                train_loss=10**loss,
            )
        )
    return Evidence(results, None, {'plain': {8, 20, 56}, 'resnet': {8, 20, 56}})


def flow(generator, family, norm, scheme, decades, *, depth=56, seed=0, error=0.0):
    """A network that loses so many decades on average, in draws that deviate by 0.5."""
    drawn = generator.normal(decades, 0.5, DRAWS)
    change = Change(
        decades=drawn.mean(),
        interval=t_interval(drawn, 0.95),
        per_layer=None,
        r_squared=1.0,
        first_to_last=None,
        ends=(None, None),
        zeros=0.0,
        not_finite=0.0,
        local=(),
        n=DRAWS,
    )
    course = Flow(change, {})
    known = {'family': family, 'norm': norm, 'scheme': scheme, 'depth': depth, 'seed': seed}
    planted_fields = {'train_error': error, 'shape': 'geometric', 'input_gradient': course}
    return only(NetworkFlow, **known, **planted_fields)


def null_flow(generator):
    """Every gradient shrinks by just a decade, and is kept within just a decade.

    For plain networks this would leave nothing to protect, so those of 56 layers lose much more
    without norm: they are not the deepest, 110 layers, by which shrinking is judged. Ranks go with
    the error by just the margin on average, which a mixture of orders brings about.
    """
    networks = [flow(generator, 'resnet', 'batch', 'he', 0.0, depth=d) for d in (8, 56)]
    networks.append(flow(generator, 'resnet', 'batch', 'he', 0.0, depth=110, error=80.0))
    for norm, (family, scheme) in itertools.product(('none', 'batch'), KINDS):
        networks.append(flow(generator, family, norm, scheme, DECADES, depth=110))
    for scheme in ('he', 'glorot', 'vgg'):
        networks.append(flow(generator, 'plain', 'none', scheme, 9.0))
        networks.append(flow(generator, 'resnet', 'none', scheme, DECADES))
    verdict = FlowVerdict(tuple(networks), training=(), failed=87.3, correlations=())
    planned = {'plain': {8, 56, 110}, 'resnet': {8, 56, 110}}
    return Evidence([planted.result()], verdict, planned)


def null_shortcuts(generator):
    """The roots of the sums of squares are at the margin on average, before and after training."""

    def jacobians(draws):
        roots = tuple(generator.normal(CLOSE, 0.1, draws))
        distance = Distance((), total=0.0, root=0.0, interval=None, roots=roots)
        return only(Jacobians, from_identity=distance, from_relu=distance)

    networks = []
    for variant, seed in itertools.product((IDENTITY, PREACTIVATION), range(SEEDS)):
        known = {'variant': variant, 'depth': 56, 'seed': seed, 'train_error': 0.0}
        moments = {'before': jacobians(DRAWS), 'after': jacobians(1)}
        networks.append(only(ShortcutNetwork, **known, **moments))
    return Evidence([planted.result()], ShortcutVerdict(tuple(networks)), {})


def null_tuned(generator):
    """The gap of plain networks is at its margin, at three budgets; the control trains."""
    gaps = [
        Gap(
            family='plain',
            budget=budget,
            status='inconclusive',
            reason='',
            deepest=56,
            shallower=20,
            seeds=tuple(range(SEEDS)),
            loss=estimate(generator.normal(LOSS_MARGIN, 0.2, SEEDS)),
            error=estimate(np.zeros(SEEDS)),
            error_status='floor',
            failed=(0, 0),
            failure_p=1.0,
            seeds_needed=None,
            at_edge=(False, False),
        )
        for budget in (1, 3, 10)
    ]
    outcome = TunedOutcome(SEEDS, 0, None, 0.1, 0.0)
    families = ('plain', 'resnet')
    networks = [TunedNetwork(family, 56, 10, None, 0.1, (), outcome) for family in families]
    for depth, log_loss in ((20, -2.0), (56, 0.0)):  # at the common rate there is a gap to explain
        fits = (Fit(0.1, log_loss, 10.0),)
        networks.append(TunedNetwork('plain', depth, 1, None, 0.1, fits, outcome))
    known = {'networks': networks, 'gaps': gaps, 'common_rate': 0.1, 'tuning_seeds': (0, 1, 2)}
    return Evidence([], only(TunedVerdict, unknown=(), **known), {})


def null_convergence(generator):
    """The updates grow, and neither law has an advantage on average; the control trains."""
    by_seed = generator.normal(0, 1, SEEDS)
    low, high = t_interval(by_seed, 0.95)
    advantage = by_seed.sum()
    sign = math.copysign(1, advantage)
    comparison = Comparison(advantage, (SEEDS * low, SEEDS * high), (sign, sign), 0.0, False, 9.0)
    law = only(Law, factor=10.0, factor_interval=(9.0, 11.0), log_likelihood=0.0)
    growth = Growth('inconclusive', '', SEEDS, (8, 50), (), (0, 0), {'power': law}, comparison)
    updates = {'5': (50,) * SEEDS}
    trained = Network('resnet', 50, RATE, tuple(range(SEEDS)), updates, 0)
    known = {'networks': (trained,), 'targets': ('5',), 'growth': {'plain': {'5': growth}}}
    return Evidence([], only(ConvergenceVerdict, unknown=(), **known), {})


STORY = {
    'depth': null_depth,
    'gradient_flow': null_flow,
    'identity_shortcut': null_shortcuts,
    'depth_tuned': null_tuned,
    'convergence': null_convergence,
}


def test_a_table_with_nothing_to_find_decides_anything_in_at_most_five_per_cent_of_cases():
    """Through the real contrasts and Holm's adjustment."""
    tables = judged_tables(experiments.claims(), STORY)
    assert min(map(num_tested, tables)) > 24  # the planted worlds do reach the tests
    assert_errors_are_rare(tables)


# The causes, with as many draws as their sweeps have by default, and seeds where three would not
# confirm a cure in any case.

LOOK_EVERY = 5  # updates


def arms(generator, treated, seeds=8):
    """Treated networks take twice the updates of the control, untreated ones six times as many.

    The budget ends no run on the margin: one that it ends never confirms a cure. Runs are counted
    up to the next look.
    """
    factors = dict.fromkeys(treated, CURED)
    factors |= {untreated: 6.0 for untreated, _ in treated.values()}
    factors |= {control: 1.0 for _, control in treated.values()}
    outcomes = []
    for arm, factor in factors.items():
        counts = [40 * factor * spread(generator) for _ in range(seeds)]
        looks = (LOOK_EVERY * math.ceil(count / LOOK_EVERY) for count in counts)
        outcomes.append(ArmOutcome(arm, 44, RATE, dict(enumerate(looks)), cure=None))
    return ArmsVerdict(tuple(outcomes), treated, target='5', budget=400, every=LOOK_EVERY)


def spread(generator):
    """By what factor a run differs from others of its kind: about a tenth, up or down."""
    return math.exp(generator.normal(0, 0.1))


def cure(arm, others):
    """The null world of a sweep whose verdict is about arms: a treated one and two others."""
    return lambda generator: Evidence([], arms(generator, {arm: others}), {})


def null_effective_rate(generator):
    """A plain network whose norms are held takes just twice the updates of the control."""
    found = arms(generator, {'plain, fixed norms': ('plain', 'resnet')})
    return Evidence([], EffectiveRateVerdict(found, (), None, ()), {})


def null_deepen(generator, seeds=8):
    """From each start, updates are just twice those of the control; just the margin is lost."""

    def held(fade_steps):
        start = abs(generator.normal(0, 0.5, seeds))
        final = start + generator.normal(CONTROL_MARGIN, 1.5, seeds)
        known = {'depth': 44, 'rate': 0.1, 'rate_of': 'plain-44', 'fade_steps': fade_steps}
        errors = {'start': tuple(start), 'final': tuple(final), 'worst': tuple(final)}
        return only(Held, **known, **errors, seeds=tuple(range(seeds)))

    starts = arms(generator, dict.fromkeys(STARTS, ('plain', 'resnet')), seeds)
    return Evidence([], DeepenVerdict(starts, (held(0),), (held(300),)), {})


def compared(generator, kind, margin, deviation, found):
    """Plain and residual networks at both norms, of three seeds and three draws of weights each.

    Args:
        generator: of the draws.
        kind: of the networks.
        margin: by how much larger a number is in plain networks, on average.
        deviation: of that difference, from draw to draw.
        found: the numbers of three draws → what is found in a network before training.
    """
    networks = []
    for norm, seed in itertools.product(before_after.NORMS, range(3)):
        residual = generator.normal(0.5, 0.1, 3)
        plain = residual + generator.normal(margin, deviation, 3)
        for family, numbers in (('plain', plain), ('resnet', residual)):
            known = {'variant': f'{family}, {norm}', 'family': family, 'norm': norm, 'depth': 56}
            moments = {'before': found(tuple(numbers)), 'after': None}
            networks.append(kind(**known, **moments, seed=seed, train_error=0.0))
    return networks


def null_shattering(generator):
    """Correlations of gradients fall faster in plain networks by just the margin."""

    def found(numbers):
        return only(Shattering, layers=(2,), halvings=numbers)

    kind = functools.partial(ShatteringNetwork, law=(0.5,))
    networks = compared(generator, kind, SLOPE_MARGIN, 0.1, found)
    differences = before_after.differences(networks, shattering._difference)
    return Evidence([], ShatteringVerdict(tuple(networks), differences), {})


def null_collapse(generator):
    """Features are more alike in plain networks by just the margin."""

    def found(numbers):
        return only(Features, last=numbers)

    networks = compared(generator, CollapseNetwork, COSINE_MARGIN, 0.03, found)
    differences = before_after.differences(networks, collapse.difference)
    return Evidence([], CollapseVerdict(tuple(networks), differences), {})


def null_paths(generator):
    """Short paths carry just half of the gradient, before training and after it."""
    lengths = [
        only(
            paths.PathLengths,
            variant=variant,
            depth=56,
            when=when,
            blocks=27,
            short=tuple(generator.normal(paths.MOST, 0.05, 8)),
            length=(9.0,) * 8,
            failed=0,
        )
        for variant in (IDENTITY, PREACTIVATION)
        for when in before_after.MOMENTS
    ]
    errors = {variant: {56: 0.0} for variant in (IDENTITY, PREACTIVATION)}
    return Evidence([], paths.PathsVerdict(tuple(lengths), errors), {})


def null_lesion(generator):
    """Deletions cost residual networks a tenth of the way to guessing, and others half of it."""
    groups = {('resnet', 20): HARDLY, ('resnet', 56): HARDLY}
    groups |= {('plain', 20): DESTROYED, ('vgg', 20): DESTROYED}
    networks = [
        only(Lesioned, unknown=0.0, family=family, depth=depth, damage=damage)
        for (family, depth), margin in groups.items()
        for damage in generator.normal(margin, 0.05, 8)
    ]
    return Evidence([], LesionVerdict(tuple(networks), guessing=90.0), {})


# Three depths of which the errors show that both families train.
TRAINED = [planted.result(f, d) for f in ('plain', 'resnet') for d in (8, 20, 56)]
PLANNED = {'plain': {8, 20, 56}, 'resnet': {8, 20, 56}}


def null_response(generator):
    """ResNet-20 responds just a twentieth less than plain-20, and ResNet-56 than ResNet-20."""
    networks = []
    for seed in range(5):
        plain = generator.normal(1, 0.05)
        shallow, deep = plain * np.cumprod(generator.normal(SMALLER, 0.02, 2))
        sizes = {('plain', 20): plain, ('resnet', 20): shallow, ('resnet', 56): deep}
        for (variant, depth), size in sizes.items():
            known = {'variant': variant, 'depth': depth, 'seed': seed, 'response': size}
            networks.append(only(ResponseNetwork, **known))
    return Evidence(TRAINED, ResponseVerdict(tuple(networks)), PLANNED)


def null_landscape(generator):
    """The curvature around plain-56 is just twice that around ResNet-56."""
    networks = []
    for seed in range(5):
        residual = 100 * 2 ** generator.normal(0, 1)
        plain = residual * 2 ** generator.normal(SHARPER, 0.5)
        for family, largest in (('plain', plain), ('resnet', residual)):
            known = {'family': family, 'depth': 56, 'seed': seed, 'end': largest}
            looks = (only(CurvatureLook, step=10, largest=largest, norm=4.0),)
            networks.append(only(CurvatureNetwork, **known, looks=looks))
    return Evidence(TRAINED, LandscapeVerdict((), tuple(networks), edge=3.8), PLANNED)


CAUSES = {
    'surgery': cure('plain, equal gradients', ('plain', 'resnet')),
    'effective_rate': null_effective_rate,
    'deepen': null_deepen,
    'without_norm': cure(SMALL, ('resnet, no norm', 'resnet')),
    'without_shortcuts': cure(TAILORED, ('plain', 'resnet')),
    'shattering': null_shattering,
    'collapse': null_collapse,
    'paths': null_paths,
    'lesion': null_lesion,
    'response': null_response,
    'landscape': null_landscape,
}


def test_a_table_of_causes_with_nothing_to_find_is_decided_as_rarely():
    """Every declared contrast is tested, so that a new claim without a world fails here.

    Each leans to true about as often as to false: it lies on its margin. Two cannot be true there,
    where half of the runs lose more than the margin.
    """
    claims = experiments.causes()
    tables = judged_tables(claims, CAUSES)
    assert {*map(num_tested, tables)} == {sum(claim.levels for claim in claims)}
    for judged in zip(*tables, strict=True):
        contrasts = [each.contrast for each in judged]
        can_be_true = np.mean([each.p_true < 1 for each in contrasts]) > 0.5
        true = np.mean([each.p_false > (each.p_true if can_be_true else 0.5) for each in contrasts])
        assert true == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(TABLES))
    assert_errors_are_rare(tables)
