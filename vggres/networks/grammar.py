"""Builds the description of a network from its family, its depth and its options. No JAX.

`vgg` networks have stages of 3×3 convolutions with a max-pool after each, and a dense head
(Simonyan & Zisserman 2015, arXiv 1409.1556). `resnet` networks are those of He et al. 2015 (arXiv
1512.03385), with the preactivation and the shortcuts of "Identity mappings" (He et al. 2016, arXiv
1603.05027) as options. A `plain` network is the `resnet` of the same depth without its shortcuts;
nothing else changes.
"""

import contextlib
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, get_type_hints

from vggres.errors import UserError, unknown
from vggres.networks.activation import activation
from vggres.networks.spec import (
    BlockSpec,
    ConvolutionSpec,
    HeadSpec,
    NetworkSpec,
    ShortcutSpec,
    StageSpec,
    StemSpec,
)

FAMILIES = ('vgg', 'plain', 'resnet')
CHOICES = {
    'family': FAMILIES,
    'images': ('small', 'imagenet'),
    'norm': ('batch', 'none'),
    'conv_bias': ('auto', 'yes', 'no'),
    'activation': ('relu', 'tanh', 'tailored_relu'),
    'block': ('basic', 'bottleneck'),
    'stride_placement': ('he', 'torchvision'),
    'shortcut': ('A', 'B', 'C'),
    'gate': ('none', 'exclusive', 'shortcut_only'),
}
BLOCKS_PER_STAGE = {  # He et al. 2015, Table 1
    'basic': {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)},
    'bottleneck': {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)},
}


@dataclass(frozen=True)
class Options:
    """Everything that distinguishes one network from another: the knobs of `config.model`.

    The defaults are those of the small-image networks in He et al. 2015, §4.2.

    Attributes:
        family: 'vgg', 'plain' or 'resnet'.
        depth: number of weighted layers on the main path.
        images: 'small' or 'imagenet'. It decides which stem, stages and head the network has.
        width: number of channels in the first stage.
        norm: 'batch' for batch norm, or 'none'.
        conv_bias: whether the convolutions have biases: 'yes', 'no', or 'auto', which gives them to
            every vgg and to other networks without a norm.
        activation: 'relu', 'tanh', or 'tailored_relu', a leaky ReLU whose slope for negative
            numbers depends on the depth (see `activation.tailored_slope`). The slope is that of
            a network without shortcuts. The last two keep the scale of features with weights of
            variance 1/(fan in), as those of the scheme 'glorot' have where fan in and fan out are
            equal; He's weights are made for ReLU.
        vgg_stages: number of stages of a vgg, 3 to 5. A max-pool ends each stage.
        vgg_pointwise: whether the last convolution of each stage is 1×1 from the third stage on
            (Simonyan & Zisserman 2015, Table 1, configuration C).
        vgg_shortcuts: whether a vgg has shortcuts, from the second stage on, around pairs of
            convolutions. The pairs are counted from the end of a stage; a convolution that is left
            over at its beginning has no shortcut. These shortcuts follow option A: they have no
            weights, and nothing else in the network changes.
        dropout: probability of dropping an output of the two hidden dense layers that a vgg for
            ImageNet has.
        block: 'basic' for two 3×3 convolutions, or 'bottleneck' for a 1×1, a 3×3 and a 1×1
            convolution, the last with four times as many channels. `block`, `preactivation` and
            `stride_placement` apply to plain and resnet networks.
        preactivation: whether norm and ReLU come before each convolution instead of after it.
        stride_placement: which convolution of a bottleneck has the stride: the first ('he', as in
            the paper) or the 3×3 one ('torchvision').
        reparameterised: whether each convolution of a plain network has a 1×1 convolution beside it
            and, where shapes agree, the identity, each with a norm of its own: a RepVGG in training
            (see `spec.BlockSpec`), which `reparameterisation` turns into a plain network.
        shortcut: 'A' pads with zeros where channels or resolution change, 'B' projects there, and
            'C' projects everywhere. `shortcut` and the options that follow apply to resnets.
        shortcut_scale: constant factor of the shortcut.
        branch_scale: factor of the residual branch.
        branch_scale_by_depth: whether `branch_scale` is divided by √L, where L is the number of
            residual blocks (De & Smith 2020, arXiv 2002.10444, §4).
        learned_branch_scale: whether the factor of the residual branch is a parameter of each
            block, which starts at that value: SkipInit and ReZero (see `spec.ShortcutSpec`).
        gate: 'none', 'exclusive' or 'shortcut_only' (see `spec.ShortcutSpec`).
        gate_bias: initial value of the gates' biases.
        shortcut_dropout: probability of dropping an element of the shortcut.
        shortcut_fade_steps: number of updates over which the factor of the shortcut falls linearly
            from `shortcut_scale` to 0; 0 for a factor that stays.
    """

    family: str
    depth: int
    images: str = 'small'
    width: int = 16
    norm: str = 'batch'
    conv_bias: str = 'auto'
    activation: str = 'relu'
    vgg_stages: int = 5
    vgg_pointwise: bool = False
    vgg_shortcuts: bool = False
    dropout: float = 0.5
    block: str = 'basic'
    preactivation: bool = False
    stride_placement: str = 'he'
    reparameterised: bool = False
    shortcut: str = 'A'
    shortcut_scale: float = 1.0
    branch_scale: float = 1.0
    branch_scale_by_depth: bool = False
    learned_branch_scale: bool = False
    gate: str = 'none'
    gate_bias: float = -6.0
    shortcut_dropout: float = 0.0
    shortcut_fade_steps: int = 0

    def __post_init__(self) -> None:
        """Raises UserError, with the values that are allowed, for the first value that is not."""
        for name, kind in get_type_hints(Options).items():
            value = getattr(self, name)
            is_right = isinstance(value, (int, float) if kind is float else kind)
            if not is_right or (isinstance(value, bool) and kind is not bool):
                raise UserError(f'{name} must be of type {kind.__name__}, not {value!r}.')
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        if self.width < 1:
            raise UserError(f'width must be at least 1 channel, not {self.width}.')
        if not 3 <= self.vgg_stages <= 5:
            raise UserError(f'vgg_stages must be 3, 4 or 5, not {self.vgg_stages}.')
        basic = self.block == 'basic' and self.norm == 'batch' and self.conv_bias != 'yes'
        if self.family == 'plain' and self.reparameterised and (self.preactivation or not basic):
            raise UserError(
                'reparameterised networks have basic blocks, batch norm, no biases, and no '
                "preactivation: leave block at 'basic', norm at 'batch', conv_bias at 'auto' and "
                'preactivation at False.'
            )
        if self.shortcut_fade_steps < 0:
            raise UserError(
                f'shortcut_fade_steps must be at least 0, not {self.shortcut_fade_steps}.'
            )
        for name in ('dropout', 'shortcut_dropout'):
            if not 0 <= getattr(self, name) < 1:
                value = getattr(self, name)
                raise UserError(f'{name} must be at least 0 and below 1, not {value}.')

    @property
    def has_bias(self) -> bool:
        """Whether the convolutions have biases."""
        if self.conv_bias == 'auto':
            return self.family == 'vgg' or self.norm == 'none'
        return self.conv_bias == 'yes'


OPTIONS = tuple(option.name for option in dataclasses.fields(Options))
_OF_VGG = ('vgg_stages', 'vgg_pointwise', 'vgg_shortcuts', 'dropout')
_OF_SHORTCUTS = OPTIONS[OPTIONS.index('shortcut') :]
_OF_BLOCKS = ('block', 'preactivation', 'stride_placement')
_OF_PLAIN = ('reparameterised',)
_OF_OTHERS = {
    'vgg': (*_OF_BLOCKS, *_OF_PLAIN, *_OF_SHORTCUTS),
    'plain': (*_OF_VGG, *_OF_SHORTCUTS),
    'resnet': (*_OF_VGG, *_OF_PLAIN),
}


def options_of(family: str) -> tuple[str, ...]:
    """The names of the options that apply to a family; the others change nothing in its networks.

    >>> options_of('plain')[-3:]
    ('preactivation', 'stride_placement', 'reparameterised')
    """
    return tuple(name for name in OPTIONS if name not in _OF_OTHERS[family])


def network_spec(family: str, depth: int, **options: Any) -> NetworkSpec:
    """Describes the network of a family and a depth.

    >>> network_spec('resnet', 56, shortcut='B').depth
    56

    Args:
        family: 'vgg', 'plain' or 'resnet'.
        depth: number of weighted layers on the main path. For small images, a vgg may have any
            depth from 8 on; other networks have 6n + 2 layers with basic blocks and 9n + 2 with
            bottlenecks. For ImageNet, a vgg may have any depth from 10 on; other networks have 18
            or 34 layers with basic blocks and 50, 101 or 152 with bottlenecks.
        **options: the other fields of `Options`, by name.

    Raises:
        UserError: if an option, a value or the depth does not exist. The message names those that
            do.
    """
    for name in options:
        if name not in OPTIONS:
            raise UserError(f'unknown option {name!r}: the options are {", ".join(OPTIONS)}.')
    chosen = Options(family, depth, **options)
    return _vgg(chosen) if family == 'vgg' else _resnet(chosen)


def recovered_options(described: NetworkSpec) -> Options:
    """Finds the options that `network_spec` built a network from.

    >>> recovered_options(network_spec('plain', 20, width=32)).width
    32

    Args:
        described: a network. An option that leaves no trace in it has its default value.

    Returns:
        Options from which `network_spec` builds the same network.

    Raises:
        UserError: if no options describe this network, because it was put together by hand.
    """
    blocks = [block for stage in described.stages for block in stage.blocks]
    convolutions = [convolution for block in blocks for convolution in block.convolutions]
    shortcuts = [block.shortcut for block in blocks if block.shortcut is not None]
    stem, hidden = described.stem, described.head.hidden
    found: dict[str, Any] = {
        'images': 'imagenet' if hidden or (stem and stem.pool) else 'small',
        'width': stem.convolution.channels if stem else convolutions[0].channels,
        'norm': 'batch' if blocks[0].norm else 'none',
        'activation': described.activation.kind,
    }
    if described.family == 'vgg':
        found['vgg_stages'] = len(described.stages)
        found['vgg_pointwise'] = any(each.kernel_size == 1 for each in convolutions)
        found['vgg_shortcuts'] = bool(shortcuts)
        found |= {'dropout': described.head.dropout} if hidden else {}
    else:
        bottlenecks = [block for block in blocks if len(block.convolutions) == 3]
        strides_late = any(block.convolutions[1].stride > 1 for block in bottlenecks)
        found['block'] = 'bottleneck' if bottlenecks else 'basic'
        found['preactivation'] = blocks[0].preactivation
        found['reparameterised'] = blocks[0].reparameterised
        found['stride_placement'] = 'torchvision' if strides_late else 'he'
    if described.family == 'resnet' and shortcuts:
        kinds = {shortcut.kind for shortcut in shortcuts}
        found['shortcut'] = 'B' if 'projection' in kinds else 'A'
        found['shortcut'] = 'C' if kinds == {'projection'} else found['shortcut']
        found['shortcut_scale'] = shortcuts[0].scale
        found['branch_scale'] = shortcuts[0].branch_scale
        found['learned_branch_scale'] = shortcuts[0].learned_branch_scale
        found['gate'] = shortcuts[0].gate
        found['gate_bias'] = shortcuts[0].gate_bias
        found['shortcut_dropout'] = shortcuts[0].dropout
        found['shortcut_fade_steps'] = shortcuts[0].fade_steps
    with contextlib.suppress(UserError):  # raised by values that no option may have
        options = Options(described.family, described.depth, **found)
        if options.has_bias != blocks[0].bias:
            conv_bias = 'yes' if blocks[0].bias else 'no'
            options = dataclasses.replace(options, conv_bias=conv_bias)
        if network_spec(**dataclasses.asdict(options)) == described:
            return options
    raise UserError('no options describe this network: it was put together by hand.')


def _vgg(options: Options) -> NetworkSpec:
    small = options.images == 'small'
    hidden = () if small else (4096, 4096)
    counts = _vgg_convolutions(options, num_dense=len(hidden) + 1)
    stages = []
    for i, count in enumerate(counts):
        channels = options.width * min(2**i, 8)
        sizes = [3] * count
        if options.vgg_pointwise and i >= 2:
            sizes[-1] = 1
        blocks = tuple(
            BlockSpec(
                (ConvolutionSpec(channels, size),),
                norm=options.norm == 'batch',
                bias=options.has_bias,
                activation=activation(options.activation, options.depth),
            )
            for size in sizes
        )
        if options.vgg_shortcuts and i > 0:
            blocks = _paired(blocks, given=stages[-1].blocks[-1].channels)
        stages.append(StageSpec(blocks, pool=True))
    head = HeadSpec() if small else HeadSpec(pool_size=7, hidden=hidden, dropout=options.dropout)
    return NetworkSpec('vgg', None, tuple(stages), head)


def _paired(blocks: tuple[BlockSpec, ...], given: int) -> tuple[BlockSpec, ...]:
    """Joins the one-convolution blocks of a stage in pairs, each pair with a shortcut.

    Args:
        blocks: the blocks of the stage. If their number is odd, the first one stays alone.
        given: number of channels of the stage's input.
    """
    odd = len(blocks) % 2
    paired = list(blocks[:odd])
    for first, second in zip(blocks[odd::2], blocks[odd + 1 :: 2], strict=True):
        channels = paired[-1].channels if paired else given
        kind = 'identity' if channels == second.channels else 'pad'
        convolutions = first.convolutions + second.convolutions
        paired.append(
            dataclasses.replace(first, convolutions=convolutions, shortcut=ShortcutSpec(kind))
        )
    return tuple(paired)


def _vgg_convolutions(options: Options, num_dense: int) -> tuple[int, ...]:
    """The number of convolutions in each stage.

    Each of the first two stages has two. The others share the rest as evenly as possible, and the
    later stages have one more where it cannot be shared evenly.
    """
    count, late = options.depth - num_dense, options.vgg_stages - 2
    if (count, late) == (8, 3):
        return 1, 1, 2, 2, 2  # configuration A of Table 1, the only one that breaks the rule
    if count < 4 + late:
        raise UserError(
            f'there is no vgg of depth {options.depth} with {options.vgg_stages} stages; the '
            f'nearest depth is {4 + late + num_dense}.'
        )
    each, more = divmod(count - 4, late)
    return 2, 2, *(each + (i >= late - more) for i in range(late))


def _resnet(options: Options) -> NetworkSpec:
    small = options.images == 'small'
    counts = (_small_counts if small else _imagenet_counts)(options)
    has_norm, preactivation = options.norm == 'batch', options.preactivation
    stem = StemSpec(
        ConvolutionSpec(options.width, 3 if small else 7, 1 if small else 2),
        norm=has_norm and not preactivation,
        bias=options.has_bias,
        activation=not preactivation,
        pool=not small,
    )
    if options.branch_scale_by_depth:
        scale = options.branch_scale / math.sqrt(sum(counts))
        options = dataclasses.replace(options, branch_scale=scale)
    channels, stages = options.width, []
    for i, count in enumerate(counts):
        convolutions = _branch(options, options.width * 2**i, stride=1 if i == 0 else 2)
        first = _block(options, channels, convolutions, is_first_unit=i == 0)
        channels = first.channels
        rest = _block(options, channels, _branch(options, options.width * 2**i, stride=1))
        stages.append(StageSpec((first,) + (rest,) * (count - 1)))
    head = HeadSpec(norm=has_norm and preactivation, activation=preactivation)
    return NetworkSpec(options.family, stem, tuple(stages), head)


def _small_counts(options: Options) -> tuple[int, ...]:
    """The number of blocks in each of the three stages of a network for small images."""
    layers = 6 if options.block == 'basic' else 9
    num_blocks, remainder = divmod(options.depth - 2, layers)
    if remainder or num_blocks < 1:
        below = max(num_blocks, 1) * layers + 2
        nearest = f'{below} or {below + layers}' if options.depth > below else f'{below}'
        raise UserError(
            f'there is no {options.family} network of depth {options.depth} from {options.block} '
            f'blocks: the depth must be {layers}n+2 (nearest {nearest}).'
        )
    return (num_blocks,) * 3


def _imagenet_counts(options: Options) -> tuple[int, ...]:
    """The number of blocks in each of the four stages of a network for ImageNet."""
    counts = BLOCKS_PER_STAGE[options.block].get(options.depth)
    if counts is None:
        depths = ', and '.join(
            f'{", ".join(map(str, depths))} from {block} blocks'
            for block, depths in BLOCKS_PER_STAGE.items()
        )
        raise UserError(
            f'there is no {options.family} network of depth {options.depth} from {options.block} '
            f'blocks for ImageNet; the depths are {depths}.'
        )
    return counts


def _branch(options: Options, channels: int, stride: int) -> tuple[ConvolutionSpec, ...]:
    """The convolutions of a residual branch; a bottleneck ends with four times the channels."""
    if options.block == 'basic':
        return ConvolutionSpec(channels, 3, stride), ConvolutionSpec(channels, 3)
    first, middle = (stride, 1) if options.stride_placement == 'he' else (1, stride)
    return (
        ConvolutionSpec(channels, 1, first),
        ConvolutionSpec(channels, 3, middle),
        ConvolutionSpec(4 * channels, 1),
    )


def _block(
    options: Options,
    channels: int,
    convolutions: tuple[ConvolutionSpec, ...],
    is_first_unit: bool = False,
) -> BlockSpec:
    """A block of a plain or residual network whose input has `channels` channels."""
    plain = BlockSpec(
        convolutions,
        norm=options.norm == 'batch',
        bias=options.has_bias,
        preactivation=options.preactivation,
        activation=activation(options.activation, options.depth),
    )
    if options.family == 'plain':
        return dataclasses.replace(plain, reparameterised=options.reparameterised)
    changes = plain.stride != 1 or plain.channels != channels
    if options.shortcut == 'C' or (options.shortcut == 'B' and changes):
        kind = 'projection'
    else:
        kind = 'pad' if changes else 'identity'
    shortcut = ShortcutSpec(
        kind,
        scale=options.shortcut_scale,
        branch_scale=options.branch_scale,
        learned_branch_scale=options.learned_branch_scale,
        gate=options.gate,
        gate_bias=options.gate_bias,
        dropout=options.shortcut_dropout,
        fade_steps=options.shortcut_fade_steps,
    )
    # In the appendix of "Identity mappings", the first unit splits into branch and shortcut after
    # its first activation. In the authors' code, so does every unit with a projection.
    shared = options.preactivation and (is_first_unit or kind == 'projection')
    return dataclasses.replace(plain, shortcut=shortcut, shared_activation=shared)
