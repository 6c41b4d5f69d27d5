"""What a network is: frozen descriptions, their layers by name, parameters and MACs. No JAX.

One description of a block serves every family: a chain of convolutions (the residual branch), and
how its input joins what comes out. A VGG layer is a block of one convolution that nothing joins, a
plain block one of two or three.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from vggres.errors import UserError


@dataclass(frozen=True)
class ConvolutionSpec:
    """Square, odd kernel, padded by half of it: [h, w, …] → [⌈h/stride⌉, ⌈w/stride⌉, channels]."""

    channels: int
    kernel_size: int = 3
    stride: int = 1


@dataclass(frozen=True)
class ShortcutSpec:
    """How a block's input x joins its residual branch F(x).

    Joined as `scale · h(x) + branch_scale · F(x)`: He et al. 2015 (arXiv 1512.03385), §3.2 and
    §4.1, and Table 1 of He et al. 2016, "Identity mappings" (arXiv 1603.05027), §3.1.

    Attributes:
        kind: of h. 'identity'; 'pad', option A: subsampled by the block's stride, new channels
            zero; 'projection', a 1×1 convolution with that stride.
        scale: of h(x).
        branch_scale: of F(x).
        gate: 'none'; 'exclusive', h(x) times 1 − g and F(x) times g; 'shortcut_only', h(x) alone
            times 1 − g. g is the sigmoid of a 1×1 convolution of x.
        gate_bias: what the gate's bias starts from; negative opens the shortcut.
        dropout: probability that an element of h(x) is dropped in training. It is not made up
            for: the others are not scaled up, and evaluation multiplies by 1 − dropout, as in the
            paper's "scale with an expectation of 0.5".
    """

    kind: str
    scale: float = 1.0
    branch_scale: float = 1.0
    gate: str = 'none'
    gate_bias: float = 0.0
    dropout: float = 0.0


@dataclass(frozen=True)
class BlockSpec:
    """Convolutions in a row and the shortcut around them.

    Attributes:
        convolutions: the residual branch.
        shortcut: None is plain. Nothing else tells plain from residual.
        norm: whether each convolution has its batch norm.
        bias: whether each convolution has a bias.
        preactivation: norm and ReLU before each convolution and none after the addition ("Identity
            mappings", Fig. 1b), not after each convolution and after the addition.
        shared_activation: of preactivation, whether the shortcut too starts behind the first norm
            and ReLU.
    """

    convolutions: tuple[ConvolutionSpec, ...]
    shortcut: ShortcutSpec | None = None
    norm: bool = True
    bias: bool = False
    preactivation: bool = False
    shared_activation: bool = False

    @property
    def channels(self) -> int:
        """What comes out."""
        return self.convolutions[-1].channels

    @property
    def stride(self) -> int:
        """Of the whole block."""
        return math.prod(convolution.stride for convolution in self.convolutions)


@dataclass(frozen=True)
class StageSpec:
    """The blocks of one resolution, and whether a 2×2 max-pool with stride 2 follows."""

    blocks: tuple[BlockSpec, ...]
    pool: bool = False

    @property
    def is_stacked(self) -> bool:
        """Whether the blocks after the first are alike: they are scanned, their weights stacked."""
        return len(set(self.blocks[1:])) == 1


@dataclass(frozen=True)
class StemSpec:
    """The first convolution, before the stages."""

    convolution: ConvolutionSpec
    norm: bool
    bias: bool
    activation: bool
    pool: bool  # 3×3 max-pool with stride 2, padded by 1


@dataclass(frozen=True)
class HeadSpec:
    """Average pooling to `pool_size`², hidden dense layers with ReLU and dropout, the logits.

    A preactivation network ends in norm and ReLU before the pooling.
    """

    norm: bool = False
    activation: bool = False
    pool_size: int = 1
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0


@dataclass(frozen=True)
class NetworkSpec:
    """A network, up to the number of classes and the input's shape."""

    family: str
    stem: StemSpec | None
    stages: tuple[StageSpec, ...]
    head: HeadSpec

    @property
    def depth(self) -> int:
        """Weighted layers on the main path: convolutions and dense layers, no projections."""
        blocks = [block for stage in self.stages for block in stage.blocks]
        convolutions = sum(len(block.convolutions) for block in blocks)
        return bool(self.stem) + convolutions + len(self.head.hidden) + 1

    @property
    def smallest_image(self) -> int:
        """Height and width, in pixels, below which a 2×2 pool would have nothing left."""
        return 2 ** sum(stage.pool for stage in self.stages)


@dataclass(frozen=True)
class Layer:
    """A layer with parameters.

    Attributes:
        name: 'stem', 'stage2/block1/conv1', 'stage2/block1/projection_norm', 'head', …
        kind: 'convolution', 'norm' or 'dense'.
        shape: of the kernel, [height, width, channels, output channels] or [inputs, outputs]; of a
            norm's scale and bias, [channels].
        bias: whether it has a bias.
        pixels: of its output.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bias: bool
    pixels: int

    @property
    def is_weighted(self) -> bool:
        """Whether depth counts it: a convolution or dense layer of the main path."""
        return self.kind != 'norm' and not self.name.endswith(('/projection', '/gate'))

    @property
    def parameters(self) -> int:
        """Learnable ones."""
        return math.prod(self.shape) + self.bias * self.shape[-1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return 0 if self.kind == 'norm' else math.prod(self.shape) * self.pixels


def check_image(spec: NetworkSpec, image_shape: tuple[int, ...]) -> None:
    """Raises UserError, naming the smallest size, where [.., height, width, c] is too small."""
    height, width = image_shape[-3:-1]
    smallest = spec.smallest_image
    if min(height, width) < smallest:
        pools = smallest.bit_length() - 1
        fewer = '; vgg_stages=3 means three pools only' if pools > 3 else ''
        raise UserError(
            f'images of {height}×{width} pixels are too small for the {pools} pools of this '
            f'{spec.family} of depth {spec.depth}: {smallest}×{smallest} is the smallest size'
            f'{fewer}.'
        )


def layers(
    spec: NetworkSpec, image_shape: tuple[int, int, int], num_classes: int
) -> Iterator[Layer]:
    """All layers with parameters, in the order of the forward pass.

    Args:
        spec: the network.
        image_shape: [height, width, channels].
        num_classes: outputs of the head.

    Raises:
        UserError: for an image that is too small.
    """
    check_image(spec, image_shape)
    height, width, channels = image_shape
    if spec.stem:
        stem = spec.stem.convolution
        height, width = _strided(height, width, stem.stride)
        yield _convolution('stem', stem, channels, spec.stem.bias, height * width)
        channels = stem.channels
        if spec.stem.norm:
            yield _norm('stem_norm', channels, height * width)
        height, width = _strided(height, width, 2 if spec.stem.pool else 1)
    for i, stage in enumerate(spec.stages, start=1):
        for j, block in enumerate(stage.blocks, start=1):
            yield from _block(f'stage{i}/block{j}', block, channels, (height, width))
            channels = block.channels
            height, width = _strided(height, width, block.stride)
        if stage.pool:
            height, width = height // 2, width // 2
    head = spec.head
    if head.norm:
        yield _norm('head_norm', channels, height * width)
    inputs = channels * head.pool_size**2
    for i, outputs in enumerate(head.hidden, start=1):
        yield Layer(f'dense{i}', 'dense', (inputs, outputs), bias=True, pixels=1)
        inputs = outputs
    yield Layer('head', 'dense', (inputs, num_classes), bias=True, pixels=1)


def _block(name: str, block: BlockSpec, channels: int, size: tuple[int, int]) -> Iterator[Layer]:
    given = channels
    height, width = size
    for k, convolution in enumerate(block.convolutions, start=1):
        if block.norm and block.preactivation:
            yield _norm(f'{name}/norm{k}', channels, height * width)
        height, width = _strided(height, width, convolution.stride)
        yield _convolution(f'{name}/conv{k}', convolution, channels, block.bias, height * width)
        channels = convolution.channels
        if block.norm and not block.preactivation:
            yield _norm(f'{name}/norm{k}', channels, height * width)
    if block.shortcut is None:
        return
    pointwise = ConvolutionSpec(channels, kernel_size=1, stride=block.stride)
    if block.shortcut.kind == 'projection':
        yield _convolution(f'{name}/projection', pointwise, given, block.bias, height * width)
        if block.norm and not block.preactivation:
            yield _norm(f'{name}/projection_norm', channels, height * width)
    if block.shortcut.gate != 'none':
        yield _convolution(f'{name}/gate', pointwise, given, True, height * width)


def _convolution(
    name: str, convolution: ConvolutionSpec, channels: int, bias: bool, pixels: int
) -> Layer:
    size = convolution.kernel_size
    shape = (size, size, channels, convolution.channels)
    return Layer(name, 'convolution', shape, bias, pixels)


def _norm(name: str, channels: int, pixels: int) -> Layer:
    return Layer(name, 'norm', (channels,), bias=True, pixels=pixels)


def _strided(height: int, width: int, stride: int) -> tuple[int, int]:
    return -(-height // stride), -(-width // stride)


def count_parameters(spec: NetworkSpec, image_shape: tuple[int, int, int], num_classes: int) -> int:
    """Learnable parameters."""
    return sum(layer.parameters for layer in layers(spec, image_shape, num_classes))


def count_macs(spec: NetworkSpec, image_shape: tuple[int, int, int], num_classes: int) -> int:
    """Multiply-accumulates of one image's forward pass, in convolutions and dense layers."""
    return sum(layer.macs for layer in layers(spec, image_shape, num_classes))


def observable_names(spec: NetworkSpec) -> list[str]:
    """What `probes` can look into: each block, then its convolutions; stem and dense layers."""
    size = spec.smallest_image  # names depend on no image, no channel, no class
    names: dict[str, None] = {}
    for layer in layers(spec, (size, size, 1), 1):
        if layer.kind != 'norm':
            block = '/'.join(layer.name.split('/')[:2])
            names |= {block: None, layer.name: None}
    return list(names)


def block_inputs(
    spec: NetworkSpec, image_shape: tuple[int, int, int]
) -> dict[str, tuple[int, int, int]]:
    """Of each block by name the shape of its input, [height, width, channels]."""
    height, width, channels = image_shape
    if spec.stem:
        height, width = _strided(height, width, spec.stem.convolution.stride)
        height, width = _strided(height, width, 2 if spec.stem.pool else 1)
        channels = spec.stem.convolution.channels
    found = {}
    for i, stage in enumerate(spec.stages, start=1):
        for j, block in enumerate(stage.blocks, start=1):
            found[f'stage{i}/block{j}'] = height, width, channels
            height, width = _strided(height, width, block.stride)
            channels = block.channels
        if stage.pool:
            height, width = height // 2, width // 2
    return found


def positions(spec: NetworkSpec) -> dict[str, int]:
    """Which weighted layer of the main path, 1 next to the image, each observable name stands for.

    A block stands for its first one; projections and gates are not on the main path.
    """
    size, found = spec.smallest_image, {}
    main_path = (layer for layer in layers(spec, (size, size, 1), 1) if layer.is_weighted)
    for position, layer in enumerate(main_path, start=1):
        found.setdefault('/'.join(layer.name.split('/')[:2]), position)
        found[layer.name] = position
    return found


def place(spec: NetworkSpec, name: str) -> tuple[tuple[str, ...], int | None]:
    """Where a layer's or block's parameters lie: path into a collection, and index in a stack.

    In a stage whose later blocks are alike, those are stacked: 'stage2/block3/conv1' lies at
    ('stage2', 'blocks', 'conv1'), index 1. Of everything else the index is None.
    """
    parts = name.split('/')
    if len(parts) == 1:
        return (name,), None
    stage, block = spec.stages[int(parts[0][len('stage') :]) - 1], int(parts[1][len('block') :])
    if block > 1 and stage.is_stacked:
        return (parts[0], 'blocks', *parts[2:]), block - 2
    return tuple(parts), None
