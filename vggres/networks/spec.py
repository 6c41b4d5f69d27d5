"""Frozen descriptions of networks, and what follows from them without computing. No JAX.

One description of a block serves every family. A block is a chain of convolutions (the residual
branch) together with a shortcut that may join the block's input to the chain's output. A VGG layer
is a block of one convolution without a shortcut; a plain block has two or three convolutions and no
shortcut either. From a description follow the layers by name, their shapes, their parameters and
their multiply-accumulates.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from vggres.errors import UserError
from vggres.networks.activation import RELU, ActivationSpec

KINDS_WITH_KERNEL = ('convolution', 'dense')
_BESIDE_THE_MAIN_PATH = ('projection', 'gate', 'pointwise')


@dataclass(frozen=True)
class ConvolutionSpec:
    """A convolution with a square kernel of odd size, padded by half of the kernel.

    It maps [h, w, inputs] to [⌈h/stride⌉, ⌈w/stride⌉, channels].
    """

    channels: int
    kernel_size: int = 3
    stride: int = 1

    def keeps_shape(self, channels: int) -> bool:
        """Whether the output has the shape of an input with some number of channels."""
        return self.stride == 1 and self.channels == channels


@dataclass(frozen=True)
class ShortcutSpec:
    """How a block adds its input x to the output F(x) of its residual branch.

    The sum is `scale · h(x) + branch_scale · F(x)`. See He et al. 2015 (arXiv 1512.03385), §3.2
    and §4.1, and He et al. 2016, "Identity mappings" (arXiv 1603.05027), §3.1 and Table 1. A
    learned `branch_scale` is the α of SkipInit (De & Smith 2020, arXiv 2002.10444, §4), of ReZero
    (Bachlechner et al. 2020, arXiv 2003.04887, §3), and the multiplier of Fixup (Zhang, Dauphin &
    Ma 2019, arXiv 1901.09321, §3).

    Attributes:
        kind: what h is: 'identity'; 'pad' (option A), which subsamples x by the block's stride and
            fills the new channels with zeros; or 'projection', a 1×1 convolution with that stride.
        scale: constant factor of h(x).
        branch_scale: factor of F(x).
        learned_branch_scale: whether that factor is a parameter, one number in each block, which
            starts at `branch_scale`. Otherwise it is constant.
        gate: 'none'; 'exclusive', which multiplies h(x) by 1 − g and F(x) by g; or 'shortcut_only',
            which multiplies h(x) by 1 − g and leaves F(x) alone. The gate g is the sigmoid of a 1×1
            convolution of x.
        gate_bias: initial value of the bias of that convolution. A negative one opens the shortcut.
        dropout: probability of dropping an element of h(x) in training. The elements that are kept
            are not scaled up; evaluation multiplies h(x) by 1 − dropout instead, which is the
            paper's "scale with an expectation of 0.5".
        fade_steps: if not 0, `scale` is where the factor of h(x) starts: it falls linearly to 0
            over so many updates of the training and stays there, so that a plain network is left.
            It is a parameter without a gradient, which the optimiser lowers.
    """

    kind: str
    scale: float = 1.0
    branch_scale: float = 1.0
    learned_branch_scale: bool = False
    gate: str = 'none'
    gate_bias: float = 0.0
    dropout: float = 0.0
    fade_steps: int = 0


@dataclass(frozen=True)
class BlockSpec:
    """A chain of convolutions (the residual branch) and the shortcut around it.

    Attributes:
        convolutions: the residual branch, in the order of the forward pass.
        shortcut: how the input joins the output of the branch. It is None in a plain block;
            nothing else distinguishes plain from residual.
        norm: whether each convolution has a batch norm.
        bias: whether each convolution has a bias.
        preactivation: whether norm and ReLU come before each convolution, with nothing after the
            addition ("Identity mappings", Fig. 1b), instead of after each convolution, with the
            last ReLU after the addition.
        shared_activation: whether the shortcut of a preactivation block starts after the first norm
            and ReLU, as the branch does, instead of from the block's input.
        activation: what stands where ReLU is named here.
        reparameterised: whether a 1×1 convolution and, where shapes agree, the identity stand
            beside each convolution, each with a norm of its own, and are added to it (Ding et al.
            2021, arXiv 2101.03697, §3.2). `reparameterisation` turns the three into one.
    """

    convolutions: tuple[ConvolutionSpec, ...]
    shortcut: ShortcutSpec | None = None
    norm: bool = True
    bias: bool = False
    preactivation: bool = False
    shared_activation: bool = False
    activation: ActivationSpec = RELU
    reparameterised: bool = False

    @property
    def channels(self) -> int:
        """The number of channels of the block's output."""
        return self.convolutions[-1].channels

    @property
    def stride(self) -> int:
        """The stride of the whole block: the product of its convolutions' strides."""
        return math.prod(convolution.stride for convolution in self.convolutions)


@dataclass(frozen=True)
class StageSpec:
    """The blocks at one resolution, in the order of the forward pass.

    Attributes:
        blocks: the first may change stride and channels.
        pool: whether a 2×2 max-pool with stride 2 follows the blocks.
    """

    blocks: tuple[BlockSpec, ...]
    pool: bool = False

    @property
    def is_stacked(self) -> bool:
        """Whether all blocks after the first are alike, so that their parameters are stacked."""
        return len(set(self.blocks[1:])) == 1


@dataclass(frozen=True)
class StemSpec:
    """The first convolution of a plain or residual network, before its stages.

    Attributes:
        convolution: the convolution.
        norm: whether a batch norm follows.
        bias: whether the convolution has a bias.
        activation: whether an activation follows, that of the blocks.
        pool: whether a 3×3 max-pool with stride 2, padded by 1, follows.
    """

    convolution: ConvolutionSpec
    norm: bool
    bias: bool
    activation: bool
    pool: bool


@dataclass(frozen=True)
class HeadSpec:
    """The end of a network: average pooling, hidden dense layers, and the layer of the logits.

    Attributes:
        norm: whether a batch norm precedes the pooling, as preactivation networks need it.
        activation: whether an activation precedes the pooling, likewise, that of the blocks.
        pool_size: height and width in pixels after the pooling.
        hidden: number of outputs of each hidden dense layer. An activation and dropout follow each.
        dropout: probability of dropping an output of a hidden layer in training.
    """

    norm: bool = False
    activation: bool = False
    pool_size: int = 1
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0


@dataclass(frozen=True)
class NetworkSpec:
    """A network, without the number of its classes and the shape of its images.

    Attributes:
        family: 'vgg', 'plain' or 'resnet'.
        stem: the first convolution; None in a vgg.
        stages: the stages, in the order of the forward pass.
        head: the end of the network.
    """

    family: str
    stem: StemSpec | None
    stages: tuple[StageSpec, ...]
    head: HeadSpec

    @property
    def depth(self) -> int:
        """The number of convolutions and dense layers on the main path, without projections."""
        blocks = [block for stage in self.stages for block in stage.blocks]
        convolutions = sum(len(block.convolutions) for block in blocks)
        return bool(self.stem) + convolutions + len(self.head.hidden) + 1

    @property
    def activation(self) -> ActivationSpec:
        """The activation, which is the same everywhere in a network."""
        return self.stages[0].blocks[0].activation

    @property
    def smallest_image(self) -> int:
        """The smallest height and width, in pixels, that leave every 2×2 pool something to pool."""
        return 2 ** sum(stage.pool for stage in self.stages)


@dataclass(frozen=True)
class Layer:
    """A layer that has parameters.

    Attributes:
        name: for example 'stem', 'stage2/block1/conv1', 'stage2/block1/projection_norm' or 'head'.
        kind: 'convolution', 'norm', 'dense' or 'factor'.
        shape: the shape of the kernel, [height, width, inputs, outputs] or [inputs, outputs]; for a
            norm, the shape of its scale and its bias, [channels]; for a factor, [1].
        bias: whether the layer has a bias.
        pixels: number of pixels of its output: height times width, or 1 for a dense layer.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bias: bool
    pixels: int

    @property
    def is_weighted(self) -> bool:
        """Whether the depth counts this layer: a convolution or dense layer of the main path."""
        own = self.name.split('/')[-1]
        return self.kind in KINDS_WITH_KERNEL and not own.startswith(_BESIDE_THE_MAIN_PATH)

    @property
    def parameters(self) -> int:
        """The number of learnable parameters."""
        return math.prod(self.shape) + self.bias * self.shape[-1]

    @property
    def macs(self) -> int:
        """The number of multiply-accumulates for one image; norms and factors count as none."""
        return math.prod(self.shape) * self.pixels if self.kind in KINDS_WITH_KERNEL else 0


def check_image(spec: NetworkSpec, image_shape: tuple[int, ...]) -> None:
    """Checks that images are large enough for the pools of a network.

    Args:
        spec: the network.
        image_shape: [..., height, width, channels].

    Raises:
        UserError: if they are too small. The message names the smallest size.
    """
    height, width = image_shape[-3:-1]
    smallest = spec.smallest_image
    if min(height, width) < smallest:
        pools = smallest.bit_length() - 1
        fewer = ' A vgg with three stages needs only 8×8.' if pools > 3 else ''
        raise UserError(
            f'images of {height}×{width} pixels are too small for the {pools} pools of this '
            f'{spec.family} network of depth {spec.depth}: {smallest}×{smallest} is the smallest '
            f'size.{fewer}'
        )


def layers(
    spec: NetworkSpec, image_shape: tuple[int, int, int], num_classes: int
) -> Iterator[Layer]:
    """Lists all layers that have parameters, in the order of the forward pass.

    Args:
        spec: the network.
        image_shape: [height, width, channels].
        num_classes: number of outputs of the head.

    Raises:
        UserError: if the image is too small for the pools.
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
    """The layers of a block whose input has `size` pixels (height, width) and some channels."""
    given = channels
    height, width = size
    for k, convolution in enumerate(block.convolutions, start=1):
        if block.norm and block.preactivation:
            yield _norm(f'{name}/norm{k}', channels, height * width)
        height, width = _strided(height, width, convolution.stride)
        yield _convolution(f'{name}/conv{k}', convolution, channels, block.bias, height * width)
        before, channels = channels, convolution.channels
        if block.norm and not block.preactivation:
            yield _norm(f'{name}/norm{k}', channels, height * width)
        if block.reparameterised:
            pointwise = ConvolutionSpec(channels, kernel_size=1, stride=convolution.stride)
            yield _convolution(f'{name}/pointwise{k}', pointwise, before, False, height * width)
            yield _norm(f'{name}/pointwise{k}_norm', channels, height * width)
            if convolution.keeps_shape(before):
                yield _norm(f'{name}/identity{k}_norm', channels, height * width)
    if block.shortcut is None:
        return
    pointwise = ConvolutionSpec(channels, kernel_size=1, stride=block.stride)
    if block.shortcut.kind == 'projection':
        yield _convolution(f'{name}/projection', pointwise, given, block.bias, height * width)
        if block.norm and not block.preactivation:
            yield _norm(f'{name}/projection_norm', channels, height * width)
    if block.shortcut.gate != 'none':
        yield _convolution(f'{name}/gate', pointwise, given, True, height * width)
    if block.shortcut.fade_steps:
        yield Layer(f'{name}/shortcut_scale', 'factor', (1,), bias=False, pixels=height * width)
    if block.shortcut.learned_branch_scale:
        yield Layer(f'{name}/branch_scale', 'factor', (1,), bias=False, pixels=height * width)


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
    """Counts the learnable parameters; the arguments are those of `layers`."""
    return sum(layer.parameters for layer in layers(spec, image_shape, num_classes))


def count_macs(spec: NetworkSpec, image_shape: tuple[int, int, int], num_classes: int) -> int:
    """Counts the multiply-accumulates of one image's forward pass.

    Convolutions and dense layers count; norms, activations and pools do not. The arguments are
    those of `layers`.
    """
    return sum(layer.macs for layer in layers(spec, image_shape, num_classes))


def observable_names(spec: NetworkSpec) -> list[str]:
    """Names everything that `probes` can observe, in the order of the forward pass.

    These are the stem, each block followed by its convolutions, and the dense layers.
    """
    size = spec.smallest_image  # the names depend neither on the images nor on the classes
    names: dict[str, None] = {}
    for layer in layers(spec, (size, size, 1), 1):
        if layer.kind in KINDS_WITH_KERNEL:
            block = '/'.join(layer.name.split('/')[:2])
            names |= {block: None, layer.name: None}
    return list(names)


def block_inputs(
    spec: NetworkSpec, image_shape: tuple[int, int, int]
) -> dict[str, tuple[int, int, int]]:
    """Gives the shape of each block's input, [height, width, channels], by the block's name."""
    height, width, channels = image_shape
    if spec.stem:
        height, width = _strided(height, width, spec.stem.convolution.stride)
        height, width = _strided(height, width, 2 if spec.stem.pool else 1)
        channels = spec.stem.convolution.channels
    shapes = {}
    for i, stage in enumerate(spec.stages, start=1):
        for j, block in enumerate(stage.blocks, start=1):
            shapes[f'stage{i}/block{j}'] = height, width, channels
            height, width = _strided(height, width, block.stride)
            channels = block.channels
        if stage.pool:
            height, width = height // 2, width // 2
    return shapes


def positions(spec: NetworkSpec) -> dict[str, int]:
    """Numbers the weighted layers of the main path by name, from 1 next to the image.

    A block has the number of its first layer. Projections and gates have none: they are not on the
    main path.
    """
    size = spec.smallest_image
    numbers: dict[str, int] = {}
    main_path = (layer for layer in layers(spec, (size, size, 1), 1) if layer.is_weighted)
    for position, layer in enumerate(main_path, start=1):
        numbers.setdefault('/'.join(layer.name.split('/')[:2]), position)
        numbers[layer.name] = position
    return numbers


def first_convolution(spec: NetworkSpec) -> str:
    """The name of the convolution that sees the image: the stem, or a vgg's first convolution."""
    return 'stem' if spec.stem else 'stage1/block1/conv1'


def place(spec: NetworkSpec, name: str) -> tuple[tuple[str, ...], int | None]:
    """Locates the parameters of a layer or a block in the variables of a network.

    In a stage whose blocks after the first are alike, the parameters of those blocks are stacked:
    'stage2/block3/conv1' is entry 1 of the arrays at ('stage2', 'blocks', 'conv1').

    Args:
        spec: the network.
        name: of a layer or a block.

    Returns:
        The path into a collection such as 'params', and the index in the stack, or None where the
        parameters are not stacked.
    """
    parts = name.split('/')
    if len(parts) == 1:
        return (name,), None
    stage, block = spec.stages[int(parts[0][len('stage') :]) - 1], int(parts[1][len('block') :])
    if block > 1 and stage.is_stacked:
        return (parts[0], 'blocks', *parts[2:]), block - 2
    return tuple(parts), None
