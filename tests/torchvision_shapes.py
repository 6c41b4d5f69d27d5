"""Names and shapes of torchvision's state_dicts, written down from its documentation's networks.

Nothing here knows of vggres: it is what the converter is tested against.
"""

VGG = {  # channels of the convolutions; 'M' is a max-pool
    'vgg11': '64 M 128 M 256 256 M 512 512 M 512 512 M',
    'vgg13': '64 64 M 128 128 M 256 256 M 512 512 M 512 512 M',
    'vgg16': '64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M',
    'vgg19': '64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M',
}
RESNET = {
    'resnet18': (2, 2, 2, 2),
    'resnet34': (3, 4, 6, 3),
    'resnet50': (3, 4, 6, 3),
    'resnet101': (3, 4, 23, 3),
    'resnet152': (3, 8, 36, 3),
}


def state_dict_shapes(name):
    """Name → shape, without the counters of batches."""
    shapes = _resnet(name) if name in RESNET else _vgg(name.removesuffix('_bn'), '_bn' in name)
    return dict(shapes)


def _norm(name, channels):
    for part in ('weight', 'bias', 'running_mean', 'running_var'):
        yield f'{name}.{part}', (channels,)


def _dense(name, inputs, outputs):
    yield f'{name}.weight', (outputs, inputs)
    yield f'{name}.bias', (outputs,)


def _vgg(name, has_norm):
    position, channels = 0, 3
    for item in VGG[name].split():
        if item == 'M':
            position += 1
            continue
        yield f'features.{position}.weight', (int(item), channels, 3, 3)
        yield f'features.{position}.bias', (int(item),)
        channels = int(item)
        if has_norm:
            yield from _norm(f'features.{position + 1}', channels)
        position += 2 + has_norm
    yield from _dense('classifier.0', 512 * 7 * 7, 4096)
    yield from _dense('classifier.3', 4096, 4096)
    yield from _dense('classifier.6', 4096, 1000)


def _resnet(name):
    is_bottleneck = name not in ('resnet18', 'resnet34')
    yield 'conv1.weight', (64, 3, 7, 7)
    yield from _norm('bn1', 64)
    channels = 64
    for i, count in enumerate(RESNET[name]):
        inner = 64 * 2**i
        outer = 4 * inner if is_bottleneck else inner
        for j in range(count):
            block = f'layer{i + 1}.{j}'
            if is_bottleneck:
                chain = [(channels, inner, 1), (inner, inner, 3), (inner, outer, 1)]
            else:
                chain = [(channels, inner, 3), (inner, inner, 3)]
            for k, (inputs, outputs, size) in enumerate(chain, start=1):
                yield f'{block}.conv{k}.weight', (outputs, inputs, size, size)
                yield from _norm(f'{block}.bn{k}', outputs)
            if channels != outer:
                yield f'{block}.downsample.0.weight', (outer, channels, 1, 1)
                yield from _norm(f'{block}.downsample.1', outer)
            channels = outer
    yield from _dense('fc', channels, 1000)
