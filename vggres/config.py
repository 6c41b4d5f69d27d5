"""Whether a configuration makes sense, and which parts of it decide a result."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping

from ml_collections import ConfigDict, FrozenConfigDict

from vggres.errors import UserError, unknown
from vggres.networks import grammar, published, spec

INIT_SCHEMES = ('he', 'glorot', 'vgg')  # see `initialisation.rescaled`
_CHOICES = {
    'data.normalisation': ('mean_image', 'imagenet'),
    'init.scheme': INIT_SCHEMES,
    'model.compute_dtype': ('float32', 'bfloat16'),
    'optimizer.warmup': ('linear', 'constant', 'none'),
    'wandb.mode': ('auto', 'online', 'offline', 'disabled'),
}
_AT_LEAST = {
    'seed': 0,
    'data.crop_padding': 0,
    'train.batch_size': 1,
    'train.epochs': 0,
    'train.steps': 0,
    'optimizer.learning_rate': 0,
    'optimizer.momentum': 0,
    'optimizer.weight_decay': 0,
    'optimizer.decay_factor': 0,
    'optimizer.warmup_learning_rate': 0,
    'optimizer.warmup_fraction': 0,
    'evaluation.every_epochs': 1,
    'evaluation.batch_size': 0,
    'probes.every_epochs': 0,
    'probes.draws': 1,
    'checkpoint.every_seconds': 0,
    'sweep.seeds': 1,
}
_AT_MOST = {
    'seed': 2**31 - 1 - 1_000_000,  # int32 on the device, with room for a sweep's seeds
    'optimizer.momentum': 1,
    'optimizer.warmup_fraction': 1,
    'probes.draws': 10,
}


def check(config: ConfigDict) -> None:
    """Raises UserError, one line, for the first knob that makes no sense."""
    for key, allowed in _CHOICES.items():
        if _get(config, key) not in allowed:
            raise unknown(key, _get(config, key), allowed)
    for key in dotted_keys(config.to_dict()):
        value = _get(config, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f'{key} must be finite, not {value}.')
    for key, lowest in _AT_LEAST.items():
        if _get(config, key) < lowest:
            raise UserError(f'{key} must be at least {lowest}, not {_get(config, key)}.')
    for key, highest in _AT_MOST.items():
        if _get(config, key) > highest:
            raise UserError(f'{key} must be at most {highest}, not {_get(config, key)}.')
    if config.optimizer.learning_rate == 0:
        raise UserError('optimizer.learning_rate must be positive, not 0.')
    fractions = tuple(config.optimizer.decay_at)
    if not all(isinstance(value, int | float) and 0 < value < 1 for value in fractions):
        raise UserError(
            'optimizer.decay_at holds fractions of all steps between 0 and 1, as in (0.5, 0.75), '
            f'not {fractions}.'
        )
    if bool(config.train.epochs) == bool(config.train.steps):
        raise UserError(
            'say how long to train in either epochs or steps and set the other to 0: '
            f'train.epochs is {config.train.epochs}, train.steps is {config.train.steps}.'
        )
    if config.init.new_head and not config.init.weights:
        raise UserError('init.new_head needs init.weights: a random network has a new head anyway.')
    if config.init.weights and not config.init.new_head and config.init.scheme != 'he':
        raise UserError('init.scheme changes nothing where init.weights gives all weights.')
    if config.model.name:
        raise UserError(
            'model.name is a shorthand that `config.resolve_name` has to replace first.'
        )
    observed_names(config)
    if (config.probes.draws > 1 or config.probes.jacobians) and not config.probes.every_epochs:
        knob = 'jacobians' if config.probes.jacobians else 'draws'
        raise UserError(f'probes.{knob} needs probes.every_epochs: how often to look.')
    if config.probes.draws > 1 and config.init.weights:
        raise UserError('probes.draws looks at random weights: leave it out with init.weights.')


def resolve_name(config: ConfigDict, given: Iterable[str]) -> None:
    """Replaces model.name by what it stands for: the other knobs of the model.

    Args:
        config: changed in place.
        given: dotted names of knobs whose values the user gave, which stay.

    Raises:
        UserError: for an unknown name, with the nearest ones.
    """
    if not config.model.name:
        return
    options = grammar.Options(**published.variant(config.model.name).options)
    for key, value in dataclasses.asdict(options).items():
        if f'model.{key}' not in given:
            config.model[key] = value
    config.model.name = ''


def set_defaults(config: ConfigDict, defaults: Mapping[str, object], given: Iterable[str]) -> None:
    """Sets the dotted knobs that a sweep wants otherwise, but for those that the user gave."""
    config.update_from_flattened_dict({k: v for k, v in defaults.items() if k not in given})


def check_given(given: Iterable[str], families: Iterable[str]) -> None:
    """Raises UserError for a knob of the model that the user gave and no such network has.

    Args:
        given: dotted names of knobs whose values the user gave.
        families: of all networks that will be trained.
    """
    allowed = {name for family in families for name in grammar.options_of(family)}
    for key in given:
        name = key.removeprefix('model.')
        if key.startswith('model.') and name in grammar.OPTIONS and name not in allowed:
            kinds, names = ' or '.join(families), ', '.join(sorted(allowed))
            raise UserError(f'{key} changes nothing in a {kinds} network: there is {names}.')


def check_keys(names: Iterable[str], config: ConfigDict) -> None:
    """Raises UserError, with the nearest ones, for the first dotted name that is no knob."""
    known = set(dotted_keys(config.to_dict()))
    for name in names:
        if name not in known:
            raise unknown('config key', name, known)


def dotted_keys(parts: dict) -> Iterator[str]:
    """The names of all knobs in a nested configuration: 'seed', 'data.name', …"""
    for key, value in parts.items():
        if isinstance(value, dict):
            yield from (f'{key}.{inner}' for inner in dotted_keys(value))
        else:
            yield key


def network_spec(config: ConfigDict) -> spec.NetworkSpec:
    """The network that a configuration describes."""
    return grammar.network_spec(**{name: config.model[name] for name in grammar.OPTIONS})


def observed_names(config: ConfigDict) -> list[str]:
    """What `config.probes` looks into, in the order of the forward pass.

    Raises:
        UserError: for a name that the network lacks, with those near it.
    """
    names = spec.observable_names(network_spec(config))
    network = f'{config.model.family} of depth {config.model.depth}'
    for name in config.probes.names:
        if name not in names:
            raise unknown(f'probe of a {network}', name, names)
    if config.probes.names and not config.probes.every_epochs:
        raise UserError('probes.names needs probes.every_epochs: how often to look.')
    return [name for name in names if name in (config.probes.names or names)]


def steps(config: ConfigDict, num_train: int) -> tuple[int, int]:
    """Updates in one pass over the training set, and in the whole run."""
    per_epoch = num_train // config.train.batch_size
    return per_epoch, config.train.steps or config.train.epochs * per_epoch


def identity(config: ConfigDict) -> dict:
    """What decides a cell's result: two configurations with equal identities train alike."""
    parts = config.to_dict()
    of_model = {*grammar.options_of(config.model.family), 'compute_dtype'}
    return {
        'seed': parts['seed'],
        'data': {key: value for key, value in parts['data'].items() if key != 'dir'},
        'model': {key: value for key, value in parts['model'].items() if key in of_model},
        'init': parts['init'],
        'train': parts['train'],
        'optimizer': parts['optimizer'],
    }


def program(config: ConfigDict) -> FrozenConfigDict:
    """What decides the compiled programs, which serve every seed and every scheme of weights."""
    names = ('data', 'model', 'train', 'optimizer', 'evaluation', 'probes')
    return FrozenConfigDict({name: config[name] for name in names})


def cell_id(config: ConfigDict) -> str:
    """A hash of the identity, readable in front: `resnet-d56-s0-3f9c1a`."""
    text = json.dumps(identity(config), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f'{config.model.family}-d{config.model.depth}-s{config.seed}-{digest}'


def differences(old: dict, new: dict, prefix: str = '') -> list[str]:
    """Where two nested configurations differ, as 'train.epochs 20, not 40' (old, not new)."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f'{prefix}{key}.')
        elif a != b:
            lines.append(f'{prefix}{key} {a}, not {b}')
    return lines


def _get(config: ConfigDict, dotted: str) -> object:
    for key in dotted.split('.'):
        config = config[key]
    return config
