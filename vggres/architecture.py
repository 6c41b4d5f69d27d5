"""Which networks there are: frozen descriptions of depth, stages and blocks. No JAX.

The small-image family of He et al. 2015 (arXiv 1512.03385, §4.2): a 3×3 stem, three stages of n
blocks of two 3×3 convolutions, global average pooling and one dense layer, so depth = 6n + 2
weighted layers on the main path. `plain` is `resnet` without its shortcuts and nothing else
changed. Shortcuts are option A (subsample, zero-pad channels) and carry no parameters.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from vggres.errors import UserError, unknown

FAMILIES = ('plain', 'resnet')


@dataclass(frozen=True)
class Stage:
    """Blocks of one resolution; the stride belongs to the first block."""

    channels: int
    num_blocks: int
    stride: int


@dataclass(frozen=True)
class NetworkSpec:
    """A network, up to the number of classes and the input's shape."""

    family: str
    stem_channels: int
    stages: tuple[Stage, ...]

    @property
    def has_shortcuts(self) -> bool:
        """The one switch between the families."""
        return self.family == 'resnet'

    @property
    def depth(self) -> int:
        """Weighted layers on the main path: the stem, two a block, the dense head."""
        return 1 + 2 * sum(stage.num_blocks for stage in self.stages) + 1


@dataclass(frozen=True)
class Layer:
    """A weighted layer of the main path and what it costs for one image."""

    name: str
    parameters: int
    macs: int


def network_spec(family: str, depth: int, width: int = 16) -> NetworkSpec:
    """The small-image network of a family and depth.

    Args:
        family: 'plain' or 'resnet'.
        depth: weighted layers, 6n + 2 with n ≥ 1.
        width: channels of the first stage; the second and third have twice and four times that.

    Raises:
        UserError: for an unknown family, a depth that does not exist (naming the nearest that
            do) or a width below 1.
    """
    if family not in FAMILIES:
        raise unknown('family', family, FAMILIES)
    if width < 1:
        raise UserError(f'model.width must be at least 1 channel, not {width}.')
    num_blocks, remainder = divmod(depth - 2, 6)
    if remainder or num_blocks < 1:
        below = max(num_blocks, 1) * 6 + 2
        nearest = f'{below} or {below + 6}' if depth > below else f'{below}'
        raise UserError(f'no {family} of depth {depth}: depth must be 6n+2, nearest {nearest}.')
    stages = tuple(
        Stage(channels=width * 2**i, num_blocks=num_blocks, stride=1 if i == 0 else 2)
        for i in range(3)
    )
    return NetworkSpec(family=family, stem_channels=width, stages=stages)


def layers(
    spec: NetworkSpec, image_shape: tuple[int, int, int], num_classes: int
) -> Iterator[Layer]:
    """The weighted layers in order, batch norm's scale and bias counted with its convolution.

    Args:
        spec: the network.
        image_shape: [height, width, channels].
        num_classes: outputs of the head.
    """
    height, width, channels = image_shape

    def convolution(name: str, out: int) -> Layer:
        kernel = 9 * channels * out
        return Layer(name, parameters=kernel + 2 * out, macs=kernel * height * width)

    yield convolution('stem', spec.stem_channels)
    channels = spec.stem_channels
    for i, stage in enumerate(spec.stages, start=1):
        height, width = -(-height // stage.stride), -(-width // stage.stride)
        for j in range(1, stage.num_blocks + 1):
            yield convolution(f'stage{i}/block{j}/conv1', stage.channels)
            channels = stage.channels
            yield convolution(f'stage{i}/block{j}/conv2', stage.channels)
    weights = channels * num_classes
    yield Layer('head', parameters=weights + num_classes, macs=weights)


def count_parameters(spec: NetworkSpec, image_shape: tuple[int, int, int], num_classes: int) -> int:
    """Learnable parameters."""
    return sum(layer.parameters for layer in layers(spec, image_shape, num_classes))


def count_macs(spec: NetworkSpec, image_shape: tuple[int, int, int], num_classes: int) -> int:
    """Multiply-accumulates of one image's forward pass, in convolutions and the dense layer."""
    return sum(layer.macs for layer in layers(spec, image_shape, num_classes))
