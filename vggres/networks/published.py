"""The published networks by name, with their sources. No JAX.

`python -m vggres.networks.published` prints them as a table.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vggres.errors import UserError, unknown
from vggres.networks import grammar
from vggres.networks.spec import NetworkSpec, count_macs, count_parameters


@dataclass(frozen=True)
class Variant:
    """A published network: where it comes from, how it is built, and what it is meant for.

    Attributes:
        name: its name here, which is torchvision's where torchvision has it.
        source: the paper's number on arXiv and the place in the paper.
        options: the fields of `grammar.Options` that differ from their defaults.
        image_shape: [height, width, channels] of the images that the paper trains on.
        num_classes: number of classes in the paper.
    """

    name: str
    source: str
    options: dict[str, Any]
    image_shape: tuple[int, int, int]
    num_classes: int


_IMAGENET = ((224, 224, 3), 1000)
_CIFAR = ((32, 32, 3), 10)


def _vggs() -> Iterator[Variant]:
    for letter, depth in (('A', 11), ('B', 13), ('C', 16), ('D', 16), ('E', 19)):
        name = f'vgg{depth}c' if letter == 'C' else f'vgg{depth}'
        source = f'1409.1556, Table 1, {letter}'
        options: dict[str, Any] = {'family': 'vgg', 'width': 64, 'norm': 'none'}
        options |= {'vgg_pointwise': letter == 'C'}
        large = options | {'depth': depth, 'images': 'imagenet'}
        small = options | {'depth': depth - 2}  # the head has one dense layer instead of three
        yield Variant(name, source, large, *_IMAGENET)
        yield Variant(f'{name}_bn', f'{source}, batch norm', large | {'norm': 'batch'}, *_IMAGENET)
        source += ', one dense layer'
        yield Variant(f'cifar_{name}', source, small, *_CIFAR)
        with_norm = small | {'norm': 'batch'}
        yield Variant(f'cifar_{name}_bn', f'{source}, batch norm', with_norm, *_CIFAR)


def _imagenet_resnets() -> Iterator[Variant]:
    for block, depths in grammar.BLOCKS_PER_STAGE.items():
        for depth in depths:
            options: dict[str, Any] = {'depth': depth, 'images': 'imagenet', 'width': 64}
            options |= {'block': block, 'stride_placement': 'torchvision'}
            source = '1512.03385, Table 1'
            if block == 'basic':
                plain = options | {'family': 'plain'}
                yield Variant(f'plain{depth}', f'{source}, plain', plain, *_IMAGENET)
            source += ', option B' if block == 'basic' else ', option B, stride as torchvision'
            resnet = options | {'family': 'resnet', 'shortcut': 'B'}
            yield Variant(f'resnet{depth}', source, resnet, *_IMAGENET)


def _small_resnets() -> Iterator[Variant]:
    for depth in (20, 32, 44, 56, 110, 1202):
        source = '1512.03385, §4.2'
        options: dict[str, Any] = {'family': 'resnet', 'depth': depth}
        yield Variant(f'cifar_resnet{depth}', f'{source}, option A', options, *_CIFAR)
        if depth < 1202:
            plain = options | {'family': 'plain'}
            yield Variant(f'cifar_plain{depth}', f'{source}, plain', plain, *_CIFAR)
    source = '1603.05027, Table 3'
    bottleneck: dict[str, Any] = {'family': 'resnet', 'block': 'bottleneck', 'shortcut': 'B'}
    for depth in (164, 1001):
        options = bottleneck | {'depth': depth}
        yield Variant(f'cifar_resnet{depth}', f'{source}, option B', options, *_CIFAR)
    for options in (
        {'family': 'resnet', 'depth': 110},
        bottleneck | {'depth': 164},
        bottleneck | {'depth': 1001},
    ):
        name, option = f'cifar_preresnet{options["depth"]}', options.get('shortcut', 'A')
        words = f'{source}, option {option}, preactivation'
        yield Variant(name, words, options | {'preactivation': True}, *_CIFAR)


VARIANTS = {
    each.name: each
    for each in sorted(
        (*_vggs(), *_imagenet_resnets(), *_small_resnets()), key=lambda each: -each.image_shape[0]
    )
}


def names() -> list[str]:
    """Lists the names of the published networks, those for ImageNet first.

    >>> from vggres.networks.published import names
    >>> [name for name in names() if name.startswith('resnet')]
    ['resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152']
    """
    return list(VARIANTS)


def variant(name: str) -> Variant:
    """Looks up a published network by its name.

    >>> variant('resnet50').source
    '1512.03385, Table 1, option B, stride as torchvision'

    Raises:
        UserError: if there is none. The message gives the nearest names.
    """
    if name not in VARIANTS:
        raise unknown('network', name, VARIANTS)
    return VARIANTS[name]


def variant_spec(name: str, **changes: Any) -> NetworkSpec:
    """Describes a published network, with some of its options changed.

    >>> variant_spec('cifar_resnet20', depth=32).depth
    32

    Args:
        name: one of `names()`.
        **changes: fields of `grammar.Options` by name.

    Raises:
        UserError: if a name, an option or a value does not exist, or if the option changes nothing
            in networks of this family. The message names those that do.
    """
    options = variant(name).options | changes
    family = options['family']
    known = grammar.options_of(family) if family in grammar.FAMILIES else ()
    for option in changes:
        if known and option not in known:
            raise UserError(
                f'unknown option {option!r} of a {family} network: the options are '
                f'{", ".join(known)}.'
            )
    return grammar.network_spec(**options)


def table() -> str:
    """Tabulates the published networks, one per line under a line of headings.

    The columns are name, depth, blocks per stage, parameters, multiply-accumulates (MACs) for one
    image, image size in pixels, and source.
    """
    lines = [
        f'{"name":<19} {"depth":>5}  {"blocks per stage":<16} {"parameters":>11} '
        f'{"MACs per image":>14}  {"image size":<10}  source (arXiv)'
    ]
    for each in VARIANTS.values():
        spec = variant_spec(each.name)
        stages = '-'.join(str(len(stage.blocks)) for stage in spec.stages)
        height, width, _ = each.image_shape
        parameters = count_parameters(spec, each.image_shape, each.num_classes)
        macs = count_macs(spec, each.image_shape, each.num_classes)
        lines.append(
            f'{each.name:<19} {spec.depth:>5}  {stages:<16} {parameters:>11,} {macs:>14,}  '
            f'{f"{height}×{width}":<10}  {each.source}'
        )
    return '\n'.join(lines)


if __name__ == '__main__':
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that `| head` is not an error
    print(table())
