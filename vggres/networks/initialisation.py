"""Turns the random weights that a network draws into those of another initialisation scheme.

Every scheme starts from the same normal numbers, so that networks of one seed under two schemes
are as alike as the schemes allow. The normal schemes give each kernel another variance. The others
give the kernels of the main path a structure, whatever the depth:

* `dirac`: a convolution that keeps the number of channels returns its input (the Dirac kernel of
  Zagoruyko & Komodakis 2017, arXiv 1706.00388: 1 at the centre tap from each channel to itself).
  Where the number of channels changes there is no identity. A rectangular one would leave the new
  channels at exactly 0, where the ReLU has derivative 0, so that they would stay dead; these
  convolutions, which are the stem and the first of most stages, keep what He's scheme draws. A
  Dirac kernel with a stride, as in bottlenecks in torchvision's manner, subsamples its input.
* `delta_orthogonal`: zero but for the centre tap, which is an orthogonal matrix with Haar's
  distribution, or a semi-orthogonal one where the number of channels changes (Xiao et al. 2018,
  arXiv 1806.05393, §2 and Algorithm 1). It preserves norms: all its singular values are 1. The
  paper's networks have tanh; no gain is added for the ReLU, because batch norm divides any gain
  out. Without batch norm, each ReLU halves the energy of the signal.
* `looks_linear`: half of the channels mirror the other half, so that one of relu(u) and relu(−u)
  always passes, and a fresh network of convolutions, batch norms and ReLUs is linear (Balduzzi et
  al. 2017, arXiv 1702.08591, §5). The first layer is (W, −W), each layer between is
  ((W, −W), (−W, W)), and the last one (W; −W). He's variance for a layer of all channels is that
  which a linear layer of half of the inputs needs, so that W is a part of what is drawn.
* `fixup`: residual branches without a norm start at zero, and so do the logits (`fixup_factor`).

Dense layers keep what He's scheme draws, except for the mirrored head of `looks_linear`; so do
projections and gates, which are not on the main path.

One compiled program serves the normal schemes. The others are made of what it draws on the host, by
numpy: that happens once a run, and needs no program. JAX is imported where it is needed, so that
the names of the schemes can be looked up without it.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from vggres.errors import UserError, unknown
from vggres.networks import spec

if TYPE_CHECKING:
    import jax

# The variance of a kernel's elements under each normal scheme, by the variance that `network` draws
# them with, the kernel's fan in and its fan out.
VARIANCES: dict[str, Callable[[float, int, int], float]] = {
    # He et al. 2015 (arXiv 1502.01852), §2.2: 2 / fan out for convolutions (the backward case) and
    # 2 / fan in for dense layers. It is what `network` draws.
    'he': lambda drawn, fan_in, fan_out: drawn,
    # Glorot & Bengio 2010, eq. 12. Their distribution is uniform (eq. 16), this one is normal.
    'glorot': lambda drawn, fan_in, fan_out: 2 / (fan_in + fan_out),
    # Simonyan & Zisserman 2015 (arXiv 1409.1556), §3.1: the same variance in every layer.
    'vgg': lambda drawn, fan_in, fan_out: 1e-2,
}
STRUCTURED = ('dirac', 'delta_orthogonal', 'looks_linear', 'fixup')
SCHEMES = (*VARIANCES, *STRUCTURED)

_OFF_THE_MAIN_PATH = ('projection', 'gate')


def fixup_factor(layer: str, num_layers: int, num_blocks: int) -> float:
    """The factor by which Fixup multiplies the kernel of a layer.

    Each residual branch starts at zero, and so do the logits, which leaves L blocks whose first
    updates change the logits by an amount that does not depend on L (Zhang, Dauphin & Ma 2019,
    arXiv 1901.09321, §3, rules 1 and 2). The scalar multiplier of rule 3 is
    `model.shortcut.learned_branch_scale`. Its scalar biases are the biases of the convolutions
    here, one for each channel and behind each convolution, of which the paper has one for each
    layer and on both sides.

    >>> fixup_factor('conv1', num_layers=2, num_blocks=16), fixup_factor('conv2', 2, 16)
    (0.25, 0.0)

    Args:
        layer: 'conv1', 'conv2', … in a residual branch, or another layer, such as 'head'.
        num_layers: number of convolutions of the residual branch; 0 outside of the branches.
        num_blocks: number of residual blocks of the network, L.
    """
    if layer in ('head', f'conv{num_layers}'):
        return 0.0
    if not layer.startswith('conv'):
        return 1.0
    return num_blocks ** (-1 / (2 * num_layers - 2))


def index(scheme: str) -> int:
    """Numbers a normal scheme, so that one compiled program serves all of them.

    >>> index('glorot')
    1

    Args:
        scheme: one of `VARIANCES`.

    Raises:
        UserError: if there is no such scheme.
    """
    if scheme not in VARIANCES:
        raise unknown('scheme', scheme, VARIANCES)
    return list(VARIANCES).index(scheme)


def identities(network_spec: spec.NetworkSpec) -> list[str]:
    """Names the convolutions that return their input under the scheme 'dirac'.

    >>> from vggres.networks.grammar import network_spec
    >>> identities(network_spec('plain', 8))
    ['stage1/block1/conv1', 'stage1/block1/conv2', 'stage2/block1/conv2', 'stage3/block1/conv2']

    Args:
        network_spec: the network. Its images are taken to have fewer channels than its stem.
    """
    size = network_spec.smallest_image
    shapes = {
        layer.name: layer.shape
        for layer in spec.layers(network_spec, (size, size, 1), 1)
        if layer.kind == 'convolution'
    }
    found = []
    for i, stage in enumerate(network_spec.stages, start=1):
        for j, block in enumerate(stage.blocks, start=1):
            for k, convolution in enumerate(block.convolutions, start=1):
                *_, inputs, outputs = shapes[name := f'stage{i}/block{j}/conv{k}']
                if inputs == outputs and convolution.stride == 1:
                    found.append(name)
    return found


def check(scheme: str, network_spec: spec.NetworkSpec) -> None:
    """Checks that a scheme does in a network what it is made for.

    Raises:
        UserError: for 'looks_linear' in a network that has shortcuts, max-pools or an odd number of
            channels, so that it would not be linear.
    """
    if scheme == 'looks_linear' and (obstacle := _nonlinear(network_spec)):
        raise UserError(
            "init.scheme='looks_linear' makes plain networks for small images linear before "
            f'training; this network has {obstacle}.'
        )


def _nonlinear(network_spec: spec.NetworkSpec) -> str:
    """What keeps a network with mirrored weights from being linear; '' if nothing does."""
    stem, blocks = network_spec.stem, [b for s in network_spec.stages for b in s.blocks]
    if any(block.shortcut for block in blocks):
        return 'shortcuts'
    if any(stage.pool for stage in network_spec.stages) or (stem and stem.pool):
        return 'max-pools'
    channels = {c.channels for block in blocks for c in block.convolutions}
    if odd := sorted(each for each in channels if each % 2):
        return f'layers of {odd[0]} channels, which cannot be mirrored'
    return ''


def rescaled(params: dict, scheme: 'str | int | jax.Array') -> dict:
    """Gives each kernel the variance that a normal scheme prescribes, and leaves the rest as it is.

    >>> import jax.numpy as jnp
    >>> params = {'head': {'kernel': jnp.ones((50, 30)), 'bias': jnp.ones(30)}}
    >>> float(rescaled(params, 'vgg')['head']['kernel'][0, 0])  # √(0.01 / (2/50))
    0.5

    Args:
        params: the parameters that `Network.init` draws.
        scheme: the name of a normal scheme or, in a compiled program, its traced `index`.

    Returns:
        Parameters of the same shapes, float32.

    Raises:
        UserError: if there is no normal scheme of that name.
    """
    import jax
    import jax.numpy as jnp

    chosen = index(scheme) if isinstance(scheme, str) else scheme

    def scaled(path: tuple, leaf: jax.Array) -> jax.Array:
        if path[-1].key != 'kernel':
            return leaf
        if leaf.ndim == 2:
            fan_in, fan_out = leaf.shape
            drawn = 2 / fan_in
        else:
            height, width, inputs, outputs = leaf.shape[-4:]  # a stack has one more axis in front
            fan_in, fan_out = height * width * inputs, height * width * outputs
            drawn = 2 / fan_out
        variances = [variance(drawn, fan_in, fan_out) for variance in VARIANCES.values()]
        return leaf * jnp.array([math.sqrt(each / drawn) for each in variances])[chosen]

    return jax.tree_util.tree_map_with_path(scaled, params)


def structured(params: Mapping, scheme: str, names: tuple[str, ...] = ()) -> dict:
    """Gives each kernel of the main path the structure of a scheme, and leaves the rest as it is.

    >>> params = {'stage1': {'block1': {'conv1': {'kernel': np.ones((3, 3, 2, 2))}}}}
    >>> kernel = structured(params, 'dirac')['stage1']['block1']['conv1']['kernel']
    >>> kernel[1, 1].tolist(), float(kernel.sum())
    ([[1.0, 0.0], [0.0, 1.0]], 2.0)

    Args:
        params: the parameters that `Network.init` draws, those of He's scheme, as numpy arrays.
        scheme: one of `STRUCTURED`.
        names: of the modules around `params`; none for the parameters of a whole network.

    Returns:
        Parameters of the same shapes and data types, numpy arrays.

    Raises:
        UserError: if there is no such scheme.
    """
    if scheme not in STRUCTURED:
        raise unknown('scheme', scheme, STRUCTURED)
    if scheme == 'fixup':
        return _fixup(params)
    found: dict = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            found[name] = structured(value, scheme, (*names, name))
        elif name == 'kernel' and names[-1] not in _OFF_THE_MAIN_PATH:
            found[name] = _KERNELS[scheme](np.asarray(value), names[0])
        else:
            found[name] = np.asarray(value)
    return found


def dirac_kernel(like: np.ndarray) -> np.ndarray:
    """The kernel of the identity, of the shape and the data type of another one.

    Args:
        like: [..., height, width, channels, channels]; height and width are odd.
    """
    return _at_centre(like, np.eye(like.shape[-1], dtype=like.dtype))


def _dirac(kernel: np.ndarray, module: str) -> np.ndarray:
    """The kernel of the identity, where a convolution keeps the number of channels."""
    keeps = kernel.ndim > 2 and kernel.shape[-1] == kernel.shape[-2]
    return dirac_kernel(kernel) if keeps else kernel


def _delta_orthogonal(kernel: np.ndarray, module: str) -> np.ndarray:
    """A kernel of zeros around a (semi-)orthogonal matrix, made of the numbers drawn for it."""
    if kernel.ndim == 2:
        return kernel
    height, width, inputs, outputs = kernel.shape[-4:]
    drawn = kernel[..., height // 2, width // 2, :, :]
    if inputs >= outputs:
        return _at_centre(kernel, _orthonormal_columns(drawn))
    return _at_centre(kernel, _orthonormal_columns(drawn.swapaxes(-1, -2)).swapaxes(-1, -2))


def _orthonormal_columns(drawn: np.ndarray) -> np.ndarray:
    """The orthogonal factor of [..., n, m] normal numbers, n ≥ m, with Haar's distribution.

    QR is unique up to the signs of R's diagonal, and an algorithm's choice of them is not random.
    Positive ones make the distribution of the factor Haar's (Mezzadri 2007, math-ph/0609050, §5).
    """
    q, r = np.linalg.qr(drawn.astype(np.float64))
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return q * signs[..., None, :]


def _at_centre(like: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A kernel of zeros, of another's shape, with a matrix [inputs, outputs] at its centre tap."""
    kernel = np.zeros_like(like)
    height, width = kernel.shape[-4:-2]
    kernel[..., height // 2, width // 2, :, :] = matrix
    return kernel


def _looks_linear(kernel: np.ndarray, module: str) -> np.ndarray:
    """A kernel whose second half of channels mirrors the first, but for the image's and classes."""
    if module != 'head':
        half = kernel[..., : kernel.shape[-1] // 2]
        kernel = np.concatenate([half, -half], axis=-1)
    if module != 'stem':
        half = kernel[..., : kernel.shape[-2] // 2, :]
        kernel = np.concatenate([half, -half], axis=-2)
    return kernel


_KERNELS: dict[str, Callable[[np.ndarray, str], np.ndarray]] = {
    'dirac': _dirac,
    'delta_orthogonal': _delta_orthogonal,
    'looks_linear': _looks_linear,
}


def _fixup(params: Mapping) -> dict:
    """Multiplies each kernel by its `fixup_factor`."""
    stages = {name: blocks for name, blocks in params.items() if name.startswith('stage')}
    first = [blocks[name]['conv1']['kernel'] for blocks in stages.values() for name in blocks]
    num_blocks = sum(len(kernel) if kernel.ndim == 5 else 1 for kernel in first)

    def scaled(layers: Mapping, num_layers: int) -> dict:
        found: dict = {}
        for name, leaves in layers.items():
            factor = np.float32(fixup_factor(name, num_layers, num_blocks))
            found[name] = {key: np.asarray(leaf) for key, leaf in leaves.items()}
            if 'kernel' in leaves:
                found[name]['kernel'] = factor * found[name]['kernel']
        return found

    outside = {name: leaves for name, leaves in params.items() if name not in stages}
    return scaled(outside, 0) | {
        stage: {
            block: scaled(layers, sum(name.startswith('conv') for name in layers))
            for block, layers in blocks.items()
        }
        for stage, blocks in stages.items()
    }
