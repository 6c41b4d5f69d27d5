import io

import numpy as np
import pytest
from PIL import Image

from vggres.data import decoding
from vggres.errors import UserError


def content(image, format='png', **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixels(image, format='png', **options):
    """What comes out of an image that is saved without loss, [height, width, 3]."""
    decoded = decoding.decode(content(image, format, **options), 'x')
    assert decoded.mode == 'RGB'
    return np.asarray(decoded)


def kind(image, format='png', **options):
    return decoding.kind(Image.open(io.BytesIO(content(image, format, **options))))


def palette_image():
    image = Image.new('P', (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putdata([0, 1])
    return image


def test_rgb_stays_as_it_is():
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(pixels(Image.fromarray(array)), array)
    assert kind(Image.fromarray(array)) == 'RGB'


def test_grey_is_repeated():
    grey = Image.fromarray(np.array([[0, 100], [200, 255]], np.uint8))
    expected = [[[0] * 3, [100] * 3], [[200] * 3, [255] * 3]]
    np.testing.assert_array_equal(pixels(grey), expected)
    assert kind(grey) == 'grey'
    black_and_white = grey.point(lambda level: 255 * (level > 150), '1')
    np.testing.assert_array_equal(pixels(black_and_white)[..., 0], [[0, 0], [255, 255]])
    assert kind(black_and_white) == 'grey'


def test_16_bits_of_grey_are_rounded_to_8():
    # 65535 / 255 = 257: 128 is the last level that is nearer to 0 than to 257.
    levels = np.array([[0, 128, 129, 257, 257 * 77, 65535]], np.uint16)
    pgm = b'P5 6 1 65535\n' + levels.astype('>u2').tobytes()
    for file in (content(Image.fromarray(levels)), pgm):
        found = np.asarray(decoding.decode(file, 'x'))
        np.testing.assert_array_equal(found[0, :, 1], [0, 0, 1, 1, 77, 255])
        assert decoding.kind(Image.open(io.BytesIO(file))) == 'grey'


def test_palettes():
    np.testing.assert_array_equal(pixels(palette_image()), [[[10, 20, 30], [200, 100, 0]]])
    assert kind(palette_image()) == 'palette'


@pytest.mark.parametrize('transparency', [0, b'\x00\xff'])
def test_a_transparent_colour_of_a_palette_is_white(transparency):
    image = palette_image()
    expected = [[[255, 255, 255], [200, 100, 0]]]
    np.testing.assert_array_equal(pixels(image, transparency=transparency), expected)
    assert kind(image, transparency=transparency) == 'transparent'


def test_alpha_is_laid_on_white():
    black = Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 0, 128], [0, 0, 0, 255]]], np.uint8))
    # 255 · (1 − 128/255) = 127
    np.testing.assert_array_equal(pixels(black), [[[255] * 3, [127] * 3, [0] * 3]])
    assert kind(black) == 'transparent'
    array = np.random.default_rng(0).integers(0, 256, (20, 20, 4), np.uint8)
    alpha = array[..., 3:] / 255
    expected = np.round(alpha * array[..., :3] + (1 - alpha) * 255)
    np.testing.assert_array_equal(pixels(Image.fromarray(array)), expected)
    grey = Image.merge('LA', [Image.fromarray(array[..., i]) for i in (0, 3)])
    np.testing.assert_array_equal(pixels(grey)[..., 1], expected[..., 0])
    assert kind(grey) == 'transparent'


@pytest.mark.parametrize(('mode', 'colour'), [('RGB', (1, 2, 3)), ('L', 1)])
def test_a_transparent_colour_without_a_palette_is_white(mode, colour):
    image = Image.new(mode, (2, 1), colour)
    image.putpixel((1, 0), (9, 9, 9) if mode == 'RGB' else 9)
    np.testing.assert_array_equal(pixels(image, transparency=colour), [[[255] * 3, [9] * 3]])
    assert kind(image, transparency=colour) == 'transparent'


def test_cmyk():
    # Cyan ink takes the red, black ink (K) everything; JPEG is near to that.
    inks = np.zeros((8, 24, 4), np.uint8)
    inks[:, :8, 0] = 255
    inks[:, 16:, 3] = 255
    image = Image.merge('CMYK', [Image.fromarray(inks[..., i]) for i in range(4)])
    found = pixels(image, 'jpeg', quality=100).astype(int)[4, [3, 12, 20]]
    assert np.abs(found - [[0, 255, 255], [255, 255, 255], [0, 0, 0]]).max() < 6
    assert kind(image, 'jpeg') == 'CMYK'


# What has to be done to the stored pixels: EXIF 2.3, 4.6.4 A, says where their row 0 and column 0
# belong (6: the right-hand side and the top).
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize('orientation', UPRIGHT)
@pytest.mark.parametrize('channels', [1, 3])
def test_exif_orientation(orientation, channels):
    array = np.arange(2 * 3 * channels, dtype=np.uint8).reshape(2, 3, channels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = pixels(Image.fromarray(array.squeeze()), exif=exif)
    np.testing.assert_array_equal(found[..., :channels], UPRIGHT[orientation](array))


def test_damaged_exif_leaves_the_pixels_alone():
    image = Image.new('RGB', (4, 4), (10, 20, 30))
    assert (pixels(image, exif=b'Exif\x00\x00no tags') == [10, 20, 30]).all()


@pytest.mark.parametrize('format', ['png', 'webp'])
def test_of_several_frames_the_first_is_taken(format):
    frames = [Image.new('RGB', (4, 4), (level, 0, 0)) for level in (50, 200)]
    found = pixels(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    assert (found == [50, 0, 0]).all()


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ('damaged', 'reason'),
    [
        (content(noise(), 'jpeg')[:-500], 'truncated'),
        (content(noise(), 'png')[:-500], 'truncated'),
        (content(noise(), 'bmp')[:-500], 'truncated'),
        (content(noise(), 'webp')[:-500], ''),
        (content(noise(), 'ppm')[:-500], 'truncated'),
        (content(noise(), 'png').replace(b'IDAT', b'IDAX'), ''),
        (b'', 'no image'),
        (b'<html>\nnot found</html>', 'no image'),
    ],
)
def test_damaged_files_are_named_in_one_line(damaged, reason):
    with pytest.raises(UserError, match=r'^a/b\.jpg cannot be read') as caught:
        decoding.decode(damaged, 'a/b.jpg')
    assert reason in str(caught.value)
    assert '\n' not in str(caught.value)
    assert ' 0x' not in str(caught.value)  # an address in memory says nothing


@pytest.mark.parametrize('shape', [(6, 10), (10, 6)])
def test_the_centre_is_cut_out(shape):
    array = np.arange(60, dtype=np.uint8).reshape(shape)[..., None].repeat(3, axis=-1)
    # Nothing is scaled: of 10 pixels in a row or column, 3 are left away on each side, and of 6, 1.
    rows, columns = (slice(1, 5), slice(3, 7)) if shape == (6, 10) else (slice(3, 7), slice(1, 5))
    found = decoding.centre_crop(Image.fromarray(array), 4, short_side=6)
    np.testing.assert_array_equal(found, array[rows, columns])
    assert found.dtype == np.uint8


@pytest.mark.parametrize('size', [(90, 61), (61, 90), (20, 20), (11, 17)])
def test_scaled_as_pillow_does_it(size):
    image = noise().resize(size)
    found = decoding.centre_crop(image, 16, short_side=18)
    # The lengths after scaling: 18, and 18 · 90 / 61 = 26.6 or 18 · 17 / 11 = 27.8, cut off as
    # torchvision does it; of 26, 5 are left away on each side, and of 27, 5.5 to the even side.
    scaled, (left, top) = {
        (90, 61): ((26, 18), (5, 1)),
        (61, 90): ((18, 26), (1, 5)),
        (20, 20): ((18, 18), (1, 1)),
        (11, 17): ((18, 27), (1, 6)),
    }[size]
    expected = np.asarray(image.resize(scaled, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found, expected[top : top + 16, left : left + 16])


def test_shrinking_averages():
    # Of lines of one pixel, pixels 7, 22, 37, … would be black and white by turns.
    lines = np.zeros((120, 120, 3), np.uint8)
    lines[::2] = 255
    found = decoding.centre_crop(Image.fromarray(lines), 8)
    assert np.abs(found - 127.5).max() < 10
