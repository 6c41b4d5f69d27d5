"""Turns uint8 images on the device into batches: order, normalisation, augmentation. Works in jit.

The order is a pure function of (seed, step): epoch e visits the training set in the e-th
permutation of its seed. It leaves out the remainder that fills no batch, which is another one in
each epoch. Every family and depth of one seed therefore sees the same batches.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# The eigenvalues and eigenvectors (columns) of ImageNet's colours, as reproductions of He et al.
# use them for red, green and blue in [0, 1].
_COLOR_EIGENVALUES = (0.2175, 0.0188, 0.0045)
_COLOR_AXES = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Keys(NamedTuple):
    """The random keys of a run's data: they decide order, augmentation and dropout."""

    order: jax.Array
    augment: jax.Array
    dropout: jax.Array


def keys(order_key: jax.Array) -> Keys:
    """The keys that a run's order key stands for."""
    return Keys(*jax.random.split(order_key, 3))


def epoch_order(key: jax.Array, epoch: jax.Array, num_train: int) -> jax.Array:
    """The permutation in which an epoch visits the training set.

    Args:
        key: a random key; each seed has its own.
        epoch: the number of epochs before this one.
        num_train: the number of images to train on.

    Returns:
        The positions of the images, [num_train] int32.
    """
    return jax.random.permutation(jax.random.fold_in(key, epoch), num_train)


def statistics(images: np.ndarray, normalisation: str) -> tuple[np.ndarray, np.ndarray]:
    """Computes what `normalise` subtracts and what it divides by.

    Args:
        images: the images to train on, [n, height, width, channels] uint8.
        normalisation: 'mean_image' for the mean of each pixel and a deviation of 1 (He et al. 2015,
            §4.2); 'imagenet' for the means and deviations of the 3 channels with which PyTorch's
            published weights were trained.

    Returns:
        The mean [height, width, channels] and the deviation [1, 1, channels], both float32, of
        values in [0, 1].
    """
    if normalisation == 'mean_image':
        mean = images.mean(axis=0, dtype=np.float64) / 255
        return mean.astype(np.float32), np.ones((1, 1, images.shape[3]), np.float32)
    return imagenet_statistics(images.shape[1:])


def imagenet_statistics(image_shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The constants of PyTorch's weights, as `statistics` returns them.

    Args:
        image_shape: [height, width, 3].
    """
    mean = np.broadcast_to(np.float32(_IMAGENET_MEAN), image_shape)
    return mean, np.float32(_IMAGENET_DEVIATION).reshape(1, 1, 3)


def normalise(images: jax.Array, mean: jax.Array, deviation: jax.Array) -> jax.Array:
    """Scales images to values around 0: (images / 255 − mean) / deviation.

    Args:
        images: [batch, height, width, channels] uint8.
        mean: [height, width, channels] float32 (see `statistics`).
        deviation: [1, 1, channels] float32.

    Returns:
        [batch, height, width, channels] float32.
    """
    return (images.astype(jnp.float32) / 255 - mean[None]) / deviation[None]


def augment(
    images: jax.Array, key: jax.Array, crop_padding: int, flip: bool, color_noise: float = 0.0
) -> jax.Array:
    """Crops and mirrors each image at random (He et al. 2015, §4.2), and shifts its colours.

    Args:
        images: [batch, height, width, channels], normalised, so that zeros are the mean image.
        key: a random key; every step has a key of its own.
        crop_padding: the number of pixels of zeros that are added on each side, before a window of
            the image's size is cut out; 0 crops nothing.
        flip: whether to mirror half of the images horizontally.
        color_noise: the deviation of the random factors by which the principal axes of ImageNet's
            colours are added (Krizhevsky et al. 2012, §4.1, where it is 0.1); 0 adds nothing. The
            images have to be normalised by ImageNet's constants.

    Returns:
        Images of the same shape.
    """
    crop_key, flip_key = jax.random.split(key)
    batch = images.shape[0]
    if crop_padding:
        sides = (crop_padding, crop_padding)
        padded = jnp.pad(images, ((0, 0), sides, sides, (0, 0)))
        corners = jax.random.randint(crop_key, (batch, 2), 0, 2 * crop_padding + 1)
        crop = jax.vmap(lambda i, c: jax.lax.dynamic_slice(i, (c[0], c[1], 0), images.shape[1:]))
        images = crop(padded, corners)
    if flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(batch, 1, 1, 1))
        images = jnp.where(mirrored, images[:, :, ::-1], images)
    if color_noise:
        images = images + _color_shift(jax.random.fold_in(key, 2), batch, color_noise)
    return images


def _color_shift(key: jax.Array, batch: int, noise: float) -> jax.Array:
    """What is added to the pixels of each image, [batch, 1, 1, 3], in units of `deviation`."""
    amounts = noise * jax.random.normal(key, (batch, 3)) * jnp.array([_COLOR_EIGENVALUES])
    shift = amounts @ jnp.array(_COLOR_AXES).T / jnp.array([_IMAGENET_DEVIATION])
    return shift[:, None, None, :]
