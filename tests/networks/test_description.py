import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.errors import UserError
from vggres.networks import description, grammar
from vggres.networks.description import Description
from vggres.networks.network import Network

IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))


def described(family, depth, **options):
    return description.of_network(grammar.network_spec(family, depth, **options), 10, 3)


def test_a_description_gives_its_network_back():
    network = grammar.network_spec('resnet', 14, width=4, shortcut='B', gate='exclusive')
    found = description.of_network(network, num_classes=7, channels=1)
    assert (found.num_classes, found.channels) == (7, 1)
    assert found.network_spec == network
    expected = {'shortcut': 'B', 'gate': 'exclusive', 'width': 4, 'family': 'resnet', 'depth': 14}
    assert found.options.items() >= expected.items()
    assert set(found.options) == set(grammar.options_of('resnet'))
    assert description.from_json(description.to_json(found)) == found


def test_the_json_is_flat_and_has_a_format_number():
    content = json.loads(description.to_json(described('plain', 20)))
    assert content['format'] == 1
    assert (content['num_classes'], content['channels']) == (10, 3)
    assert content['options'] == {
        **{'family': 'plain', 'depth': 20, 'images': 'small', 'width': 16, 'norm': 'batch'},
        **{'conv_bias': 'auto', 'block': 'basic', 'preactivation': False},
        **{'activation': 'relu', 'stride_placement': 'he', 'reparameterised': False},
    }


def test_options_that_are_left_out_have_their_defaults():
    text = json.dumps({'format': 1, 'options': {'family': 'vgg', 'depth': 9}} | COUNTS)
    assert description.from_json(text).network_spec == grammar.network_spec('vgg', 9)


COUNTS = {'num_classes': 10, 'channels': 3}
PLAIN = {'family': 'plain', 'depth': 20}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"format": 1, "opt', 'is damaged .JSONDecodeError'),
        ('[1]', 'is damaged .TypeError'),
        ('null', 'is damaged .TypeError'),
        ('{}', 'is damaged .KeyError'),
        (json.dumps({'format': 1, 'options': PLAIN, 'channels': 3}), "is damaged .*'num_classes'"),
        (json.dumps({'format': 1, 'options': [1]} | COUNTS), 'family and the depth'),
        (json.dumps({'format': 1, 'options': {'family': 'plain'}} | COUNTS), 'family and the dep'),
        (json.dumps({'format': 1, 'options': PLAIN | {'depth': 21}} | COUNTS), 'nearest 20 or 26'),
        (json.dumps({'format': 1, 'options': PLAIN | {'depth': '20'}} | COUNTS), 'of type int'),
        (json.dumps({'format': 1, 'options': PLAIN | {'skips': 2}} | COUNTS), "option 'skips'"),
        (
            json.dumps({'format': 1, 'options': PLAIN, 'num_classes': 0, 'channels': 3}),
            'num_classes must be a whole number of at least 1, not 0',
        ),
        (
            json.dumps({'format': 1, 'options': PLAIN, 'num_classes': 2, 'channels': True}),
            'channels must be a whole number of at least 1, not True',
        ),
        (json.dumps({'format': 2}), 'has format 2; this version of vggres reads format 1'),
    ],
)
def test_damaged_descriptions_are_refused_in_one_line(text, message):
    with pytest.raises(UserError, match=message) as caught:
        description.from_json(text)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('stored', 'asked', 'words'),
    [
        (
            described('plain', 20),
            grammar.network_spec('resnet', 20),
            'the weights are those of a plain network of depth 20, not of a resnet of depth 20',
        ),
        (
            described('resnet', 20, width=8),
            grammar.network_spec('plain', 14, width=4),
            'the weights are those of a resnet of depth 20 with width=8, '
            'not of a plain network of depth 14 with width=4',
        ),
        (
            described('resnet', 20, gate='exclusive'),
            grammar.network_spec('resnet', 20, gate='shortcut_only', shortcut_scale=0.5),
            'the weights are those of a resnet of depth 20 with shortcut_scale=1.0, '
            "gate='exclusive', not of a resnet of depth 20 with shortcut_scale=0.5, "
            "gate='shortcut_only'",
        ),
        (
            described('vgg', 12, vgg_stages=3),
            grammar.network_spec('vgg', 12, vgg_stages=3, vgg_shortcuts=True),
            'the weights are those of a vgg of depth 12 with vgg_shortcuts=False, '
            'not of a vgg of depth 12 with vgg_shortcuts=True',
        ),
        (
            described('resnet', 20),
            grammar.network_spec('resnet', 20, shortcut_dropout=0.5),
            'the weights are those of a resnet of depth 20 with shortcut_dropout=0.0, '
            'not of a resnet of depth 20 with shortcut_dropout=0.5',
        ),
    ],
)
def test_another_network_is_named_by_the_options_that_differ(stored, asked, words):
    assert description.difference(stored, asked) == words


def test_the_same_network_said_otherwise_is_the_same():
    # A resnet with batch norm has no biases anyway, and basic blocks have no stride to place.
    stored = Description({'family': 'resnet', 'depth': 20, 'conv_bias': 'no'}, 10, 3)
    asked = grammar.network_spec('resnet', 20, stride_placement='torchvision')
    assert description.difference(stored, asked) == ''


def hand_made(depth):
    """The plain network of a depth without its last stage, which no options give."""
    whole = grammar.network_spec('plain', depth)
    return type(whole)(whole.family, whole.stem, whole.stages[:2], whole.head)


@pytest.mark.parametrize('depth', [20, 26])  # of 14 layers, which there are, and of 18
def test_a_network_put_together_by_hand_has_no_description(depth):
    with pytest.raises(UserError, match='put together by hand'):
        description.of_network(hand_made(depth), 10, 3)
    words = 'a plain network of depth 20, not of a network put together by hand'
    assert words in description.difference(described('plain', 20), hand_made(depth))


OPEN_GATES = {'width': 2, 'gate': 'exclusive'}
LARGE_VGG = {'width': 2, 'images': 'imagenet', 'vgg_stages': 3, 'norm': 'none'}


@pytest.mark.parametrize(
    ('family', 'depth', 'options', 'changed', 'is_free'),
    [
        ('resnet', 8, OPEN_GATES, {'gate_bias': 2.0}, True),
        ('vgg', 10, LARGE_VGG, {'dropout': 0.1}, True),
        ('resnet', 8, {'width': 2}, {'shortcut_dropout': 0.5}, False),
    ],
)
def test_options_are_free_that_change_no_logit_in_evaluation(
    family, depth, options, changed, is_free
):
    one, other = (
        grammar.network_spec(family, depth, **each) for each in (options, options | changed)
    )
    assert one != other
    variables = jax.jit(lambda: Network(one, 10).init(jax.random.key(0), IMAGES, train=False))()
    logits = [
        jax.jit(lambda v, n=network: Network(n, 10).apply(v, IMAGES, train=False))(variables)
        for network in (one, other)
    ]
    assert np.isfinite(logits).all()
    assert bool(jnp.array_equal(*logits)) == is_free
    stored = description.of_network(one, 10, 3)
    assert (description.difference(stored, other) == '') == is_free
    assert set(changed) <= set(description.FREE_OPTIONS) or not is_free
