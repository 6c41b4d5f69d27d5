"""Tells the verdict on shortcuts in words, tables and figures."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from experiments.identity_shortcut.analysis import (
    Distance,
    ShortcutNetwork,
    ShortcutVerdict,
    finite_mean,
    same_shape,
)
from experiments.identity_shortcut.question import IDENTITIES, IDENTITY, PREACTIVATION
from vggres.figures.layers import (
    Point,
    Profile,
    agreement,
    bands,
    error_by_variant,
    profiles,
)
from vggres.findings.along_layers import values
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
        *(
            line
            for network in networks
            for line in _jacobian_words(network, verdict.close, several_seeds)
        ),
        *_scale_words(deep),
        *_error_words(deep, verdict.margin),
        'All of this holds for one learning rate and the few epochs of this protocol.',
    ]
    return '\n'.join(lines)


def _jacobian_words(network: ShortcutNetwork, close: float, several_seeds: bool) -> Iterator[str]:
    if network.variant not in (IDENTITY, PREACTIVATION):
        return
    seed = f', seed {network.seed}' if several_seeds else ''
    for moment, found in zip(_MOMENTS, (network.before, network.after), strict=True):
        if found is None:
            continue
        distances = {'from the identity': found.distance_from_identity}
        if network.variant == IDENTITY:
            distances['from what the last ReLU makes of it'] = found.distance_from_relu
        said = '; '.join(
            f'{distance.mean:.2f} {which}, with {_close(distance, found.n)} within {close:g}'
            for which, distance in distances.items()
        )
        yield (
            f'{network.variant}, depth {network.depth}{seed}, {moment}: the mean distance of the '
            f'blocks is {said}.'
        )


def _close(distance: Distance, blocks: int) -> str:
    return f'{100 * distance.close:.0f} % of {blocks} {"block" if blocks == 1 else "blocks"}'


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
    return [_gradient_table(verdict), _jacobian_table(verdict)]


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
    level = f'{100 * verdict.confidence:g} % CI'
    return Table(
        title='Local Jacobians of the blocks that keep their shape',
        columns=(
            Column('shortcut', words=True),
            Column('depth'),
            Column('when', words=True),
            Column('‖J − I‖/‖I‖'),
            Column(level),
            Column('to last ReLU'),
            Column(level),
            Column('largest'),
            Column('smallest, at most'),
            Column('mean square'),
            Column('n'),
        ),
        rows=[row for network in verdict.networks for row in _jacobian_rows(network)],
        note='Distances are in Frobenius norm, relative to that of the identity: from the identity '
        'itself, and from what the last ReLU of the block alone makes of it. Distances and '
        'singular values are geometric means over blocks; the smallest singular value is an upper '
        'bound. n counts blocks.',
    )


def _jacobian_rows(network: ShortcutNetwork) -> Iterator[list[str]]:
    for moment, found in zip(_MOMENTS, (network.before, network.after), strict=True):
        if found:
            yield [
                network.variant,
                str(network.depth),
                moment,
                number(found.distance_from_identity.mean, '.2f'),
                interval(found.distance_from_identity.interval, '.2f'),
                number(found.distance_from_relu.mean, '.2f'),
                interval(found.distance_from_relu.interval, '.2f'),
                number(found.largest, '.2f'),
                scientific(found.smallest),
                number(found.mean_squared, '.2f'),
                str(found.n),
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
    for moment in _MOMENTS:
        if shown := _shown(sweep, deepest, moment):
            title = f'Singular values of the blocks {moment}, depth {deepest}'
            drawn[f'singular_values_{moment.replace(" ", "_")}'] = (
                bands([_band(*each) for each in shown], title),
                'Singular values of the Jacobian of each block that keeps its shape: the band '
                'reaches from the smallest (an upper bound) to the largest, and the line is their '
                'root mean square. For the identity all are 1.',
            )
    if chains := [_profile(*each, 'chain') for each in _shown(sweep, deepest, _MOMENTS[0])]:
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


def _shown(sweep: Sweep, depth: int, moment: str) -> list[tuple[Cell, Observation]]:
    """The cells that are drawn, each with an observation of its own weights at one moment.

    They are those of the variants in `_SHOWN`, at one depth, for the first seed, as far as any of
    their blocks keeps its shape.
    """
    observed = [each for each in sweep.observed() if each[1].depth == depth]
    first = min((result.seed for _, result, _ in observed), default=0)
    found = []
    for cell, result, observations in observed:
        is_shown = result.seed == first and result.variant in _SHOWN
        if is_shown and same_shape(cell.network_spec):
            if moment == 'before training':
                found.append((cell, observations[0]))
            elif result.status == 'finished':
                found.append((cell, observations[-1]))
    return found


def _band(cell: Cell, observation: Observation) -> tuple[Profile, Profile, Profile]:
    """The smallest, the root mean square and the largest singular value along the blocks."""
    return (
        _profile(cell, observation, 'smallest_singular_value'),
        _profile(cell, observation, 'mean_squared_singular_value', power=0.5),
        _profile(cell, observation, 'largest_singular_value'),
    )


def _profile(cell: Cell, observation: Observation, quantity: str, power: float = 1) -> Profile:
    names, positions = same_shape(cell.network_spec), spec.positions(cell.network_spec)
    at = cell.coordinates()
    return Profile(
        panel=at['variant'],
        depth=at['depth'],
        positions=[positions[name] for name in names],
        values=values(observation, quantity, names) ** power,
    )
