import numpy as np
import pytest
from PIL import Image

from vggres.data import reduction
from vggres.errors import UserError


def test_a_4x4_image_by_hand():
    image = np.array([[0, 2, 255, 255], [4, 6, 255, 254], [9, 9, 1, 0], [9, 8, 0, 0]], np.uint8)
    # Means 3, 254.75, 8.75 and 0.25.
    expected = [[3, 255], [9, 0]]
    np.testing.assert_array_equal(
        reduction.area_average(image[None, :, :, None], 2)[0, ..., 0], expected
    )


def test_halves_are_rounded_up():
    image = np.array([[0, 1], [0, 1]], np.uint8)[None, :, :, None]  # mean 0.5
    assert reduction.area_average(image, 1).item() == 1


def test_a_size_that_does_not_divide_covers_shares_of_pixels():
    # A new pixel covers 1.5 old ones: (2a + b) / 3 and (b + 2c) / 3 along each axis.
    line = np.array([30, 60, 90], np.uint8)
    image = np.broadcast_to(line, (1, 3, 3))[..., None]
    np.testing.assert_array_equal(
        reduction.area_average(image, 2)[0, :, :, 0], [[40, 80], [40, 80]]
    )
    upright = image.transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(reduction.area_average(upright, 2)[0, :, :, 0].T, [[40, 80]] * 2)


def test_random_images_are_averaged_as_by_pillow():
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), np.uint8)
    theirs = [np.asarray(Image.fromarray(image).reduce(4)) for image in images]
    ours = reduction.area_average(images, 3)
    assert np.abs(ours.astype(int) - np.stack(theirs)).max() <= 1  # they may round halves otherwise
    assert (ours == np.stack(theirs)).mean() > 0.9


def test_a_stratified_choice_has_the_shares_of_all_images():
    labels = np.repeat([0, 1, 2], [60, 30, 10])[np.random.default_rng(0).permutation(100)]
    chosen = reduction.stratified(labels, 10, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [6, 3, 1]
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(reduction.stratified(labels, 10, seed=0), chosen)
    assert (reduction.stratified(labels, 10, seed=1) != chosen).any()
    np.testing.assert_array_equal(reduction.stratified(labels, 100, seed=0), np.arange(100))


def test_what_shares_leave_over_goes_to_the_largest_remainders():
    labels = np.repeat([0, 1, 2], [50, 33, 17])
    # 10 of 100: 5.0, 3.3 and 1.7.
    assert np.bincount(labels[reduction.stratified(labels, 10, seed=0)]).tolist() == [5, 3, 2]


def test_noise_changes_a_share_of_the_labels():
    labels = np.repeat(np.arange(10, dtype=np.int32), 1000)
    noisy = reduction.with_noise(labels, 0.4, 10, seed=0)
    # 4,000 of 10,000 are drawn anew, and a tenth of those stay right: 3,600 expected, deviation 19.
    assert abs((noisy != labels).sum() - 3600) < 5 * 19
    assert noisy.dtype == np.int32
    assert (labels == np.repeat(np.arange(10), 1000)).all()
    # What they become is uniform over the classes: 400 of each expected, deviation 19.
    counts = np.bincount(noisy[noisy != labels], minlength=10)
    assert (abs(counts - 360) < 5 * 19).all()
    np.testing.assert_array_equal(reduction.with_noise(labels, 0.4, 10, seed=0), noisy)
    assert (reduction.with_noise(labels, 0.4, 10, seed=1) != noisy).any()
    np.testing.assert_array_equal(reduction.with_noise(labels, 0.0, 10, seed=0), labels)


@pytest.mark.parametrize(
    ('fraction', 'num_train', 'expected'),
    [(1.0, 0, 57), (0.5, 0, 28), (1.0, 12, 12), (0.001, 0, 1)],
)
def test_how_many_images_are_kept(fraction, num_train, expected):
    assert reduction.subset_size(57, fraction, num_train) == expected


def test_more_images_than_there_are():
    with pytest.raises(UserError, match=r'data.num_train 58 is more than the 57 images'):
        reduction.subset_size(57, 1.0, 58)
