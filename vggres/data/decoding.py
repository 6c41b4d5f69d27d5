"""Image files of any kind, decoded into RGB and cut to squares. No JAX."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vggres.errors import UserError

VERSION = 1  # has to change whenever the pixels do, so that nobody reads those kept before
_SHOWN = 10  # files in one message


def decode(content: bytes, where: str) -> Image.Image:
    """Decodes an image file into RGB, as `rgb` does.

    Args:
        content: the bytes of the file.
        where: what the message calls the file.

    Raises:
        UserError: where it cannot be decoded, or is cut short.
    """
    try:
        return rgb(content)
    except OSError as error:
        raise UserError(f'{where} cannot be read ({error}): repair or delete it.') from None


def rgb(content: bytes) -> Image.Image:
    """Decodes an image file into RGB.

    The image is turned as its EXIF orientation says. Grey is repeated in three channels (16 bits
    are rounded to 8), what is transparent is laid on white, and other colours are converted as
    Pillow does it, without their colour profiles. Of several frames the first one is taken.

    Raises:
        OSError: where the file cannot be decoded or is cut short; its text is Pillow's reason.
    """
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except UnidentifiedImageError:
        raise OSError('no image, or of an unknown format') from None
    except Exception as error:  # Pillow's decoders raise errors of many kinds
        raise OSError(' '.join(str(error).split()) or type(error).__name__) from None
    with contextlib.suppress(Exception):  # where EXIF is damaged, the pixels are fine
        ImageOps.exif_transpose(image, in_place=True)
    return _in_rgb(image)


def unreadable(failures: Sequence[str], count: int, name: str) -> UserError:
    """The error for image files that cannot be decoded, which names the first of them.

    Args:
        failures: the files, each with the reason.
        count: the number of files that were looked at.
        name: what the message calls the data set.
    """
    shown = sorted(failures)[:_SHOWN]
    if len(failures) > _SHOWN:
        shown.append(f'and {len(failures) - _SHOWN} more')
    return UserError(
        f'{len(failures)} of {count} images of {name} cannot be read: {", ".join(shown)}: repair '
        'or delete them.'
    )


def kind(image: Image.Image) -> str:
    """What an image has to be converted from; its header suffices.

    Returns:
        'transparent', 'grey' or 'palette', 'RGB' where nothing is converted, or else the name of
        its colours in Pillow, such as 'CMYK'.
    """
    if _is_deep_grey(image):
        return 'grey'
    if image.mode in ('LA', 'La', 'PA', 'RGBA', 'RGBa') or 'transparency' in image.info:
        return 'transparent'
    if image.mode in ('1', 'L'):
        return 'grey'
    return 'palette' if image.mode == 'P' else image.mode


def centre_crop(image: Image.Image, size: int, short_side: int = 0) -> np.ndarray:
    """Scales an image and cuts out its centre, with the arithmetic of torchvision's transforms.

    Args:
        image: in RGB.
        size: the height and width of what is cut out, in pixels.
        short_side: the length to which the shorter side is scaled before, at least `size`; 0 for
            `size` itself.

    Returns:
        [size, size, 3] uint8.
    """
    short = short_side or size
    width, height = (short * length // min(image.size) for length in image.size)
    # Pillow averages over all pixels that shrink to one. Its shortcuts (`reducing_gap`, and `draft`
    # for JPEG) are faster and change pixels.
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(scaled.crop((left, top, left + size, top + size)))


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode == 'RGB' and 'transparency' not in image.info:
        return image
    if _is_deep_grey(image):
        levels = np.clip(np.asarray(image.convert('I')), 0, 65535)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert('RGB')
    if kind(image) != 'transparent':
        return image.convert('RGB')
    image = image.convert('RGBA')
    white = Image.new('RGB', image.size, 'white')
    white.paste(image, mask=image)
    return white


def _is_deep_grey(image: Image.Image) -> bool:
    """Whether grey levels have 16 bits, which Pillow reads as integers of 16 or 32 bits."""
    return image.mode.startswith('I')
