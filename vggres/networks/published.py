"""The published networks of both families by name, with their sources. No JAX.

python -m vggres.networks.published          prints the table
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass

from vggres.errors import UserError, unknown
from vggres.networks import grammar
from vggres.networks.spec import NetworkSpec, count_macs, count_parameters


@dataclass(frozen=True)
class Variant:
    """A published network: its options, where it is from, and the images it is meant for."""

    name: str
    source: str
    options: dict[str, object]
    image_shape: tuple[int, int, int]
    num_classes: int


_IMAGENET = ((224, 224, 3), 1000)
_CIFAR = ((32, 32, 3), 10)


def _vggs() -> Iterator[Variant]:
    for letter, depth in (('A', 11), ('B', 13), ('C', 16), ('D', 16), ('E', 19)):
        name = f'vgg{depth}c' if letter == 'C' else f'vgg{depth}'
        source = f'1409.1556, Table 1, {letter}'
        options = {'family': 'vgg', 'width': 64, 'vgg_pointwise': letter == 'C', 'norm': 'none'}
        large = options | {'depth': depth, 'images': 'imagenet'}
        small = options | {'depth': depth - 2}  # one dense layer instead of three
        yield Variant(name, source, large, *_IMAGENET)
        yield Variant(f'{name}_bn', f'{source}, batch norm', large | {'norm': 'batch'}, *_IMAGENET)
        source += ', one dense layer'
        yield Variant(f'cifar_{name}', source, small, *_CIFAR)
        with_norm = small | {'norm': 'batch'}
        yield Variant(f'cifar_{name}_bn', f'{source}, batch norm', with_norm, *_CIFAR)


def _imagenet_resnets() -> Iterator[Variant]:
    for block, depths in grammar.BLOCKS_PER_STAGE.items():
        for depth in depths:
            options = {'depth': depth, 'images': 'imagenet', 'width': 64, 'block': block}
            options['stride_placement'] = 'torchvision'
            source = '1512.03385, Table 1'
            if block == 'basic':
                plain = options | {'family': 'plain'}
                yield Variant(f'plain{depth}', f'{source}, plain', plain, *_IMAGENET)
            source += ', option B' if block == 'basic' else ', option B, stride as torchvision'
            resnet = options | {'family': 'resnet', 'shortcut': 'B'}
            yield Variant(f'resnet{depth}', source, resnet, *_IMAGENET)


def _small_resnets() -> Iterator[Variant]:
    for depth in (20, 32, 44, 56, 110, 1202):
        source, options = '1512.03385, §4.2', {'family': 'resnet', 'depth': depth}
        yield Variant(f'cifar_resnet{depth}', f'{source}, option A', options, *_CIFAR)
        if depth < 1202:
            plain = options | {'family': 'plain'}
            yield Variant(f'cifar_plain{depth}', f'{source}, plain', plain, *_CIFAR)
    source = '1603.05027, Table 3'
    bottleneck = {'family': 'resnet', 'block': 'bottleneck', 'shortcut': 'B'}
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


def variant(name: str) -> Variant:
    """A published network by its name.

    Raises:
        UserError: where there is none, with the nearest names.
    """
    if name not in VARIANTS:
        raise unknown('network', name, VARIANTS)
    return VARIANTS[name]


def variant_spec(name: str, **changes: object) -> NetworkSpec:
    """A published network, with some of its options changed.

    Raises:
        UserError: for a name, an option or a value that does not exist, with those that do.
    """
    options = variant(name).options | changes
    known = grammar.options_of(options['family']) if options['family'] in grammar.FAMILIES else ()
    for option in changes:
        if known and option not in known:
            raise UserError(
                f'unknown option {option!r} of a {options["family"]}: there is {", ".join(known)}.'
            )
    return grammar.network_spec(**options)


def table() -> str:
    """The variants, a line each: name, depth, blocks a stage, parameters, MACs, source."""
    lines = [
        f'{"name":<19} {"depth":>5}  {"blocks a stage":<14} {"parameters":>11} {"MACs":>14}  at   '
        'source (arXiv)'
    ]
    for each in VARIANTS.values():
        spec = variant_spec(each.name)
        stages = '-'.join(str(len(stage.blocks)) for stage in spec.stages)
        parameters = count_parameters(spec, each.image_shape, each.num_classes)
        macs = count_macs(spec, each.image_shape, each.num_classes)
        lines.append(
            f'{each.name:<19} {spec.depth:>5}  {stages:<14} {parameters:>11,} {macs:>14,} '
            f'{each.image_shape[0]:>3}   {each.source}'
        )
    return '\n'.join(lines)


if __name__ == '__main__':
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    print(table())
