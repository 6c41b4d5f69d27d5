import jax
import jax.numpy as jnp
import numpy as np

from vggres.data import batches

KEY = jax.random.key(3)


def test_an_epoch_visits_every_image_once_and_the_next_one_in_another_order():
    first, second = (np.asarray(batches.epoch_order(KEY, epoch, 101)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(101))
    assert (first != second).any()


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    again = batches.epoch_order(jax.random.key(3), jnp.int32(4), 50)
    np.testing.assert_array_equal(again, batches.epoch_order(KEY, 4, 50))
    assert (again != batches.epoch_order(jax.random.key(4), 4, 50)).any()


def test_normalised_training_images_have_mean_zero_at_every_pixel():
    images = np.random.default_rng(0).integers(0, 256, (64, 3, 2, 3), np.uint8)
    normal = batches.normalise(jnp.asarray(images), *batches.statistics(images, 'mean_image'))
    assert normal.dtype == jnp.float32
    np.testing.assert_allclose(normal.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(
        normal[0] - normal[1], (images[0] / 255 - images[1] / 255), atol=1e-6
    )


def test_imagenet_normalisation_is_that_of_pytorchs_weights():
    images = np.array([[[[0, 255, 51]]]], np.uint8)
    normal = batches.normalise(jnp.asarray(images), *batches.statistics(images, 'imagenet'))
    expected = [(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(normal[0, 0, 0], expected, rtol=1e-6)


def test_no_augmentation_is_the_identity():
    images = jax.random.normal(KEY, (4, 5, 5, 1))
    np.testing.assert_array_equal(batches.augment(images, KEY, crop_padding=0, flip=False), images)


def test_crops_are_windows_of_the_padded_image_at_every_corner():
    # A single bright pixel in the middle shows how far an image moved.
    images = jnp.zeros((2000, 5, 5, 1)).at[:, 2, 2].set(1)
    crops = np.asarray(batches.augment(images, KEY, crop_padding=2, flip=False))
    assert crops.shape == images.shape
    _, row, column, _ = np.nonzero(crops)
    assert len(row) == 2000
    counts = np.bincount(row * 5 + column, minlength=25)
    # 25 equally likely shifts: 80 expected each, standard deviation 8.8.
    assert counts.min() > 80 - 5 * 8.8
    assert counts.max() < 80 + 5 * 8.8


def test_what_lies_outside_is_the_mean_image():
    crops = np.asarray(batches.augment(jnp.ones((500, 4, 4, 2)), KEY, crop_padding=4, flip=False))
    assert set(np.unique(crops)) == {0.0, 1.0}


def test_half_of_the_images_are_mirrored():
    image = jnp.arange(12.0).reshape(1, 2, 6, 1)
    flipped = np.asarray(batches.augment(jnp.tile(image, (2000, 1, 1, 1)), KEY, 0, flip=True))
    mirrored = (flipped == np.asarray(image)[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (flipped == np.asarray(image)).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / 2000**0.5


def test_colours_shift_along_the_principal_axes_of_imagenet():
    # The shift of an image is the same at each pixel: A (e ∘ α), with α normal of deviation 0.1.
    axes = np.array(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    eigenvalues, deviation = np.array([0.2175, 0.0188, 0.0045]), np.array([0.229, 0.224, 0.225])
    images = jax.random.normal(KEY, (4000, 2, 3, 3))
    shifted = batches.augment(images, KEY, crop_padding=0, flip=False, color_noise=0.1)
    shift = np.asarray(shifted - images)
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1, :1], shift.shape), atol=1e-6)
    amounts = (shift[:, 0, 0] * deviation) @ np.linalg.inv(axes).T / eigenvalues
    np.testing.assert_allclose(amounts.std(axis=0), 0.1, rtol=0.06)  # deviation 1 / √8000 = 1.1 %
    np.testing.assert_allclose(amounts.mean(axis=0), 0, atol=5 * 0.1 / 4000**0.5)
    assert (np.abs(np.corrcoef(amounts.T) - np.eye(3)) < 5 / 4000**0.5).all()


def test_colour_noise_leaves_crops_and_flips_as_they_are():
    image = jnp.arange(48.0).reshape(1, 4, 4, 3)
    images = jnp.tile(image, (50, 1, 1, 1))
    plain = batches.augment(images, KEY, crop_padding=0, flip=True)
    shifted = batches.augment(images, KEY, crop_padding=0, flip=True, color_noise=1e-6)
    np.testing.assert_allclose(shifted, plain, atol=1e-4)
