"""Smaller and harder data sets: smaller images, fewer of them, some with random labels."""

import numpy as np

from vggres.errors import UserError

VERSION = 1  # of the arithmetic of `area_average`: part of the key of images that are kept


def area_average(images: np.ndarray, size: int) -> np.ndarray:
    """Shrinks images: each new pixel is the mean of the area that it covers.

    >>> area_average(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 3,  5],
           [11, 13]], dtype=uint8)

    Where the new size divides the old one, the mean is exact, and a half is rounded up.

    Args:
        images: [n, height, width, channels] uint8.
        size: the new height and width, at most the old ones.

    Returns:
        [n, size, size, channels] uint8.
    """
    n, height, width, channels = images.shape
    if height % size == 0 and width % size == 0:
        rows, columns = height // size, width // size
        blocks = images.reshape(n, size, rows, size, columns, channels)
        sums = blocks.sum(axis=(2, 4), dtype=np.uint32)
        area = rows * columns
        return ((2 * sums + area) // (2 * area)).astype(np.uint8)
    down, across = _overlaps(height, size), _overlaps(width, size)
    means = np.einsum('oh,nhwc,pw->nopc', down, images, across, optimize=True)
    return np.floor(means + 0.5).astype(np.uint8)


def _overlaps(old: int, new: int) -> np.ndarray:
    """The share of each new pixel that each old one covers, [new, old]; rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    starts = np.arange(old)
    low = np.maximum(edges[:-1, None], starts)
    high = np.minimum(edges[1:, None], starts + 1)
    return np.maximum(high - low, 0) * (new / old)


def subset_size(num_images: int, fraction: float, num_train: int) -> int:
    """The number of images to train on, of those that are there.

    Args:
        num_images: the number of images in the training split.
        fraction: the share to take; 1 for all.
        num_train: the number to take; 0 for what `fraction` says.

    Raises:
        UserError: where more images are asked for than there are.
    """
    if num_train > num_images:
        raise UserError(
            f'data.num_train {num_train} is more than the {num_images} images of the training '
            'split.'
        )
    return num_train or max(1, round(fraction * num_images))


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Chooses images at random, as many of each class as its share of all images says.

    Args:
        labels: [n], the classes of all images.
        count: the number to choose, at most n.
        seed: it decides the choice.

    Returns:
        The positions of the chosen images in increasing order, [count].
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    classes, sizes = np.unique(labels, return_counts=True)
    shares = sizes * (count / len(labels))
    counts = np.floor(shares).astype(int)
    # What is left goes to the largest remainders; of equal ones, chance decides.
    order = np.lexsort((rng.random(len(classes)), counts - shares))
    counts[order[: count - counts.sum()]] += 1
    chosen = [
        rng.permutation(np.flatnonzero(labels == each))[:size]
        for each, size in zip(classes, counts, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def with_noise(labels: np.ndarray, share: float, num_classes: int, seed: int) -> np.ndarray:
    """Replaces a share of the labels by random ones (Zhang et al. 2017, arXiv 1611.03530, §2).

    A random label is drawn from all classes, so that one in `num_classes` of them stays right.

    Args:
        labels: [n] int32.
        share: of the labels, 0 to 1, rounded to whole labels.
        num_classes: the number of classes.
        seed: it decides which labels, and what they become.

    Returns:
        [n] int32.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    noisy = labels.copy()
    chosen = rng.permutation(len(labels))[: round(share * len(labels))]
    noisy[chosen] = rng.integers(num_classes, size=len(chosen))
    return noisy
