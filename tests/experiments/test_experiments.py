"""Every experiment offers what `Experiment` asks for, and the story is told in its order."""

import hashlib
import inspect

import pytest

import experiments
from experiments import Experiment
from vggres.errors import UserError
from vggres.findings import contrasts, controls, growth, outcomes, tuned
from vggres.findings.languages import LANGUAGES

OFFERED = {
    *('TITLE', 'CLAIM', 'SOURCE', 'VARIES', 'CLAIMS'),
    *('defaults', 'cells', 'next_cells', 'judged', 'analyse', 'words', 'in_short'),
    *('tables', 'figures'),
}
FUNCTIONS = sorted(each for each in OFFERED if each.islower())
EVERY_CLAIM = [*experiments.claims(), *experiments.causes()]


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
    ]
    assert {claim.sweep for claim in claims} == {
        *('depth', 'gradient_flow', 'identity_shortcut', 'depth_tuned', 'convergence'),
    }


def test_each_claim_stands_in_one_of_the_two_tables():
    """A key that neither table has would never be judged."""
    told = [claim.key for claim in EVERY_CLAIM]
    offered = [c.key for name in experiments.names() for c in experiments.load(name).CLAIMS]
    assert sorted(told) == sorted(offered)
    assert len({*told}) == len(told)


@pytest.mark.parametrize('claim', EVERY_CLAIM, ids=lambda claim: claim.key)
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
