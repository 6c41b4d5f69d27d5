"""Family, depth and options → a network: the grammar of depths. No JAX.

`vgg`: stages of 3×3 convolutions with a max-pool after each, a dense head (Simonyan & Zisserman
2015, arXiv 1409.1556). `resnet`: He et al. 2015 (arXiv 1512.03385), with the preactivation and the
shortcuts of "Identity mappings" (He et al. 2016, arXiv 1603.05027). `plain` is `resnet` without
its shortcuts and nothing else changed.
"""

import dataclasses
from dataclasses import dataclass

from vggres.errors import UserError, unknown
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
    """What makes one network out of a family and a depth: the knobs of `config.model`.

    Attributes:
        family: 'vgg', 'plain' or 'resnet'.
        depth: weighted layers on the main path.
        images: 'small' or 'imagenet': the stem, the stages and the head for which images.
        width: channels of the first stage.
        norm: 'batch' or 'none'.
        conv_bias: 'yes', 'no', or 'auto': in every vgg, and elsewhere where there is no norm.
        vgg_stages: 3 to 5; a max-pool ends each.
        vgg_pointwise: configuration C: from the third stage on, the last convolution is 1×1.
        vgg_shortcuts: from the second stage on, shortcuts around pairs of convolutions, counted
            from the end of each stage; one left over in front has none. They are option A's, have
            no weights, and nothing else changes.
        dropout: of the two hidden dense layers of a vgg for ImageNet.
        block: 'basic', two 3×3 convolutions, or 'bottleneck', 1×1, 3×3 and 1×1 to four times the
            channels. This and what follows is for plain and resnet.
        preactivation: norm and ReLU before each convolution instead of after it.
        stride_placement: of a bottleneck, on its first convolution as 'he' has it, or on its 3×3
            convolution as 'torchvision' has it.
        shortcut: where channels or resolution change, 'A' pads with zeros and 'B' projects; 'C'
            projects everywhere. This and what follows is for resnet.
        shortcut_scale: constant factor of the shortcut.
        branch_scale: constant factor of the residual branch.
        gate: 'none', 'exclusive' or 'shortcut_only' (see `spec.ShortcutSpec`).
        gate_bias: what the gates' biases start from.
        shortcut_dropout: probability of dropping an element of the shortcut.
    """

    family: str
    depth: int
    images: str = 'small'
    width: int = 16
    norm: str = 'batch'
    conv_bias: str = 'auto'
    vgg_stages: int = 5
    vgg_pointwise: bool = False
    vgg_shortcuts: bool = False
    dropout: float = 0.5
    block: str = 'basic'
    preactivation: bool = False
    stride_placement: str = 'he'
    shortcut: str = 'A'
    shortcut_scale: float = 1.0
    branch_scale: float = 1.0
    gate: str = 'none'
    gate_bias: float = -6.0
    shortcut_dropout: float = 0.0

    def __post_init__(self) -> None:
        """Raises UserError, naming what is allowed."""
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            allowed = (int, float) if option.type is float else option.type
            if not isinstance(value, allowed):
                kind = option.type.__name__
                raise UserError(f'{option.name} must be of type {kind}, not {value!r}.')
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        if self.width < 1:
            raise UserError(f'width must be at least 1 channel, not {self.width}.')
        if not 3 <= self.vgg_stages <= 5:
            raise UserError(f'vgg_stages must be 3, 4 or 5, not {self.vgg_stages}.')
        for name in ('dropout', 'shortcut_dropout'):
            if not 0 <= getattr(self, name) < 1:
                value = getattr(self, name)
                raise UserError(f'{name} must be at least 0 and below 1, not {value}.')

    @property
    def has_bias(self) -> bool:
        """Of the convolutions."""
        if self.conv_bias == 'auto':
            return self.family == 'vgg' or self.norm == 'none'
        return self.conv_bias == 'yes'


OPTIONS = tuple(option.name for option in dataclasses.fields(Options))
_OF_VGG = ('vgg_stages', 'vgg_pointwise', 'vgg_shortcuts', 'dropout')
_OF_SHORTCUTS = OPTIONS[OPTIONS.index('shortcut') :]
_OF_BLOCKS = ('block', 'preactivation', 'stride_placement')
_OF_OTHERS = {
    'vgg': (*_OF_BLOCKS, *_OF_SHORTCUTS),
    'plain': (*_OF_VGG, *_OF_SHORTCUTS),
    'resnet': _OF_VGG,
}


def options_of(family: str) -> tuple[str, ...]:
    """The options that say something of a family's networks; the others change nothing there."""
    return tuple(name for name in OPTIONS if name not in _OF_OTHERS[family])


def network_spec(family: str, depth: int, **options: object) -> NetworkSpec:
    """The network of a family and a depth.

    Args:
        family: 'vgg', 'plain' or 'resnet'.
        depth: weighted layers on the main path. Small images: any vgg from 8 on, and 6n + 2 for
            basic or 9n + 2 for bottleneck blocks. ImageNet: any vgg from 10 on, 18 and 34 from
            basic and 50, 101 and 152 from bottleneck blocks.
        **options: see `Options`.

    Raises:
        UserError: for an option, a value or a depth that does not exist, with those that do.
    """
    for name in options:
        if name not in OPTIONS:
            raise UserError(f'unknown option {name!r}: there is {", ".join(OPTIONS)}.')
    chosen = Options(family, depth, **options)
    return _vgg(chosen) if family == 'vgg' else _resnet(chosen)


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
            )
            for size in sizes
        )
        if options.vgg_shortcuts and i > 0:
            blocks = _paired(blocks, given=stages[-1].blocks[-1].channels)
        stages.append(StageSpec(blocks, pool=True))
    head = HeadSpec() if small else HeadSpec(pool_size=7, hidden=hidden, dropout=options.dropout)
    return NetworkSpec('vgg', None, tuple(stages), head)


def _paired(blocks: tuple[BlockSpec, ...], given: int) -> tuple[BlockSpec, ...]:
    """Two convolutions to a block, with a shortcut; `given` channels come in."""
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
    """Two in each of the first two stages, the rest spread over the others, later ones first."""
    count, late = options.depth - num_dense, options.vgg_stages - 2
    if (count, late) == (8, 3):
        return 1, 1, 2, 2, 2  # configuration A, Table 1: the one that the rule does not give
    if count < 4 + late:
        raise UserError(
            f'no vgg of depth {options.depth} with {options.vgg_stages} stages: '
            f'nearest {4 + late + num_dense}.'
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
    layers = 6 if options.block == 'basic' else 9
    num_blocks, remainder = divmod(options.depth - 2, layers)
    if remainder or num_blocks < 1:
        below = max(num_blocks, 1) * layers + 2
        nearest = f'{below} or {below + layers}' if options.depth > below else f'{below}'
        raise UserError(
            f'no {options.family} of depth {options.depth} from {options.block} blocks: depth must '
            f'be {layers}n+2, nearest {nearest}.'
        )
    return (num_blocks,) * 3


def _imagenet_counts(options: Options) -> tuple[int, ...]:
    counts = BLOCKS_PER_STAGE[options.block].get(options.depth)
    if counts is None:
        depths = '; '.join(
            f'{", ".join(map(str, depths))} from {block} blocks'
            for block, depths in BLOCKS_PER_STAGE.items()
        )
        raise UserError(
            f'no {options.family} of depth {options.depth} from {options.block} blocks for '
            f'ImageNet: there is {depths}.'
        )
    return counts


def _branch(options: Options, channels: int, stride: int) -> tuple[ConvolutionSpec, ...]:
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
    plain = BlockSpec(
        convolutions,
        norm=options.norm == 'batch',
        bias=options.has_bias,
        preactivation=options.preactivation,
    )
    if options.family == 'plain':
        return plain
    changes = plain.stride != 1 or plain.channels != channels
    if options.shortcut == 'C' or (options.shortcut == 'B' and changes):
        kind = 'projection'
    else:
        kind = 'pad' if changes else 'identity'
    shortcut = ShortcutSpec(
        kind,
        scale=options.shortcut_scale,
        branch_scale=options.branch_scale,
        gate=options.gate,
        gate_bias=options.gate_bias,
        dropout=options.shortcut_dropout,
    )
    # "Identity mappings", appendix: the activation behind the stem comes before the first unit
    # splits; and so it does, in the authors' code, where a projection takes the input.
    shared = options.preactivation and (is_first_unit or kind == 'projection')
    return dataclasses.replace(plain, shortcut=shortcut, shared_activation=shared)
