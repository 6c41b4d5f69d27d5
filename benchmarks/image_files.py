"""Pipelines that decode and crop JPEG files anew in every epoch: ours and torchvision's."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 224  # pixels of a crop
_CLASSES = 4
_MEDIAN = (500, 375)  # pixels, of ImageNet's images
_AHEAD = 6  # batches: more than a process of any contender makes in advance


def write(directory: Path, count: int) -> None:
    """Writes JPEG files `train/<class>/<number>.jpg` of about the size of ImageNet's.

    Smooth random fields with some noise on top compress like photographs: to about 80 kB.
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize(_MEDIAN)
        noise = rng.normal(0, 12, (_MEDIAN[1], _MEDIAN[0], 3))
        pixels = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
        folder = directory / 'train' / f'class{number % _CLASSES}'
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f'{number}.jpg', quality=90)


def ours(directory: Path, batch: int, processes: int) -> Iterator[object]:
    """Reads as a training run does, and copies each batch to the device."""
    import jax
    import jax.numpy as jnp

    from vggres.data import datasets
    from vggres.data.image_files import Cropping, FileReader

    cropping = Cropping('area', SIZE, (256, 256))
    reader = FileReader(datasets.files(_config(directory)), cropping, batch, processes)
    for step in itertools.count():
        split, _ = reader.training((0, 0), step, step + 1)
        yield jax.block_until_ready(jnp.asarray(split.images))


def torchvision(directory: Path, batch: int, processes: int) -> Iterator[object]:
    """Runs `ImageFolder` with `DataLoader`, crops as in PyTorch's examples, and copies each batch.

    An epoch follows the other without a pause; mirroring is left out, which ours does on the
    device.
    """
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision import datasets, transforms

    steps = [transforms.RandomResizedCrop(SIZE), transforms.PILToTensor()]
    images = datasets.ImageFolder(str(directory / 'train'), transforms.Compose(steps))
    loader = DataLoader(
        images,
        batch,
        sampler=RandomSampler(images, num_samples=2**40),  # more than anyone takes
        num_workers=processes,
        multiprocessing_context='forkserver',
    )
    for found, _ in loader:
        yield found.clone()


def timed(batches: Iterator[object], count: int, processes: int) -> Callable[[int], float]:
    """A function that takes `count` batches and returns the seconds that making them took.

    Processes make some batches in advance. Those that lie ready at the start are taken before the
    clock runs, and at the end, it waits until they are made again, so that nobody works in the turn
    of another.
    """

    ready = _AHEAD * processes

    def seconds(number: int) -> float:
        for _ in range(ready):
            next(batches)
        started = time.perf_counter()
        for _ in range(count):
            next(batches)
        taken = time.perf_counter() - started
        time.sleep(taken / count * ready)
        return taken

    return seconds


def _config(directory: Path) -> object:
    from configs import imagenet

    config = imagenet.get_config().data
    config.dir = os.fspath(directory)
    config.train_split = 'train'
    config.validation_split = config.test_split = 'train'  # nobody reads them
    return config
