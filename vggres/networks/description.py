"""Describes the network of a weights file, and compares it with the one asked for. No JAX.

Shapes alone do not tell networks apart: the weights of a plain network fit into the resnet of the
same depth, where they mean something else. A description says which network the weights belong to.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from vggres.errors import UserError
from vggres.networks import grammar
from vggres.networks.spec import NetworkSpec

FORMAT = 1
# Options that may differ between the weights and the network they are loaded into. In evaluation,
# the dropout of the dense layers does nothing; the gates' biases are themselves among the weights,
# so that their initial value no longer matters. `shortcut_dropout` is not listed: evaluation
# multiplies the shortcut by 1 − shortcut_dropout.
FREE_OPTIONS = ('dropout', 'gate_bias')


@dataclass(frozen=True)
class Description:
    """The network to which the weights in a file belong.

    >>> description = Description({'family': 'plain', 'depth': 20}, num_classes=10, channels=1)
    >>> description.network_spec.depth
    20

    Attributes:
        options: fields of `grammar.Options` by name; 'family' and 'depth' are among them, and
            fields that are left out have their defaults.
        num_classes: number of outputs of the head.
        channels: number of channels of the images.

    Raises:
        UserError: if the options describe no network, or a number is not a positive integer.
    """

    options: dict[str, Any]
    num_classes: int
    channels: int

    def __post_init__(self) -> None:
        """Raises UserError for whatever describes no network."""
        for name in ('num_classes', 'channels'):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f'{name} must be a whole number of at least 1, not {value!r}.')
        if not isinstance(self.options, dict) or not {'family', 'depth'} <= self.options.keys():
            raise UserError('options must give at least the family and the depth of the network.')
        grammar.network_spec(**self.options)

    @property
    def network_spec(self) -> NetworkSpec:
        """The described network, ready for `network.Network`."""
        return grammar.network_spec(**self.options)


def of_network(network_spec: NetworkSpec, num_classes: int, channels: int) -> Description:
    """Describes a network by the options that apply to its family.

    >>> from vggres.networks.grammar import network_spec
    >>> of_network(network_spec('plain', 20), num_classes=10, channels=1).options['width']
    16

    Args:
        network_spec: the network.
        num_classes: number of outputs of its head.
        channels: number of channels of its images.

    Raises:
        UserError: if no options describe the network, because it was put together by hand.
    """
    options = dataclasses.asdict(grammar.recovered_options(network_spec))
    allowed = grammar.options_of(network_spec.family)
    return Description({name: options[name] for name in allowed}, num_classes, channels)


def to_json(description: Description) -> str:
    """Writes a description as JSON: its fields and the number of the format."""
    return json.dumps({'format': FORMAT} | dataclasses.asdict(description))


def from_json(text: str) -> Description:
    """Reads the description that `to_json` wrote.

    Raises:
        UserError: if the text is damaged, or in the format of a later version.
    """
    try:
        content = json.loads(text)
        if content['format'] == FORMAT:
            return Description(content['options'], content['num_classes'], content['channels'])
    except (KeyError, TypeError, ValueError) as error:  # a UserError is a ValueError
        kind = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
        raise UserError(f'the description of the network is damaged ({kind}{error})') from None
    raise UserError(
        f'the description of the network has format {content["format"]!r}; this version of vggres '
        f'reads format {FORMAT}.'
    )


def difference(description: Description, network_spec: NetworkSpec) -> str:
    """Says in what way the weights belong to another network than the one that is asked for.

    Args:
        description: of the weights.
        network_spec: the network that is asked for.

    Returns:
        '' if the weights belong to this network, where only `FREE_OPTIONS` may differ; otherwise a
        sentence without a full stop, such as 'the weights are those of a plain network of depth 20,
        not of a resnet of depth 20'.
    """
    ours = grammar.recovered_options(description.network_spec)
    try:
        theirs = grammar.recovered_options(network_spec)
    except UserError:
        return f'the weights are those of {_words(ours)}, not of a network put together by hand'
    if _without_free(ours) == _without_free(theirs):
        return ''
    names = set(grammar.options_of(ours.family)) & set(grammar.options_of(theirs.family))
    differing = [
        name
        for name in grammar.OPTIONS
        if name in names - {'family', 'depth', *FREE_OPTIONS}
        and getattr(ours, name) != getattr(theirs, name)
    ]
    return f'the weights are those of {_words(ours, differing)}, not of {_words(theirs, differing)}'


def _without_free(options: grammar.Options) -> NetworkSpec:
    """The network of some options, with the defaults of `FREE_OPTIONS`."""
    kept = dataclasses.asdict(options).items()
    return grammar.network_spec(**{k: v for k, v in kept if k not in FREE_OPTIONS})


def _words(options: grammar.Options, named: list[str] | None = None) -> str:
    """A network in words, for example "a resnet of depth 20 with shortcut='B'"."""
    kind = 'a plain network' if options.family == 'plain' else f'a {options.family}'
    values = ', '.join(f'{name}={getattr(options, name)!r}' for name in named or ())
    return f'{kind} of depth {options.depth}{f" with {values}" if values else ""}'
