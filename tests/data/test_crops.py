import numpy as np
import pytest
from PIL import Image
from scipy import stats

from vggres.data import crops


def ramp(width, height):
    """An image whose red grows by 1 a column and whose green by 1 a row."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([columns, rows, 0 * rows], -1).astype(np.uint8))


def test_a_scaled_crop_without_scaling_is_a_window_of_the_image():
    rng = np.random.default_rng(0)
    corners = set()
    for _ in range(200):
        crop = crops.scaled_crop(ramp(12, 10), 8, (10, 10), rng).astype(int)
        assert crop.shape == (8, 8, 3)
        # Between whole pixels, the window is interpolated: steps stay 1, up to rounding.
        assert (np.abs(np.diff(crop[..., 0], axis=1) - 1) <= 1).all()
        assert crop[0, 0, 0] + 7 <= crop[0, 7, 0] + 1 <= 12
        corners.add((crop[0, 0, 0], crop[0, 0, 1]))
    assert {x for x, _ in corners} >= {0, 1, 2, 3, 4}  # 12 − 8 columns to move
    assert {y for _, y in corners} >= {0, 1, 2}  # 10 − 8 rows


def test_the_shorter_side_and_the_place_of_a_scaled_crop_are_uniform():
    rng = np.random.default_rng(0)
    windows = np.array([crops._scaled_window(80, 64, 8, (9, 24), rng) for _ in range(8000)])
    left, top, across, down = windows.T
    np.testing.assert_array_equal(across, down)
    # A square of 8 pixels shows 8/s of the 64 rows where the shorter side has s.
    sides = 8 * 64 / across
    np.testing.assert_allclose(sides, np.round(sides), rtol=1e-12)
    counts = np.bincount(np.round(sides).astype(int), minlength=25)
    assert counts.sum() == counts[9:].sum() == 8000
    assert len(counts) == 25
    assert stats.chisquare(counts[9:]).pvalue > 1e-4
    x, y = left / (80 - across), top / (64 - down)
    for place in (x, y):
        assert stats.kstest(place, 'uniform').pvalue > 1e-4
        assert stats.spearmanr(place, sides).pvalue > 1e-4
    assert stats.spearmanr(x, y).pvalue > 1e-4


def test_an_area_crop_covers_a_share_of_the_image_in_a_shape_within_bounds():
    rng = np.random.default_rng(0)
    shares, shapes = [], []
    for _ in range(500):
        crop = crops.area_crop(ramp(200, 200), 50, rng).astype(float)
        across = (crop[25, 49, 0] - crop[25, 0, 0]) / 49 * 50
        down = (crop[49, 25, 1] - crop[0, 25, 1]) / 49 * 50
        shares.append(across * down / 200**2)
        shapes.append(across / down)
    assert 0.07 < min(shares) < 0.13
    assert 0.85 < max(shares) < 1.03
    assert 0.72 < min(shapes) < 0.8
    assert 1.25 < max(shapes) < 1.39


def test_area_and_shape_of_an_area_crop_are_uniform():
    # In a square, no try below half of its area is rejected: its longer side is at most
    # √(1/2 · 4/3) = 0.82 of the square's. So those crops are distributed as the tries are.
    rng = np.random.default_rng(0)
    windows = np.array([crops._area_window(200, 200, rng) for _ in range(20_000)])
    left, top, across, down = windows.T
    share, shape = across * down / 200**2, np.log(across / down)
    small = share < 0.5
    share, shape = share[small], shape[small]
    assert stats.kstest(share, stats.uniform(0.08, 0.42).cdf).pvalue > 1e-4
    bound = np.log(4 / 3)
    assert stats.kstest(shape, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4
    assert stats.spearmanr(share, shape).pvalue > 1e-4
    # The larger ones are as frequent as they should be: of 92 % of all shares, 42 % are below 1/2;
    # a try above 3/4 may be rejected, and another one taken, so that there are a few more.
    assert 0.42 / 0.92 < small.mean() < 1.2 * 0.42 / 0.92
    x, y = left / (200 - across), top / (200 - down)
    for place in (x, y):
        assert stats.kstest(place, 'uniform').pvalue > 1e-4
        assert stats.spearmanr(place, across).pvalue > 1e-4
    assert stats.spearmanr(x, y).pvalue > 1e-4


@pytest.mark.parametrize('kind', ['scaled', 'area'])
def test_the_window_is_what_is_resampled(kind):
    for seed in range(100):
        rng, again = np.random.default_rng(seed), np.random.default_rng(seed)
        if kind == 'scaled':
            crop = crops.scaled_crop(ramp(120, 90), 40, (40, 60), rng)
            left, top, across, down = crops._scaled_window(120, 90, 40, (40, 60), again)
        else:
            crop = crops.area_crop(ramp(120, 90), 40, rng)
            left, top, across, down = crops._area_window(120, 90, again)
        # The middle of column i is at i + 1/2, where the ramp has the level i; at the edges of the
        # image, pixels are averaged over what there is.
        middles = (np.arange(40) + 0.5) / 40
        columns, rows = left + across * middles - 0.5, top + down * middles - 0.5
        inner = crop[3:-3, 3:-3].astype(float)
        np.testing.assert_allclose(inner[..., 0], np.tile(columns[3:-3], (34, 1)), atol=1)
        np.testing.assert_allclose(inner[..., 1], np.tile(rows[3:-3, None], (1, 34)), atol=1)


def test_where_no_area_fits_the_centre_is_taken():
    # A strip of 1000×2 has no rectangle of 8 % with an aspect of at most 4/3.
    crop = crops.area_crop(Image.new('RGB', (1000, 2), (9, 8, 7)), 4, np.random.default_rng(0))
    np.testing.assert_array_equal(crop, np.broadcast_to(np.uint8([9, 8, 7]), (4, 4, 3)))


@pytest.mark.parametrize(
    'crop',
    [
        lambda image, rng: crops.scaled_crop(image, 8, (8, 12), rng),
        lambda image, rng: crops.area_crop(image, 8, rng),
    ],
)
def test_a_crop_follows_its_generator(crop):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8))
    first, again = (crop(image, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (crop(image, np.random.default_rng(6)) != first).any()
