"""Random crops of whole image files, as the papers on ImageNet train. No JAX.

Images are PIL images in RGB; what comes out is [size, size, 3] uint8.
"""

import math

import numpy as np
from PIL import Image

_TRIES = 10  # to place a random area of a random shape inside of an image
_AREAS = (0.08, 1.0)  # shares of the image
_SHAPES = (3 / 4, 4 / 3)  # width by height

_Window = tuple[float, float, float, float]  # left, top, width and height, in pixels of the image


def scaled_crop(
    image: Image.Image, size: int, short_side: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Scales an image at random and cuts out a random square.

    The shorter side becomes a random number of pixels, as in Simonyan & Zisserman 2014 (arXiv
    1409.1556, §3.1) and He et al. 2015 (arXiv 1512.03385, §3.4).

    Args:
        image: the whole image.
        size: of the square, in pixels.
        short_side: the lowest and the highest length of the shorter side, in pixels; at least
            `size`.
        rng: it decides the scale and the place.
    """
    return _resized(image, size, _scaled_window(*image.size, size, short_side, rng))


def area_crop(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cuts out a random rectangle and stretches it to a square.

    Its area is 8 % to 100 % of the image's and its aspect ratio 3/4 to 4/3 (Szegedy et al. 2014,
    arXiv 1409.4842, §6). Where ten tries do not fit into the image, the centre is taken.

    Args:
        image: the whole image.
        size: of the square, in pixels.
        rng: it decides area, shape and place.
    """
    return _resized(image, size, _area_window(*image.size, rng))


def _scaled_window(
    width: int, height: int, size: int, short_side: tuple[int, int], rng: np.random.Generator
) -> _Window:
    scale = rng.integers(short_side[0], short_side[1] + 1) / min(width, height)
    side = size / scale
    left, top = (rng.random() * max(0.0, length - side) for length in (width, height))
    return left, top, side, side


def _area_window(width: int, height: int, rng: np.random.Generator) -> _Window:
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*_AREAS)
        shape = math.exp(rng.uniform(math.log(_SHAPES[0]), math.log(_SHAPES[1])))
        across, down = math.sqrt(area * shape), math.sqrt(area / shape)
        if across <= width and down <= height:
            left, top = rng.random() * (width - across), rng.random() * (height - down)
            return left, top, across, down
    side = min(width, height)
    return (width - side) / 2, (height - side) / 2, side, side


def _resized(image: Image.Image, size: int, window: _Window) -> np.ndarray:
    """A window of an image, resampled to a square."""
    left, top, across, down = window
    width, height = image.size
    box = (left, top, min(left + across, width), min(top + down, height))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
