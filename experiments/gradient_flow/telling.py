"""Tells the verdict on the gradient in words, tables and figures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.gradient_flow.analysis import (
    FailureCorrelation,
    FlowVerdict,
    NetworkFlow,
    deepest_shared,
    shrinkage,
)
from experiments.gradient_flow.question import NORMS
from vggres.figures.layers import (
    Point,
    Profile,
    error_against,
    error_by_depth,
    heat_maps,
    profiles,
)
from vggres.figures.style import FAMILY_STYLES, Style
from vggres.findings import along_layers
from vggres.findings.tables import MISSING, Column, Table, interval, number, scientific
from vggres.probes.quantities import QUANTITIES
from vggres.sweeps.sweep import Sweep

SCHEMES = {
    'he': 'He initialisation',
    'glorot': 'Glorot initialisation',
    'vgg': 'VGG initialisation',
}
_JUDGED = {
    'vanishes': 'It vanishes',
    'shrinks': 'It shrinks geometrically',
    'level': 'It stays level',
    'grows': 'It grows geometrically',
    'irregular': 'It changes irregularly',
    'dead': 'It is zero at both ends',
    'inconclusive': 'Its course is inconclusive',
}
_MOMENTS = {'before': 'before training', 'during': 'during training'}
_AMONG = {'all depths': 'among all depths', 'one depth': 'among networks of one depth'}
_GRADIENT = 'log10 of the gradient'


def words(verdict: FlowVerdict) -> str:
    """The verdict in words: the gradient at the greatest shared depth, then the correlations."""
    if not verdict.networks:
        return 'No finished network was observed.'
    deepest = _deepest((network.variant, network.depth) for network in verdict.networks)
    deep = [network for network in verdict.networks if network.depth == deepest]
    lines = [
        f'At depth {deepest} and before the first update, the gradient was followed from the last '
        'block to the first. Brackets give the initialisation and the change in decades.',
        *_judged_words(deep),
        *_padding_words(deep),
        *_update_words(deep),
        *_correlation_words(verdict),
    ]
    if verdict.failed is not None:
        lines.append(
            f'In these correlations all errors from {verdict.failed:.1f} % on count as equal, '
            'because they are no better than guessing.'
        )
    lines.append('All of this holds for one learning rate and the few epochs of this protocol.')
    return '\n'.join(lines)


def _deepest(networks: Iterable[tuple[str, int]]) -> int:
    """The greatest depth that all variants have; where they share none, the greatest of all.

    Args:
        networks: the variant and the depth of each.
    """
    depths: dict[str, set[int]] = {}
    for variant, depth in networks:
        depths.setdefault(variant, set()).add(depth)
    greatest = max((max(each) for each in depths.values()), default=0)
    return deepest_shared(depths.values()) or greatest


def _judged_words(networks: Sequence[NetworkFlow]) -> Iterator[str]:
    for judgement in along_layers.JUDGEMENTS:
        found = [network for network in networks if network.judgement.before == judgement]
        schemes: dict[str, list[str]] = {}
        for (family, norm, scheme), group in _pooled(found, 'family', 'norm', 'scheme').items():
            decades = _mean(each.input_gradient.before.decades for each in group)
            change = (
                '' if decades is None or judgement == 'vanishes' else f' {number(-decades, "+.1f")}'
            )
            kind = f'{family}, {NORMS[norm]}'
            schemes.setdefault(kind, []).append(f'{SCHEMES[scheme].split()[0]}{change}')
        if schemes:
            said = '; '.join(f'{kind} ({", ".join(each)})' for kind, each in schemes.items())
            yield f'{_JUDGED[judgement]} in: {said}.'


def _padding_words(networks: Sequence[NetworkFlow]) -> Iterator[str]:
    shrunk = [
        network
        for network in networks
        if (network.norm, network.scheme) == ('none', 'he')
        and network.judgement.before == 'shrinks'
    ]
    for (variant,), group in _pooled(shrunk, 'variant').items():
        measured = _mean(each.input_gradient.before.decades for each in group)
        if measured is not None:
            yield (
                f'{variant}: on images of this size, padding alone predicts a loss of '
                f'{group[0].padding:.1f} decades; we measured {measured:.1f}.'
            )


def _update_words(networks: Sequence[NetworkFlow]) -> Iterator[str]:
    updates = []
    he = [network for network in networks if network.scheme == 'he']
    for (variant,), group in _pooled(he, 'variant').items():
        first, last = (_mean(each.update_ratio.before.ends[i] for each in group) for i in (0, 1))
        if first is not None and last is not None:
            updates.append(f'{variant} {scientific(first)} and {scientific(last)}')
    if updates:
        yield (
            'The ratio of the first update, weight decay included, to the weights in the first and '
            f'in the last layer: {"; ".join(updates)}.'
        )


def _pooled(networks: Sequence[NetworkFlow], *keys: str) -> dict[tuple, list[NetworkFlow]]:
    """Networks that agree in some attributes: those of several seeds."""
    groups: dict[tuple, list[NetworkFlow]] = {}
    for network in networks:
        groups.setdefault(tuple(getattr(network, key) for key in keys), []).append(network)
    return groups


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None where there are none."""
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


def _correlation_words(verdict: FlowVerdict) -> Iterator[str]:
    for norm, norm_words in NORMS.items():
        said = '; '.join(
            f'{_which(found)} {number(found.correlation)} ({interval(found.interval)}, '
            f'n = {found.n})'
            for found in verdict.correlations
            if found.norm == norm and found.interval
        )
        if said:
            yield (
                f'In networks without shortcuts and with {norm_words}, the rank correlation of '
                'the shrinking with the training error at the end is '
                f'({100 * verdict.confidence:g} % intervals in brackets): {said}.'
            )


def _which(found: FailureCorrelation) -> str:
    return f'{_AMONG[found.among]} {_MOMENTS[found.moment]}'


def tables(verdict: FlowVerdict) -> list[Table]:
    """The verdict in numbers: every network, and the correlations."""
    return [_gradient_table(verdict), _weights_table(verdict), _correlation_table(verdict)]


def _gradient_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='The gradient that reaches the blocks',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('training error (%)'),
            Column('before training', words=True),
            Column('decades shrunk'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('by borders'),
            Column('R²'),
            Column('first / last'),
            Column('zeros'),
            Column('during training', words=True),
            Column('decades shrunk'),
        ),
        rows=[_gradient_row(network) for network in verdict.networks],
        note='Before training: the decades by which the Euclidean norm of the gradient shrinks '
        'from the last block to the first, by a least-squares fit of its logarithm, with mean and '
        'interval over draws of weights and batch; a negative number means that it grows. '
        f'"Shrinks" and "grows" mean a change of more than {verdict.decades:g} decade with an R² '
        f"of at least {verdict.r_squared:g}. By borders: the decades that He's variance loses "
        'because kernels reach beyond small images. First / last: the ratio of the two ends. '
        'Zeros: blocks whose gradient is below the smallest float32. During training: the '
        'judgement of most observations after the first update, by the interval of the fit, which '
        'takes layers as independent, and their median. A diverged run has the error of guessing.',
    )


def _gradient_row(network: NetworkFlow) -> list[str]:
    before = network.input_gradient.before
    return [
        network.variant,
        str(network.depth),
        number(network.train_error, '.2f'),
        network.judgement.before,
        number(before.decades),
        interval(before.interval),
        number(network.padding),
        number(before.r_squared),
        scientific(before.first_to_last),
        f'{before.zeros:g}',
        network.judgement.during or MISSING,
        number(shrinkage(network, 'during')),
    ]


def _weights_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='The weights before the first update',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('gradient, decades shrunk'),
            Column('update / weights, decades shrunk'),
            Column('first layer'),
            Column('last layer'),
            Column('inputs, decades shrunk'),
        ),
        rows=[_weights_row(network) for network in verdict.networks],
        note='All are root mean squares, and decades count from the last layer or block to the '
        'first. Gradient: in the weights of layers. Update / weights: the ratio of the update, '
        'weight decay included, to the weights; without any gradient it is the learning rate times '
        'the weight decay. First and last layer: that ratio there. Inputs: of blocks.',
    )


def _weights_row(network: NetworkFlow) -> list[str]:
    update = network.update_ratio.before
    return [
        network.variant,
        str(network.depth),
        number(network.weight_gradient.before.decades),
        number(update.decades),
        *map(scientific, update.ends),
        number(network.activation.before.decades),
    ]


def _correlation_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='Does the shrinking go with the failure to train? Networks without shortcuts',
        columns=(
            Column('norm', words=True),
            Column('shrinking', words=True),
            Column('networks', words=True),
            Column('rank correlation'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('n'),
        ),
        rows=[
            [
                NORMS[found.norm],
                _MOMENTS[found.moment],
                _AMONG[found.among],
                number(found.correlation),
                interval(found.interval),
                str(found.n),
            ]
            for found in verdict.correlations
        ],
        note="Spearman's correlation between the decades by which the gradient shrinks, before the "
        'first update or in the median observation after it, and the training error at the end, '
        'over depths, families and schemes of initialisation. Depth moves both, and what is '
        'observed during training may follow from the failure: neither number says what causes '
        'what.',
    )


def figures(sweep: Sweep, verdict: FlowVerdict) -> dict[str, tuple[Figure, str]]:
    """Gradient against layer, heat maps, and training error against shrinking and depth."""
    drawn = {}
    observed = _observed(sweep)
    deepest = _deepest((f'{each.panel}, {each.scheme}', each.depth) for each in observed)
    for scheme, scheme_words in SCHEMES.items():
        found = [each for each in observed if each.scheme == scheme]
        if found:
            title = f'Gradient that reaches each block before the first update, {scheme_words}'
            drawn[f'gradient_by_layer_{scheme}'] = (
                profiles([each.profile() for each in found], title, _GRADIENT),
                'Root mean square of the gradient of the loss in the input of each block: one '
                'panel per family and norm, one line per depth. Each line is the mean over draws '
                f'of weights, with {scheme_words}, and batches. A line that falls to the left is a '
                'gradient that shrinks towards the image.',
            )
        deep = [each for each in found if each.depth == deepest]
        if deep:
            epochs = max((each.epochs for each in deep), key=len)
            title = f'Gradient that reaches each block, depth {deepest}, {scheme_words}'
            drawn[f'gradient_in_training_{scheme}'] = (
                heat_maps([each.map(len(epochs)) for each in deep], epochs, title, _GRADIENT),
                'Root mean square of the gradient of the loss in the input of each block, in the '
                'course of training. The first block stands on top. A place is blank where the '
                'gradient is zero or not finite, or where the run had diverged.',
            )
    return drawn | _error_figures(verdict.networks)


def _error_figures(networks: Sequence[NetworkFlow]) -> dict[str, tuple[Figure, str]]:
    drawn = {}
    points = [
        Point(each.family, each.depth, decades, each.train_error, NORMS[each.norm])
        for each in networks
        if (decades := each.input_gradient.before.decades) is not None
    ]
    if points:
        drawn['error_against_shrinking'] = (
            error_against(points, list(NORMS.values()), 'decades shrunk, last block to first'),
            'Training error at the end against the decades by which the gradient shrinks from the '
            'last block to the first before training; to the left of the vertical line it grows. '
            'If the story held, the error would rise to the right. A network whose gradient '
            'vanishes is placed by those of its blocks that the gradient reaches.',
        )
    lines = [
        Point(
            name=f'{each.family}, {NORMS[each.norm]}',
            depth=each.depth,
            x=each.depth,
            y=each.train_error,
            panel=SCHEMES[each.scheme],
        )
        for each in networks
    ]
    families = {network.family for network in networks}
    looks = {
        f'{family}, {norm_words}': Style(
            look.color, look.marker, '-' if norm == 'batch' else (0, (4, 2))
        )
        for family, look in FAMILY_STYLES.items()
        for norm, norm_words in NORMS.items()
        if family in families
    }
    drawn['error_against_depth'] = (
        error_by_depth(lines, list(SCHEMES.values()), looks),
        'Training error of the final weights against depth: one panel per initialisation, one line '
        'per family and norm. A diverged run counts as guessing.',
    )
    return drawn


@dataclass(frozen=True)
class _Observed:
    """The gradient in the inputs of one network's blocks.

    Attributes:
        scheme: of its initialisation.
        panel: the title of its panel.
        depth: weighted layers.
        positions: `[blocks]`.
        before: `[draws, blocks]`, before the first update.
        run: `[observations, blocks]`, of the run's own weights.
        epochs: `[observations]`.
    """

    scheme: str
    panel: str
    depth: int
    positions: list[int]
    before: np.ndarray
    run: np.ndarray
    epochs: list[float]

    def profile(self) -> Profile:
        """The mean over draws before the first update."""
        return Profile(self.panel, self.depth, self.positions, self.before.mean(axis=0))

    def map(self, observations: int) -> Profile:
        """All observations, blank after a run that ended before the others."""
        blank = ((0, observations - len(self.run)), (0, 0))
        values = np.pad(self.run, blank, constant_values=np.nan)
        return Profile(self.panel, self.depth, self.positions, values)


def _observed(sweep: Sweep) -> list[_Observed]:
    """The networks of the first seed; those without a norm come last, in panels of their own."""
    quantity = QUANTITIES['input_gradient']
    observed, found = sweep.observed(), []
    first = min((result.seed for _, result, _ in observed), default=0)
    for cell, result, observations in observed:
        if result.seed != first:
            continue
        names, positions = along_layers.along(cell.network_spec, quantity.of)
        values = [along_layers.values(each, quantity.name, names) for each in observations]
        moments = list(zip(observations, values, strict=True))
        found.append(
            _Observed(
                scheme=cell.config.init.scheme,
                panel=f'{result.family}, {NORMS[cell.config.model.norm]}',
                depth=result.depth,
                positions=positions,
                before=np.array([value for each, value in moments if each.step == 0]),
                run=np.array([value for each, value in moments if each.draw == 0]),
                epochs=[each.epoch for each in observations if each.draw == 0],
            )
        )
    return sorted(found, key=lambda each: NORMS['none'] in each.panel)
