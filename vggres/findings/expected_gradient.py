"""Predicts how the gradient changes along the blocks of a network with random weights.

Nothing here is fitted to a measurement. The prediction follows the mean square of the gradient, its
energy, from the last block to the first, in the limit of wide layers, where the pattern of open
ReLUs, the weights and the gradient count as independent (He et al. 2015, arXiv 1502.01852, §2.2).

*Without a norm*, the gradient in a pixel of a convolution's input is the sum of what comes from the
outputs whose windows contain that pixel, and each ReLU stops one half of it. With He's variance,
2 / (taps · output channels), the energy in a channel of the input is therefore, along each side of
the image, that in a channel of the output times `border_operator`: of three taps, a pixel at the
border meets two, since the third window would lie outside. Another variance multiplies the energy
by its ratio to He's. With Glorot's, 2 / (fan in + fan out), that is ½ where both fans are equal: it
makes up neither for the ReLU nor for anything else. The energy is not uniform over the image. It
gathers in the middle, and after many layers a stage of n pixels keeps
(1 + 2 cos(π / (n + 1))) / 3 of it a layer along each side, the operator's largest eigenvalue.

*With batch norm*, the scale of the weights cancels, and so do the borders: what they take on the
way forward, the norm gives back, and the gradient with it. There remains π / (π − 1) a layer by
which the energy grows towards the image (Yang et al. 2019, arXiv 1902.08129, for linear layers
without borders, large batches and ReLU), because batch norm subtracts the mean of a ReLU's output,
1 − 1/π of whose mean square is variance. On small images this overestimates the growth: zero
padding makes that mean differ from pixel to pixel, and the norm then divides by a larger variance.

There is no closed form for shortcuts. A max-pool hands the whole gradient to one of four pixels;
here it counts as spread over them evenly. A unit in front of it is open where the largest of the
four is positive, which is ½ for equal pixels, as assumed here, and 15/16 for independent ones: each
pool may give back up to ½ log10(15/8) = 0.14 decades of the norm.
"""

import math
from collections.abc import Sequence

import numpy as np

from vggres.networks import spec
from vggres.networks.initialisation import VARIANCES
from vggres.networks.spec import BlockSpec, NetworkSpec, StageSpec

# The factor by which the gradient's energy grows a layer under batch norm and ReLU.
BATCH_NORM_GROWTH = math.pi / (math.pi - 1)


def border_operator(size: int, kernel_size: int, stride: int = 1) -> np.ndarray:
    """How a convolution pulls the energy of a gradient back along one side of an image.

    >>> 3 * border_operator(4, 3)
    array([[1., 1., 0., 0.],
           [1., 1., 1., 0.],
           [0., 1., 1., 1.],
           [0., 0., 1., 1.]])
    >>> 3 * border_operator(4, 3, stride=2)
    array([[1., 0.],
           [1., 1.],
           [0., 1.],
           [0., 1.]])

    Args:
        size: pixels of the input along this side.
        kernel_size: taps along this side; the image is padded by half of it.
        stride: of the convolution.

    Returns:
        [size, ⌈size / stride⌉]: 1 / kernel_size where the window of an output contains an input.
    """
    inputs, centres = np.arange(size), stride * np.arange(-(-size // stride))
    return (abs(inputs[:, None] - centres) <= kernel_size // 2) / kernel_size


def profile(
    network_spec: NetworkSpec, image_shape: Sequence[int], scheme: str
) -> np.ndarray | None:
    """The norm of the gradient in the inputs of a network's blocks, relative to the last block's.

    The average pool of the head spreads the gradient uniformly over the last block's output.

    Args:
        network_spec: the network.
        image_shape: `[height, width, channels]`.
        scheme: of its initialisation, one of `VARIANCES`.

    Returns:
        [blocks], log10 of the Euclidean norm over channels and pixels; None for a network with
        shortcuts, where there is no closed form.
    """
    height, width, channels = image_shape
    inputs = list(spec.block_inputs(network_spec, (height, width, channels)).values())
    blocks = [block for stage in network_spec.stages for block in stage.blocks]
    if any(block.shortcut for block in blocks):
        return None
    if blocks[0].norm:
        energy = _log_products([BATCH_NORM_GROWTH ** len(b.convolutions) for b in blocks])
        return (energy - energy[-1]) / 2
    given = [channels for _, _, channels in inputs]
    factors = [_part_of_he(*each, scheme) for each in zip(blocks, given, strict=True)]
    energy = _log_products(factors) + np.log10(given)
    for side in inputs[0][:2]:
        energy += _along_side(network_spec.stages, side)
    return (energy - energy[-1]) / 2


def _log_products(factors: Sequence[float]) -> np.ndarray:
    """log10 of the product of each block's factor and those of all blocks behind it."""
    return np.cumsum(np.log10(factors)[::-1])[::-1]


def _part_of_he(block: BlockSpec, channels: int, scheme: str) -> float:
    """The variances of a block's weights, each divided by He's, multiplied with each other.

    Args:
        block: the block.
        channels: of its input.
        scheme: of the initialisation.
    """
    product = 1.0
    for convolution in block.convolutions:
        taps = convolution.kernel_size**2
        fan_in, fan_out = taps * channels, taps * convolution.channels
        he = VARIANCES['he'](2 / fan_out, fan_in, fan_out)
        product *= VARIANCES[scheme](he, fan_in, fan_out) / he
        channels = convolution.channels
    return product


def _along_side(stages: Sequence[StageSpec], size: int) -> np.ndarray:
    """Follows the energy along one side of the image through all blocks.

    Args:
        stages: of the network.
        size: pixels of the first block's input along this side.

    Returns:
        [blocks], log10 of the sum over the pixels of each block's input.
    """
    chains = []
    for stage in stages:
        for block in stage.blocks:
            chain = []
            for convolution in block.convolutions:
                chain.append(border_operator(size, convolution.kernel_size, convolution.stride))
                size = chain[-1].shape[1]
            chains.append(chain)
        if stage.pool:
            chains[-1].append(_pool_operator(size))
            size //= 2
    energy, log_sum, found = np.full(size, 1 / size), 0.0, []
    for chain in reversed(chains):
        for operator in reversed(chain):
            energy = operator @ energy
            log_sum += math.log10(energy.sum())  # so that no depth leaves the range of floats
            energy /= energy.sum()
        found.append(log_sum)
    return np.array(found[::-1])


def _pool_operator(size: int) -> np.ndarray:
    """[size, ⌊size / 2⌋]: one half where an output of a 2×2 max-pool sees an input."""
    return (np.arange(size)[:, None] // 2 == np.arange(size // 2)) / 2
