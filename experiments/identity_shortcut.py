"""What exactly does a shortcut change? Local Jacobians, and shortcuts that are not the identity.

The claim: the derivative of the identity is 1, so a residual block's local Jacobian is close to the
identity, the product of many stays healthy, and any other shortcut spoils it. He et al. 2016,
"Identity mappings" (arXiv 1603.05027), §3: with a shortcut scaled by λ the gradient that reaches
layer l from layer L holds a factor λ^(L − l), and in their Table 1 every shortcut but the identity
trains a ResNet-110 worse (identity 6.61 % test error; shortcut and branch by 0.5 12.35; exclusive
gate 8.70; shortcut-only gate 12.86; 1×1 convolutions 12.22; dropout fails). λ is set in their
derivation without an activation after the addition; like their Table 1, the networks here have one.

It would be refuted by residual blocks whose Jacobian is not near the identity although their
network trains, by a gradient that does not follow λ^L, and by scaled, gated or convolved shortcuts
that train as well as the identity.

Two yardsticks go with it. A block's last ReLU closes a part of what comes in, the identity or not:
`distance_from_relu`, over the norm of the identity as well, leaves that out. And the gradient of an
identity network changes from block to block as well, so a factor λ is judged by what it adds to
that.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres import config as configuration
from vggres.errors import UserError
from vggres.figures.layers import Profile, agreement, bands, error_by_variant, profiles
from vggres.findings import report, verdict
from vggres.findings.estimates import t_interval
from vggres.networks import spec
from vggres.sweeps import sweep
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

TITLE = 'What a shortcut changes'
CLAIM = (
    "A residual block's local Jacobian is close to the identity, which carries the gradient "
    'through any depth; a shortcut scaled by λ multiplies it by λ a block, and every shortcut but '
    'the identity trains worse.'
)
SOURCE = (
    'He et al. 2016, Identity Mappings in Deep Residual Networks, §3 and Table 1 (arXiv 1603.05027)'
)

# Fixed before the first sweep was run.
CONFIDENCE = 0.95
# "Close to the identity": ‖J − I‖ at most half of ‖I‖, so that the identity is the larger part.
CLOSE = 0.5

_QUANTITIES = (
    'largest_singular_value',
    'smallest_singular_value',
    'mean_squared_singular_value',
    'distance_from_identity',
    'distance_from_relu',
)
_NEVER_BETWEEN = 1_000_000  # epochs: only before and after training

# "Worse": by this many points of training error, the margin of `verdict`.
MARGIN = verdict.MARGIN

IDENTITY = 'identity'
PREACTIVATION = 'identity, preactivation'
_SCALES = (0.0, 0.5, 0.9, 1.1)
SCALED = {f'shortcut × {scale:g}': scale for scale in _SCALES}
BRANCHES = {f'branch × {scale:g}': scale for scale in _SCALES}
VARIANTS: dict[str, dict[str, object]] = {
    IDENTITY: {},
    PREACTIVATION: {'model.preactivation': True},
    **{name: {'model.shortcut_scale': scale} for name, scale in SCALED.items()},
    **{name: {'model.branch_scale': scale} for name, scale in BRANCHES.items()},
    'both × 0.5': {'model.shortcut_scale': 0.5, 'model.branch_scale': 0.5},
    'exclusive gate, bias −6': {'model.gate': 'exclusive', 'model.gate_bias': -6.0},
    'shortcut-only gate, bias 0': {'model.gate': 'shortcut_only', 'model.gate_bias': 0.0},
    '1×1 convolution': {'model.shortcut': 'C'},
    'dropout 0.5': {'model.shortcut_dropout': 0.5},
}
VARIES = tuple(
    f'model.{name}'
    for name in (
        *('preactivation', 'shortcut', 'shortcut_scale', 'branch_scale'),
        *('gate', 'gate_bias', 'shortcut_dropout'),
    )
)
# With these the shortcut is the identity, so that they say nothing about other shortcuts.
_IDENTITIES = (IDENTITY, PREACTIVATION, *BRANCHES)
_SHOWN = (IDENTITY, PREACTIVATION, 'shortcut × 0', 'shortcut × 0.5', '1×1 convolution',
          'shortcut-only gate, bias 0')  # fmt: skip


def defaults(config: ConfigDict) -> dict[str, object]:
    """One family, one depth, Jacobians before and after training; epochs as in `gradient_flow`."""
    return {
        'sweep.families': ('resnet',),
        'sweep.depths': (56,),
        'sweep.seeds': 1,
        'probes.every_epochs': _NEVER_BETWEEN,
        'probes.draws': 3,
        'probes.jacobians': True,
    } | ({'train.epochs': 10, 'evaluation.every_epochs': 5} if config.train.epochs else {})


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each kind of shortcut at each depth, once a seed.

    Raises:
        UserError: for other families, or where the blocks are not looked into.
    """
    if tuple(config.sweep.families) != ('resnet',):
        raise UserError("this sweep is about shortcuts: leave sweep.families at ('resnet',).")
    if not config.probes.jacobians or config.probes.names:
        raise UserError(
            'this sweep looks into all blocks: leave probes.jacobians at True and probes.names '
            'empty.'
        )
    return sweep.grid(
        config, {name: {'model.family': 'resnet'} | knobs for name, knobs in VARIANTS.items()}
    )


def analyse(sweep: Sweep) -> dict:
    """Of each network: training error, how the gradient falls along its blocks, its Jacobians.

    Returns:
        networks: of each cell its coordinates, `train_error`, `status`, `blocks`, their number;
            `fall`, the decades by which the root mean square of the gradient falls from the input
            of the last block to that of the first, before the first update, of each draw; `beyond`,
            how much more than that of the identity network of the same depth and seed, with `mean`
            and `interval`; `expected`, what the factor λ alone would make of it, −log10 λ times the
            blocks between, None for shortcuts without one or with λ = 0; `chain`, the mean over
            draws of what all blocks pull a random vector back to; and `before` and `after` training
            the Jacobians of the blocks that keep their shape (see `summary`).
    """
    networks = []
    for cell, result, rows in sweep.observed():
        names = _blocks(cell.config)
        before = [row for row in rows if row['step'] == 0]
        after = rows[-1:] if result['status'] == 'finished' else []
        networks.append(
            {key: result[key] for key in ('cell', 'variant', 'family', 'depth', 'seed', 'status')}
            | {'train_error': result['train_error'], 'blocks': len(names)}
            | {'fall': _fall(before, names)}
            | {'expected': _expected(result['variant'], len(names))}
            | {'chain': _finite_mean([row['chain'][names[0]] for row in before])}
            | {'before': summary(before, _same_shape(cell.config))}
            | {'after': summary(after, _same_shape(cell.config))}
        )
    baselines = {(n['depth'], n['seed']): n['fall'] for n in networks if n['variant'] == IDENTITY}
    for network in networks:
        baseline = baselines.get((network['depth'], network['seed']))
        network['beyond'] = _beyond(network['fall'], baseline)
    return {'networks': networks, 'confidence': CONFIDENCE, 'close': CLOSE, 'margin': MARGIN}


def _blocks(config: ConfigDict) -> list[str]:
    positions = spec.positions(configuration.network_spec(config))
    return [name for name in positions if name.count('/') == 1]


def _same_shape(config: ConfigDict) -> list[str]:
    """Blocks whose output has the shape of their input."""
    names, described = _blocks(config), configuration.network_spec(config)
    shapes = list(spec.block_inputs(described, (64, 64, 1)).values())
    kept = [a == b for a, b in pairwise(shapes)] + [True]
    return [name for name, same in zip(names, kept, strict=True) if same]


def _fall(rows: Sequence[Mapping], names: Sequence[str]) -> list[float | None]:
    """log10 of the gradient in the last block's input over that in the first's, a draw a row."""
    ends = [(row['input_gradient'][names[-1]], row['input_gradient'][names[0]]) for row in rows]
    return [math.log10(last / first) if last and first else None for last, first in ends]


def _expected(variant: str, blocks: int) -> float | None:
    scale = 0.5 if variant == 'both × 0.5' else SCALED.get(variant)
    return -(blocks - 1) * math.log10(scale) if scale else None


def _beyond(fall: Sequence[float | None], baseline: Sequence[float | None] | None) -> dict:
    """What a shortcut adds, draw by draw: those of one seed start from the same weights."""
    pairs = zip(fall, baseline or [], strict=False)
    more = np.array([a - b for a, b in pairs if a is not None and b is not None])
    return {
        'mean': float(more.mean()) if len(more) else None,
        'interval': t_interval(more, CONFIDENCE),
        'n': len(more),
    }


def _finite_mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return fmean(finite) if finite else None


def summary(rows: Sequence[Mapping], names: Sequence[str]) -> dict | None:
    """The Jacobians of some blocks, over draws of the weights; None where they are not finite.

    Returns:
        `distance_from_identity` and `distance_from_relu`, of each the geometric `mean` over blocks
        of the means over draws, its `interval` over blocks, by their logarithms, and `close`, the
        part of the blocks at most `CLOSE` away; `largest` and `smallest` singular value, geometric
        means over the blocks; `mean_squared`, the same; `n`, blocks.
    """

    def by_block(quantity: str) -> np.ndarray:
        return np.array([[row[quantity][name] for name in names] for row in rows], float)

    quantities = {quantity: by_block(quantity) for quantity in _QUANTITIES}
    if not rows or not all(np.isfinite(values).all() for values in quantities.values()):
        return None
    means = {quantity: values.mean(axis=0) for quantity, values in quantities.items()}
    distances = ('distance_from_identity', 'distance_from_relu')
    return {
        distance: {
            'mean': _geometric_mean(means[distance]),
            'interval': _log_interval(means[distance]),
            'close': float((means[distance] <= CLOSE).mean()),
        }
        for distance in distances
    } | {
        'largest': _geometric_mean(means['largest_singular_value']),
        'smallest': _geometric_mean(means['smallest_singular_value']),
        'mean_squared': _geometric_mean(means['mean_squared_singular_value']),
        'n': len(names),
    }


def _geometric_mean(values: np.ndarray) -> float:
    with np.errstate(divide='ignore'):
        return float(np.exp(np.log(values).mean()))


def _log_interval(values: np.ndarray) -> list[float] | None:
    """Of a geometric mean; None with a zero among the values or fewer than two."""
    if not values.all():
        return None
    interval = t_interval(np.log(values), CONFIDENCE)
    return [math.exp(end) for end in interval] if interval else None


def words(decision: dict) -> str:
    """How near the identity the blocks are, what λ does, and which shortcuts train worse."""
    networks = decision['networks']
    if not networks:
        return 'No finished network was observed.'
    lines = [
        line for network in networks if network['variant'] in (IDENTITY, PREACTIVATION)
        for line in _jacobian_words(network)
    ]  # fmt: skip
    deepest = max(network['depth'] for network in networks)
    scaled = [
        f'{n["variant"]} {n["beyond"]["mean"]:+.1f} ({n["expected"]:+.1f})'
        for n in networks
        if n['depth'] == deepest and n['expected'] and n['beyond']['mean'] is not None
    ]
    if scaled:
        lines.append(
            f'Decades by which the gradient falls from the last block to the first at depth '
            f'{deepest}, more than with the identity, and what λ^L alone would add: '
            f'{"; ".join(scaled)}.'
        )
    errors = _mean_errors(networks, deepest)
    others = {name: error for name, error in errors.items() if name not in _IDENTITIES}
    if IDENTITY in errors:
        limit = errors[IDENTITY] + MARGIN
        worse = [f'{name} {error:.2f}' for name, error in others.items() if error > limit]
        runs = sum((n['variant'], n['depth']) == (IDENTITY, deepest) for n in networks)
        lines.append(
            f'Training error at depth {deepest}, in %: identity {errors[IDENTITY]:.2f}; of '
            f'{len(others)} other shortcuts {len(worse)} are worse by more than {MARGIN:g} point: '
            f'{", ".join(worse) or "none"} (n = {runs}).'
        )
    lines.append('All this is of one learning rate and of the few epochs of this protocol.')
    return '\n'.join(lines)


def _jacobian_words(network: Mapping) -> Iterator[str]:
    distances = {'distance_from_identity': 'from the identity'}
    if network['variant'] == IDENTITY:
        distances['distance_from_relu'] = 'from what the last ReLU makes of it'
    for moment in ('before', 'after'):
        found = network[moment]
        if found:
            said = '; '.join(
                f'{found[distance]["mean"]:.2f} {where}, {100 * found[distance]["close"]:.0f} % of '
                f'{found["n"]} within {CLOSE:g}'
                for distance, where in distances.items()
            )
            which = f'{network["variant"]}, depth {network["depth"]}, {moment} training'
            yield f'{which}: blocks {said}.'


def _mean_errors(networks: Sequence[Mapping], depth: int) -> dict[str, float]:
    errors: dict[str, list[float]] = {}
    for network in networks:
        if network['depth'] == depth:
            errors.setdefault(network['variant'], []).append(network['train_error'])
    return {name: fmean(values) for name, values in errors.items()}


def tables(decision: dict) -> list[report.Table]:
    """The gradient and the training error of every network, and its Jacobians."""
    level = f'{100 * decision["confidence"]:g} % CI'
    networks = decision['networks']
    return [
        report.Table(
            title='The gradient that reaches the first block, and the training error',
            columns=(
                'shortcut', 'depth', 'decades fallen', 'more than identity', level, 'by λ^L alone',
                'chain', 'training error (%)', 'status',
            ),
            words=('shortcut', 'status'),
            rows=[_gradient_row(network) for network in networks],
            note='Decades by which the root mean square of the gradient falls from the input of '
            'the last block to that of the first, before the first update, mean over draws of '
            'weights and batch; negative: it grows. More than identity: draw by draw. Chain: the '
            'product of all local Jacobians, as the root mean square of what it pulls a random '
            'vector back to.',
        ),
        report.Table(
            title='Local Jacobians of the blocks that keep their shape',
            columns=(
                'shortcut', 'depth', 'when', '‖J − I‖/‖I‖', level, 'to last ReLU', f'{level} ',
                'largest', 'smallest, at most', 'mean square', 'n',
            ),
            words=('shortcut', 'when'),
            rows=[row for network in networks for row in _jacobian_rows(network)],
            note='Distances in Frobenius norm, over that of the identity, from the identity '
            'and from what the last ReLU of the block alone makes of it; those and the singular '
            'values are geometric means over the blocks; the smallest is an upper bound. n: '
            'blocks.',
        ),
    ]  # fmt: skip


def _gradient_row(network: Mapping) -> list[str]:
    beyond = network['beyond']
    return [
        network['variant'],
        str(network['depth']),
        report.number(_finite_mean(network['fall'])),
        report.number(beyond['mean']),
        report.interval(beyond['interval']),
        report.number(network['expected']),
        report.number(network['chain'], '.1e'),
        report.number(network['train_error'], '.2f'),
        network['status'],
    ]


def _jacobian_rows(network: Mapping) -> Iterator[list[str]]:
    for moment in ('before', 'after'):
        if found := network[moment]:
            distances = [found['distance_from_identity'], found['distance_from_relu']]
            yield [
                network['variant'],
                str(network['depth']),
                f'{moment} training',
                *(
                    text
                    for each in distances
                    for text in (f'{each["mean"]:.2f}', report.interval(each['interval'], '.2f'))
                ),
                report.number(found['largest'], '.2f'),
                report.number(found['smallest'], '.1e'),
                report.number(found['mean_squared'], '.2f'),
                str(found['n']),
            ]


def figures(sweep: Sweep, decision: dict) -> dict[str, tuple[Figure, str]]:
    """Bands of singular values, chains, the gradient against λ^L, training error by shortcut."""
    networks = decision['networks']
    if not networks:
        return {}
    drawn = {'error_by_shortcut': (
        error_by_variant(networks),
        'Training error of the final weights. A diverged run counts as guessing.',
    )}  # fmt: skip
    deepest = max(network['depth'] for network in networks)
    for moment in ('before', 'after'):
        if found := _bands(sweep, deepest, moment):
            drawn[f'singular_values_{moment}_training'] = (
                bands(found, f'Singular values of the blocks {moment} training, depth {deepest}'),
                'From the smallest (an upper bound) to the largest singular value of the Jacobian '
                'of each block that keeps its shape, and their root mean square as a line; the '
                'identity has 1 throughout.',
            )
    if chains := _chains(sweep, deepest):
        drawn['chain_before_training'] = (
            profiles(chains, 'What the blocks to the last pull a random vector back to'),
            'The product of the local Jacobians from each block to the last, before training: root '
            'mean square of what it makes of a random vector, over that of the vector.',
        )
    scaled = [
        {'x': n['expected'], 'y': n['beyond']['mean'], 'depth': n['depth'], 'name': n['variant']}
        for n in networks
        if n['expected'] is not None and n['beyond']['mean'] is not None
    ]
    if scaled:
        drawn['gradient_against_scale'] = (
            agreement(scaled, 'decades by λ^L alone', 'decades fallen, more than identity'),
            'Decades by which the gradient falls from the last block to the first before training, '
            'more than with identity shortcuts, against what the factor λ of each does alone.',
        )
    return drawn


def _bands(sweep: Sweep, depth: int, moment: str) -> list[tuple[Profile, Profile, Profile]]:
    """Of the shown variants the smallest, root mean square and largest along the blocks."""
    return [
        (
            _profile(cell, row, 'smallest_singular_value'),
            _profile(cell, row, 'mean_squared_singular_value', power=0.5),
            _profile(cell, row, 'largest_singular_value'),
        )
        for cell, row in _shown(sweep, depth, moment)
    ]


def _chains(sweep: Sweep, depth: int) -> list[Profile]:
    return [_profile(cell, row, 'chain') for cell, row in _shown(sweep, depth, 'before')]


def _shown(sweep: Sweep, depth: int, moment: str) -> Iterator[tuple[Cell, Mapping]]:
    """What is drawn: of some variants, the first seed, the run's own weights, at one moment."""
    for cell, result, rows in sweep.observed():
        is_shown = (result['depth'], result['seed']) == (depth, sweep.config.seed)
        if is_shown and result['variant'] in _SHOWN:
            if moment == 'before':
                yield cell, rows[0]
            elif result['status'] == 'finished':
                yield cell, rows[-1]


def _profile(cell: Cell, row: Mapping, quantity: str, power: float = 1) -> Profile:
    names = _same_shape(cell.config)
    positions = spec.positions(configuration.network_spec(cell.config))
    values = np.array([row[quantity][name] for name in names], float) ** power
    at = cell.describe()
    return Profile(at['variant'], at['depth'], [positions[name] for name in names], values)
