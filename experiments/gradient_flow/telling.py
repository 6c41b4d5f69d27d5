"""Tells the verdict on the gradient in words, tables and figures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.gradient_flow.analysis import (
    FailureCorrelation,
    FlowInTraining,
    FlowVerdict,
    NetworkFlow,
    deepest_shared,
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
    'shrinks': 'It shrinks',
    'level': 'It stays level',
    'grows': 'It grows',
    'dead': 'It is zero at both ends',
    'inconclusive': 'Whether it changes is inconclusive',
}
_SHAPED = {
    'geometric': ' geometrically',
    'uneven': ', but not geometrically',
    'undecided': ', geometrically or not',
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
        *_expected_words(deep, verdict.confidence),
        *_training_words([each for each in verdict.training if each.depth == deepest]),
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


def in_short(verdict: FlowVerdict) -> dict[str, str]:
    """What the gradient does before training at the greatest shared depth, by family and norm."""
    deepest = _deepest((network.variant, network.depth) for network in verdict.networks)
    deep = [network for network in verdict.networks if network.depth == deepest]
    return {
        f'{family}, {NORMS[norm]}': ' or '.join(dict.fromkeys(each.judgement for each in group))
        for (family, norm), group in _pooled(deep, 'family', 'norm').items()
    }


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
    for judgement, shape in product(along_layers.JUDGEMENTS, along_layers.SHAPES):
        changes = judgement in ('shrinks', 'grows')
        found = [
            network
            for network in networks
            if network.judgement == judgement and (network.shape == shape or not changes)
        ]
        schemes: dict[str, list[str]] = {}
        for (family, norm, scheme), group in _pooled(found, 'family', 'norm', 'scheme').items():
            decades = _mean(each.input_gradient.before.decades for each in group)
            change = (
                '' if decades is None or judgement == 'vanishes' else f' {number(-decades, "+.1f")}'
            )
            kind = f'{family}, {NORMS[norm]}'
            schemes.setdefault(kind, []).append(f'{SCHEMES[scheme].split()[0]}{change}')
        # The shape of what does not change says nothing: such networks are told once.
        if schemes and (changes or shape == along_layers.SHAPES[0]):
            said = '; '.join(f'{kind} ({", ".join(each)})' for kind, each in schemes.items())
            yield f'{_JUDGED[judgement]}{_SHAPED[shape] if changes else ""} in: {said}.'


def _expected_words(networks: Sequence[NetworkFlow], confidence: float) -> Iterator[str]:
    known = [network for network in networks if network.expected is not None]
    for norm, norm_words in NORMS.items():
        said = []
        for (family, scheme), group in _pooled(
            [network for network in known if network.norm == norm], 'family', 'scheme'
        ).items():
            measured = _mean(each.input_gradient.before.decades for each in group)
            if measured is not None:
                which = f'{family} with {SCHEMES[scheme]}'
                ends = group[0].input_gradient.before.interval if len(group) == 1 else None
                within = f' [{interval(ends, "+.1f")}]' if ends else ''
                draws = sum(each.input_gradient.before.n for each in group)
                said.append(
                    f'{which}: predicted {number(group[0].expected, "+.1f")}, measured '
                    f'{number(measured, "+.1f")}{within}, n = {draws}'
                )
        if said:
            yield (
                f'With {norm_words}, theory alone predicts by how many decades it shrinks '
                f'({100 * confidence:g} % intervals in brackets; n counts draws of the weights): '
                f'{"; ".join(said)}.'
            )


def _training_words(networks: Sequence[FlowInTraining]) -> Iterator[str]:
    seen = [network for network in networks if network.gradient.n]
    for judgement in along_layers.JUDGEMENTS:
        found = [_called(network) for network in seen if network.judgement == judgement]
        if found:
            yield (
                f'During training, judged over {_seeds(seen)}: '
                f'{_JUDGED[judgement][0].lower()}{_JUDGED[judgement][1:]} in: {"; ".join(found)}.'
            )
    described = [
        f'{_called(network)} {number(-network.gradient.decades, "+.1f")}'
        for network in seen
        if network.judgement is None and network.gradient.decades is not None
    ]
    if described:
        yield (
            f'During training, the change in decades is described and not judged, because '
            f'{_seeds(seen)} cannot speak for others: {"; ".join(described)}.'
        )
    fallen = [
        f'{_called(network)} {number(-network.fallen, "+.1f")}'
        for network in seen
        if network.fallen is not None
    ]
    if fallen:
        yield (
            'The whole profile has moved, from before the first update to the last look, by so '
            f'many decades: {"; ".join(fallen)}.'
        )


def _seeds(networks: Sequence[FlowInTraining]) -> str:
    """The number of seeds in words: 'one seed', '3 seeds', or '1 to 3 seeds'."""
    counts = sorted({network.gradient.n for network in networks})
    if counts == [1]:
        return 'one seed'
    return f'{counts[0]} to {counts[-1]} seeds' if len(counts) > 1 else f'{counts[0]} seeds'


def _update_words(networks: Sequence[NetworkFlow]) -> Iterator[str]:
    updates = []
    he = [network for network in networks if network.scheme == 'he']
    for (family, norm), group in _pooled(he, 'family', 'norm').items():
        first, last = (_mean(each.update_ratio.before.ends[i] for each in group) for i in (0, 1))
        if first is not None and last is not None:
            name = f'{family}, {NORMS[norm]}'
            updates.append(f'{name} {scientific(first)} and {scientific(last)}')
    if updates:
        yield (
            'With He initialisation, the ratio of the first update, weight decay included, to the '
            f'weights in the first and in the last layer: {"; ".join(updates)}.'
        )


def _called(network: NetworkFlow | FlowInTraining) -> str:
    """Its family, norm and initialisation; those of VGG are told apart from the family."""
    return f'{network.family}, {NORMS[network.norm]}, {SCHEMES[network.scheme].split()[0]} init'


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
            for found in _distinct(verdict)
            if found.norm == norm and found.interval
        )
        if said:
            yield (
                f'In networks without shortcuts and with {norm_words}, the rank correlation of '
                'the shrinking with the training error at the end is '
                f'({100 * verdict.confidence:g} % intervals in brackets): {said}.'
            )


def _distinct(verdict: FlowVerdict) -> list[FailureCorrelation]:
    """The correlations; among networks of one depth, those of all depths are the same."""
    is_one = len({network.depth for network in verdict.networks}) < 2
    return [each for each in verdict.correlations if not (is_one and each.among == 'all depths')]


def _which(found: FailureCorrelation) -> str:
    return f'{_AMONG[found.among]} {_MOMENTS[found.moment]}'


def tables(verdict: FlowVerdict) -> list[Table]:
    """The verdict in numbers: every network, and the correlations."""
    return [
        _gradient_table(verdict),
        _shape_table(verdict),
        _training_table(verdict),
        _weights_table(verdict),
        _correlation_table(verdict),
    ]


def _gradient_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='The gradient that reaches the blocks before training',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('training error (%)'),
            Column('size', words=True),
            Column('course', words=True),
            Column('predicted'),
            Column('finite width'),
            Column('decades shrunk'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('first / last'),
            Column('zeros'),
            Column('n'),
        ),
        rows=[_gradient_row(network) for network in verdict.networks],
        note='Decades shrunk: those by which the Euclidean norm of the gradient shrinks from the '
        'last block to the first, by a least-squares fit of its logarithm, with mean and interval '
        'over n draws of weights and batch; a negative number means that it grows. Predicted: the '
        'same fit through a profile that theory gives for wide layers, without looking at any '
        "measurement: from the variance of the weights, ReLU and the image's borders without a "
        'norm, and π / (π − 1) of the energy a layer with batch norm, which leaves out what '
        'borders do to its means. With shortcuts there is no closed form. Finite width: what the '
        'prediction lacks because the mean of a logarithm is below the logarithm of the mean, '
        'estimated from the spread of the n draws and therefore rough. "Shrinks" and "grows" mean '
        f'a change of more than {verdict.decades:g} decade. First / last: the ratio of the two '
        'ends. Zeros: blocks whose gradient is below the smallest float32 even though probes scale '
        'it up. A diverged run has the error of guessing.',
    )


def _gradient_row(network: NetworkFlow) -> list[str]:
    before = network.input_gradient.before
    return [
        _called(network),
        str(network.depth),
        number(network.train_error, '.2f'),
        network.judgement,
        network.shape if network.judgement in ('shrinks', 'grows', 'vanishes') else MISSING,
        number(network.expected),
        number(network.finite_width),
        number(before.decades),
        interval(before.interval),
        scientific(before.first_to_last),
        f'{before.zeros:g}',
        str(before.n),
    ]


def _shape_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='Is the course geometric? The slope in each part of the networks',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('part', words=True),
            Column('decades a layer'),
            Column('deviation (%)'),
            Column('CI (%)'),
            Column('R²'),
            Column('n'),
        ),
        rows=[
            row
            for network in verdict.networks
            if network.judgement in ('shrinks', 'grows', 'vanishes')
            for row in _shape_rows(network)
        ],
        note='Networks whose gradient shrinks or grows before training. A part is a run of blocks '
        'whose inputs have one shape, height × width × channels. Last end: the slope of a parabola '
        'through all blocks in the last one; in the first one it deviates as far to the other '
        'side. Deviation: from the slope of the whole network, relative to that. The course is '
        'geometric where all intervals are within '
        f'{100 * verdict.unevenness:.0f} % and the line explains R² ≥ {verdict.r_squared:g} of the '
        'variance; it is uneven where one of them is beyond. The intervals hold together at '
        f'{100 * verdict.confidence:g} % for one network, over n draws.',
    )


def _shape_rows(network: NetworkFlow) -> Iterator[list[str]]:
    before = network.input_gradient.before
    for local in before.local:
        ends = local.interval and (100 * local.interval[0], 100 * local.interval[1])
        yield [
            _called(network),
            str(network.depth),
            local.part,
            number(local.slope, '+.3f'),
            number(100 * local.deviation, '+.0f'),
            interval(ends, '+.0f'),
            number(before.r_squared),
            str(before.n),
        ]


def _training_table(verdict: FlowVerdict) -> Table:
    level = f'{100 * verdict.confidence:g} % CI'
    return Table(
        title='The gradient that reaches the blocks during training',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('judged', words=True),
            Column('course', words=True),
            Column('decades shrunk'),
            Column(level),
            Column('whole profile fallen'),
            Column(level),
            Column('seeds'),
        ),
        rows=[_training_row(network) for network in verdict.training],
        note='Each seed counts once, with the median of its looks after the first update, because '
        f'looks at one run are not independent. Fewer than {along_layers.LEAST_SEEDS} seeds are '
        'described and not judged. Whole profile fallen: the decades by which the gradient of all '
        'blocks together, the mean of their logarithms, is lower at the last look than before the '
        'first update. No seed: the run diverged before it was observed again.',
    )


def _training_row(network: FlowInTraining) -> list[str]:
    found = network.gradient
    is_judged = network.judgement is not None
    return [
        _called(network),
        str(network.depth),
        network.judgement or 'described',
        (network.shape if network.judgement in ('shrinks', 'grows') else None) or MISSING,
        number(found.decades),
        interval(found.interval) if is_judged else MISSING,
        number(network.fallen),
        interval(network.fallen_interval),
        str(found.n),
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
        _called(network),
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
            for found in _distinct(verdict)
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
