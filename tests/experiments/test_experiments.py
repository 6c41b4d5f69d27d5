"""Every experiment offers what `Experiment` asks for, and the story is told in its order."""

import dataclasses
import hashlib
import inspect
import itertools
import math

import numpy as np
import planted
import pytest

import experiments
from experiments import Experiment
from experiments.convergence.analysis import ConvergenceVerdict, Network
from experiments.depth.claims import FIT_MARGIN
from experiments.depth_tuned.analysis import Fit, TunedNetwork, TunedVerdict
from experiments.gradient_flow.analysis import FlowVerdict, NetworkFlow
from experiments.identity_shortcut.analysis import ShortcutNetwork, ShortcutVerdict
from experiments.identity_shortcut.jacobians import CLOSE, Distance, Jacobians
from experiments.identity_shortcut.question import IDENTITY, PREACTIVATION
from vggres.errors import UserError
from vggres.findings import contrasts, controls, growth, outcomes, tuned
from vggres.findings.along_layers import DECADES, Change, Flow
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import LEVEL, two_sided
from vggres.findings.estimates import t_interval
from vggres.findings.fastest import TunedRate
from vggres.findings.growth import Comparison, Growth, Law
from vggres.findings.languages import LANGUAGES
from vggres.findings.outcomes import MARGIN
from vggres.findings.tuned import LOSS_MARGIN, Gap, estimate
from vggres.findings.tuned import Outcome as TunedOutcome

OFFERED = {
    *('TITLE', 'CLAIM', 'SOURCE', 'VARIES', 'CLAIMS'),
    *('defaults', 'cells', 'next_cells', 'judged', 'analyse', 'words', 'tables', 'figures'),
}
FUNCTIONS = sorted(each for each in OFFERED if each.islower())


def test_the_protocol_asks_for_these_names():
    functions = {name for name in vars(Experiment) if not name.startswith('_')}
    assert {*Experiment.__annotations__, *functions} == OFFERED


@pytest.mark.parametrize('name', experiments.names())
def test_every_experiment_offers_the_same_names(name):
    experiment = experiments.load(name)
    assert {each for each in OFFERED if not hasattr(experiment, each)} == set()
    for function in FUNCTIONS:
        expected = inspect.signature(getattr(Experiment, function)).parameters
        found = inspect.signature(getattr(experiment, function)).parameters
        assert list(found) == [each for each in expected if each != 'self']
    if hasattr(experiment, '__path__'):  # a package offers nothing else
        assert set(experiment.__all__) == OFFERED


def test_an_unknown_experiment_names_the_nearest_one():
    with pytest.raises(UserError, match="'depht': did you mean depth"):
        experiments.load('depht')


def test_the_claims_come_in_the_order_of_the_story():
    claims = experiments.claims()
    assert [claim.key for claim in claims] == [
        *('fit', 'degradation', 'shrinking', 'shrinking_with_norm'),
        *('failure', 'identity', 'protection', 'gain', 'rate_alone', 'slowness'),
        *('capacity', 'start'),
    ]
    assert {claim.sweep for claim in claims} == {
        *('depth', 'gradient_flow', 'identity_shortcut', 'depth_tuned', 'convergence', 'deepen'),
    }


@pytest.mark.parametrize('claim', experiments.claims(), ids=lambda claim: claim.key)
def test_every_claim_stands_with_its_experiment_and_is_said_in_every_language(claim):
    assert claim in experiments.load(claim.sweep).CLAIMS
    for text in (
        *(claim.sentence, claim.source, claim.quantity, claim.criterion),
        *(claim.counted.one, claim.counted.several, claim.figure.caption),
    ):
        assert set(text) == {language.code for language in LANGUAGES}
        assert not text['zh'].isascii()
    for text in (claim.sentence, claim.criterion, claim.figure.caption):
        assert text['en'].endswith('.')
        assert text['zh'].endswith('。')


# The hash of all criteria and of the margins that they rest on, at the commit that froze them.
CRITERIA = '1fd787c4de62e24a83422969ad3a1da5b3139ed8a654bbc071fdbf3c99692120'


def test_criteria_are_those_that_were_frozen():
    """Whoever amends one makes every claim exploratory again, and empties `FROZEN`."""
    told = [
        (each.key, each.sweep, each.factors, each.levels, *each.criterion.values())
        for each in experiments.claims()
    ]
    shared = {
        (name, value)
        for module in (outcomes, contrasts, controls, tuned, growth)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float)
    }
    assert len(shared) > 10
    found = hashlib.sha256(repr((told, sorted(shared))).encode()).hexdigest()
    assert not experiments.FROZEN or found == CRITERIA


# The whole table where every number lies on its margin, so that each decision is an error.

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
    fields = {each.name: None for each in dataclasses.fields(NetworkFlow)}
    known = {'family': family, 'norm': norm, 'scheme': scheme, 'depth': depth, 'seed': seed}
    planted_fields = {'train_error': error, 'shape': 'geometric', 'input_gradient': course}
    return NetworkFlow(**fields | known | planted_fields)


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
        fields = {each.name: None for each in dataclasses.fields(Jacobians)}
        return Jacobians(**fields | {'from_identity': distance, 'from_relu': distance})

    networks = []
    for variant, seed in itertools.product((IDENTITY, PREACTIVATION), range(SEEDS)):
        fields = {each.name: None for each in dataclasses.fields(ShortcutNetwork)}
        known = {'variant': variant, 'depth': 56, 'seed': seed, 'train_error': 0.0}
        moments = {'before': jacobians(DRAWS), 'after': jacobians(1)}
        networks.append(ShortcutNetwork(**fields | known | moments))
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
    fields = {each.name: () for each in dataclasses.fields(TunedVerdict)}
    known = {'networks': networks, 'gaps': gaps, 'common_rate': 0.1, 'tuning_seeds': (0, 1, 2)}
    return Evidence([], TunedVerdict(**fields | known), {})


def null_convergence(generator):
    """The updates grow, and neither law has an advantage on average; the control trains."""
    by_seed = generator.normal(0, 1, SEEDS)
    low, high = t_interval(by_seed, 0.95)
    advantage = by_seed.sum()
    sign = math.copysign(1, advantage)
    comparison = Comparison(advantage, (SEEDS * low, SEEDS * high), (sign, sign), 0.0, False, 9.0)
    fields = {each.name: None for each in dataclasses.fields(Law)}
    law = Law(**fields | {'factor': 10.0, 'factor_interval': (9.0, 11.0), 'log_likelihood': 0.0})
    growth = Growth('inconclusive', '', SEEDS, (8, 50), (), (0, 0), {'power': law}, comparison)
    updates = {'5': (50,) * SEEDS}
    trained = Network('resnet', 50, TunedRate(0.1, (), {}, '', 1), tuple(range(SEEDS)), updates, 0)
    fields = {each.name: () for each in dataclasses.fields(ConvergenceVerdict)}
    known = {'networks': (trained,), 'targets': ('5',), 'growth': {'plain': {'5': growth}}}
    return Evidence([], ConvergenceVerdict(**fields | known), {})


def test_a_table_with_nothing_to_find_decides_anything_in_at_most_five_per_cent_of_cases():
    """Through the real contrasts and Holm's adjustment; 150 tables, drawn with a fixed seed.

    `test_contrasts` counts thousands of tables without the experiments.
    """
    generator = np.random.default_rng(0)
    claims = experiments.claims()
    wrong, contrasts, unadjusted, tables = 0, 0, 0, 150
    for _ in range(tables):
        findings = judge(
            claims,
            {
                'depth': null_depth(generator),
                'gradient_flow': null_flow(generator),
                'identity_shortcut': null_shortcuts(generator),
                'depth_tuned': null_tuned(generator),
                'convergence': null_convergence(generator),
            },
        )
        judged = [each for finding in findings for each in finding.judged]
        contrasts += sum(each.contrast.barrier is None for each in judged)
        wrong += any(each.answer is not None for each in judged)
        unadjusted += any(two_sided(each.contrast) < LEVEL for each in judged)
    assert contrasts / tables > 24  # the planted worlds do reach the tests
    assert unadjusted / tables > 0.4  # without the adjustment, a table would tell stories
    assert wrong / tables <= LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / tables)
