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
along training. The story's "shrinks geometrically" is a line in log10(gradient) against the layer:
see `judge`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean, median, mode

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres import config as configuration
from vggres import report, spec, sweep, tracking
from vggres.errors import UserError
from vggres.estimates import geometric_fit, rank_correlation, t_interval
from vggres.layer_figures import Profile, error_against, error_by_depth, heat_maps, profiles
from vggres.style import FAMILY_STYLES, Style
from vggres.sweep import Sweep

TITLE = 'The gradient along the layers'
CLAIM = (
    'The gradient shrinks geometrically on its way from the loss to the first layers, deep plain '
    'networks fail to train for that reason, and shortcuts keep it from shrinking.'
)
SOURCE = 'The popular explanation of ResNets; doubted by He et al. 2015, §4.1 (arXiv 1512.03385)'

# Fixed before the first sweep was run.
CONFIDENCE = 0.95
# "Shrinks" or "grows": by a factor of ten at least over the whole network. A gradient that is ten
# times smaller is what a ten times smaller learning rate would do, one step of every schedule.
DECADES = 1.0
# "Geometrically": the line explains this part of the variance of log10(gradient) at least.
R_SQUARED = 0.8
# "Goes with": a rank correlation of this size or more, so that one explains a quarter of the other.
CORRELATION = 0.5

WHEN = {'before': 'before training', 'during': 'in training'}
NORMS = {'batch': 'batch norm', 'none': 'no norm'}
QUANTITY_WORDS = {
    'input_gradient': 'gradient reaching the inputs of blocks',
    'weight_gradient': 'gradient in the weights',
    'update_ratio': 'update over weights',
    'activation': 'inputs of blocks',
}
_OF_BLOCKS = ('activation', 'input_gradient')


def defaults(config: ConfigDict) -> dict[str, object]:
    """Its own grid; runs that are counted in epochs get 10, a third of them costs as much."""
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
        networks: of each cell its coordinates, `norm`, `scheme`, `train_error` and `status`, and of
            each of `probes.QUANTITIES` `before` training (see `flow`) and `during` it, by epoch;
            `judgement` is that of `input_gradient`, `during` the one of most observations.
        correlations: of the networks without shortcuts, with and without norm, before and during
            training, the rank correlation of the decades by which the gradient shrinks with the
            training error at the end.
    """
    networks = []
    done = [cell for cell in sweep.cells if cell.result()]
    for cell, result, observed in zip(
        done, sweep.results(), sweep.records(tracking.PROBES_FILE), strict=True
    ):
        rows = observed['records']
        before = [row for row in rows if row['step'] == 0]
        later = [row for row in rows if row['step'] > 0]
        flows = {}
        for quantity in QUANTITY_WORDS:
            names, positions = along(cell.config, quantity)
            flows[quantity] = {
                'before': flow([_values(row, quantity, names) for row in before], positions),
                'during': {
                    f'{row["epoch"]:g}': flow([_values(row, quantity, names)], positions)
                    for row in later
                },
            }
        networks.append(
            {key: result[key] for key in ('cell', 'variant', 'family', 'depth', 'seed', 'status')}
            | {'norm': cell.config.model.norm, 'scheme': cell.config.init.scheme}
            | {'train_error': result['train_error']}
            | {'judgement': _judgements(flows['input_gradient'])}
            | flows
        )
    return {
        'networks': networks,
        'correlations': {
            norm: {when: _correlation(networks, norm, when) for when in WHEN} for norm in NORMS
        },
        'confidence': CONFIDENCE,
        'decades': DECADES,
        'r_squared': R_SQUARED,
        'correlation': CORRELATION,
    }


def along(config: ConfigDict, quantity: str) -> tuple[list[str], list[int]]:
    """Names and positions of the blocks, or of the layers with weights, between stem and head."""
    found = spec.positions(configuration.network_spec(config))
    slashes = 1 if quantity in _OF_BLOCKS else 2
    names = [name for name in found if name.count('/') == slashes]
    return names, [found[name] for name in names]


def _values(row: Mapping, quantity: str, names: Sequence[str]) -> list[float]:
    """NaN for what was not finite."""
    return [np.nan if row[quantity][name] is None else row[quantity][name] for name in names]


def flow(draws: Sequence[Sequence[float]], positions: Sequence[int]) -> dict:
    """How a quantity changes from the last layer to the first.

    Args:
        draws: `[n, layers]`, a draw of the weights each, the first layer first.
        positions: `[layers]`.

    Returns:
        `decades`, by which it shrinks from the last layer to the first according to the geometric
        fit, negative where it grows: the mean over draws; its `interval`, Student's over draws, or
        the fit's own where there is one draw; `per_layer`, the same for one layer; `r_squared`,
        the mean; `first_to_last`, the median ratio of the two ends, None where one of them is not
        finite or the last is zero; `zeros`, the mean number of layers with a value of zero, which
        fits leave out, and `not_finite`; `n`, the number of draws.
    """
    draws = np.array(draws, float).reshape(-1, len(positions))
    fits = [geometric_fit(positions, values, CONFIDENCE) for values in draws]
    slopes = np.array([fit['slope'] for fit in fits if fit['slope'] is not None])
    span = positions[-1] - positions[0]
    interval = t_interval(slopes, CONFIDENCE)
    if len(slopes) == 1:
        interval = next(fit['interval'] for fit in fits if fit['interval'])
    ratios = [float(row[0] / row[-1]) for row in draws if np.isfinite(row).all() and row[-1] > 0]
    return {
        'decades': float(slopes.mean() * span) if len(slopes) else None,
        'interval': [end * span for end in interval] if interval else None,
        'per_layer': float(slopes.mean()) if len(slopes) else None,
        'r_squared': fmean(f['r_squared'] for f in fits if f['slope'] is not None)
        if len(slopes)
        else None,
        'first_to_last': median(ratios) if ratios else None,
        'zeros': float((draws == 0).sum(axis=1).mean()) if len(draws) else 0.0,
        'not_finite': float((~np.isfinite(draws)).sum(axis=1).mean()) if len(draws) else 0.0,
        'n': len(draws),
    }


def judge(found: Mapping) -> str:
    """Whether the gradient shrinks or grows from the last block to the first.

    'vanishes' where some of it is below the smallest float32, whatever the rest does; 'shrinks' or
    'grows' where the whole interval of `decades` is beyond `DECADES` and the fit explains
    `R_SQUARED`; 'level' where it is within; 'irregular' where it is beyond, but not geometrically;
    'inconclusive' otherwise.
    """
    if found['zeros']:
        return 'vanishes'
    if found['interval'] is None:
        return 'inconclusive'
    low, high = found['interval']
    if low > -DECADES and high < DECADES:
        return 'level'
    if low < DECADES and high > -DECADES:
        return 'inconclusive'
    if found['r_squared'] < R_SQUARED:
        return 'irregular'
    return 'shrinks' if low >= DECADES else 'grows'


def _judgements(flows: Mapping) -> dict[str, str | None]:
    during = [judge(found) for found in flows['during'].values()]
    return {'before': judge(flows['before']), 'during': mode(during) if during else None}


def _correlation(networks: Sequence[Mapping], norm: str, when: str) -> dict:
    """Over the networks without shortcuts; one whose gradient vanishes shrinks the most."""
    plain = [n for n in networks if n['family'] != 'resnet' and n['norm'] == norm]
    pairs = [(shrinkage(n, when), n['train_error']) for n in plain]
    pairs = [pair for pair in pairs if pair[0] is not None]
    if not pairs:
        return {'correlation': None, 'interval': None, 'n': 0}
    return rank_correlation(*zip(*pairs, strict=True), CONFIDENCE)


def shrinkage(network: Mapping, when: str) -> float | None:
    """Decades, of training the median; infinite where the gradient vanishes."""
    flows = network['input_gradient']
    found = [flows['before']] if when == 'before' else flows['during'].values()
    decades = [float('inf') if f['zeros'] else f['decades'] for f in found]
    decades = [each for each in decades if each is not None]
    return median(decades) if decades else None


def words(decision: dict) -> str:
    """The findings at the greatest depth, a line a judgement, and the correlations."""
    networks = decision['networks']
    deepest = max(network['depth'] for network in networks)
    lines = [
        f'Before the first update, at depth {deepest}, the gradient that reaches the blocks, from '
        'the last one to the first:'
    ]
    for judgement in ('vanishes', 'shrinks', 'level', 'grows', 'irregular', 'inconclusive'):
        found = [
            network
            for network in networks
            if (network['depth'], network['judgement']['before']) == (deepest, judgement)
        ]
        if found:
            names = '; '.join(f'{n["variant"]}{_in_decades(n)}' for n in found)
            lines.append(f'{judgement}: {names}.')
    for norm, when in product(NORMS, WHEN):
        found = decision['correlations'][norm][when]
        if found['interval']:
            low, high = found['interval']
            lines.append(
                f'Without shortcuts, {NORMS[norm]}, {WHEN[when]}: rank correlation of the '
                f'shrinking with the training error at the end {found["correlation"]:+.2f} '
                f'({100 * CONFIDENCE:g} % interval {low:+.2f} to {high:+.2f}, n = {found["n"]} '
                'networks).'
            )
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
        [NORMS[norm], WHEN[when], report.number(found['correlation']),
         report.interval(found['interval']), str(found['n'])]
        for norm, moments in decision['correlations'].items()
        for when, found in moments.items()
    ]  # fmt: skip
    level = f'{100 * decision["confidence"]:g} %'
    return [
        report.Table(
            title='The gradient that reaches the blocks',
            columns=(
                'network', 'depth', 'before', 'decades shrunk', f'{level} CI', 'R²',
                'first / last', 'zeros', 'in training', 'decades', 'training error (%)',
            ),
            words=('network', 'before', 'in training'),
            rows=rows,
            note='Decades by which the root mean square of the gradient shrinks from the last '
            'block to the first, by least squares of its logarithm, before the first update, mean '
            'and interval over draws of weights and batch; negative: it grows. Shrinks or grows: '
            f'beyond {decision["decades"]:g} decade with R² of {decision["r_squared"]:g} at least. '
            'First / last: the ratio of both ends. Zeros: blocks whose gradient is below the '
            'smallest float32. In training: the median over the observations after the first '
            'update, and what most of them are. A diverged run has the error of guessing. Where '
            'images have 2×2 pixels, only four of nine taps of a kernel meet a pixel, so that '
            "He's variance is too small by 9/4 a layer.",
        ),
        report.Table(
            title='Does the shrinking go with the failure to train? Networks without shortcuts',
            columns=('norm', 'when', 'rank correlation', f'{level} CI', 'n'),
            words=('norm', 'when'),
            rows=correlations,
            note='Spearman, between the decades shrunk, before the first update or in the median '
            'observation after it, and the training error at the end, over depths, families and '
            'schemes. What is seen in training may follow from the failure as well as cause it.',
        ),
    ]  # fmt: skip


def _row(network: Mapping) -> list[str]:
    before, in_training = network['input_gradient']['before'], shrinkage(network, 'during')
    return [
        network['variant'],
        str(network['depth']),
        network['judgement']['before'],
        report.number(before['decades']),
        report.interval(before['interval']),
        report.number(before['r_squared']),
        report.number(before['first_to_last'], '.1e'),
        f'{before["zeros"]:g}',
        network['judgement']['during'] or report.MISSING,
        report.number(in_training),
        report.number(network['train_error'], '.2f'),
    ]


def figures(sweep: Sweep, decision: dict) -> dict[str, tuple[Figure, str]]:
    """Gradient against layer, heat maps, training error against shrinking and against depth."""
    drawn = {}
    observed = _observed(sweep)
    for scheme in configuration.INIT_SCHEMES:
        found = [profile for profile in observed if profile[0] == scheme]
        curves = [
            Profile(panel, depth, positions, np.mean(before, axis=0))
            for _, panel, depth, positions, before, _, _ in found
        ]
        if curves:
            drawn[f'gradient_by_layer_{scheme}'] = (
                profiles(
                    curves,
                    f'Gradient reaching each block before the first update, {scheme} weights',
                ),
                'Root mean square of the gradient of the loss in the input of each block, the mean '
                f'over draws of {scheme} weights and batches; a line a network. A line that falls '
                'to the left is a gradient that shrinks towards the image.',
            )
    deepest = max(depth for _, _, depth, *_ in observed)
    for scheme in configuration.INIT_SCHEMES:
        maps = [
            (Profile(panel, depth, positions, values), epochs)
            for each, panel, depth, positions, _, values, epochs in observed
            if (each, depth) == (scheme, deepest)
        ]
        if maps:
            longest = max((epochs for _, epochs in maps), key=len)
            drawn[f'gradient_in_training_{scheme}'] = (
                heat_maps(
                    [_padded(profile, len(longest)) for profile, _ in maps],
                    longest,
                    f'Gradient reaching each block in training, depth {deepest}, {scheme} weights',
                ),
                'Root mean square of the gradient of the loss in the input of each block, the '
                'first block on top; blank: zero, not finite, or after a run had diverged.',
            )
    plain = [
        n | {'decades': n['input_gradient']['before']['decades']} for n in decision['networks']
    ]
    if any(network['decades'] is not None for network in plain):
        drawn['error_against_shrinking'] = (
            error_against(plain, 'decades', 'decades shrunk, last block to first', 'norm', NORMS),
            'Training error at the end against the decades by which the gradient shrinks from the '
            'last block to the first before training; left of the line it grows. If the story '
            'holds, error rises to the right. Networks whose gradient vanishes altogether count by '
            'the blocks that it reaches.',
        )
    lines = [n | {'line': f'{n["family"]}, {NORMS[n["norm"]]}'} for n in decision['networks']]
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


def _observed(sweep: Sweep) -> list[tuple]:
    """Of each network scheme, panel, depth, positions, draws before and values in training."""
    found = []
    done = [cell for cell in sweep.cells if cell.result()]
    for cell, observed in zip(done, sweep.records(tracking.PROBES_FILE), strict=True):
        names, positions = along(cell.config, 'input_gradient')
        rows = observed['records']
        before = [_values(row, 'input_gradient', names) for row in rows if row['step'] == 0]
        run = [row for row in rows if row['draw'] == 0]
        values = np.array([_values(row, 'input_gradient', names) for row in run], float)
        model = cell.config.model
        panel = f'{model.family}, {NORMS[model.norm]}'
        epochs = [row['epoch'] for row in run]
        found.append(
            (cell.config.init.scheme, panel, model.depth, positions, before, values, epochs)
        )
    return sorted(found, key=lambda each: NORMS['none'] in each[1])  # a row of panels a norm


def _padded(profile: Profile, observations: int) -> Profile:
    """With blank observations after a run that ended before the others."""
    missing = observations - len(profile.values)
    values = np.pad(profile.values, ((0, missing), (0, 0)), constant_values=np.nan)
    return Profile(profile.panel, profile.depth, profile.positions, values)
