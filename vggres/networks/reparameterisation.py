"""Turns the branches of a RepVGG into one convolution each, after training. No JAX.

In training, a 1×1 convolution and the identity stand beside each 3×3 convolution, each with a batch
norm (`model.reparameterised`). In evaluation, all of them are linear, so that one 3×3 convolution
with a bias computes their sum: a norm scales the kernel of its convolution and adds a bias; a 1×1
kernel is a 3×3 one whose outer taps are zero; the identity is a 1×1 convolution (Ding et al. 2021,
"RepVGG: Making VGG-style ConvNets Great Again", arXiv 2101.03697, §3.3).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from vggres.errors import UserError
from vggres.networks import grammar
from vggres.networks.spec import NetworkSpec

_EPSILON = 1e-5  # of `batch_norm`, which imports JAX; a test compares the two


def fused_spec(network_spec: NetworkSpec) -> NetworkSpec:
    """The plain network without norms, and with biases, that computes what another one does.

    >>> training = grammar.network_spec('plain', 20, reparameterised=True)
    >>> fused_spec(training) == grammar.network_spec('plain', 20, norm='none')
    True

    Args:
        network_spec: a plain network with batch norm and postactivation.

    Raises:
        UserError: for any other network.
    """
    block = network_spec.stages[0].blocks[0]
    if network_spec.family != 'plain' or not block.norm or block.preactivation or block.bias:
        raise UserError(
            'only plain networks with batch norm, without biases and preactivation can be fused.'
        )
    options = grammar.recovered_options(network_spec)
    fused = dataclasses.replace(options, norm='none', conv_bias='auto', reparameterised=False)
    return grammar.network_spec(**dataclasses.asdict(fused))


def fused(network_spec: NetworkSpec, variables: Mapping) -> dict:
    """The variables of the network of `fused_spec`.

    Args:
        network_spec: the network that was trained.
        variables: its collections `params` and `batch_stats`.

    Returns:
        The collection `params`, float32. In evaluation, the fused network has the same logits, but
        for round-off.

    Raises:
        UserError: where `fused_spec` raises it.
    """
    fused_spec(network_spec)
    params, stats = variables['params'], variables['batch_stats']
    found: dict = {
        'stem': _normed(params['stem']['kernel'], params['stem_norm'], stats['stem_norm']),
        'head': {name: np.asarray(leaf, np.float64) for name, leaf in params['head'].items()},
    }
    for stage, blocks in params.items():
        if stage.startswith('stage'):
            found[stage] = {name: _block(blocks[name], stats[stage][name]) for name in blocks}
    return {'params': _as_float32(found)}


def _block(params: Mapping, stats: Mapping) -> dict:
    """The convolutions of a block, or of a stack of blocks."""
    names = [name for name in params if name.startswith('conv')]
    return {name: _convolution(name.removeprefix('conv'), params, stats) for name in names}


def _convolution(k: str, params: Mapping, stats: Mapping) -> dict[str, np.ndarray]:
    """The kernel and the bias of the sum of convolution k and its branches."""
    kernel = params[f'conv{k}']['kernel']
    parts = [_normed(kernel, params[f'norm{k}'], stats[f'norm{k}'])]
    *_, size, _, inputs, _ = kernel.shape
    if f'pointwise{k}' in params:
        norm = f'pointwise{k}_norm'
        pointwise = _padded(params[f'pointwise{k}']['kernel'], size)
        parts.append(_normed(pointwise, params[norm], stats[norm]))
    norm = f'identity{k}_norm'
    if norm in params:
        identity = _padded(np.eye(inputs)[None, None], size)
        parts.append(_normed(identity, params[norm], stats[norm]))
    return {name: np.sum([part[name] for part in parts], axis=0) for name in ('kernel', 'bias')}


def _padded(kernel: np.ndarray, size: int) -> np.ndarray:
    """A kernel [..., 1, 1, inputs, outputs] in the middle of one of some size, zero elsewhere."""
    kernel = np.asarray(kernel, np.float64)
    sides = (size // 2, size // 2)
    return np.pad(kernel, [*[(0, 0)] * (kernel.ndim - 4), sides, sides, (0, 0), (0, 0)])


def _normed(kernel: np.ndarray, norm: Mapping, stats: Mapping) -> dict[str, np.ndarray]:
    """A convolution with a bias that computes what one without and its norm do.

    Args:
        kernel: [..., height, width, inputs, outputs], where a stack of blocks has an axis in front.
        norm: `scale` and `bias`, [..., outputs].
        stats: `mean` and `var`, [..., outputs].
    """
    scale, bias, mean, variance = (
        np.asarray(each, np.float64)
        for each in (norm['scale'], norm['bias'], stats['mean'], stats['var'])
    )
    slope = scale / np.sqrt(variance + _EPSILON)
    kernel = np.asarray(kernel, np.float64) * slope[..., None, None, None, :]
    return {'kernel': kernel, 'bias': bias - mean * slope}


def _as_float32(tree: Mapping) -> dict:
    return {
        name: _as_float32(each) if isinstance(each, Mapping) else np.asarray(each, np.float32)
        for name, each in tree.items()
    }
