"""Converts weights from PyTorch and back, and reads and writes files of them. No JAX.

The names are those of the common sources of weights: torchvision's `vgg*` and `resnet*`; for small
images, akamaster's `resnet*` (conv1, bn1, layer1.0.…, shortcut.0, linear) and kuangliu's `VGG`
(features.0, classifier). Parts that these networks lack are named in the same manner: `bn` is the
last norm of a preactivation network, `layer1.0.gate` is a gate.

PyTorch stores a convolution as [outputs, inputs, height, width] and a dense layer as [outputs,
inputs], and it flattens images with the channels first. Kernels are therefore transposed, and the
columns of a vgg's first dense layer are reordered as well. PyTorch itself is needed only to read
.pth files.

The .safetensors files that `save` writes also hold a description of their network, so that weights
are not loaded into another network whose shapes happen to be the same.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from vggres.errors import UserError
from vggres.files import write_atomically
from vggres.networks import description as descriptions
from vggres.networks import spec
from vggres.networks.description import Description

if TYPE_CHECKING:
    from vggres.networks.network import Network

StateDict = Mapping[str, Any]  # numpy arrays or torch tensors by name
_TORCH_SUFFIXES = ('.pth', '.pt', '.th')
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)  # importing it makes it known to numpy and safetensors
# Where checkpoints that hold more than weights keep the weights.
_CHECKPOINT_KEYS = ('state_dict', 'model_state_dict', 'model', 'net')
_METADATA_KEY = 'vggres'  # of the description in the metadata of a .safetensors file
_NEW_HEAD = ' init.new_head=True leaves the head out.'
_SHOWN = 4  # how many names a message lists of each side


@dataclass(frozen=True)
class _Entry:
    """One array of a network.

    Attributes:
        torch_name: its name in PyTorch.
        torch_shape: its shape in PyTorch.
        path: where it lies in the variables: collection, modules, leaf.
        index: its place in a stack of blocks; None where nothing is stacked.
        pool_size: height and width in pixels of the input that a dense layer flattens; 1 otherwise.
    """

    torch_name: str
    torch_shape: tuple[int, ...]
    path: tuple[str, ...]
    index: int | None
    pool_size: int

    def from_torch(self, array: np.ndarray) -> np.ndarray:
        """Rearranges an array of PyTorch's layout into ours."""
        if array.ndim == 4:
            return array.transpose(2, 3, 1, 0)
        if array.ndim == 2:
            outputs, size = len(array), self.pool_size
            return array.reshape(outputs, -1, size, size).transpose(2, 3, 1, 0).reshape(-1, outputs)
        return array

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Rearranges an array of our layout into PyTorch's."""
        if array.ndim == 4:
            return array.transpose(3, 2, 0, 1)
        if array.ndim == 2:
            outputs, size = array.shape[1], self.pool_size
            return array.reshape(size, size, -1, outputs).transpose(3, 2, 0, 1).reshape(outputs, -1)
        return array


def from_torch(
    network: 'Network', state_dict: Mapping[str, Any] | str | Path, channels: int = 3
) -> dict:
    """Converts the weights of a PyTorch network into the variables of a network.

    >>> import jax
    >>> import vggres
    >>> network = vggres.create('cifar_resnet20', num_classes=10, depth=8)
    >>> images = jax.numpy.zeros((1, 32, 32, 3))
    >>> variables = network.init(jax.random.key(0), images, train=False)
    >>> state_dict = vggres.torch_weights.to_torch(network, variables)
    >>> state_dict['layer2.0.conv1.weight'].shape
    (32, 16, 3, 3)
    >>> variables = vggres.torch_weights.from_torch(network, state_dict)

    Args:
        network: the network that takes the weights.
        state_dict: numpy arrays or torch tensors of any float type by name, or the path of a file
            that holds them (see `load`). Names may start with 'module.', and the counters
            `num_batches_tracked` are ignored.
        channels: number of channels of the images.

    Returns:
        The collections `params` and, if there is batch norm, `batch_stats`: nested dicts of float32
        arrays.

    Raises:
        UserError: if names or shapes differ, if a file cannot be read, or if a file's description
            says that its weights belong to another network. Pass `load(path)` to use those weights
            all the same.
    """
    if isinstance(state_dict, str | Path):
        return read(state_dict, network.spec, network.num_classes, channels)
    entries = list(_entries(network.spec, network.num_classes, channels))
    return _variables(entries, _clean(state_dict))


def read(
    path: str | Path,
    network_spec: spec.NetworkSpec,
    num_classes: int,
    channels: int,
    new_head: bool = False,
) -> dict:
    """Reads the variables of a network from a file.

    Args:
        path: a file that `load` reads.
        network_spec: the network that takes the weights.
        num_classes: number of outputs of the head.
        channels: number of channels of the images.
        new_head: whether to leave the head out, whatever classes the file's head tells apart.

    Returns:
        Nested dicts of float32 arrays, as `from_torch` returns them.

    Raises:
        UserError: if the file cannot be read, or if its description, its names or its shapes do not
            fit the network. The message names the file.
    """
    arrays = _clean(load(path))
    if stored := read_description(path):
        asked_classes = stored.num_classes if new_head else num_classes
        if misfit := _misfit(stored, network_spec, asked_classes, channels):
            raise UserError(f'{path}: {misfit}')
    entries = list(_entries(network_spec, num_classes, channels))
    head = {entry.torch_name: entry for entry in entries if 'head' in entry.path}
    if new_head:
        entries = [entry for entry in entries if entry.torch_name not in head]
        arrays = {name: array for name, array in arrays.items() if name not in head}
    try:
        return _variables(entries, arrays)
    except UserError as error:
        body_differs = _differences(
            [entry for entry in entries if entry.torch_name not in head],
            {name: array for name, array in arrays.items() if name not in head},
        )
        hint = '' if new_head or body_differs else _NEW_HEAD
        raise UserError(f'{path}: {error}{hint}') from None


def _misfit(
    stored: Description, network_spec: spec.NetworkSpec, num_classes: int, channels: int
) -> str:
    """Says what keeps the described weights from fitting what is asked for; '' if nothing does."""
    if words := descriptions.difference(stored, network_spec):
        return f'{words}.'
    if stored.channels != channels:
        plural = 's' if stored.channels > 1 else ''
        return f'the weights are for images with {stored.channels} channel{plural}, not {channels}.'
    if stored.num_classes != num_classes:
        return f'the weights are for {stored.num_classes} classes, not {num_classes}.{_NEW_HEAD}'
    return ''


def _variables(entries: list[_Entry], arrays: StateDict) -> dict:
    """Arranges PyTorch's arrays as variables; stacks those of blocks that are alike."""
    _check(entries, arrays)
    stacks: dict[tuple[str, ...], list[np.ndarray]] = {}
    for entry in entries:
        array = entry.from_torch(_as_float32(entry.torch_name, arrays[entry.torch_name]))
        stacks.setdefault(entry.path, []).append(array)
    stacked = {entry.path for entry in entries if entry.index is not None}
    variables: dict = {}
    for (*parents, leaf), parts in stacks.items():
        place = variables
        for name in parents:
            place = place.setdefault(name, {})
        whole = np.stack(parts) if (*parents, leaf) in stacked else parts[0]
        place[leaf] = np.array(whole, np.float32, order='C')
    return variables


def to_torch(network: 'Network', variables: Mapping) -> dict[str, np.ndarray]:
    """Converts the variables of a network into a PyTorch state_dict; `from_torch` is the inverse.

    Args:
        network: the network.
        variables: its collections `params` and, if there is batch norm, `batch_stats`.

    Returns:
        float32 arrays in PyTorch's layout, by PyTorch's names.

    Raises:
        UserError: if the variables are not those of the network.
    """
    path, _ = spec.place(network.spec, spec.first_convolution(network.spec))
    channels = _leaf(variables, ('params', *path, 'kernel')).shape[-2]
    entries = list(_entries(network.spec, network.num_classes, channels))
    arrays = {e.path: np.asarray(_leaf(variables, e.path), np.float32) for e in entries}
    _check_leaves(entries, variables)
    state_dict = {}
    for entry in entries:
        array = arrays[entry.path]
        array = array if entry.index is None else array[entry.index]
        state_dict[entry.torch_name] = np.array(entry.to_torch(array), order='C')
    _check(entries, state_dict)
    return state_dict


def describe(network: 'Network', channels: int = 3) -> Description:
    """Describes a network for the file of its weights (see `save`).

    Args:
        network: the network to which the weights belong.
        channels: number of channels of its images.

    Raises:
        UserError: if no options describe the network, because it was put together by hand.
    """
    return descriptions.of_network(network.spec, network.num_classes, channels)


def load(path: str | Path) -> dict[str, Any]:
    """Loads the state_dict in a file: .safetensors, or .pth, .pt or .th as PyTorch saves them.

    The latter are read with `weights_only`, so that no code in them runs.

    Returns:
        numpy arrays or, from a file that PyTorch saved, torch tensors, by name.

    Raises:
        UserError: if the file is missing, damaged or of another kind, or if PyTorch is needed and
            not installed.
    """
    path = _existing(path)
    if path.suffix != '.safetensors':
        return _load_with_torch(path)
    try:
        return dict(safetensors.numpy.load_file(path))
    except safetensors.SafetensorError as error:
        raise UserError(f'{path} is no whole safetensors file: {error}') from None
    except (AttributeError, TypeError) as error:
        raise UserError(f'{path} holds numbers of a type that is not supported: {error}') from None


def read_description(path: str | Path) -> Description | None:
    """Reads which network the weights in a file belong to.

    Args:
        path: a file that `load` reads.

    Returns:
        What `save` was given, or None if the file has no description: a file that PyTorch saved, or
        a .safetensors file of another origin.

    Raises:
        UserError: if the file is missing or of another kind, or if the file or its description is
            damaged.
    """
    path = _existing(path)
    if path.suffix != '.safetensors':
        return None
    try:
        with safetensors.safe_open(path, framework='numpy') as file:
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise UserError(f'{path} is no whole safetensors file: {error}') from None
    if _METADATA_KEY not in metadata:
        return None
    try:
        return descriptions.from_json(metadata[_METADATA_KEY])
    except UserError as error:
        raise UserError(f'{path}: {error}.') from None


def described_network(path: str | Path) -> spec.NetworkSpec:
    """The network whose weights are in a file that says so.

    Raises:
        UserError: where it does not say, or as `read_description`.
    """
    if found := read_description(path):
        return found.network_spec
    raise UserError(
        f'{path} does not say which network its weights belong to: it has to be a .safetensors '
        'file that vggres wrote.'
    )


def save(path: str | Path, state_dict: StateDict, description: Description | None = None) -> None:
    """Writes weights and the description of their network to a .safetensors file.

    The file appears whole or not at all.

    >>> import jax
    >>> import vggres
    >>> from vggres.networks.network import Network
    >>> network = vggres.create('cifar_resnet20', num_classes=10, depth=8)
    >>> images = jax.numpy.zeros((1, 32, 32, 3))
    >>> variables = network.init(jax.random.key(0), images, train=False)
    >>> weights = vggres.torch_weights.to_torch(network, variables)
    >>> description = vggres.torch_weights.describe(network)
    >>> vggres.torch_weights.save('weights.safetensors', weights, description)

    The file alone is enough to build the network again:

    >>> described = vggres.torch_weights.read_description('weights.safetensors')
    >>> network = Network(described.network_spec, described.num_classes)
    >>> variables = vggres.torch_weights.from_torch(network, 'weights.safetensors')

    Args:
        path: the file; its name must end in .safetensors.
        state_dict: arrays by name, as `to_torch` returns them.
        description: of the network to which the weights belong (see `describe`). Without one, the
            shapes of the arrays are all that a reader can check.

    Raises:
        UserError: if the path does not end in .safetensors.
    """
    if Path(path).suffix != '.safetensors':
        raise UserError(f'weights are written to .safetensors files, not to {str(path)!r}.')
    # safetensors writes the memory of an array as it lies, so that it has to be contiguous.
    arrays = {name: np.ascontiguousarray(_as_array(value)) for name, value in state_dict.items()}
    metadata = {_METADATA_KEY: descriptions.to_json(description)} if description else None
    write_atomically(Path(path), safetensors.numpy.save(arrays, metadata))


def _existing(path: str | Path) -> Path:
    """The path of a file that may hold weights; raises UserError if it cannot."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f'no weights file {str(path)!r}{" (it is a directory)" * path.is_dir()}.')
    if path.suffix not in ('.safetensors', *_TORCH_SUFFIXES):
        allowed = ', '.join(('.safetensors', *_TORCH_SUFFIXES))
        raise UserError(f'weights are read from {allowed} files, not from {str(path)!r}.')
    return path


def _load_with_torch(path: Path) -> dict[str, Any]:
    if find_spec('torch') is None:
        raise UserError(
            f"{path}: reading {path.suffix} files needs PyTorch (pip install 'vggres[torch]'); "
            '.safetensors files do not.'
        )
    import torch  # pyright: ignore[reportMissingImports]  # an extra

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # PyTorch warns of its older formats
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception:  # a damaged pickle may raise any exception
        raise UserError(
            f'{path} is damaged, or holds more than weights. Only files that '
            'torch.save(model.state_dict(), …) wrote are read.'
        ) from None
    if isinstance(content, Mapping):
        for key in _CHECKPOINT_KEYS:
            content = content[key] if isinstance(content.get(key), Mapping) else content
    if not isinstance(content, Mapping):
        raise UserError(f'{path} holds a {type(content).__name__}, not a state_dict.')
    return dict(content)


def _entries(network_spec: spec.NetworkSpec, num_classes: int, channels: int) -> Iterator[_Entry]:
    """Lists all arrays of a network, in the order of the forward pass."""
    size, head = network_spec.smallest_image, network_spec.head
    first_dense = 'dense1' if head.hidden else 'head'
    for layer in spec.layers(network_spec, (size, size, channels), num_classes):
        path, index = spec.place(network_spec, layer.name)
        name = _torch_name(network_spec, layer.name)
        pool_size = head.pool_size if layer.name == first_dense else 1
        for suffix, shape, collection, leaf in _arrays(layer):
            here = (collection, *path, leaf)
            yield _Entry(f'{name}.{suffix}', shape, here, index, pool_size)


def _arrays(layer: spec.Layer) -> Iterator[tuple[str, tuple[int, ...], str, str]]:
    """Lists the arrays of a layer: suffix and shape in PyTorch, collection and leaf here."""
    if layer.kind == 'factor':
        yield 'scale', layer.shape, 'params', 'scale'
        return
    *inner, outputs = layer.shape
    if layer.kind == 'norm':
        yield 'weight', (outputs,), 'params', 'scale'
        yield 'bias', (outputs,), 'params', 'bias'
        yield 'running_mean', (outputs,), 'batch_stats', 'mean'
        yield 'running_var', (outputs,), 'batch_stats', 'var'
        return
    *window, inputs = inner
    yield 'weight', (outputs, inputs, *window), 'params', 'kernel'
    if layer.bias:
        yield 'bias', (outputs,), 'params', 'bias'


def _torch_name(network_spec: spec.NetworkSpec, name: str) -> str:
    """The name of a layer in PyTorch."""
    stem, num_hidden = network_spec.stem, len(network_spec.head.hidden)
    if name.startswith('dense'):  # ReLU and dropout follow each, and are numbered as well
        return f'classifier.{3 * (int(name[len("dense") :]) - 1)}'
    if name == 'head' and stem is None:
        return f'classifier.{3 * num_hidden}' if num_hidden else 'classifier'
    if stem is not None and '/' not in name:
        head = 'fc' if stem.pool else 'linear'
        return {'stem': 'conv1', 'stem_norm': 'bn1', 'head_norm': 'bn', 'head': head}[name]

    stage, block, part = name.split('/')
    i, j = int(stage[len('stage') :]) - 1, int(block[len('block') :]) - 1
    if stem is None:
        kind, k = part[:-1], int(part[-1]) - 1  # conv1, norm1, conv2, …
        return f'features.{_feature(network_spec, i, j, k) + (kind == "norm")}'
    projection = 'downsample' if stem.pool else 'shortcut'
    names = {'projection': f'{projection}.0', 'projection_norm': f'{projection}.1'}
    return f'layer{i + 1}.{j}.{names.get(part, part.replace("norm", "bn"))}'


def _feature(network_spec: spec.NetworkSpec, i: int, j: int, k: int) -> int:
    """The position of a vgg's convolution in its sequence of convolutions, norms, ReLUs and pools.

    Shortcuts have no weights, so that the names are the same with and without them.

    Args:
        network_spec: the vgg.
        i: index of the stage, from 0.
        j: index of the block in the stage, from 0.
        k: index of the convolution in the block, from 0.
    """
    stages = network_spec.stages
    before = [block for stage in stages[:i] for block in stage.blocks] + [*stages[i].blocks[:j]]
    convolutions = sum(len(block.convolutions) for block in before) + k
    return convolutions * (3 if stages[i].blocks[j].norm else 2) + i


def _clean(state_dict: StateDict) -> dict[str, Any]:
    """Drops counters of batches, and the prefix of PyTorch's data parallelism."""
    if not isinstance(state_dict, Mapping):
        kind = type(state_dict).__name__
        raise UserError(f'weights must be arrays by name, as in a state_dict, not a {kind}.')
    return {
        str(name).removeprefix('module.'): array
        for name, array in state_dict.items()
        if not str(name).endswith('num_batches_tracked')
    }


def _check(entries: list[_Entry], arrays: StateDict) -> None:
    if differences := _differences(entries, arrays):
        raise UserError(f'the weights do not fit this network: {"; ".join(differences)}.')


def _differences(entries: list[_Entry], arrays: StateDict) -> list[str]:
    """Lists in what way arrays and network differ: names on either side, then shapes."""
    expected = {entry.torch_name: entry.torch_shape for entry in entries}
    given = {name: _shape(array) for name, array in arrays.items()}
    shapes = [
        f'{name} is {given[name]} in the weights and {expected[name]} in the network'
        for name in expected
        if name in given and given[name] != expected[name]
    ]
    only = {
        'the weights have': [name for name in given if name not in expected],
        'the network has': [name for name in expected if name not in given],
    }
    lines = [f'only {side} {_first(names, ", ")}' for side, names in only.items() if names]
    return [*lines, _first(shapes, '; ')] if shapes else lines


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(getattr(array, 'shape', ()))


def _first(words: list[str], between: str) -> str:
    """Joins the first words and counts the others."""
    more = len(words) - _SHOWN
    return between.join(words[:_SHOWN]) + (f' and {more} more' if more > 0 else '')


def _as_array(array: Any) -> np.ndarray:
    if hasattr(array, 'detach'):  # a torch tensor, which may be bfloat16; numpy has none
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    return np.asarray(array)


def _as_float32(name: str, value: Any) -> np.ndarray:
    array = _as_array(value)
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != _BFLOAT16:
        raise UserError(f'{name} holds {array.dtype} numbers; weights must be floating-point.')
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise UserError(f'{name} holds numbers that are not finite.')
    return array


def _check_leaves(entries: list[_Entry], variables: Mapping) -> None:
    """Raises UserError if the variables have more leaves than the network, or other stacks."""
    stacks = Counter(entry.path for entry in entries)
    stacked = {entry.path for entry in entries if entry.index is not None}
    weights = {name: variables.get(name, {}) for name in ('params', 'batch_stats')}
    leaves = {path: np.shape(leaf) for path, leaf in _leaves(weights)}
    if more := ['/'.join(path) for path in leaves.keys() - stacks.keys()]:
        raise UserError(f'the network has no {_first(sorted(more), ", ")}, but the variables have.')
    for path in stacked:
        if leaves[path][0] != stacks[path]:
            raise UserError(
                f'{"/".join(path)} stacks {leaves[path][0]} blocks in the variables and '
                f'{stacks[path]} in the network.'
            )


def _leaves(tree: Mapping, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Lists the leaves of nested dicts with their paths."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _leaf(variables: Mapping, path: tuple[str, ...]) -> np.ndarray:
    """The array at a path in the variables; raises UserError if there is none."""
    tree: Any = variables
    for name in path:
        if name not in tree:
            raise UserError(
                f'the variables have no {"/".join(path)}: they belong to another network.'
            )
        tree = tree[name]
    return tree
