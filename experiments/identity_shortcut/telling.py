"""Tells the verdict on shortcuts in words, tables and figures."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.identity_shortcut.analysis import (
    ShortcutNetwork,
    ShortcutVerdict,
    finite_mean,
)
from experiments.identity_shortcut.jacobians import Jacobians, same_shape
from experiments.identity_shortcut.question import IDENTITIES, IDENTITY, PREACTIVATION
from vggres.figures.layers import (
    BlockLine,
    Point,
    Profile,
    agreement,
    along_blocks,
    error_by_variant,
    profiles,
)
from vggres.findings.along_layers import along, values
from vggres.findings.tables import Column, Table, interval, number, scientific
from vggres.networks import spec
from vggres.results import Observation
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

_MOMENTS = ('before training', 'after training')
# The variants that the figures of single networks show.
_SHOWN = (
    IDENTITY,
    PREACTIVATION,
    'shortcut × 0',
    'shortcut × 0.5',
    '1×1 convolution',
    'shortcut-only gate, bias 0',
)


def words(verdict: ShortcutVerdict) -> str:
    """The verdict in words: how near the identity blocks are, what λ does, what trains worse."""
    networks = verdict.networks
    if not networks:
        return 'No finished network was observed.'
    deepest = max(network.depth for network in networks)
    deep = [network for network in networks if network.depth == deepest]
    several_seeds = len({network.seed for network in networks}) > 1
    lines = [
        *_shape_words(networks),
        *(line for network in networks for line in _jacobian_words(network, several_seeds)),
        *_scale_words(deep),
        *_error_words(deep, verdict.margin),
        'All of this holds for one learning rate and the few epochs of this protocol.',
    ]
    return '\n'.join(lines)


def in_short(verdict: ShortcutVerdict) -> dict[str, str]:
    """How the deepest networks with each other kind of shortcut train beside the identity."""
    deepest = max((network.depth for network in verdict.networks), default=0)
    errors = _mean_errors([each for each in verdict.networks if each.depth == deepest])
    if IDENTITY not in errors:
        return {}
    limit = errors[IDENTITY] + verdict.margin
    return {
        name: 'trains worse' if error > limit else 'trains as well'
        for name, error in errors.items()
        if name not in IDENTITIES
    }


def _shape_words(networks: Sequence[ShortcutNetwork]) -> Iterator[str]:
    """One line for each depth at which at most one block can be compared with the identity."""
    for depth, kept in {network.depth: network.kept for network in networks}.items():
        if not kept:
            yield f'At depth {depth}, no block keeps its shape: none is compared with the identity.'
        elif len(kept) == 1:
            yield (
                f'At depth {depth}, no block keeps its shape but {kept[0]}: no other block is '
                'compared with the identity.'
            )


def _jacobian_words(network: ShortcutNetwork, several_seeds: bool) -> Iterator[str]:
    if network.variant not in (IDENTITY, PREACTIVATION) or not network.kept:
        return
    seed = f', seed {network.seed}' if several_seeds else ''
    for moment, found in zip(_MOMENTS, (network.before, network.after), strict=True):
        where = f'{network.variant}, depth {network.depth}{seed}, {moment}'
        if found:
            yield f'{where}: {_distance_words(network.variant, found)}.'
        elif found is network.before or network.status == 'finished':
            yield f'{where}: the Jacobians of the blocks were not measured, or are not finite.'


def _distance_words(variant: str, found: Jacobians) -> str:
    distance, blocks = found.from_identity, len(found.blocks)
    over = f'over the {blocks} blocks that keep their shape' if blocks > 1 else found.blocks[0]
    said = (
        f'{over}, the squared distances d² from the identity add up to {distance.total:.2f}, and '
        f'√Σd² is {distance.root:.2f}'
    )
    if blocks > 1:
        first, last = distance.by_block[0], distance.by_block[-1]
        said += f' (d is {first:.2f} in the first of them and {last:.2f} in the last)'
    if variant == IDENTITY:
        said += f'; from what the last ReLU makes of it, {found.from_relu.root:.2f} (exploratory)'
    return f'{said}; n = {found.draws}'


def _scale_words(networks: Sequence[ShortcutNetwork]) -> Iterator[str]:
    scaled: dict[str, list[ShortcutNetwork]] = {}
    for network in networks:
        if network.shortest is not None and network.beyond.mean is not None:
            scaled.setdefault(network.variant, []).append(network)
    if not scaled:
        return
    said = []
    for name, found in scaled.items():
        more = number(finite_mean(each.beyond.mean for each in found), '+.1f')
        branches = number(finite_mean(each.branches for each in found), '.0f')
        shortest = number(found[0].shortest, '+.1f')
        said.append(f'{name}: {more} (shortest path {shortest}; at least {branches} branches)')
    yield (
        f'At depth {networks[0].depth}, the gradient falls from the last block to the first by so '
        f'many decades more than with identity shortcuts: {"; ".join(said)}. Brackets say by how '
        'many the shortest path does, λ^L, which bounds one of many paths and not the gradient, '
        f'and through how many of {networks[0].blocks - 1} residual branches the gradient goes in '
        'the mean.'
    )


def _error_words(networks: Sequence[ShortcutNetwork], margin: float) -> Iterator[str]:
    errors = _mean_errors(networks)
    if IDENTITY not in errors:
        return
    others = {name: error for name, error in errors.items() if name not in IDENTITIES}
    limit = errors[IDENTITY] + margin
    worse = [f'{name} ({error:.2f} %)' for name, error in others.items() if error > limit]
    runs = sum(network.variant == IDENTITY for network in networks)
    points = 'point' if margin == 1 else 'points'
    said = ', '.join(worse) or 'none'
    yield (
        f'At depth {networks[0].depth}, the training error with identity shortcuts is '
        f'{errors[IDENTITY]:.2f} %. Of {len(others)} other shortcuts, {len(worse)} '
        f'{"is" if len(worse) == 1 else "are"} worse by more than {margin:g} {points}: {said} '
        f'(n = {runs}).'
    )


def _mean_errors(networks: Sequence[ShortcutNetwork]) -> dict[str, float]:
    errors: dict[str, list[float]] = {}
    for network in networks:
        errors.setdefault(network.variant, []).append(network.train_error)
    return {name: fmean(found) for name, found in errors.items()}


def tables(verdict: ShortcutVerdict) -> list[Table]:
    """The verdict in numbers: the gradient and the error of every network, and its Jacobians."""
    found = _jacobian_table(verdict)
    return [_gradient_table(verdict), *([found] if found.rows else [])]


def _gradient_table(verdict: ShortcutVerdict) -> Table:
    return Table(
        title='The gradient that reaches the first block, and the training error',
        columns=(
            Column('shortcut', words=True),
            Column('depth'),
            Column('training error (%)'),
            Column('status', words=True),
            Column('decades fallen'),
            Column('more than identity'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('shortest path, λ^L'),
            Column('branches, at least'),
            Column('chain'),
        ),
        rows=[_gradient_row(network) for network in verdict.networks],
        note='Decades fallen: by which the Euclidean norm of the gradient falls from the input of '
        'the last block to that of the first, by a least-squares fit of its logarithm, before the '
        'first update; the mean over draws of weights and batch. A negative number means that it '
        'grows. More than identity: the difference from the network with identity shortcuts, draw '
        'by draw. Shortest path: what the path through shortcuts alone loses more; it bounds that '
        'path, and the gradient is the sum over all. Branches: of the C(L, k) paths through k of L '
        'blocks, each carries λ^2(L − k) g^2k of the energy; with the gain g of a branch that '
        'gives the measured fall, the gradient passes through so many branches in the mean, at '
        'least, because the last ReLU of a block stops a part. Chain: the product of '
        'all local Jacobians, as the root mean square of what it pulls a random vector back to.',
    )


def _gradient_row(network: ShortcutNetwork) -> list[str]:
    return [
        network.variant,
        str(network.depth),
        number(network.train_error, '.2f'),
        network.status,
        number(finite_mean(network.fall)),
        number(network.beyond.mean),
        interval(network.beyond.interval),
        number(network.shortest),
        number(network.branches, '.1f'),
        scientific(network.chain),
    ]


def _jacobian_table(verdict: ShortcutVerdict) -> Table:
    return Table(
        title='Local Jacobians of the blocks that keep their shape',
        columns=(
            Column('shortcut', words=True),
            Column('depth'),
            Column('when', words=True),
            Column('blocks'),
            Column('Σd²'),
            Column('√Σd²'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('to last ReLU'),
            Column('spectral norm ≥'),
            Column('mean square'),
            Column('between images'),
            Column('n'),
        ),
        rows=[row for network in verdict.networks for row in _jacobian_rows(network)],
        note='d is the distance ‖J − I‖/‖I‖ of a block from the identity in Frobenius norm; Σ runs '
        f'over the blocks. The identity is the larger part of all blocks together up to √Σd² = '
        f'{verdict.close:g}. To last ReLU: √Σd² with ‖J − D‖/‖D‖, where D is the Jacobian of the '
        'last ReLU of the block (exploratory). Spectral norm: a lower bound, and the largest of '
        'all blocks. Mean square: of the singular values, the geometric mean over blocks. Between '
        'images: what flows between the images of a batch in training mode, relative to what '
        'stays within each; the largest of all blocks. All others are for single images, with the '
        'statistics of batch norm that evaluation uses (before training, those of one batch). n '
        'counts draws of the weights; a single one is described, and nothing follows from it.',
    )


def _jacobian_rows(network: ShortcutNetwork) -> Iterator[list[str]]:
    for moment, found in zip(_MOMENTS, (network.before, network.after), strict=True):
        if found:
            yield [
                network.variant,
                str(network.depth),
                moment,
                str(len(found.blocks)),
                number(found.from_identity.total, '.2f'),
                number(found.from_identity.root, '.2f'),
                interval(found.from_identity.interval, '.2f'),
                number(found.from_relu.root, '.2f'),
                number(found.spectral_norm, '.2f'),
                number(found.gain, '.2f'),
                number(found.coupling, '.3f'),
                str(found.draws),
            ]


def figures(sweep: Sweep, verdict: ShortcutVerdict) -> dict[str, tuple[Figure, str]]:
    """Singular values, chains, the gradient against its shortest path, and training error."""
    networks = verdict.networks
    if not networks:
        return {}
    errors = [Point(each.variant, each.depth, 0.0, each.train_error) for each in networks]
    drawn = {
        'error_by_shortcut': (
            error_by_variant(errors),
            'Training error of the final weights. A diverged run counts as guessing.',
        )
    }
    deepest = max(network.depth for network in networks)
    if lines := list(_distance_lines(sweep, deepest)):
        drawn['distance_from_identity'] = (
            along_blocks(
                lines,
                f'Distance of the Jacobian of each block from the identity, depth {deepest}',
                '‖J − I‖ / ‖I‖',
            ),
            'Each block that keeps its shape, in Frobenius norm, for single images in evaluation '
            'mode, and for postactivation blocks ‖J − D‖/‖D‖ with the Jacobian D of their last '
            'ReLU (exploratory). Dashed: the slope that De & Smith 2020 (arXiv 2002.10444) predict '
            'before training with batch norm, where the branch has the part 1/ℓ of the variance '
            'in block ℓ; here ℓ is counted from the start of a stage, whose new channels begin at '
            'zero. The level is not predicted. '
            'Blocks are no sample: what counts is the sum of d² over them.',
        )
    for moment in _MOMENTS:
        if lines := list(_gain_lines(sweep, deepest, moment)):
            drawn[f'singular_values_{moment.replace(" ", "_")}'] = (
                along_blocks(
                    lines,
                    f'Singular values of the blocks {moment}, depth {deepest}',
                    'singular value',
                ),
                'Singular values of the Jacobian of each block that keeps its shape: the spectral '
                'norm (a lower bound) and their root mean square. For the identity both are 1.',
            )
    if chains := [
        _profile(*each, 'chain_gain') for each in _shown(sweep, deepest, _MOMENTS[0], 'chain_gain')
    ]:
        drawn['chain_before_training'] = (
            profiles(
                chains,
                'Relative size of a random vector pulled back from the last block to each block',
                'log10 of the relative size',
            ),
            'The product of the local Jacobians from each block to the last, before training: the '
            'root mean square of what it makes of a random vector, over that of the vector.',
        )
    scaled = [
        Point(each.variant, each.depth, each.shortest, each.beyond.mean)
        for each in networks
        if each.shortest is not None and each.beyond.mean is not None
    ]
    if scaled:
        drawn['gradient_against_scale'] = (
            agreement(
                scaled, 'decades of the shortest path, λ^L', 'decades fallen, more than identity'
            ),
            'The decades by which the gradient falls from the last block to the first before '
            'training, beyond those with identity shortcuts, against those of its shortest path, '
            'the one through shortcuts scaled by λ alone. Longer paths lie below the line.',
        )
    return drawn


def _distance_lines(sweep: Sweep, depth: int) -> Iterator[BlockLine]:
    """The distances along the blocks, before and after training, and what is expected of them."""
    for moment in _MOMENTS:
        for cell, observation in _shown(sweep, depth, moment, 'identity_distance'):
            yield _block_line(cell, moment, observation, 'identity_distance')
            if cell.coordinates()['variant'] == IDENTITY:
                name = f'{moment}, from the last ReLU'
                yield _block_line(cell, name, observation, 'relu_distance')
    for cell, _ in _shown(sweep, depth, _MOMENTS[0], 'identity_distance'):
        variant = cell.coordinates()['variant']
        if variant in (IDENTITY, PREACTIVATION):
            yield _expected_line(cell)


def _expected_line(cell: Cell) -> BlockLine:
    """1/√ℓ in block ℓ of each stage (see the caption of the figure)."""
    names, kept = _blocks(cell), same_shape(cell.network_spec)
    in_stage = [int(name.rpartition('block')[2]) for name in names]
    line = [
        number**-0.5 if name in kept else np.nan
        for name, number in zip(names, in_stage, strict=True)
    ]
    blocks = np.arange(1, 1 + len(names))
    variant, name = cell.coordinates()['variant'], '1/√ℓ in block ℓ of a stage'
    return BlockLine(variant, name, blocks, np.array(line), is_expected=True)


def _gain_lines(sweep: Sweep, depth: int, moment: str) -> Iterator[BlockLine]:
    """The spectral norm and the root mean square of the singular values along the blocks."""
    for cell, observation in _shown(sweep, depth, moment, 'spectral_norm'):
        yield _block_line(cell, 'spectral norm, at least', observation, 'spectral_norm')
        yield _block_line(cell, 'root mean square', observation, 'mean_square_gain', power=0.5)


def _shown(
    sweep: Sweep, depth: int, moment: str, quantity: str
) -> Iterator[tuple[Cell, Observation]]:
    """The cells that are drawn, each with an observation of its own weights at one moment.

    They are those of the variants in `_SHOWN`, at one depth, for the first seed, as far as any of
    their blocks keeps its shape and the quantity was observed.
    """
    observed = [each for each in sweep.observed() if each[1].depth == depth]
    first = min((result.seed for _, result, _ in observed), default=0)
    for cell, result, observations in observed:
        is_shown = result.seed == first and result.variant in _SHOWN
        is_there = moment == _MOMENTS[0] or result.status == 'finished'
        found = observations[0 if moment == _MOMENTS[0] else -1]
        if is_shown and is_there and same_shape(cell.network_spec) and quantity in found.values:
            yield cell, found


def _blocks(cell: Cell) -> list[str]:
    names, _ = along(cell.network_spec, 'block')
    return names


def _block_line(
    cell: Cell, name: str, observation: Observation, quantity: str, power: float = 1
) -> BlockLine:
    """A quantity along the blocks of a network, with a gap at those that change their shape."""
    names, kept = _blocks(cell), same_shape(cell.network_spec)
    found = dict(zip(kept, values(observation, quantity, kept) ** power, strict=True))
    line = np.array([found.get(block, np.nan) for block in names])
    return BlockLine(cell.coordinates()['variant'], name, np.arange(1, 1 + len(names)), line)


def _profile(cell: Cell, observation: Observation, quantity: str) -> Profile:
    names, positions = same_shape(cell.network_spec), spec.positions(cell.network_spec)
    at = cell.coordinates()
    return Profile(
        panel=at['variant'],
        depth=at['depth'],
        positions=[positions[name] for name in names],
        values=values(observation, quantity, names),
    )
