"""Errors on CIFAR-10 that others published, and whether a sweep may stand beside them.

They come from the protocol of He et al. 2015 (arXiv 1512.03385), §4.2, as `configs/cifar10.py`
states it, or leave it where `differs_in` says. A sweep that was shortened, or that differs in any
knob of that protocol, says nothing about these numbers, nor they about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vggres.results import Result


@dataclass(frozen=True)
class PublishedError:
    """An error that others published.

    Attributes:
        family: 'plain' or 'resnet'.
        depth: weighted layers.
        metric: 'train_error' or 'test_error'.
        error: in percent; the mean where there are several runs.
        spread: the standard deviation over the runs, as published; None for a single run.
        n: the number of runs.
        num_train: the number of images that the network was trained on.
        source: who published it.
    """

    family: str
    depth: int
    metric: str
    error: float
    spread: float | None
    n: int
    num_train: int
    source: str

    @property
    def differs_in(self) -> str:
        """Where it leaves the protocol, in words; '' for nowhere that is known."""
        found = [_DIFFERS_IN.get(self.source, '')]
        if self.source == _NABLA and self.depth == WARMUP_DEPTH:
            found.append(_DECAYS_FROM_WARMUP)
        if self.source == _MARTYN and self.metric == 'train_error':
            found.append(_ON_AUGMENTED)
        return '; '.join(filter(None, found))


WARMUP_DEPTH = 110  # the protocol has a warm-up at this depth alone
_HE = 'He et al. 2015, Table 6'
_NABLA = 'nabla0001/resnet'
_MARTYN = 'a-martyn/resnet'
_RAPHAEL = 'raphaelreme/torch-resnet'
# What a reader has to know of the numbers of a source, besides where they leave the protocol.
REMARKS = {
    _HE: 'the best of the 5 runs of depth 110 has 6.43 %',
    _MARTYN: 'means over the last ten epochs',
}
_BY_CHANNEL = 'normalised by the mean and deviation of each channel'
# Where a source leaves the protocol, in all of its numbers or in those of some networks.
_DIFFERS_IN = {
    _NABLA: _BY_CHANNEL,
    _RAPHAEL: 'shortcuts of option B, a warm-up at every depth, 62,500 updates, mixed precision',
}
_DECAYS_FROM_WARMUP = 'the rate decays from that of the warm-up, 0.01, instead of from 0.1'
_ON_AUGMENTED = 'training error of augmented images, while the network trains'

PUBLISHED_ERRORS = (
    PublishedError('resnet', 20, 'test_error', 8.75, None, 1, 50_000, _HE),
    PublishedError('resnet', 32, 'test_error', 7.51, None, 1, 50_000, _HE),
    PublishedError('resnet', 44, 'test_error', 7.17, None, 1, 50_000, _HE),
    PublishedError('resnet', 56, 'test_error', 6.97, None, 1, 50_000, _HE),
    PublishedError('resnet', 110, 'test_error', 6.61, 0.16, 5, 50_000, _HE),
    PublishedError('plain', 20, 'test_error', 9.78, 0.13, 5, 45_000, _NABLA),
    PublishedError('plain', 56, 'test_error', 12.95, 0.22, 5, 45_000, _NABLA),
    PublishedError('resnet', 20, 'test_error', 8.51, 0.22, 5, 45_000, _NABLA),
    PublishedError('resnet', 56, 'test_error', 7.40, 0.27, 5, 45_000, _NABLA),
    PublishedError('resnet', 110, 'test_error', 7.14, 0.20, 5, 45_000, _NABLA),
    PublishedError('plain', 20, 'train_error', 0.77, None, 1, 50_000, _MARTYN),
    PublishedError('plain', 32, 'train_error', 0.85, None, 1, 50_000, _MARTYN),
    PublishedError('plain', 44, 'train_error', 2.90, None, 1, 50_000, _MARTYN),
    PublishedError('plain', 56, 'train_error', 3.42, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 20, 'train_error', 0.41, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 32, 'train_error', 0.11, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 44, 'train_error', 0.05, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 56, 'train_error', 0.05, None, 1, 50_000, _MARTYN),
    PublishedError('plain', 20, 'test_error', 9.68, None, 1, 50_000, _MARTYN),
    PublishedError('plain', 32, 'test_error', 10.08, None, 1, 50_000, _MARTYN),
    PublishedError('plain', 44, 'test_error', 11.62, None, 1, 50_000, _MARTYN),
    PublishedError('plain', 56, 'test_error', 12.90, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 20, 'test_error', 8.11, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 32, 'test_error', 7.73, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 44, 'test_error', 7.54, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 56, 'test_error', 7.47, None, 1, 50_000, _MARTYN),
    PublishedError('resnet', 20, 'test_error', 8.64, 0.16, 5, 50_000, _RAPHAEL),
    PublishedError('resnet', 56, 'test_error', 7.04, 0.26, 5, 50_000, _RAPHAEL),
    PublishedError('resnet', 110, 'test_error', 6.60, 0.09, 5, 50_000, _RAPHAEL),
)

DATA_SET = 'cifar10'
FAMILIES = ('plain', 'resnet')
UPDATES = 64_000
TRAINING_IMAGES = (45_000, 50_000)  # without the images for validation, or with them
TEST_IMAGES = 10_000
# The values of the protocol by dotted knob; the first is the one that a difference is told from.
_KNOBS: Mapping[str, Sequence[object]] = {
    'data.image_size': (32, 0),
    'data.num_train': (0,),
    'data.fraction': (1.0,),
    'data.label_noise': (0.0,),
    'data.crop': ('padded',),
    'data.crop_padding': (4,),
    'data.flip': (True,),
    'data.color_noise': (0.0,),
    'data.normalisation': ('mean_image',),
    'model.images': ('small',),
    'model.width': (16,),
    'model.norm': ('batch',),
    'model.conv_bias': ('no', 'auto'),
    'model.activation': ('relu',),
    'model.block': ('basic',),
    'model.preactivation': (False,),
    'model.reparameterised': (False,),
    'model.compute_dtype': ('float32',),
    'model.shortcut.kind': ('A',),
    'model.shortcut.scale': (1.0,),
    'model.shortcut.branch_scale': (1.0,),
    'model.shortcut.branch_scale_by_depth': (False,),
    'model.shortcut.learned_branch_scale': (False,),
    'model.shortcut.gate': ('none',),
    'model.shortcut.dropout': (0.0,),
    'model.shortcut.fade_steps': (0,),
    'init.scheme': ('he',),
    'init.weights': ('',),
    'init.deepened_from': ('',),
    'train.batch_size': (128,),
    'train.until_error': ((),),
    'optimizer.learning_rate': (0.1,),
    'optimizer.momentum': (0.9,),
    'optimizer.weight_decay': (1e-4,),
    'optimizer.decay_at': ((0.5, 0.75),),
    'optimizer.decay_factor': (0.1,),
    'optimizer.warmup': ('constant',),
    'optimizer.warmup_learning_rate': (0.01,),
    'optimizer.warmup_fraction': (400 / UPDATES,),
    'optimizer.warmup_min_depth': (WARMUP_DEPTH,),
    'optimizer.clip_norm': (0.0,),
    'optimizer.layerwise': ('none',),
    'optimizer.frozen_first': (0,),
    'optimizer.frozen_last': (0,),
    'optimizer.fixed_norms': (False,),
}
_OF_WARMUP = tuple(knob for knob in _KNOBS if knob.startswith('optimizer.warmup'))


def of_the_paper(config: Mapping, results: Sequence[Result]) -> list[Result]:
    """The results on CIFAR-10 of the paper's families, without other options.

    Args:
        config: nested; what the runs share.
        results: of the runs.
    """
    if _value(config, 'data.name') != DATA_SET:
        return []
    return [run for run in results if run.variant == run.family in FAMILIES]


def differences(config: Mapping, results: Sequence[Result]) -> list[str]:
    """Where runs leave the protocol of the published ones, in words.

    >>> from configs import cifar10
    >>> config = cifar10.get_config()
    >>> config.train.batch_size = 64
    >>> differences(config.to_dict(), [])
    ['train.batch_size 64 instead of 128']

    Args:
        config: nested; what the runs share.
        results: of the runs.
    """
    updates = {run.steps for run in results} - {UPDATES}
    trained = {_images(run, 'train') for run in results} - set(TRAINING_IMAGES)
    tested = {_images(run, 'test') for run in results} - {TEST_IMAGES}
    is_unknown = any(run.unknown_archive for run in results)
    either = ' or '.join(f'{number:,}' for number in TRAINING_IMAGES)
    return [
        *(f'{number:,} updates instead of {UPDATES:,}' for number in sorted(updates)),
        *(f'{_many(number)} training images instead of {either}' for number in sorted(trained)),
        *(f'{_many(number)} test images instead of {TEST_IMAGES:,}' for number in sorted(tested)),
        *(['the archive was not the known one (data.checksum=any)'] if is_unknown else []),
        *(
            f'{knob} {_value(config, knob)} instead of {_text(values[0])}'
            for knob, values in _KNOBS.items()
            if _value(config, knob) not in values and knob not in _without_effect(config, results)
        ),
    ]


def _without_effect(config: Mapping, results: Sequence[Result]) -> Sequence[str]:
    """The knobs of the warm-up where neither these runs nor those of the protocol have one."""
    deepest = max((run.depth for run in results), default=WARMUP_DEPTH)
    lowest = _value(config, 'optimizer.warmup_min_depth')
    is_none = _value(config, 'optimizer.warmup') == 'none'
    too_shallow = isinstance(lowest, int) and deepest < lowest
    return _OF_WARMUP if deepest < WARMUP_DEPTH and (is_none or too_shallow) else ()


def comparable(config: Mapping, results: Sequence[Result]) -> list[PublishedError]:
    """The published errors of the networks that ran, none where they ran by another protocol.

    Those of one network stand together, and among them those of one metric.

    Args:
        config: nested; what the runs share.
        results: of the runs.
    """
    runs = of_the_paper(config, results)
    if differences(config, runs):
        return []
    networks = {(run.family, run.depth) for run in runs}
    found = [each for each in PUBLISHED_ERRORS if (each.family, each.depth) in networks]
    return sorted(found, key=lambda each: (each.family, each.depth, each.metric))


def _value(config: Mapping, dotted: str) -> Any:
    """The value of a knob; 'various values' where the runs do not share one."""
    value: Any = config
    for key in dotted.split('.'):
        if not isinstance(value, Mapping) or key not in value:
            return 'various values'
        value = value[key]
    return value


def _images(run: Result, split: str) -> int:
    """The number of images in a split; 0 where it was not recorded (format 1)."""
    return run.num_images[split] if run.num_images else 0


def _text(value: object) -> str:
    return "''" if value == '' else str(value)


def _many(number: int) -> str:
    return f'{number:,}' if number else 'an unknown number of'
