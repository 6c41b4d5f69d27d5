"""Closed forms of wide networks with random weights: what images and gradients have in common.

*Features.* A layer with normal weights of mean 0 turns two inputs whose cosine is c into numbers
that are jointly normal with correlation c. Behind a ReLU the features have the cosine `relu_cosine`
(Cho & Saul 2009, "Kernel Methods for Deep Learning", the arc-cosine kernel of order 1). It exceeds
c everywhere but at 1, so that images become more and more alike, unless a norm subtracts what they
have in common (Poole et al. 2016, arXiv 1606.05340; Daniely et al. 2016, arXiv 1602.05897).

*Gradients.* A gradient that is pulled back through a ReLU keeps, of what two inputs have in common,
the part of the units that are open for both: `shared_activity`. Balduzzi et al. 2017 (arXiv
1702.08591) assume that half of the units are open for an input and a quarter for both of any two
inputs, as if inputs were independent at every layer. Each ReLU then halves the correlation of the
gradients, and the three laws below follow by counting energies. They are the paper's where a
residual branch has one ReLU. The networks here have two in each branch, and another one behind the
addition unless they are preactivation networks; that one the laws do not know.
"""

import math


def relu_cosine(cosine: float) -> float:
    """The cosine of features behind a wide random layer and a ReLU.

    >>> round(relu_cosine(0.0), 4)  # 1/π
    0.3183

    Args:
        cosine: of the inputs of the layer, from −1 to 1.
    """
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    return (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / math.pi


def shared_activity(cosine: float) -> float:
    """The part of the units that are open for one input which is open for another one as well.

    It is the arc-cosine kernel of order 0: 1/2 for independent inputs, and 1 for equal ones.

    Args:
        cosine: of the inputs of the layer, from −1 to 1.
    """
    return 1 - math.acos(max(-1.0, min(1.0, cosine))) / math.pi


def plain_cosines(cosine: float, layers: int) -> list[float]:
    """The cosine of features behind 0, 1, …, `layers` layers, each with a ReLU and without norm.

    Args:
        cosine: of the features before the first of them.
        layers: their number.
    """
    found = [cosine]
    for _ in range(layers):
        found.append(relu_cosine(found[-1]))
    return found


def preactivation_cosines(cosine: float, blocks: int) -> list[float]:
    """The cosine of features behind 0, 1, …, `blocks` preactivation blocks without norm.

    A block adds to its input x a branch of ReLU, layer, ReLU and layer. With He's weights the
    branch has the variance of x, and independent of it, so that the variances and covariances add
    up: the new cosine is the mean of that of x and that of the branch.

    Args:
        cosine: of the inputs of the first block, which are normal with mean 0.
        blocks: their number.
    """
    found = [cosine]
    for _ in range(blocks):
        found.append((found[-1] + relu_cosine(relu_cosine(found[-1]))) / 2)
    return found


def feed_forward(relus: int) -> float:
    """The correlation of gradients behind so many ReLUs: 2^−L (Balduzzi et al., Theorem 1)."""
    return 0.5**relus


def residual(blocks: int, relus: int = 1) -> float:
    """The correlation of gradients behind residual blocks without norm.

    The shortcut and the branch carry equal energies, and of the branch's part all but 2^−`relus` is
    lost to the correlation: ((1 + 2^−r) / 2)^L, which is (3/4)^L for one ReLU in each branch
    (Balduzzi et al., Theorem 2).

    Args:
        blocks: L.
        relus: r, in each branch.
    """
    return ((1 + 0.5**relus) / 2) ** blocks


def residual_with_norm(first: int, last: int, relus: int = 1) -> float:
    """The correlation of gradients behind some blocks of a residual network with batch norm.

    The input of block b has b times the variance of a branch, because each branch before it has
    added one, and batch norm divides by it: the branch carries 1/b of the energy of the shortcut.
    The product of (1 + 2^−r / b) / (1 + 1 / b) over the blocks is about 1/√L for blocks 1 to L with
    one ReLU in each branch (Balduzzi et al., Theorem 3), and about L^−(1 − 2^−r) in general.

    Args:
        first: the number of the first block, 1 next to the stem.
        last: the number of the last one.
        relus: r, in each branch.
    """
    blocks = range(first, last + 1)
    return math.prod((1 + 0.5**relus / block) / (1 + 1 / block) for block in blocks)
