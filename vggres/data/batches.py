"""From uint8 images on the device to batches, inside jit.

The order is a pure function of (seed, step): epoch e visits the training set in the e-th
permutation of its seed and leaves out the remainder that fills no batch, another one each epoch.
Every family and depth of one seed therefore sees the same batches.
"""

import jax
import jax.numpy as jnp
import numpy as np

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def epoch_order(key: jax.Array, epoch: jax.Array, num_train: int) -> jax.Array:
    """The permutation [num_train] int32 in which an epoch visits the training set."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), num_train)


def statistics(images: np.ndarray, normalisation: str) -> tuple[np.ndarray, np.ndarray]:
    """What `normalise` subtracts and divides by.

    Args:
        images: [n, height, width, channels] uint8, to train on.
        normalisation: 'mean_image', the per-pixel mean and 1 (He et al. 2015, §4.2); 'imagenet',
            the means and deviations of the 3 channels that PyTorch's published weights were
            trained with.

    Returns:
        mean [height, width, channels] and deviation [1, 1, channels] float32, of values in [0, 1].
    """
    if normalisation == 'mean_image':
        mean = images.mean(axis=0, dtype=np.float64) / 255
        return mean.astype(np.float32), np.ones((1, 1, images.shape[3]), np.float32)
    mean = np.broadcast_to(np.float32(_IMAGENET_MEAN), images.shape[1:])
    return mean, np.float32(_IMAGENET_DEVIATION).reshape(1, 1, 3)


def normalise(images: jax.Array, mean: jax.Array, deviation: jax.Array) -> jax.Array:
    """uint8 images to float32 around 0: (images / 255 − mean) / deviation (see `statistics`)."""
    return (images.astype(jnp.float32) / 255 - mean[None]) / deviation[None]


def augment(images: jax.Array, key: jax.Array, crop_padding: int, flip: bool) -> jax.Array:
    """Random crops after zero padding and random flips, one draw an image (He et al. 2015, §4.2).

    Args:
        images: [batch, height, width, channels], normalised, so that zeros are the mean image.
        key: a random key, another one each step.
        crop_padding: pixels added on each side before the crop; 0 crops nothing.
        flip: whether to mirror half of the images.
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
    return images
