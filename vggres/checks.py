"""Whether a configuration makes sense: one line for the first knob that does not."""

import math
from collections.abc import Iterable
from itertools import pairwise

from vggres.config import (
    FURTHER_PROBES,
    HIGHEST_RATE,
    INIT_SCHEMES,
    KNOB_OF_OPTION,
    Config,
    data_name,
    dotted_keys,
    get,
    network_spec,
    steps,
)
from vggres.data.source import DatasetInfo
from vggres.errors import UserError, unknown
from vggres.networks import deepening, grammar, initialisation, spec, torch_weights
from vggres.results import target_name

_CHOICES = {
    'data.checksum': ('known', 'any'),
    'data.crop': ('padded', 'scaled', 'area'),
    'data.input': ('auto', 'resident', 'stream'),
    'data.normalisation': ('mean_image', 'imagenet'),
    'init.scheme': INIT_SCHEMES,
    'model.compute_dtype': ('float32', 'bfloat16'),
    'train.protocol': ('given', 'published'),
    'optimizer.layerwise': ('none', 'equal_gradients', 'relative_updates'),
    'optimizer.warmup': ('linear', 'constant', 'none'),
    'wandb.mode': ('auto', 'online', 'offline', 'disabled'),
} | {f'model.{KNOB_OF_OPTION[name]}': allowed for name, allowed in grammar.CHOICES.items()}
_MANY = 10**9
_LONGEST_PROJECT, _NOT_IN_PROJECTS = 128, r'/\#?%:'  # letters of a name that W&B takes
# The lowest and the highest value of a knob. Upper bounds are far above all that was ever trained:
# they catch a slip of the finger before it costs hours or memory.
_RANGES = {
    'seed': (0, 2**31 - 1 - 1_000_000),  # int32 on the device, with room for the seeds of draws
    'data.seed': (0, 2**31 - 1),
    'data.image_size': (0, 4096),
    'data.num_train': (0, _MANY),
    'data.label_noise': (0, 1),
    'data.workers': (0, 1024),
    'data.crop_padding': (0, 1024),
    'data.color_noise': (0, 10),
    'model.depth': (1, 10_000),
    'model.width': (1, 2048),
    'model.vgg.stages': (3, 5),
    'model.shortcut.fade_steps': (0, _MANY),
    'train.batch_size': (1, 2**20),
    'train.epochs': (0, 1_000_000),
    'train.steps': (0, _MANY),
    'optimizer.momentum': (0, 1),
    'optimizer.weight_decay': (0, 1000),
    'optimizer.decay_factor': (0, 1000),
    'optimizer.warmup_learning_rate': (0, HIGHEST_RATE),
    'optimizer.warmup_fraction': (0, 1),
    'optimizer.warmup_min_depth': (0, _MANY),
    'optimizer.clip_norm': (0, 1e6),
    'optimizer.frozen_first': (0, 10_000),
    'optimizer.frozen_last': (0, 10_000),
    'evaluation.every_epochs': (1, _MANY),
    'evaluation.every_steps': (0, _MANY),
    'evaluation.batch_size': (0, 2**20),
    'probes.every_epochs': (0, _MANY),
    'probes.draws': (1, 10),
    'checkpoint.every_seconds': (0, 10**9),
    'sweep.seeds': (1, 1000),
    'sweep.tuning_seeds': (1, 1000),
}
_BELOW_ONE = ('model.vgg.dropout', 'model.shortcut.dropout')  # probabilities of dropping
# Knobs that change nothing where another knob has some value.
POINTLESS = (
    ('model.shortcut.gate_bias', 'model.shortcut.gate', 'none'),
    ('model.vgg.dropout', 'model.images', 'small'),
    ('optimizer.warmup_fraction', 'optimizer.warmup', 'none'),
    ('optimizer.warmup_learning_rate', 'optimizer.warmup', 'none'),
    ('optimizer.warmup_min_depth', 'optimizer.warmup', 'none'),
    ('optimizer.decay_factor', 'optimizer.decay_at', ()),
    ('evaluation.every_steps', 'train.until_error', ()),
    ('data.short_side', 'data.crop', 'padded'),
    ('data.short_side', 'data.crop', 'area'),
    ('data.workers', 'data.crop', 'padded'),
    ('data.checksum', 'data.archive', ''),
)
_KINDS = {bool: 'True or False', int: 'a whole number', float: 'a number', str: 'a text'}


def check_structure(config: object, base: Config, source: str = 'the configuration') -> None:
    """Raises UserError where a configuration is not built like the base configuration.

    Args:
        config: what a configuration file returned.
        base: lists every knob, with a value of its type.
        source: what the error calls the configuration.
    """
    if not isinstance(config, Config):
        raise UserError(
            f'{source} gave a {type(config).__name__}; get_config() has to return a ConfigDict.'
        )
    known, found = set(dotted_keys(base.to_dict())), set(dotted_keys(config.to_dict()))
    for key in sorted(found - known):
        raise unknown('knob', key, known, where=source)
    if missing := sorted(known - found):
        raise UserError(
            f'{source} lacks {", ".join(missing[:3])}{" and more" * (len(missing) > 3)}: start '
            'from configs/base.py and change what differs.'
        )
    for key in sorted(known):
        _check_type(key, get(config, key), get(base, key))


def _check_type(key: str, value: object, example: object) -> None:
    if isinstance(example, tuple | list):
        if not isinstance(value, tuple | list):
            raise UserError(f'{key} has to be a tuple, as in {tuple(example)!r}, not {value!r}.')
        return
    kind = type(example)
    allowed = (int, float) if kind is float else kind
    is_bool = isinstance(value, bool)
    if not isinstance(value, allowed) or is_bool != (kind is bool):
        raise UserError(f'{key} has to be {_KINDS[kind]}, not {value!r}.')


def check(config: Config) -> None:
    """Raises UserError, one line, for the first knob that makes no sense."""
    for key in _CHOICES:
        _check_choice(key, config)
    check_numbers(config)
    fractions = tuple(config.optimizer.decay_at)
    if not all(isinstance(value, int | float) and 0 < value < 1 for value in fractions):
        raise UserError(
            'optimizer.decay_at holds fractions of all steps between 0 and 1, as in (0.5, 0.75), '
            f'not {fractions}.'
        )
    if bool(config.train.epochs) == bool(config.train.steps):
        raise UserError(
            'give the length of the training in either epochs or steps and set the other to 0: '
            f'train.epochs is {config.train.epochs}, train.steps is {config.train.steps}.'
        )
    _check_targets(tuple(config.train.until_error))
    project = config.wandb.project
    if not 0 < len(project) <= _LONGEST_PROJECT or set(project) & set(_NOT_IN_PROJECTS):
        raise UserError(
            f'wandb.project has 1 to {_LONGEST_PROJECT} letters and none of {_NOT_IN_PROJECTS}, '
            f'unlike {project!r}.'
        )
    if config.model.name:
        raise UserError('model.name is a shorthand, which `config.resolve_name` has to replace.')
    _check_data_knobs(config.data)
    _check_init(config)
    _check_layerwise(config)
    _check_probes(config)


def _check_layerwise(config: Config) -> None:
    """Interventions into the updates of single layers have to find these layers."""
    optimizer, model = config.optimizer, config.model
    if optimizer.frozen_first + optimizer.frozen_last >= model.depth:
        raise UserError(
            f'optimizer.frozen_first and frozen_last hold {optimizer.frozen_first} and '
            f'{optimizer.frozen_last} of {model.depth} layers: at least the head has to train.'
        )
    if optimizer.layerwise != 'none' and optimizer.clip_norm:
        raise UserError(
            f'optimizer.clip_norm changes nothing where optimizer.layerwise is '
            f'{optimizer.layerwise!r}: each gradient is given its norm.'
        )
    shortcut = model.shortcut
    starts_at_zero = shortcut.learned_branch_scale and not shortcut.branch_scale
    if optimizer.layerwise == 'relative_updates' and (
        starts_at_zero or config.init.scheme == 'fixup'
    ):
        raise UserError(
            "optimizer.layerwise='relative_updates' moves each layer by a part of its norm, so "
            'that what starts at zero stays there: start learned factors above zero, and from '
            "another scheme than 'fixup'."
        )
    if optimizer.fixed_norms and (model.norm == 'none' or model.preactivation):
        raise UserError(
            'optimizer.fixed_norms needs a norm behind each convolution: model.norm has to be '
            "'batch' and model.preactivation False."
        )


def _check_targets(targets: tuple) -> None:
    """Training errors to stop at: in percent, each below the one before."""
    are_numbers = all(type(target) in (int, float) and 0 < target < 100 for target in targets)
    if not are_numbers or any(low >= high for high, low in pairwise(targets)):
        raise UserError(
            'train.until_error holds training errors in percent between 0 and 100, each below the '
            f'one before, as in (5.0, 1.0), not {targets}.'
        )
    names = [target_name(target) for target in targets]
    if len(set(names)) < len(names):
        raise UserError(f'train.until_error holds errors that differ too little: {targets}.')


def _check_choice(key: str, config: Config) -> None:
    if get(config, key) not in _CHOICES[key]:
        raise unknown(key, get(config, key), _CHOICES[key])


def _check_data_knobs(data: Config) -> None:
    if not 0 < data.fraction <= 1:
        raise UserError(f'data.fraction has to be above 0 and at most 1, not {data.fraction}.')
    if data.num_train and data.fraction != 1:
        raise UserError('give data.num_train or data.fraction, not both.')
    if data.color_noise and data.normalisation != 'imagenet':
        raise UserError("data.color_noise needs data.normalisation='imagenet'.")
    if data.crop != 'padded':
        _check_crops_of_files(data)


def _check_crops_of_files(data: Config) -> None:
    """Crops of whole files, in the place of images that are all made equal once."""
    crop, sides = f'data.crop={data.crop!r}', tuple(data.short_side)
    if not data.image_size:
        raise UserError(f'{crop} needs data.image_size, the size of the crops in pixels.')
    if data.crop_padding:
        raise UserError(f'{crop} crops whole images: set data.crop_padding to 0.')
    if data.normalisation != 'imagenet':
        raise UserError(f"{crop} needs data.normalisation='imagenet': there is no mean image.")
    if data.input == 'resident':
        raise UserError(f"{crop} crops anew in every epoch: data.input has to be 'stream'.")
    fits = len(sides) == 2 and all(isinstance(side, int) for side in sides)
    if data.crop == 'scaled' and not (fits and data.image_size <= sides[0] <= sides[1]):
        raise UserError(
            'data.short_side has to hold the lowest and the highest shorter side in pixels, at '
            f'least data.image_size, as in (256, 480), not {sides}.'
        )


def check_numbers(config: Config) -> None:
    """Raises UserError for the first number that is not finite or out of its range."""
    for key in dotted_keys(config.to_dict()):
        value = get(config, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f'{key} has to be finite, not {value}.')
    for key, (lowest, highest) in _RANGES.items():
        value = get(config, key)
        if value < lowest:
            raise UserError(f'{key} has to be at least {lowest}, not {value}.')
        if value > highest:
            raise UserError(f'{key} has to be at most {highest}, not {value}.')
    if not 0 < (rate := config.optimizer.learning_rate) <= HIGHEST_RATE:
        raise UserError(
            f'optimizer.learning_rate has to be positive, and at most {HIGHEST_RATE:g}, not {rate}.'
        )
    for key in _BELOW_ONE:
        if not 0 <= get(config, key) < 1:
            raise UserError(f'{key} has to be at least 0 and below 1, not {get(config, key)}.')


def _check_init(config: Config) -> None:
    if config.init.new_head and not config.init.weights:
        raise UserError('init.new_head needs init.weights: a random network has a new head anyway.')
    if config.init.weights and not config.init.new_head and config.init.scheme != 'he':
        raise UserError('init.scheme changes nothing where init.weights gives all weights.')
    if config.init.scheme == 'fixup' and (
        config.model.family != 'resnet' or config.model.norm != 'none'
    ):
        raise UserError(
            "init.scheme='fixup' is for residual networks without a norm, because each branch "
            f"starts at zero: set model.family to 'resnet' and model.norm to 'none', not to "
            f'{config.model.family!r} and {config.model.norm!r}.'
        )
    if config.init.weights and config.init.scheme in initialisation.STRUCTURED:
        raise UserError(
            f'init.scheme={config.init.scheme!r} is for whole networks, not for a new head alone.'
        )
    initialisation.check(config.init.scheme, network_spec(config))
    if config.init.deepened_from:
        if config.init.weights or config.init.scheme != 'he':
            raise UserError(
                'init.deepened_from gives all weights: leave out init.weights and init.scheme.'
            )
        deepening.check(network_spec(config))


def _check_probes(config: Config) -> None:
    probes = config.probes
    names = spec.observable_names(network_spec(config))
    network = f'{config.model.family} of depth {config.model.depth}'
    for name in probes.names:
        if name not in names:
            raise unknown(f'probe of a {network}', name, names)
    for name in probes.also:
        if name not in FURTHER_PROBES:
            raise unknown('probe', name, FURTHER_PROBES, where='probes.also')
    asked = {
        'names': probes.names,
        'jacobians': probes.jacobians,
        'also': probes.also,
        'draws': probes.draws > 1,
    }
    for knob, value in asked.items():
        if value and not probes.every_epochs:
            raise UserError(f'probes.{knob} needs probes.every_epochs, which is 0: never observe.')
    given = [name for name in ('weights', 'deepened_from') if config.init[name]]
    if probes.draws > 1 and given:
        raise UserError(f'probes.draws observes random weights: leave it out with init.{given[0]}.')


def check_given(given: Iterable[str], families: Iterable[str]) -> None:
    """Raises UserError for a knob of the model that the user gave and no such network has.

    Args:
        given: dotted names of the knobs whose values the user gave.
        families: those of all networks that will be trained.

    Raises:
        UserError: for a family that does not exist, too.
    """
    for family in families:
        if family not in grammar.FAMILIES:
            raise unknown('family', family, grammar.FAMILIES)
    allowed = {KNOB_OF_OPTION[name] for family in families for name in grammar.options_of(family)}
    for key in given:
        knob = key.removeprefix('model.')
        if key.startswith('model.') and knob in KNOB_OF_OPTION.values() and knob not in allowed:
            kinds, names = ' or '.join(families), ', '.join(sorted(allowed))
            raise UserError(f'{key} changes nothing in a {kinds} network, which has {names}.')


def check_effect(given: Iterable[str], config: Config, varied: Iterable[str] = ()) -> None:
    """Raises UserError for a knob that the user gave and that another knob makes pointless.

    Args:
        given: dotted names of the knobs whose values the user gave.
        config: the configuration with all its values.
        varied: the knobs that a sweep sets from cell to cell.
    """
    for key in given:
        if key in _CHOICES:
            _check_choice(key, config)  # what does not exist is not merely pointless
        for knob, other, value in POINTLESS:
            if key == knob and other not in varied and get(config, other) == value:
                raise UserError(f'{key} changes nothing where {other} is {value!r}.')


def check_keys(names: Iterable[str], base: Config) -> None:
    """Raises UserError, with the nearest ones, for the first dotted name that is no knob."""
    known = set(dotted_keys(base.to_dict()))
    for name in names:
        if name not in known:
            sections = [key for key in known if key.startswith(f'{name}.')]
            if sections:
                raise UserError(f'{name} is a section: override its knobs, as in {min(sections)}.')
            raise unknown('config key', name, known)


def check_data(config: Config, info: DatasetInfo) -> None:
    """Raises UserError where a cell's batch, length, crop or weights do not fit its data."""
    num_train, (height, width, channels) = info.num_images['train'], info.image_shape
    if config.train.batch_size > num_train:
        raise UserError(
            f'train.batch_size {config.train.batch_size} is more than the {num_train} training '
            f'images of {data_name(config)}.'
        )
    _check_fading(config, num_train)
    if config.data.crop_padding > min(height, width):
        raise UserError(
            f'data.crop_padding {config.data.crop_padding} is more than the images have pixels: '
            f'those of {data_name(config)} are {height}×{width}.'
        )
    if config.data.normalisation == 'imagenet' and channels != 3:
        raise UserError(
            "data.normalisation='imagenet' is for images of 3 channels; those of "
            f'{data_name(config)} have {channels}.'
        )
    network = network_spec(config)
    spec.check_image(network, info.image_shape)
    if config.init.weights:
        new_head = config.init.new_head
        torch_weights.read(config.init.weights, network, info.num_classes, channels, new_head)
    if config.init.deepened_from.endswith('.safetensors'):  # and no cell that is not done yet
        shallow = torch_weights.described_network(config.init.deepened_from)
        deepening.check(network, shallow)
        torch_weights.read(config.init.deepened_from, shallow, info.num_classes, channels)


def _check_fading(config: Config, num_train: int) -> None:
    """A shortcut that fades has to be gone when training ends: a plain network is asked for."""
    fade_steps, (_, updates) = config.model.shortcut.fade_steps, steps(config, num_train)
    if fade_steps > updates:
        raise UserError(
            f'model.shortcut.fade_steps {fade_steps} is more than the {updates} updates of the '
            'training, at whose end the shortcuts would not be gone.'
        )
