"""What a configuration means: the network, the length of the run, and what decides a result."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

from ml_collections import ConfigDict, FrozenConfigDict

from vggres.networks import grammar, initialisation, published, spec

Config = ConfigDict | FrozenConfigDict

INIT_SCHEMES = tuple(initialisation.SCHEMES)
# The knob below `config.model` that holds each option of a network.
KNOB_OF_OPTION = {name: name for name in grammar.OPTIONS} | {
    'vgg_stages': 'vgg.stages',
    'vgg_pointwise': 'vgg.pointwise',
    'vgg_shortcuts': 'vgg.shortcuts',
    'dropout': 'vgg.dropout',
    'shortcut': 'shortcut.kind',
    'shortcut_scale': 'shortcut.scale',
    'branch_scale': 'shortcut.branch_scale',
    'gate': 'shortcut.gate',
    'gate_bias': 'shortcut.gate_bias',
    'shortcut_dropout': 'shortcut.dropout',
}


def network_options(config: Config) -> dict[str, object]:
    """The options of the network that a configuration describes (see `grammar.Options`)."""
    return {option: get(config, f'model.{knob}') for option, knob in KNOB_OF_OPTION.items()}


def network_spec(config: Config) -> spec.NetworkSpec:
    """The network that a configuration describes.

    Raises:
        UserError: for an option or a depth that does not exist, with those that do.
    """
    return grammar.network_spec(**network_options(config))


def resolve_name(config: ConfigDict, given: Iterable[str]) -> None:
    """Replaces `model.name` by the knobs that it stands for.

    Args:
        config: is changed in place.
        given: dotted names of the knobs whose values the user gave; these stay.

    Raises:
        UserError: for an unknown name, with the nearest ones.
    """
    if config.model.name:
        options = grammar.Options(**published.variant(config.model.name).options)
        set_options(config, dataclasses.asdict(options), given)
        config.model.name = ''


def set_options(
    config: ConfigDict, options: Mapping[str, object], given: Iterable[str] = ()
) -> None:
    """Sets the knobs of the given options of a network, except those that the user gave."""
    knobs = {f'model.{KNOB_OF_OPTION[option]}': value for option, value in options.items()}
    set_defaults(config, knobs, given)


def set_defaults(config: ConfigDict, defaults: Mapping[str, object], given: Iterable[str]) -> None:
    """Sets the dotted knobs that a sweep wants otherwise, except those that the user gave."""
    config.update_from_flattened_dict({k: v for k, v in defaults.items() if k not in given})


def observed_names(config: Config) -> list[str]:
    """The layers and blocks that `config.probes` asks for, in the order of the forward pass."""
    names = spec.observable_names(network_spec(config))
    return [name for name in names if name in (config.probes.names or names)]


def steps(config: Config, num_train: int) -> tuple[int, int]:
    """The updates in one pass over the training set, and those in the whole run."""
    per_epoch = num_train // config.train.batch_size
    return per_epoch, config.train.steps or config.train.epochs * per_epoch


def identity(config: Config) -> dict:
    """The part of a configuration that decides a result.

    Two configurations with equal identities train alike, to the last bit on the same machine.
    Options are named as in `grammar.Options`, so that the ids of cells do not depend on where a
    knob stands.
    """
    parts = config.to_dict()
    of_family = grammar.options_of(config.model.family)
    options = {k: v for k, v in network_options(config).items() if k in of_family}
    return {
        'seed': parts['seed'],
        'data': {key: value for key, value in parts['data'].items() if key != 'dir'},
        'model': options | {'compute_dtype': config.model.compute_dtype},
        'init': parts['init'],
        'train': parts['train'],
        'optimizer': parts['optimizer'],
    }


def program(config: Config) -> FrozenConfigDict:
    """The part of a configuration that decides its compiled programs.

    They serve every seed and every scheme of initialisation.
    """
    names = ('data', 'model', 'train', 'optimizer', 'evaluation', 'probes')
    return FrozenConfigDict({name: config[name] for name in names})


def cell_id(config: Config) -> str:
    """A hash of the identity with a readable front: `resnet-d56-s0-3f9c1a`."""
    text = json.dumps(identity(config), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f'{config.model.family}-d{config.model.depth}-s{config.seed}-{digest}'


def dotted_keys(parts: Mapping) -> Iterator[str]:
    """The names of all knobs in a nested configuration: 'seed', 'data.name', …"""
    for key, value in parts.items():
        if isinstance(value, Mapping):
            yield from (f'{key}.{inner}' for inner in dotted_keys(value))
        else:
            yield key


def get(config: Config | Mapping, dotted: str) -> object:
    """The value of a knob by its dotted name."""
    for key in dotted.split('.'):
        config = config[key]
    return config


def differences(old: Mapping, new: Mapping, prefix: str = '') -> list[str]:
    """Where two nested configurations differ, as 'train.epochs 20, not 40' (old, not new)."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f'{prefix}{key}.')
        elif a != b:
            lines.append(f'{prefix}{key} {a}, not {b}')
    return lines


def from_format_1(parts: Mapping) -> dict:
    """A configuration of vggres 0.1, in which all knobs of the model stood in one row."""
    model = dict(parts['model'])
    nested: dict = {}
    for option, knob in KNOB_OF_OPTION.items():
        *inner, last = knob.split('.')
        place = nested.setdefault(inner[0], {}) if inner else nested
        place[last] = model.pop(option)
    return dict(parts) | {'model': model | nested}
