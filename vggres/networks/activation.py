"""The activations of a network, and the closed form behind the tailored rectifier. No JAX.

A leaky ReLU passes negative numbers on with a slope s. Zhang, Botev & Martens 2022 ("Deep Learning
without Shortcuts", arXiv 2203.08120, §3) choose s by the depth, such that a network without
shortcuts keeps images apart: at ReLU's s = 0 all features of a deep network point in one direction
before training, and at s = 1 the network is linear. What they follow through the layers is the
cosine of the angle between the features of two images, which each layer of an infinitely wide
network maps by one function, its local C map.
"""

import functools
import math
from dataclasses import dataclass

# The cosine that the whole network makes of a right angle: η of §3.2 of the paper, which
# recommends 0.9 for networks without shortcuts.
TAILORED_COSINE = 0.9
_HALVINGS = 60  # of an interval of length one, beyond the digits of a float


@dataclass(frozen=True)
class ActivationSpec:
    """What follows each convolution, or precedes it with preactivation.

    Attributes:
        kind: 'relu', 'tanh' or 'tailored_relu'.
        slope: of a tailored rectifier, for negative numbers.
    """

    kind: str = 'relu'
    slope: float = 0.0

    @property
    def scale(self) -> float:
        """The factor of a tailored rectifier: normal numbers of variance 1 keep their square."""
        return math.sqrt(2 / (1 + self.slope**2))


RELU = ActivationSpec()


def activation(kind: str, depth: int) -> ActivationSpec:
    """The activation of a network of some depth.

    Args:
        kind: 'relu', 'tanh' or 'tailored_relu'.
        depth: number of weighted layers; all but the last have an activation.
    """
    return ActivationSpec(kind, tailored_slope(depth - 1) if kind == 'tailored_relu' else 0.0)


def local_c_map(cosine: float, slope: float) -> float:
    """Maps the cosine between the features of two images through one layer and its leaky ReLU.

    For weights that are independent and normal around zero, in the limit of a wide layer, both
    features of a unit are normal numbers u and v with this correlation, and the result is
    E[φ(u) φ(v)] / E[φ(u)²] with φ the leaky ReLU (Zhang, Botev & Martens 2022, §3.1; for ReLU, Cho
    & Saul 2009, eq. 6). With q(c) = E[max(0, u) max(0, v)] = (√(1 − c²) + c (π − arccos c)) / 2π,
    the numerator is (1 + s²) q(c) − 2 s q(−c), the denominator (1 + s²) / 2.

    >>> round(local_c_map(0.0, slope=0.0), 6)  # 1 / π
    0.31831
    >>> local_c_map(0.25, slope=1.0)  # a linear layer
    0.25

    Args:
        cosine: −1 to 1.
        slope: of the leaky ReLU, for negative numbers.
    """
    bend = (1 - slope) ** 2 / (math.pi * (1 + slope**2))
    return cosine + bend * (math.sqrt(1 - cosine**2) - cosine * math.acos(cosine))


def composed_c_map(cosine: float, slope: float, num_layers: int) -> float:
    """Maps a cosine through several layers; the arguments are those of `local_c_map`."""
    for _ in range(num_layers):
        cosine = min(1.0, local_c_map(cosine, slope))
    return cosine


@functools.cache
def tailored_slope(num_layers: int) -> float:
    """The slope with which a chain of layers maps a right angle to `TAILORED_COSINE`.

    A chain that is so short that ReLU leaves the cosine below that keeps ReLU's slope, 0.

    >>> tailored_slope(7)
    0.0
    >>> round(composed_c_map(0.0, tailored_slope(43), 43), 6)
    0.9

    Args:
        num_layers: number of layers with an activation.
    """
    low, high = 0.0, 1.0
    if composed_c_map(0.0, low, num_layers) <= TAILORED_COSINE:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if composed_c_map(0.0, middle, num_layers) > TAILORED_COSINE:
            low = middle
        else:
            high = middle
    return high
