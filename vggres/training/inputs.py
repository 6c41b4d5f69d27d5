"""How the images of a configuration reach the device: all at once, or as a stream of batches."""

import math
import os
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
from ml_collections import FrozenConfigDict

from vggres import environment
from vggres.data import batches, datasets, resident
from vggres.data.image_files import Cropping, FileReader, Files
from vggres.data.source import Content, Split
from vggres.data.stream import ArrayReader, Stream, updates_at_once
from vggres.training import devices
from vggres.training.programs import Images, evaluation_batch_size

_RESIDENT_PART = 0.25  # of the device's memory: the network needs the rest


def load(config: FrozenConfigDict, key: str) -> Images:
    """Opens the data set of a configuration.

    Image files that are cropped anew in every epoch come as a stream. Other images are put on the
    device where they take up to a quarter of its memory, or as `config.data.input` says. Both give
    the same batches. Several devices have all resident images each, and share streamed batches; of
    those, each of several processes reads the part of its own devices.

    Within a process, what was opened last stays open for who asks with the same key.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        key: as `datasets.key` gives it.

    Raises:
        UserError: for a data set or a split that does not exist, or cannot be prepared.
    """
    if datasets.is_encoded(config.data):
        return _stream_of_files(config, key)
    if _is_resident(config):
        return _resident(config.data, key)
    return _stream_of_arrays(config, key)


@lru_cache(maxsize=1)
def contents(data: FrozenConfigDict, key: str) -> dict[str, Content]:
    """What the splits that `load` opens consist of.

    Args:
        data: the `data` part of a configuration.
        key: as `datasets.key` gives it.
    """
    num_classes = datasets.describe(data).num_classes
    splits = _files(data, key) if datasets.is_encoded(data) else _splits(data, key)
    return {name: split.content(num_classes) for name, split in splits.items()}


@lru_cache(maxsize=1)
def validated_and_trained(data: FrozenConfigDict, key: str) -> int:
    """The number of validation images that are trained on as well; arguments as of `contents`."""
    return datasets.validated_and_trained(data)


@lru_cache(maxsize=1)
def _splits(data: FrozenConfigDict, key: str) -> dict[str, Split]:
    return datasets.load(data)


@lru_cache(maxsize=1)
def _files(data: FrozenConfigDict, key: str) -> dict[str, Files]:
    return datasets.files(data)


def _is_resident(config: FrozenConfigDict) -> bool:
    if config.data.input != 'auto':
        return config.data.input == 'resident'
    info = datasets.describe(config.data)
    num_bytes = sum(info.num_images.values()) * math.prod(info.image_shape)
    return num_bytes <= _RESIDENT_PART * _device_memory()


def _device_memory() -> float:
    """The bytes of the default device's memory; on a CPU, those of the machine."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != 'cpu' else None
    if stats:
        return stats['bytes_limit']
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


@lru_cache(maxsize=1)
def _resident(data: FrozenConfigDict, key: str) -> resident.ResidentData:
    num_classes = datasets.describe(data).num_classes
    placed = devices.shardings()
    place = partial(jax.make_array_from_process_local_data, placed.whole) if placed else jnp.asarray
    return resident.put(_splits(data, key), num_classes, data.normalisation, place)


@lru_cache(maxsize=1)
def _stream_of_arrays(config: FrozenConfigDict, key: str) -> Stream:
    info, splits = datasets.describe(config.data), _splits(config.data, key)
    batch = config.train.batch_size
    updates = updates_at_once(batch, info.image_shape)
    mean, deviation = batches.statistics(splits['train'].images, config.data.normalisation)
    return Stream(
        ArrayReader(splits, batch, updates, devices.process()),
        sizes=tuple(info.num_images.values()),
        num_classes=info.num_classes,
        mean=mean,
        deviation=deviation,
        chunk=updates * batch,
        evaluated=evaluation_batch_size(config, info.image_shape),
        shardings=devices.shardings(),
    )


@lru_cache(maxsize=1)
def _stream_of_files(config: FrozenConfigDict, key: str) -> Stream:
    info, data = datasets.describe(config.data), config.data
    mean, deviation = batches.imagenet_statistics(info.image_shape)
    cropping = Cropping(data.crop, data.image_size, tuple(data.short_side))
    reader = FileReader(
        _files(data, key),
        cropping,
        config.train.batch_size,
        processes=data.workers or len(environment.cores()),
        host=devices.process(),
    )
    return Stream(
        reader,
        sizes=tuple(info.num_images.values()),
        num_classes=info.num_classes,
        mean=mean,
        deviation=deviation,
        chunk=config.train.batch_size,
        evaluated=evaluation_batch_size(config, info.image_shape),
        shardings=devices.shardings(),
    )
