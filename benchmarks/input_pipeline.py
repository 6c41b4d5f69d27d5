"""Compares pipelines for augmented batches: images on the device, or files that are decoded.

    python -m benchmarks.input_pipeline
    python -m benchmarks.input_pipeline --images 50000 --json
    python -m benchmarks.input_pipeline --files 1600 --batch 64

Without --files, each contender delivers normalised float32 batches of random 32×32 crops after a
padding of 4 pixels; half of the images are mirrored, and an epoch visits each image once. With it,
they decode JPEG files of about 500×375 pixels, with one process per core, and deliver random crops
of 224×224 pixels as uint8. The contenders take turns of one epoch each; processes stay between the
turns, and idle.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks import command, image_files, timing
from vggres import environment
from vggres.errors import UserError
from vggres.executors.placement import placement

FLAGS = flags.FLAGS
_MEAN, _PADDING = 0.5, 4


def define_flags() -> None:
    """Defines the command line."""
    flags.DEFINE_integer('images', 12_800, 'Images in an epoch.', lower_bound=128)
    flags.DEFINE_integer('files', 0, 'JPEG files in an epoch, in place of images.', lower_bound=0)
    flags.DEFINE_integer('batch', 128, 'Images in a batch.', lower_bound=1)
    flags.DEFINE_integer('rounds', 5, 'Epochs that each contender delivers.', lower_bound=1)
    flags.DEFINE_bool('json', False, 'Print a JSON object instead of a table.')


def ours(images: np.ndarray, batch: int) -> Callable[[int], object]:
    """Runs `vggres.data.batches` in a loop on the device, as the trainer does."""
    import jax
    import jax.numpy as jnp

    from vggres.data import batches

    on_device = jnp.asarray(images)
    mean, deviation = jnp.full(images.shape[1:], _MEAN), jnp.ones((1, 1, images.shape[3]))

    @jax.jit
    def epoch(images: jax.Array, number: int) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(0), number)
        order = batches.epoch_order(key, number, len(images))

        def add_batch(i: jax.Array, total: jax.Array) -> jax.Array:
            indices = jax.lax.dynamic_slice(order, (i * batch,), (batch,))
            normal = batches.normalise(images[indices], mean, deviation)
            augmented = batches.augment(normal, jax.random.fold_in(key, i), _PADDING, flip=True)
            return total + augmented  # whatever would use the batch

        return jax.lax.fori_loop(
            0, len(images) // batch, add_batch, jnp.zeros((batch, *images.shape[1:]))
        )

    return lambda number: epoch(on_device, number).block_until_ready()


def numpy(images: np.ndarray, batch: int) -> Callable[[int], object]:
    """Gathers, pads, crops, mirrors and normalises on the host, with numpy."""
    size = images.shape[1]

    def epoch(number: int) -> object:
        random = np.random.default_rng(number)
        total = np.zeros((batch, *images.shape[1:]), np.float32)
        for indices in random.permutation(len(images)).reshape(-1, batch):
            sides = ((0, 0), (_PADDING, _PADDING), (_PADDING, _PADDING), (0, 0))
            padded = np.pad(images[indices], sides)
            corners = random.integers(0, 2 * _PADDING + 1, (batch, 2))
            crops = np.stack(
                [
                    image[row : row + size, column : column + size]
                    for image, (row, column) in zip(padded, corners, strict=True)
                ]
            )
            mirrored = random.random(batch) < 0.5
            crops[mirrored] = crops[mirrored, :, ::-1]
            total += crops.astype(np.float32) / 255 - _MEAN
        return total

    return epoch


def torch(images: np.ndarray, batch: int) -> Callable[[int], object]:
    """Runs `torch.utils.data.DataLoader`, with one worker per core; images are changed singly."""
    import torch
    from torch.utils.data import DataLoader

    from benchmarks.torch_images import Images

    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    loader = DataLoader(
        Images(pixels, _PADDING, _MEAN),
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=len(environment.cores()),
        persistent_workers=True,
        multiprocessing_context='forkserver',
    )

    def epoch(number: int) -> object:
        total = torch.zeros((batch, *pixels.shape[1:]))
        for part in loader:
            total += part
        return total

    return epoch


def main() -> None:
    """Lets each contender deliver an epoch in each round, and prints the rates."""
    os.environ |= placement(0, 1)
    count = (FLAGS.files or FLAGS.images) // FLAGS.batch * FLAGS.batch
    if not count:
        raise UserError('an epoch holds at least one --batch.')
    with tempfile.TemporaryDirectory() as directory:
        rates = _rates(_contenders(count, Path(directory)), count)
    if FLAGS.json:
        print(json.dumps({name: {'images_per_second': found} for name, found in rates.items()}))
        return
    what = 'JPEG files, crops of 224×224×3' if FLAGS.files else 'images of 32×32×3'
    title = f'{count:,} {what}, {environment.hardware()}'
    table = Table('', 'images/s', 'our rate / its', title=title, title_justify='left')
    for name, found in rates.items():
        median, low, high = timing.spread(found)
        pairs = zip(rates['ours'], found, strict=True)
        ratio = timing.spread([a / b for a, b in pairs])
        table.add_row(
            name,
            f'{median:,.0f} ({low:,.0f}-{high:,.0f})',
            '' if name == 'ours' else '{:.2f} ({:.2f}-{:.2f})'.format(*ratio),
        )
    Console(width=100, markup=False).print(table)


def _contenders(count: int, directory: Path) -> dict[str, Callable[[int], float]]:
    """A function for each contender, which delivers an epoch and returns how long it took."""
    if not FLAGS.files:
        images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
        functions = [ours, numpy, *([torch] if find_spec('torch') else [])]
        return {each.__name__: _timed(each(images, FLAGS.batch)) for each in functions}
    image_files.write(directory, count)
    functions = [image_files.ours]
    functions += [image_files.torchvision] if find_spec('torchvision') else []
    processes, steps = len(environment.cores()), count // FLAGS.batch
    return {
        each.__name__: image_files.timed(each(directory, FLAGS.batch, processes), steps, processes)
        for each in functions
    }


def _timed(epoch: Callable[[int], object]) -> Callable[[int], float]:
    """The seconds that an epoch takes."""

    def seconds(number: int) -> float:
        started = time.perf_counter()
        epoch(number)
        return time.perf_counter() - started

    return seconds


def _rates(epochs: dict[str, Callable[[int], float]], count: int) -> dict[str, list[float]]:
    """Images a second in each round; a first epoch of each contender warms up."""
    for epoch in epochs.values():
        epoch(0)
    rates: dict[str, list[float]] = {name: [] for name in epochs}
    for number in range(1, FLAGS.rounds + 1):
        for name, epoch in epochs.items():
            rates[name].append(count / epoch(number))
    return rates


if __name__ == '__main__':
    define_flags()
    command.run('input_pipeline', main)
