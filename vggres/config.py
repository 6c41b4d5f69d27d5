"""What a configuration means: the network, the length of the run, and what decides a result."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ml_collections import ConfigDict, FrozenConfigDict

from vggres.networks import grammar, initialisation, published, spec

Config = ConfigDict | FrozenConfigDict

INIT_SCHEMES = initialisation.SCHEMES
NORMAL_SCHEMES = tuple(initialisation.VARIANCES)  # those that only differ in variances
FURTHER_PROBES: tuple[str, ...] = (  # the names that `probes.also` may hold
    'paths',
    'lesion',
    'effective_rate',
    'shattering',
    'collapse',
    'response',
    'landscape',
    'curvature',
)
# The knob below `config.model` that holds each option of a network.
KNOB_OF_OPTION = {name: name for name in grammar.OPTIONS} | {
    'vgg_stages': 'vgg.stages',
    'vgg_pointwise': 'vgg.pointwise',
    'vgg_shortcuts': 'vgg.shortcuts',
    'dropout': 'vgg.dropout',
    'shortcut': 'shortcut.kind',
    'shortcut_scale': 'shortcut.scale',
    'branch_scale': 'shortcut.branch_scale',
    'branch_scale_by_depth': 'shortcut.branch_scale_by_depth',
    'learned_branch_scale': 'shortcut.learned_branch_scale',
    'gate': 'shortcut.gate',
    'gate_bias': 'shortcut.gate_bias',
    'shortcut_dropout': 'shortcut.dropout',
    'shortcut_fade_steps': 'shortcut.fade_steps',
}
HIGHEST_RATE = 1000.0  # a learning rate above it is a slip of the keyboard
# Knobs below `config.data` that decide no result: where the data lie, how they reach the device.
DATA_KNOBS_WITHOUT_EFFECT = ('dir', 'archive', 'checksum', 'input', 'workers')
# Knobs that came after the first results were published, with the values by which those were
# trained: only other values are part of a cell's identity, so that ids stay.
ADDED_KNOBS = {
    'data.archive': '',
    'data.checksum': 'known',
    'data.input': 'auto',
    'data.workers': 0,
    'data.seed': 0,
    'data.image_size': 0,
    'data.num_train': 0,
    'data.fraction': 1.0,
    'data.label_noise': 0.0,
    'data.crop': 'padded',
    'data.short_side': (256, 256),
    'data.color_noise': 0.0,
    'model.activation': 'relu',
    'model.reparameterised': False,
    'model.shortcut.branch_scale_by_depth': False,
    'model.shortcut.learned_branch_scale': False,
    'model.shortcut.fade_steps': 0,
    'init.deepened_from': '',
    'train.protocol': 'given',
    'train.until_error': (),
    'optimizer.clip_norm': 0.0,
    'optimizer.layerwise': 'none',
    'optimizer.frozen_first': 0,
    'optimizer.frozen_last': 0,
    'optimizer.fixed_norms': False,
    'evaluation.every_steps': 0,
    'probes.also': (),
    'sweep.rates': (0.003, 0.01, 0.03, 0.1, 0.3),
    'sweep.tuning_seeds': 1,
    'sweep.thorough': False,
    'wandb.all_curves': False,
    'wandb.weights': True,
}
# Knobs that are no constants of the compiled programs: they become arguments of the calls, or the
# host alone reads them.
_NOT_COMPILED = (
    'train.protocol',
    'train.epochs',
    'train.steps',
    'train.until_error',
    'optimizer.learning_rate',
    'optimizer.decay_factor',
    'optimizer.warmup',
    'optimizer.warmup_learning_rate',
    'optimizer.warmup_fraction',
    'optimizer.warmup_min_depth',
    'evaluation.every_epochs',
    'evaluation.every_steps',
)
# How the papers trained each family on ImageNet (Simonyan & Zisserman 2014, arXiv 1409.1556, §3; He
# et al. 2015, arXiv 1512.03385, §3.4). The papers divided the rate by 10 whenever the validation
# error stopped to fall; here that happens after each quarter of the updates.
_RESIDUAL_PROTOCOL = {
    'data.short_side': (256, 480),
    'optimizer.learning_rate': 0.1,
    'optimizer.weight_decay': 1e-4,
    'train.steps': 600_000,
}
PUBLISHED_PROTOCOLS = {
    'vgg': {
        'data.short_side': (256, 512),
        'init.scheme': 'glorot',
        'optimizer.learning_rate': 0.01,
        'optimizer.weight_decay': 5e-4,
        'train.steps': 370_000,
    },
    'plain': _RESIDUAL_PROTOCOL,
    'resnet': _RESIDUAL_PROTOCOL,
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
    """Replaces `model.name`, and the protocol of its paper, by the knobs that they stand for.

    Args:
        config: is changed in place.
        given: dotted names of the knobs whose values the user gave; these stay.

    Raises:
        UserError: for an unknown name, with the nearest ones.
    """
    if config.model.name:
        options = grammar.Options(**published.variant(config.model.name).options)
        set_options(config, dataclasses.asdict(options), given)
        if config.train.protocol == 'published':
            set_defaults(config, PUBLISHED_PROTOCOLS[config.model.family], given)
        config.model.name = ''
    config.train.protocol = 'given'


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


def steps_per_epoch(config: Config, num_train: int) -> int:
    """The updates in one pass over the training set."""
    return num_train // config.train.batch_size


def steps(config: Config, num_train: int) -> tuple[int, int]:
    """The updates in one pass over the training set, and those in the whole run."""
    per_epoch = steps_per_epoch(config, num_train)
    return per_epoch, config.train.steps or config.train.epochs * per_epoch


def identity(config: Config) -> dict:
    """The part of a configuration that decides a result.

    Two configurations with equal identities train alike, to the last bit on the same machine.
    Options are named as in `grammar.Options`, so that the ids of cells do not depend on where a
    knob stands.
    """
    parts = _without_added(config.to_dict())
    stored = set(dotted_keys(parts))
    options = {
        option: get(config, f'model.{KNOB_OF_OPTION[option]}')
        for option in grammar.options_of(config.model.family)
        if f'model.{KNOB_OF_OPTION[option]}' in stored
    }
    return {
        'seed': parts['seed'],
        'data': data_identity(config),
        'model': options | {'compute_dtype': config.model.compute_dtype},
        'init': init_identity(config),
        'train': parts['train'],
        'optimizer': parts['optimizer'],
    } | looks_identity(config)


def data_identity(config: Config) -> dict:
    """The part of `config.data` that decides a result.

    A folder of images is known by its name; the place where it lies decides nothing.
    """
    parts = _without_added(config.to_dict())['data']
    is_folder = parts['name'] == 'folder'
    folder = {'folder': Path(parts['dir']).resolve().name} if is_folder else {}
    return folder | {k: v for k, v in parts.items() if k not in DATA_KNOBS_WITHOUT_EFFECT}


def init_identity(config: Config) -> dict:
    """The part of `config.init` that decides a result.

    The network that a deeper one starts from is known by the cell that left it; the place where its
    file lies decides nothing.
    """
    parts = dict(_without_added(config.to_dict())['init'])
    if source := parts.get('deepened_from'):
        path = Path(source).resolve()
        is_of_cell = path.name == 'weights.safetensors'
        parts['deepened_from'] = path.parent.name if is_of_cell else path.name
    return parts


def looks_identity(config: Config) -> dict:
    """The part of `config.evaluation` that decides a result: when `train.until_error` is looked at.

    It is empty where training does not stop by its error, or is looked at as often as by default.
    """
    every_steps = config.evaluation.every_steps
    if not config.train.until_error or every_steps == ADDED_KNOBS['evaluation.every_steps']:
        return {}
    return {'evaluation': {'every_steps': every_steps}}


def data_name(config: Config) -> str:
    """What messages call the data set: its name, or the folder of images."""
    return config.data.dir if config.data.name == 'folder' else config.data.name


def _without_added(parts: dict) -> dict:
    """A configuration without those of `ADDED_KNOBS` that have their value there."""
    kept = {
        key: get(parts, key)
        for key in dotted_keys(parts)
        if key not in ADDED_KNOBS or get(parts, key) != ADDED_KNOBS[key]
    }
    return _nested(kept)


def _nested(values: Mapping[str, object]) -> dict:
    """A nested dict from the values of dotted keys."""
    found: dict = {}
    for key, value in values.items():
        *sections, last = key.split('.')
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return found


def program(config: Config) -> FrozenConfigDict:
    """The part of a configuration that decides its compiled programs.

    They serve every seed, every scheme of initialisation, every learning rate and every length of
    the run.
    """
    names = ('data', 'model', 'train', 'optimizer', 'evaluation', 'probes')
    parts = {name: config[name].to_dict() for name in names}
    kept = {key: get(parts, key) for key in dotted_keys(parts) if key not in _NOT_COMPILED}
    return FrozenConfigDict(_nested(kept))


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


def with_added_knobs(parts: Mapping) -> dict:
    """A stored configuration with the knobs that came after it was stored."""
    return _nested(ADDED_KNOBS | {key: get(parts, key) for key in dotted_keys(parts)})


def from_format_1(parts: Mapping) -> dict:
    """A configuration of vggres 0.1, in which all knobs of the model stood in one row."""
    model = dict(parts['model'])
    nested: dict = {}
    for option, knob in KNOB_OF_OPTION.items():
        if option in model:
            *inner, last = knob.split('.')
            place = nested.setdefault(inner[0], {}) if inner else nested
            place[last] = model.pop(option)
    return dict(parts) | {'model': model | nested}
