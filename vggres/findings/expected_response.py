"""Predicts what part of the signal the residual branch brings to each addition in a random network.

Signals are measured by their mean square, their energy. The part of the branch is B / (B + S), with
the energies B of the branch and S of the shortcut. Nothing here is fitted. All forms hold for He's
weights in the limit of wide layers, where every element of a branch is normal around zero given its
shortcut, because the last kernel of the branch is drawn anew (De & Smith 2020, arXiv 2002.10444,
§2). Each adds the condition under which it holds.

*Batch norm, preactivation.* Nothing follows the addition, so that energies add up. De & Smith:
every branch has the energy of the first shortcut, so that block l starts from l of them, and the
branch is 1/(l + 1). Here the first shortcut starts behind the first norm and ReLU, which leaves it
½ ("Identity mappings", appendix), and zero padding leaves the last convolution of a branch, behind
its last norm, a part a < 1 of He's energy. Hence S = ½ + (l − 1) a and B = a: the part is
a/(½ + l a) = 1/(l + 1/2a), which is 1/(l + ½) without borders. Condition: as above.

*Batch norm, postactivation.* Norm ends the branch, so that B = 1 exactly. What follows the addition
is x ← max(0, x + b) with a normal b of variance 1, which is Lindley's recursion for waiting times.
It starts from the stem's max(0, b), so that x has the distribution of the largest of 0 and the
first l partial sums of independent normal steps. Its mean square follows from Spitzer's identity
(1956): l/2 + Σ_{j + k ≤ l} 1/(2π √(jk)), over j and k from 1 on, which grows like l. So the part is
1/(1 + l) for large l, and above it before: 2/3 in place of 1/2 in the first block. Condition: b is
normal, too, over images and pixels, and independent of x there; its variance does not differ
between pixels. Images that have become alike break the former, and borders the latter.

*No norm, preactivation.* Two ReLUs halve the energy that two kernels of He's double, so that
B = S: the part is 1/2, and energies double in each block. Condition: the signal is symmetric around
zero in front of the first ReLU. What the first block's shortcut leaves, which starts behind a ReLU,
is not. That block has 2/3, and the ReLUs of the next blocks keep more than half, by the formula for
two normal numbers of which both are positive (Sheppard 1899), until it is the smaller part.

*No norm, postactivation.* The shortcut is the output of a ReLU already, and only one more ReLU
stands against two kernels, so that B = 2 S: the part is 2/3. No condition besides width is needed.

Without a norm, zero padding takes energy at the borders, layer by layer, and most where images are
small; the energy is therefore followed pixel by pixel. What the ReLU behind an addition keeps of
it counts as the same part in every pixel, which then cancels.

Option A at the start of a stage keeps every second pixel and adds channels of zeros. With batch
norm these start the recursion anew, and energies are means over old and new channels.
"""

import math
from collections.abc import Iterator
from functools import reduce

import numpy as np

from vggres.findings.expected_gradient import border_operator
from vggres.networks import spec
from vggres.networks.spec import BlockSpec, NetworkSpec

Channels = list[tuple[float, np.ndarray]]  # parts of the channels with the energy of each pixel


def largest_sum_square(steps: int) -> float:
    """The mean square of the largest of 0 and the first partial sums of normal steps.

    >>> round(largest_sum_square(2), 4)  # 1 + 1/2π
    1.1592

    Args:
        steps: their number; each has variance 1.
    """
    roots = 1 / np.sqrt(np.arange(1, max(2, steps)))
    convolved = np.convolve(roots, roots)[: max(0, steps - 1)]
    return steps / 2 + float(convolved.sum()) / (2 * math.pi)


def branch_parts(
    network_spec: NetworkSpec, image_shape: tuple[int, int, int]
) -> list[float] | None:
    """The part B / (B + S) of the branch in each block of a residual network with He's weights.

    Args:
        network_spec: the network.
        image_shape: [height, width, channels].

    Returns:
        A part for each block, or None where a block has no shortcut, or one with a gate, a factor,
        dropout or a projection, for which there is no such form.
    """
    blocks = [block for stage in network_spec.stages for block in stage.blocks]
    if not all(map(_is_simple, blocks)):
        return None
    inputs = list(spec.block_inputs(network_spec, image_shape).values())
    if not blocks[0].norm:
        return list(_without_norm(blocks, inputs))
    if blocks[0].preactivation:
        return list(_preactivation(blocks, inputs))
    return list(_postactivation(blocks, inputs))


def _is_simple(block: BlockSpec) -> bool:
    shortcut = block.shortcut
    if shortcut is None or shortcut.kind == 'projection':
        return False
    factors = (shortcut.scale, shortcut.branch_scale)
    return factors == (1, 1) and shortcut.gate == 'none' and not shortcut.dropout


def _postactivation(blocks: list[BlockSpec], inputs: list[tuple[int, int, int]]) -> Iterator[float]:
    channels = [(1.0, 1)]  # parts of the channels, and the steps of each so far
    for block, (_, _, given) in zip(blocks, inputs, strict=True):
        kept = given / block.channels
        channels = [(kept * part, steps) for part, steps in channels] + [(1 - kept, 0)]
        shortcut = sum(part * largest_sum_square(steps) for part, steps in channels)
        yield 1 / (1 + shortcut)
        channels = [(part, steps + 1) for part, steps in channels]


def _preactivation(blocks: list[BlockSpec], inputs: list[tuple[int, int, int]]) -> Iterator[float]:
    height, width, _ = inputs[0]
    channels: Channels = [(1.0, np.ones((height, width)))]
    for block, (_, _, given) in zip(blocks, inputs, strict=True):
        # Norm brings each channel that is not zero to the same energy, and the ReLU halves it.
        energies = [part * e / e.mean() / 2 for part, e in channels if e.any()]
        y = np.sum(energies, axis=0)
        channels = [(1.0, y)] if block.shared_activation else channels
        for k, convolution in enumerate(block.convolutions):
            y = y if k == 0 else y / y.mean() / 2
            y = _convolved(y, convolution, given if k == 0 else block.convolutions[k - 1].channels)
        kept = given / block.channels
        channels = [(kept * part, e[:: block.stride, :: block.stride]) for part, e in channels]
        channels.append((1 - kept, np.zeros_like(y)))
        shortcut = sum(part * e.mean() for part, e in channels)
        yield float(y.mean() / (y.mean() + shortcut))
        channels = [(part, e + y) for part, e in channels if part]


def _without_norm(blocks: list[BlockSpec], inputs: list[tuple[int, int, int]]) -> Iterator[float]:
    height, width, _ = inputs[0]
    x = np.ones((height, width))
    positive = 0.0  # the energy in x of the first block's shortcut, where that passed a ReLU
    for block, (_, _, given) in zip(blocks, inputs, strict=True):
        if block.shared_activation:
            x = x / 2
            positive, y = float(x.mean()), x
        else:
            y = x * _kept(positive / float(x.mean())) if block.preactivation else x
        before = given
        for k, convolution in enumerate(block.convolutions):
            y = _convolved(y if k == 0 else y / 2, convolution, before)
            before = convolution.channels
        old = given / block.channels
        x = x[:: block.stride, :: block.stride] * old
        yield float(y.mean() / (x.mean() + y.mean()))
        x, positive = x + y, positive * old


def _kept(part: float) -> float:
    """The part of the energy that a ReLU keeps of max(0, z) + f with normal z and f around zero.

    Where z is negative, half of f² is kept. Where it is positive, (z + f)² is kept if z + f is
    positive as well. With the correlation ρ of z and z + f, that is (z + f)² in the mean, times
    1/4 + (arcsin ρ + ρ √(1 − ρ²)) / 2π.

    >>> _kept(0.0), _kept(1.0)
    (0.5, 1.0)

    Args:
        part: of max(0, z)² in the energy of the sum.
    """
    z, f = 2 * part, 1 - part
    rho = math.sqrt(z / (z + f))
    both = 1 / 4 + (math.asin(rho) + rho * math.sqrt(1 - rho**2)) / (2 * math.pi)
    return f / 4 + (z + f) * both


def _convolved(energy: np.ndarray, convolution: spec.ConvolutionSpec, given: int) -> np.ndarray:
    """The energy [height, width] behind a convolution with He's variance and `given` channels."""
    sides = [
        border_operator(size, convolution.kernel_size, convolution.stride).T
        for size in energy.shape
    ]
    return 2 * given / convolution.channels * reduce(np.matmul, (sides[0], energy, sides[1].T))
