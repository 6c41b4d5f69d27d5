"""Carries the weights of a trained plain network into a deeper one that computes the same function.

It is the construction by which He et al. 2015 (arXiv 1512.03385, §1) argue that a deeper network
need not fit worse: the added layers are the identity. New blocks stand at the end of each stage,
where the input is the output of a ReLU, so that their own ReLUs change nothing. Their kernels are
Dirac's, and their batch norms undo the normalisation: the scale is √(variance + ε) and the bias is
the mean of the features there, by the statistics that the trained network has on its training set.
With any statistics, evaluation would be the same; with these, training is as near to the identity
as the statistics of a batch are to those of the whole set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vggres.errors import UserError
from vggres.networks import grammar
from vggres.networks.initialisation import dirac_kernel
from vggres.networks.spec import BlockSpec, NetworkSpec


@dataclass(frozen=True)
class Moments:
    """The statistics of the features at the end of a stage, over images and pixels.

    Attributes:
        mean: [channels] float32.
        variance: [channels] float32, biased.
    """

    mean: np.ndarray
    variance: np.ndarray


def check(deep: NetworkSpec, shallow: NetworkSpec | None = None) -> None:
    """Checks that a network can be a shallower one with added layers that change nothing.

    Args:
        deep: the network that is wanted.
        shallow: the trained network; None where it is not known yet.

    Raises:
        UserError: where added blocks could not be the identity, or the networks differ in more than
            depth.
    """
    options = grammar.recovered_options(deep)
    can_be_identity = (
        options.family == 'plain' and options.block == 'basic' and not options.preactivation
    )
    if not can_be_identity:
        raise UserError(
            'init.deepened_from is for plain networks of basic postactivation blocks: in others an '
            'added block is not the identity.'
        )
    if shallow is None:
        return
    before = grammar.recovered_options(shallow)
    if before.family != 'plain' or before.depth >= options.depth:
        raise UserError(
            f'init.deepened_from is a {before.family} network of depth {before.depth}; it has to '
            f'be a plain one of less than {options.depth} layers.'
        )
    for name in grammar.options_of('plain'):
        ours, theirs = getattr(options, name), getattr(before, name)
        if name != 'depth' and ours != theirs:
            raise UserError(
                f'init.deepened_from has {name} {theirs!r}, and the deeper network {ours!r}: only '
                'the depth may differ.'
            )


def deepened(
    variables: Mapping, shallow: NetworkSpec, deep: NetworkSpec, moments: Sequence[Moments]
) -> dict:
    """Adds blocks that change nothing at the end of each stage.

    Args:
        variables: of the trained network, 'params' and, with batch norm, 'batch_stats'.
        shallow: the trained network.
        deep: the same with more blocks in its stages.
        moments: of the features at the end of each stage of the trained network.

    Returns:
        The variables of the deeper network, nested dicts of float32 numpy arrays. In evaluation it
        computes what the trained one does, up to rounding.

    Raises:
        UserError: as `check`.
    """
    check(deep, shallow)
    found = {collection: dict(modules) for collection, modules in variables.items()}
    stages = zip(shallow.stages, deep.stages, moments, strict=True)
    for i, (before, after, here) in enumerate(stages, start=1):
        count = len(after.blocks) - len(before.blocks)
        for collection, block in identity_block(after.blocks[-1], here).items():
            if not block:
                continue
            stage = dict(variables[collection][f'stage{i}'])
            stage['blocks'] = _stacked(stage.get('blocks'), block, count)
            found[collection][f'stage{i}'] = stage
    return found


def identity_block(block: BlockSpec, moments: Moments) -> dict[str, dict]:
    """The parameters and the statistics of a block that returns what is not negative unchanged.

    Args:
        block: a plain postactivation block that keeps the number of channels and has no stride.
        moments: of its input.
    """
    from vggres.networks.batch_norm import EPSILON  # which imports JAX

    params, statistics = {}, {}
    channels = block.channels
    for k, convolution in enumerate(block.convolutions, start=1):
        size = convolution.kernel_size
        kernel = dirac_kernel(np.zeros((size, size, channels, channels), np.float32))
        params[f'conv{k}'] = {'kernel': kernel}
        if block.bias:
            params[f'conv{k}']['bias'] = np.zeros(channels, np.float32)
        if block.norm:
            scale = np.sqrt(moments.variance + np.float32(EPSILON))
            params[f'norm{k}'] = {'scale': scale, 'bias': moments.mean}
            statistics[f'norm{k}'] = {'mean': moments.mean, 'var': moments.variance}
    return {'params': params, 'batch_stats': statistics}


def _stacked(stack: Mapping | None, block: Mapping, count: int) -> dict:
    """A stack of blocks, or none, with some more that are all alike."""
    found = {}
    for name, value in block.items():
        kept = stack[name] if stack else None
        if isinstance(value, Mapping):
            found[name] = _stacked(kept, value, count)
        else:
            added = np.repeat(value[None], count, axis=0)
            found[name] = added if kept is None else np.concatenate([kept, added])
    return found
