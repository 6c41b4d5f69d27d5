"""Does the gradient vanish on its way back, and is that why deep plain networks fail to train?

The claim, as blog posts and interview answers have it: the gradient that reaches the first layers
is a product of local gradients, so it shrinks geometrically with depth and leaves them almost
without updates; a shortcut's derivative is 1, so it lets the gradient through. He et al. 2015
(arXiv 1512.03385, §4.1) doubt it: with batch norm they found the backward norms of their plain
networks healthy. Balduzzi et al. 2017 (arXiv 1702.08591) find that not the size of gradients but
their correlation is lost.

It would be refuted by plain networks that fail to train although the gradient reaching their first
blocks has not shrunk, by networks that train although it has, and by shortcuts where it shrinks as
much as without.

Observed are all networks before the first update, with five draws of weights and batches each, and
along training. The story's "shrinks geometrically" is a line in log10(gradient) against the layer
(`along_layers.judge`). Its slope is that of the Euclidean norm of the gradient in a block's input, so that
layers of other resolution compare; the figures show the root mean square.

Three things to know. Small images lose gradient over their borders: of 2×2 pixels, a 3×3 kernel
meets four with nine taps, so that even He's variance shrinks it (`along_layers.padding`). Batch norm turns
the gradient's fate around: before training it grows towards the image. And `vgg` weights, of one
variance everywhere, grow or shrink it by the width of the layers: other widths, other answers.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres import config as configuration
from vggres.data import tfds
from vggres.errors import UserError
from vggres.figures.layers import Profile, error_against, error_by_depth, heat_maps, profiles
from vggres.figures.style import FAMILY_STYLES, Style
from vggres.findings import along_layers, report
from vggres.findings.estimates import rank_correlation
from vggres.networks import spec
from vggres.sweeps import sweep
from vggres.sweeps.sweep import Sweep

TITLE = 'The gradient along the layers'
CLAIM = (
    'The gradient shrinks geometrically on its way from the loss to the first layers, deep plain '
    'networks fail to train for that reason, and shortcuts keep it from shrinking.'
)
SOURCE = 'The popular explanation of ResNets; doubted by He et al. 2015, §4.1 (arXiv 1512.03385)'

# Fixed before the first sweep was run; those of a single network stand in `vggres.findings.along_layers`.
# "Goes with": a rank correlation of this size or more, so that one explains a quarter of the other.
CORRELATION = 0.5
# Errors within this part of guessing are alike: that one failed network sits at the majority class
# and another diverged orders nothing.
GUESSING = 0.97
# Amended after the first sweep: what happens in training, and among networks of one depth, became
# cases of their own; failed networks share a rank; gradients are compared by norm, not by root mean
# square; a gradient that is zero at both ends is 'dead', not 'vanishes'.

WHEN = {'before': 'before training', 'during': 'in training'}
AMONG = ('all depths', 'one depth')
# Knobs that the grid sets or relies on.
VARIES = (
    'model.norm',
    'init.scheme',
    'model.vgg_shortcuts',
    'model.shortcut_scale',
    'model.branch_scale',
    'model.gate',
    'model.shortcut_dropout',
)
NORMS = {'batch': 'batch norm', 'none': 'no norm'}
_QUANTITIES = ('input_gradient', 'weight_gradient', 'update_ratio', 'activation')


def defaults(config: ConfigDict) -> dict[str, object]:
    """Its own grid; runs that are counted in epochs get 10, so that it takes minutes."""
    return {
        'sweep.families': ('vgg', 'plain', 'resnet'),
        'sweep.depths': (8, 20, 56, 110),
        'sweep.seeds': 1,
        'probes.every_epochs': 2 if config.train.epochs else config.evaluation.every_epochs,
        'probes.draws': 5,
    } | ({'train.epochs': 10, 'evaluation.every_epochs': 5} if config.train.epochs else {})


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family with and without batch norm, under each scheme of weights, at each depth.

    Raises:
        UserError: where the layers are not looked into.
    """
    if not config.probes.every_epochs or config.probes.names:
        raise UserError(
            'this sweep looks into all layers: leave probes.names empty and probes.every_epochs '
            'at 1 or more.'
        )
    variants = {
        f'{family}, {NORMS[norm]}, {scheme}': knobs | {'model.norm': norm, 'init.scheme': scheme}
        for (family, knobs), norm, scheme in product(
            sweep.families(config).items(), NORMS, configuration.INIT_SCHEMES
        )
    }
    return sweep.grid(config, variants)


def analyse(sweep: Sweep) -> dict:
    """Of each finished network, how its gradient flows and how it trains; and how the two go along.

    Returns:
        networks: of each cell its coordinates, `norm`, `scheme`, `train_error`, `status` and
            `padding`, and of each of `probes.QUANTITIES` `before` training (see `along_layers.change`) and
            `during` it, by epoch; `judgement` is that of `input_gradient`, `during` the one of most
            observations.
        failed: the error in % from which on networks count as failed alike.
        correlations: of the networks without shortcuts, with and without norm, the rank correlation
            of the decades by which the gradient shrinks, before or during training, with the
            training error at the end; among all depths, or of ranks within each depth.
    """
    networks = []
    for cell, result, rows in sweep.observed():
        described, image_shape = configuration.network_spec(cell.config), result['image_shape']
        before = [row for row in rows if row['step'] == 0]
        later = [row for row in rows if row['step'] > 0]
        flows = {}
        for quantity in _QUANTITIES:
            names, positions = along_layers.along(described, quantity)
            scales = [1.0] * len(names)
            if quantity == 'input_gradient':  # the norm, from the root mean square
                inputs = spec.block_inputs(described, image_shape)
                scales = [math.sqrt(math.prod(inputs[name])) for name in names]
            draws = [along_layers.values(row, quantity, names) * np.array(scales) for row in before]
            flows[quantity] = {
                'before': along_layers.change(draws, positions),
                'during': {
                    f'{row["epoch"]:g}': along_layers.change(
                        [along_layers.values(row, quantity, names) * np.array(scales)], positions
                    )
                    for row in later
                },
            }
        networks.append(
            {key: result[key] for key in ('cell', 'variant', 'family', 'depth', 'seed', 'status')}
            | {'norm': cell.config.model.norm, 'scheme': cell.config.init.scheme}
            | {'train_error': result['train_error']}
            | {'padding': along_layers.padding(described, image_shape)}
            | {'judgement': along_layers.judgements(flows['input_gradient'])}
            | flows
        )
    classes = tfds.describe(sweep.config.data).num_classes
    failed = GUESSING * 100 * (1 - 1 / classes)
    return {
        'networks': networks,
        'failed': failed,
        'correlations': {
            norm: {
                f'{WHEN[when]}, {among}': _correlation(networks, norm, when, among, failed)
                for when, among in product(WHEN, AMONG)
            }
            for norm in NORMS
        },
        'confidence': along_layers.CONFIDENCE,
        'decades': along_layers.DECADES,
        'r_squared': along_layers.R_SQUARED,
        'correlation': CORRELATION,
    }


def _correlation(
    networks: Sequence[Mapping], norm: str, when: str, among: str, failed: float
) -> dict:
    """Over the networks without shortcuts; one whose gradient vanishes shrinks the most.

    Errors from `failed` on, in %, are equal.
    """
    found = [
        (
            network['depth'],
            along_layers.shrinkage(network['input_gradient'], when),
            min(network['train_error'], failed),
        )
        for network in networks
        if network['family'] != 'resnet' and network['norm'] == norm
    ]
    found = [each for each in found if each[1] is not None]
    if not found:
        return {'correlation': None, 'interval': None, 'n': 0}
    depths, decades, errors = zip(*found, strict=True)
    if among == 'one depth':
        decades, errors = (_ranks_within(depths, values) for values in (decades, errors))
    return rank_correlation(decades, errors, along_layers.CONFIDENCE)


def _ranks_within(groups: Sequence[int], values: Sequence[float]) -> list[float]:
    """Of each value its mean rank in its group, from −1, the lowest, to 1."""
    ranks = []
    for group, value in zip(groups, values, strict=True):
        others = [v for g, v in zip(groups, values, strict=True) if g == group]
        below, above = sum(v < value for v in others), sum(v > value for v in others)
        ranks.append((below - above) / max(1, len(others) - 1))
    return ranks


def words(decision: dict) -> str:
    """The findings at the greatest depth, a line a judgement, and the correlations."""
    networks = decision['networks']
    if not networks:
        return 'No finished network was observed.'
    deepest = max(network['depth'] for network in networks)
    lines = [
        f'Before the first update, at depth {deepest}, the gradient that reaches the blocks, from '
        'the last one to the first:'
    ]
    for judgement in along_layers.JUDGEMENTS:
        found = [
            network
            for network in networks
            if (network['depth'], network['judgement']['before']) == (deepest, judgement)
        ]
        if found:
            names = '; '.join(f'{n["variant"]}{_in_decades(n)}' for n in found)
            lines.append(f'{judgement}: {names}.')
    lines += [
        f"{n['variant']}: zero padding alone, by He's variance, would shrink it "
        f'×10^{-n["padding"]:.1f} on images of this size.'
        for n in networks
        if (n['depth'], n['norm'], n['scheme']) == (deepest, 'none', 'he')
        and n['judgement']['before'] == 'shrinks'
    ]
    updates = [
        f'{network["variant"]} {first:.1e} and {last:.1e}'
        for network in networks
        if (network['depth'], network['scheme']) == (deepest, 'he')
        for first, last in [network['update_ratio']['before']['ends']]
        if first is not None
    ]
    if updates:
        lines.append(
            'The first update over the weights, weight decay included, in the first and the last '
            f'layer: {"; ".join(updates)}.'
        )
    for norm, found in decision['correlations'].items():
        said = '; '.join(
            f'{which} {each["correlation"]:+.2f} ({each["interval"][0]:+.2f} to '
            f'{each["interval"][1]:+.2f}, n = {each["n"]})'
            for which, each in found.items()
            if each['interval']
        )
        if said:
            lines.append(
                f'Without shortcuts, {NORMS[norm]}, rank correlation of the shrinking with the '
                f'training error at the end, {100 * along_layers.CONFIDENCE:g} % interval: {said}.'
            )
    lines.append(
        f'Errors from {decision["failed"]:.1f} % on count as equal there: no better than guessing.'
    )
    lines.append('All this is of one learning rate and of the few epochs of this protocol.')
    return '\n'.join(lines)


def _in_decades(network: Mapping) -> str:
    decades = network['input_gradient']['before']['decades']
    if decades is None or network['judgement']['before'] == 'vanishes':
        return ''
    return f' (×10^{-decades:+.1f})'


def tables(decision: dict) -> list[report.Table]:
    """Every network, and the correlations."""
    rows = [_row(network) for network in decision['networks']]
    correlations = [
        [NORMS[norm], which, report.number(found['correlation']),
         report.interval(found['interval']), str(found['n'])]
        for norm, each in decision['correlations'].items()
        for which, found in each.items()
    ]  # fmt: skip
    level = f'{100 * decision["confidence"]:g} %'
    return [
        report.Table(
            title='The gradient that reaches the blocks',
            columns=(
                'network', 'depth', 'before', 'decades shrunk', f'{level} CI', 'by borders', 'R²',
                'first / last', 'zeros', 'in training', 'decades', 'training error (%)',
            ),
            words=('network', 'before', 'in training'),
            rows=rows,
            note='Decades by which the Euclidean norm of the gradient shrinks from the last block '
            'to the first, by least squares of its logarithm, before the first update: mean and '
            'interval over draws of weights and batch; negative: it grows. Shrinks or grows: '
            f'beyond {decision["decades"]:g} decade with R² of {decision["r_squared"]:g} at least. '
            "By borders: what He's variance loses because taps of a kernel miss small images. "
            'First / last: the ratio of both ends. Zeros: blocks whose gradient is below the '
            'smallest float32. In training: what most observations after the first update are, and '
            'their median; judged by the interval of the fit, which takes layers as independent. A '
            'diverged run has the error of guessing.',
        ),
        report.Table(
            title='The weights before the first update',
            columns=(
                'network', 'depth', 'gradient, decades shrunk', 'update / weights, decades shrunk',
                'first layer', 'last layer', 'inputs, decades shrunk',
            ),
            words=('network',),
            rows=[_weights_row(network) for network in decision['networks']],
            note='Root mean squares by layer: of the gradient in the weights and of the update '
            'over the weights, which holds weight decay (without any gradient it is learning rate '
            'times decay); by block: of what comes in. Decades from the last to the first.',
        ),
        report.Table(
            title='Does the shrinking go with the failure to train? Networks without shortcuts',
            columns=('norm', 'shrinking, networks', 'rank correlation', f'{level} CI', 'n'),
            words=('norm', 'shrinking, networks'),
            rows=correlations,
            note='Spearman, between the decades shrunk, before the first update or in the median '
            'observation after it, and the training error at the end, over depths, families and '
            'schemes. Depth moves both, and what is seen in training may follow from the '
            'failure: neither says what causes what.',
        ),
    ]  # fmt: skip


def _row(network: Mapping) -> list[str]:
    before, in_training = (
        network['input_gradient']['before'],
        along_layers.shrinkage(network['input_gradient'], 'during'),
    )
    return [
        network['variant'],
        str(network['depth']),
        network['judgement']['before'],
        report.number(before['decades']),
        report.interval(before['interval']),
        report.number(network['padding']),
        report.number(before['r_squared']),
        report.number(before['first_to_last'], '.1e'),
        f'{before["zeros"]:g}',
        network['judgement']['during'] or report.MISSING,
        report.number(in_training),
        report.number(network['train_error'], '.2f'),
    ]


def _weights_row(network: Mapping) -> list[str]:
    update = network['update_ratio']['before']
    return [
        network['variant'],
        str(network['depth']),
        report.number(network['weight_gradient']['before']['decades']),
        report.number(update['decades']),
        *(report.number(end, '.1e') for end in update['ends']),
        report.number(network['activation']['before']['decades']),
    ]


def figures(sweep: Sweep, decision: dict) -> dict[str, tuple[Figure, str]]:
    """Gradient against layer, heat maps, training error against shrinking and against depth."""
    drawn = {}
    observed = _observed(sweep)
    deepest = max((each.depth for each in observed), default=0)
    for scheme in configuration.INIT_SCHEMES:
        found = [each for each in observed if each.scheme == scheme]
        curves = [
            Profile(each.panel, each.depth, each.positions, each.before.mean(axis=0))
            for each in found
        ]
        if curves:
            title = f'Gradient reaching each block before the first update, {scheme} weights'
            drawn[f'gradient_by_layer_{scheme}'] = (
                profiles(curves, title),
                'Root mean square of the gradient of the loss in the input of each block, the mean '
                f'over draws of {scheme} weights and batches; a line a network. A line that falls '
                'to the left is a gradient that shrinks towards the image.',
            )
        deep = [each for each in found if each.depth == deepest]
        if deep:
            epochs = max((each.epochs for each in deep), key=len)
            maps = [
                Profile(each.panel, each.depth, each.positions, _padded(each.run, len(epochs)))
                for each in deep
            ]
            title = f'Gradient reaching each block in training, depth {deepest}, {scheme} weights'
            drawn[f'gradient_in_training_{scheme}'] = (
                heat_maps(maps, epochs, title),
                'Root mean square of the gradient of the loss in the input of each block, the '
                'first block on top; blank: zero, not finite, or after a run had diverged.',
            )
    return drawn | _error_figures(decision['networks'])


def _error_figures(networks: Sequence[Mapping]) -> dict[str, tuple[Figure, str]]:
    drawn = {}
    placed = [n | {'decades': n['input_gradient']['before']['decades']} for n in networks]
    if any(network['decades'] is not None for network in placed):
        drawn['error_against_shrinking'] = (
            error_against(placed, 'decades', 'decades shrunk, last block to first', 'norm', NORMS),
            'Training error at the end against the decades by which the gradient shrinks from the '
            'last block to the first before training; left of the line it grows. If the story '
            'holds, error rises to the right. Networks whose gradient vanishes altogether stand '
            'where the blocks that it reaches place them.',
        )
    lines = [n | {'line': f'{n["family"]}, {NORMS[n["norm"]]}'} for n in networks]
    looks = {
        f'{family}, {words}': Style(
            look.color, look.marker, '-' if norm == 'batch' else (0, (4, 2))
        )
        for family, look in FAMILY_STYLES.items()
        for norm, words in NORMS.items()
        if any(network['family'] == family for network in lines)
    }
    schemes = {scheme: f'{scheme} weights' for scheme in configuration.INIT_SCHEMES}
    drawn['error_against_depth'] = (
        error_by_depth(lines, 'scheme', schemes, 'line', looks),
        'Training error of the final weights against depth. A diverged run counts as guessing.',
    )
    return drawn


@dataclass(frozen=True)
class _Observed:
    """The gradient in the inputs of one network's blocks: `[draws, blocks]`, `[epochs, blocks]`."""

    scheme: str
    panel: str
    depth: int
    positions: list[int]
    before: np.ndarray
    run: np.ndarray
    epochs: list[float]


def _observed(sweep: Sweep) -> list[_Observed]:
    """Those of the first seed, a row of panels a norm."""
    found = []
    for cell, result, rows in sweep.observed():
        if result['seed'] != sweep.config.seed:
            continue
        names, positions = along_layers.along(
            configuration.network_spec(cell.config), 'input_gradient'
        )
        run = [row for row in rows if row['draw'] == 0]
        found.append(
            _Observed(
                cell.config.init.scheme,
                f'{result["family"]}, {NORMS[cell.config.model.norm]}',
                result['depth'],
                positions,
                np.array(
                    [
                        along_layers.values(r, 'input_gradient', names)
                        for r in rows
                        if r['step'] == 0
                    ]
                ),
                np.array([along_layers.values(row, 'input_gradient', names) for row in run]),
                [row['epoch'] for row in run],
            )
        )
    return sorted(found, key=lambda each: NORMS['none'] in each.panel)


def _padded(run: np.ndarray, observations: int) -> np.ndarray:
    """With blank observations after a run that ended before the others."""
    return np.pad(run, ((0, observations - len(run)), (0, 0)), constant_values=np.nan)
