"""Weights as PyTorch has them, both ways. Neither JAX nor PyTorch is needed, but for .pth files.

Names are those of the common sources of weights: torchvision's `vgg*` and `resnet*`; for small
images akamaster's `resnet*` (conv1, bn1, layer1.0.…, shortcut.0, linear) and kuangliu's `VGG`
(features.0, classifier). Parts that these lack are named in their manner: `bn` is the last norm of
a preactivation network, `layer1.0.gate` a gate.

PyTorch stores a convolution [out, in, height, width] and a dense layer [out, in], and it flattens
channels first: the columns of a vgg's first dense layer are reordered.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from vggres.errors import UserError
from vggres.files import write_atomically
from vggres.networks import spec

if TYPE_CHECKING:
    from vggres.networks.network import Network

StateDict = Mapping[str, np.ndarray]
_TORCH_SUFFIXES = ('.pth', '.pt', '.th')
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)  # importing it lets numpy, and safetensors, know it
_CHECKPOINT_KEYS = (
    'state_dict',
    'model_state_dict',
    'model',
    'net',
)  # of the weights among other things
_SHOWN = 4  # names of a mismatch, each side


@dataclass(frozen=True)
class _Entry:
    """One array: its name and shape in PyTorch, and where it lies here."""

    torch_name: str
    torch_shape: tuple[int, ...]
    path: tuple[str, ...]  # collection, modules, leaf
    index: int | None  # in a stack
    pool_size: int  # of a dense layer behind a pooling to more than 1×1; else 1

    def from_torch(self, array: np.ndarray) -> np.ndarray:
        if array.ndim == 4:
            return array.transpose(2, 3, 1, 0)
        if array.ndim == 2:
            outputs, size = len(array), self.pool_size
            return array.reshape(outputs, -1, size, size).transpose(2, 3, 1, 0).reshape(-1, outputs)
        return array

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        if array.ndim == 4:
            return array.transpose(3, 2, 0, 1)
        if array.ndim == 2:
            outputs, size = array.shape[1], self.pool_size
            return array.reshape(size, size, -1, outputs).transpose(3, 2, 0, 1).reshape(outputs, -1)
        return array


def from_torch(
    network: 'Network', state_dict: Mapping[str, object] | str | Path, channels: int = 3
) -> dict:
    """The variables of a network from a PyTorch state_dict.

    Args:
        network: takes the weights; its `spec` and `num_classes` count.
        state_dict: numpy arrays or torch tensors of any float type, by name, or the path of a file
            that holds them (see `load`). Names may start with 'module.', and `num_batches_tracked`
            is passed over.
        channels: of the images.

    Returns:
        `params` and, where there is batch norm, `batch_stats`: nested dicts of float32 arrays.

    Raises:
        UserError: where names or shapes differ, listing both sides, or the file cannot be read.
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
    """The variables of a network from a file (see `load` and `from_torch`).

    Args:
        path: the file.
        network_spec: takes the weights.
        num_classes: outputs of the head.
        channels: of the images.
        new_head: leave the head out, whatever classes one in the file tells apart.

    Raises:
        UserError: naming the file, where it or what it holds does not fit.
    """
    arrays = _clean(load(path))
    entries = list(_entries(network_spec, num_classes, channels))
    head = {entry.torch_name: entry for entry in entries if 'head' in entry.path}
    if new_head:
        entries = [entry for entry in entries if entry.torch_name not in head]
        arrays = {name: array for name, array in arrays.items() if name not in head}
    try:
        return _variables(entries, arrays)
    except UserError as error:
        body_fits = _differences(
            [entry for entry in entries if entry.torch_name not in head],
            {name: array for name, array in arrays.items() if name not in head},
        )
        hint = '' if new_head or body_fits else ' init.new_head=True leaves the head out.'
        raise UserError(f'{path}: {error}{hint}') from None


def _variables(entries: list[_Entry], arrays: Mapping[str, object]) -> dict:
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
    """A PyTorch state_dict, float32, of a network's variables: `from_torch` backwards, exactly.

    Raises:
        UserError: where the variables are not those of the network.
    """
    stem = 'stem' if network.spec.stem else 'stage1/block1/conv1'
    path, _ = spec.place(network.spec, stem)
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


def load(path: str | Path) -> dict[str, object]:
    """The state_dict in a file: .safetensors, or .pth, .pt or .th as PyTorch saves them.

    The latter are read with `weights_only`, so that no code in them runs.

    Raises:
        UserError: where the file is missing, damaged or of another kind, or PyTorch is not there.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'no weights file {str(path)!r}{" (it is a directory)" * path.is_dir()}.')
    if path.suffix == '.safetensors':
        try:
            return safetensors.numpy.load_file(path)
        except safetensors.SafetensorError as error:
            raise UserError(f'{path} is no whole safetensors file: {error}') from None
        except (AttributeError, TypeError) as error:
            raise UserError(f'{path} holds numbers of a kind that is not read: {error}') from None
    if path.suffix not in _TORCH_SUFFIXES:
        allowed = ', '.join(('.safetensors', *_TORCH_SUFFIXES))
        raise UserError(f'weights are read from {allowed} files, not from {str(path)!r}.')
    return _load_with_torch(path)


def save(path: str | Path, state_dict: StateDict) -> None:
    """Writes a .safetensors file, whole or not at all.

    Raises:
        UserError: for a path that does not end in .safetensors.
    """
    if Path(path).suffix != '.safetensors':
        raise UserError(f'weights are written to .safetensors files, not to {str(path)!r}.')
    arrays = {name: np.ascontiguousarray(_as_array(value)) for name, value in state_dict.items()}
    write_atomically(Path(path), safetensors.numpy.save(arrays))  # it takes any for contiguous


def _load_with_torch(path: Path) -> dict[str, object]:
    if find_spec('torch') is None:
        raise UserError(
            f"{path}: reading {path.suffix} files needs PyTorch (pip install 'vggres[torch]'); "
            '.safetensors files do not.'
        )
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of old formats
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception:  # a damaged pickle raises anything
        raise UserError(
            f'{path} is damaged, or holds more than weights: it is read with weights_only, as '
            'torch.save(model.state_dict(), …) writes it.'
        ) from None
    if isinstance(content, Mapping):
        for key in _CHECKPOINT_KEYS:
            content = content[key] if isinstance(content.get(key), Mapping) else content
    if not isinstance(content, Mapping):
        raise UserError(f'{path} holds a {type(content).__name__}, not a state_dict.')
    return dict(content)


def _entries(network_spec: spec.NetworkSpec, num_classes: int, channels: int) -> Iterator[_Entry]:
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
    """Of each array of a layer: suffix and shape in PyTorch, collection and leaf here."""
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
    """What PyTorch's users call a layer."""
    stem, num_hidden = network_spec.stem, len(network_spec.head.hidden)
    if name.startswith('dense'):  # each is followed by ReLU and dropout
        return f'classifier.{3 * (int(name[len("dense") :]) - 1)}'
    if name == 'head' and stem is None:
        return f'classifier.{3 * num_hidden}' if num_hidden else 'classifier'
    if '/' not in name:
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
    """A vgg's convolution in its sequence of convolutions, norms, ReLUs and pools.

    Shortcuts have no weights: with and without them the names are the same.
    """
    stages = network_spec.stages
    before = [block for stage in stages[:i] for block in stage.blocks] + [*stages[i].blocks[:j]]
    convolutions = sum(len(block.convolutions) for block in before) + k
    return convolutions * (3 if stages[i].blocks[j].norm else 2) + i


def _clean(state_dict: Mapping[str, object]) -> dict[str, object]:
    if not isinstance(state_dict, Mapping):
        kind = type(state_dict).__name__
        raise UserError(f'weights are arrays by name, as in a state_dict, not a {kind}.')
    return {
        str(name).removeprefix('module.'): array
        for name, array in state_dict.items()
        if not str(name).endswith('num_batches_tracked')
    }


def _check(entries: list[_Entry], arrays: Mapping[str, object]) -> None:
    if differences := _differences(entries, arrays):
        raise UserError(f'the weights are not those of this network: {"; ".join(differences)}.')


def _differences(entries: list[_Entry], arrays: Mapping[str, object]) -> list[str]:
    expected = {entry.torch_name: entry.torch_shape for entry in entries}
    given = {name: _shape(array) for name, array in arrays.items()}
    shapes = [
        f'{name} is {given[name]} in the weights and {expected[name]} in the network'
        for name in expected
        if name in given and given[name] != expected[name]
    ]
    only = {
        'the weights': [name for name in given if name not in expected],
        'the network': [name for name in expected if name not in given],
    }
    lines = [f'only in {side}: {_first(names, ", ")}' for side, names in only.items() if names]
    return [*lines, _first(shapes, '; ')] if shapes else lines


def _shape(array: object) -> tuple[int, ...]:
    return tuple(getattr(array, 'shape', ()))


def _first(words: list[str], between: str) -> str:
    more = len(words) - _SHOWN
    return between.join(words[:_SHOWN]) + (f' and {more} more' if more > 0 else '')


def _as_array(array: object) -> np.ndarray:
    if hasattr(array, 'detach'):  # a torch tensor; numpy has no bfloat16
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    return np.asarray(array)


def _as_float32(name: str, array: object) -> np.ndarray:
    array = _as_array(array)
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != _BFLOAT16:
        raise UserError(f'{name} holds {array.dtype} numbers; weights are floating-point.')
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise UserError(f'{name} holds numbers that are not finite.')
    return array


def _check_leaves(entries: list[_Entry], variables: Mapping) -> None:
    """Raises UserError where the variables have more leaves or stacks of another length."""
    stacks = Counter(entry.path for entry in entries)
    stacked = {entry.path for entry in entries if entry.index is not None}
    weights = {name: variables.get(name, {}) for name in ('params', 'batch_stats')}
    leaves = {path: np.shape(leaf) for path, leaf in _leaves(weights)}
    if more := ['/'.join(path) for path in leaves.keys() - stacks.keys()]:
        raise UserError(f'only in the variables, not in the network: {_first(sorted(more), ", ")}.')
    for path in stacked:
        if leaves[path][0] != stacks[path]:
            raise UserError(
                f'{"/".join(path)} stacks {leaves[path][0]} blocks in the variables and '
                f'{stacks[path]} in the network.'
            )


def _leaves(tree: Mapping, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _leaf(variables: Mapping, path: tuple[str, ...]) -> np.ndarray:
    for name in path:
        if name not in variables:
            raise UserError(f'no {"/".join(path)} in the variables: they are of another network.')
        variables = variables[name]
    return variables
