"""Every experiment offers what `Experiment` asks for, and the story is told in its order."""

import inspect

import pytest

import experiments
from experiments import Experiment
from vggres.errors import UserError
from vggres.findings.languages import LANGUAGES

OFFERED = {
    *('TITLE', 'CLAIM', 'SOURCE', 'VARIES', 'CLAIMS'),
    *('defaults', 'cells', 'next_cells', 'analyse', 'words', 'tables', 'figures'),
}


def test_the_protocol_asks_for_these_names():
    functions = {name for name in vars(Experiment) if not name.startswith('_')}
    assert {*Experiment.__annotations__, *functions} == OFFERED


@pytest.mark.parametrize('name', experiments.names())
def test_every_experiment_offers_the_same_names(name):
    experiment = experiments.load(name)
    assert {each for each in OFFERED if not hasattr(experiment, each)} == set()
    for function in ('defaults', 'cells', 'next_cells', 'analyse', 'words', 'tables', 'figures'):
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
        *('failure', 'identity', 'protection', 'gain'),
    ]
    assert {claim.sweep for claim in claims} == {'depth', 'gradient_flow', 'identity_shortcut'}


@pytest.mark.parametrize('claim', experiments.claims(), ids=lambda claim: claim.key)
def test_every_claim_stands_with_its_experiment_and_is_said_in_every_language(claim):
    assert claim in experiments.load(claim.sweep).CLAIMS
    repeated = claim.repeated
    for text in (
        *(claim.sentence, claim.source, claim.quantity, claim.criterion),
        *(repeated.one, repeated.several),
    ):
        assert set(text) == {language.code for language in LANGUAGES}
        assert not text['zh'].isascii()
    for text in (claim.sentence, claim.criterion):
        assert text['en'].endswith('.')
        assert text['zh'].endswith('。')
