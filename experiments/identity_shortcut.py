"""What exactly does a shortcut change? Local Jacobians, and shortcuts that are not the identity.

The claim: the derivative of the identity is 1, so a residual block's local Jacobian is close to the
identity, the product of many stays healthy, and any other shortcut spoils it. He et al. 2016,
"Identity mappings" (arXiv 1603.05027), §3: with a shortcut scaled by λ the gradient that reaches
layer l from layer L holds a factor λ^(L − l), and in their Table 1 every shortcut but the identity
trains a ResNet-110 worse (identity 6.61 % test error; scaled by 0.5 it fails, shortcut and branch
by 0.5 12.35; exclusive gate 8.70; shortcut-only gate 12.86; 1×1 convolutions 12.22; dropout fails).

It would be refuted by residual blocks whose Jacobian is not near the identity although their
network trains, by a gradient that does not follow λ^L, and by scaled, gated or convolved shortcuts
that train as well as the identity.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres import config as configuration
from vggres import report, spec, sweep, tracking
from vggres.cell import Cell
from vggres.errors import UserError
from vggres.estimates import t_interval
from vggres.layer_figures import Profile, agreement, bands, error_by_variant
from vggres.sweep import Sweep

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

_NEVER_BETWEEN = 1_000_000  # epochs: only before and after training

IDENTITY = 'identity'
_SCALES = (0.0, 0.5, 0.9, 1.1)
VARIANTS: dict[str, dict[str, object]] = {
    IDENTITY: {},
    'identity, preactivation': {'model.preactivation': True},
    **{f'shortcut × {scale:g}': {'model.shortcut_scale': scale} for scale in _SCALES},
    **{f'branch × {scale:g}': {'model.branch_scale': scale} for scale in _SCALES},
    'both × 0.5': {'model.shortcut_scale': 0.5, 'model.branch_scale': 0.5},
    'exclusive gate': {'model.gate': 'exclusive'},
    'shortcut-only gate': {'model.gate': 'shortcut_only'},
    '1×1 convolution': {'model.shortcut': 'C'},
    'dropout 0.5': {'model.shortcut_dropout': 0.5},
}
_SHOWN = (IDENTITY, 'identity, preactivation', 'shortcut × 0', 'shortcut × 0.5', '1×1 convolution',
          'exclusive gate')  # fmt: skip


def defaults(config: ConfigDict) -> dict[str, object]:
    """One family, one depth; Jacobians before and after training."""
    return {
        'sweep.families': ('resnet',),
        'sweep.depths': (56,),
        'sweep.seeds': 1,
        'evaluation.every_epochs': max(1, config.train.epochs // 4),
        'probes.every_epochs': _NEVER_BETWEEN,
        'probes.draws': 3,
        'probes.jacobians': True,
    }


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
        networks: of each cell its coordinates, `train_error`, `status` and `blocks`, their number;
            `gradient`, the decades by which the gradient's root mean square falls from the input of
            the last block to that of the first, before the first update, with `interval` over
            draws, and `expected`, −blocks · log10 λ, for shortcuts scaled by λ > 0; `before` and
            `after` training the `jacobians` of the blocks that keep their shape (see `summary`).
    """
    networks = []
    done = [cell for cell in sweep.cells if cell.result()]
    for cell, result, observed in zip(
        done, sweep.results(), sweep.records(tracking.PROBES_FILE), strict=True
    ):
        rows = observed['records']
        names = [name for name in spec.positions(_spec(cell.config)) if name.count('/') == 1]
        before = [row for row in rows if row['step'] == 0]
        finished = result['status'] == 'finished'
        networks.append(
            {key: result[key] for key in ('cell', 'variant', 'family', 'depth', 'seed', 'status')}
            | {'train_error': result['train_error'], 'blocks': len(names)}
            | {'gradient': _fall(before, names, cell.config.model.shortcut_scale)}
            | {'before': summary(before, _same_shape(cell.config))}
            | {'after': summary(rows[-1:], _same_shape(cell.config)) if finished else None}
        )
    return {'networks': networks, 'confidence': CONFIDENCE, 'close': CLOSE}


def _spec(config: ConfigDict) -> spec.NetworkSpec:
    return configuration.network_spec(config)


def _same_shape(config: ConfigDict) -> list[str]:
    """Blocks whose output has the shape of their input: none that starts a stage but the first."""
    names = [name for name in spec.positions(_spec(config)) if name.count('/') == 1]
    return [name for name in names if name == names[0] or not name.endswith('/block1')]


def _fall(rows: Sequence[Mapping], names: Sequence[str], scale: float) -> dict:
    """log10 of the gradient in the last block's input over that in the first's, a draw a row."""
    ends = [(row['input_gradient'][names[-1]], row['input_gradient'][names[0]]) for row in rows]
    falls = np.array([math.log10(last / first) for last, first in ends if last and first])
    return {
        'decades': float(falls.mean()) if len(falls) else None,
        'interval': t_interval(falls, CONFIDENCE),
        'expected': -(len(names) - 1) * math.log10(scale) if scale > 0 else None,
        'n': len(falls),
    }


def summary(rows: Sequence[Mapping], names: Sequence[str]) -> dict:
    """The Jacobians of some blocks, over draws of the weights.

    Returns:
        `distance_from_identity`, the mean over blocks and draws, its `interval` over blocks (each
        the mean over draws) and `close`, the part of the blocks at most `CLOSE` away; `largest` and
        `smallest` singular value, geometric means over the blocks; `mean_squared`, the same;
        `n`, blocks.
    """

    def by_block(quantity: str) -> np.ndarray:
        table = [[row[quantity][name] for name in names] for row in rows]
        return np.nanmean(np.array(table, float), axis=0)

    distances = by_block('distance_from_identity')
    return {
        'distance_from_identity': float(distances.mean()),
        'interval': t_interval(distances, CONFIDENCE),
        'close': float((distances <= CLOSE).mean()),
        'largest': _geometric_mean(by_block('largest_singular_value')),
        'smallest': _geometric_mean(by_block('smallest_singular_value')),
        'mean_squared': _geometric_mean(by_block('mean_squared_singular_value')),
        'n': len(names),
    }


def _geometric_mean(values: np.ndarray) -> float:
    with np.errstate(divide='ignore'):
        return float(np.exp(np.log(values).mean()))


def words(decision: dict) -> str:
    """How near the identity the blocks are, what λ does, and which shortcuts train worse."""
    networks = decision['networks']
    lines = []
    for network in networks:
        if network['variant'].startswith(IDENTITY):
            moments = {'before': network['before'], 'after training': network['after']}
            said = '; '.join(
                f'{moment} ‖J − I‖/‖I‖ {found["distance_from_identity"]:.2f}, '
                f'{100 * found["close"]:.0f} % of {found["n"]} blocks within {CLOSE:g}'
                for moment, found in moments.items()
                if found
            )
            lines.append(f'{network["variant"]}, depth {network["depth"]}: {said}.')
    deepest = max(network['depth'] for network in networks)
    scaled = [
        network
        for network in networks
        if network['depth'] == deepest
        and network['gradient']['expected']
        and network['gradient']['decades'] is not None
        and network['variant'].startswith('shortcut')
    ]
    if scaled:
        pairs = '; '.join(
            f'{n["variant"]} {n["gradient"]["decades"]:+.1f} ({n["gradient"]["expected"]:+.1f})'
            for n in scaled
        )
        lines.append(
            f'Decades by which the gradient falls from the last block to the first at depth '
            f'{deepest}, and by λ^L alone: {pairs}.'
        )
    errors = _mean_errors(networks, deepest)
    if IDENTITY in errors:
        worse = [
            f'{name} {error:.2f}'
            for name, error in errors.items()
            if error > errors[IDENTITY] and name != IDENTITY
        ]
        lines.append(
            f'Training error at depth {deepest}, in %: identity {errors[IDENTITY]:.2f}; worse '
            f'({len(worse)} of {len(errors) - 1}): {", ".join(worse) or "none"}.'
        )
    return '\n'.join(lines)


def _mean_errors(networks: Sequence[Mapping], depth: int) -> dict[str, float]:
    errors: dict[str, list[float]] = {}
    for network in networks:
        if network['depth'] == depth:
            errors.setdefault(network['variant'], []).append(network['train_error'])
    return {name: fmean(values) for name, values in errors.items()}


def tables(decision: dict) -> list[report.Table]:
    """The gradient and the training error of every network, and its Jacobians."""
    level = f'{100 * decision["confidence"]:g} % CI'
    gradient, jacobians = [], []
    for network in decision['networks']:
        fall, place = network['gradient'], [network['variant'], str(network['depth'])]
        gradient.append(
            [*place, report.number(fall['decades']), report.interval(fall['interval']),
             report.number(fall['expected']), report.number(network['train_error'], '.2f'),
             network['status']]
        )  # fmt: skip
        for moment in ('before', 'after'):
            if found := network[moment]:
                jacobians.append(
                    [*place, f'{moment} training',
                     report.number(found['distance_from_identity'], '.2f'),
                     report.interval(found['interval'], '.2f'), f'{100 * found["close"]:.0f}',
                     report.number(found['largest'], '.2f'),
                     report.number(found['smallest'], '.1e'),
                     report.number(found['mean_squared'], '.2f'), str(found['n'])]
                )  # fmt: skip
    return [
        report.Table(
            title='The gradient that reaches the first block, and the training error',
            columns=('shortcut', 'depth', 'decades fallen', level, 'by λ^L alone',
                     'training error (%)', 'status'),
            words=('shortcut', 'status'),
            rows=gradient,
            note='Decades by which the root mean square of the gradient falls from the input of '
            'the last block to that of the first, before the first update, over draws of weights '
            'and batch; negative: it grows.',
        ),
        report.Table(
            title='Local Jacobians of the blocks that keep their shape',
            columns=('shortcut', 'depth', 'when', '‖J − I‖/‖I‖', level,
                     f'within {decision["close"]:g} (%)', 'largest', 'smallest, at most',
                     'mean square', 'n'),
            words=('shortcut', 'when'),
            rows=jacobians,
            note='Distance from the identity in Frobenius norm: mean and interval over blocks, and '
            'the part of them that is near. Singular values: geometric means over the blocks; the '
            'smallest is an upper bound. n: blocks.',
        ),
    ]  # fmt: skip


def figures(sweep: Sweep, decision: dict) -> dict[str, tuple[Figure, str]]:
    """Bands of singular values, the gradient against λ^L, training error against depth."""
    drawn = {}
    networks = decision['networks']
    deepest = max(network['depth'] for network in networks)
    for moment, step in (('before', 0), ('after', -1)):
        found = _bands(sweep, deepest, step)
        if found:
            drawn[f'singular_values_{moment}_training'] = (
                bands(found, f'Singular values of the blocks {moment} training, depth {deepest}'),
                'From the smallest (an upper bound) to the largest singular value of the Jacobian '
                'of each block that keeps its shape, and their root mean square as a line; the '
                'identity has 1 throughout.',
            )
    scaled = [
        {'x': n['gradient']['expected'], 'y': n['gradient']['decades'], 'depth': n['depth'],
         'name': n['variant']}
        for n in networks
        if n['variant'].startswith('shortcut') or n['variant'] in (IDENTITY, 'both × 0.5')
    ]  # fmt: skip
    scaled = [point for point in scaled if None not in (point['x'], point['y'])]
    if scaled:
        drawn['gradient_against_scale'] = (
            agreement(scaled, 'decades by λ^L alone', 'decades fallen'),
            'Decades by which the gradient falls from the last block to the first before training, '
            'against what the factor λ of each shortcut does alone.',
        )
    drawn['error_by_shortcut'] = (
        error_by_variant(networks),
        'Training error of the final weights. A diverged run counts as guessing.',
    )
    return drawn


def _bands(sweep: Sweep, depth: int, step: int) -> list[tuple[Profile, Profile, Profile]]:
    """Of the shown variants the smallest, root mean square and largest along the blocks."""
    found = []
    done = [cell for cell in sweep.cells if cell.result()]
    for cell, observed in zip(done, sweep.records(tracking.PROBES_FILE), strict=True):
        at = cell.describe()
        rows = [row for row in observed['records'] if row['draw'] == 0]
        is_shown = at['variant'] in _SHOWN and at['depth'] == depth
        if not is_shown or at['seed'] != sweep.config.seed or (step and len(rows) < 2):
            continue
        found.append(
            (
                _profile(cell, rows[step], 'smallest_singular_value'),
                _profile(cell, rows[step], 'mean_squared_singular_value', power=0.5),
                _profile(cell, rows[step], 'largest_singular_value'),
            )
        )
    return found


def _profile(cell: Cell, row: Mapping, quantity: str, power: float = 1) -> Profile:
    names, positions = _same_shape(cell.config), spec.positions(_spec(cell.config))
    values = np.array([row[quantity][name] for name in names], float) ** power
    at = cell.describe()
    return Profile(at['variant'], at['depth'], [positions[name] for name in names], values)
