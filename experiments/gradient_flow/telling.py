"""Tells the verdict on the gradient in words."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from statistics import fmean

from experiments.gradient_flow.analysis import (
    FailureCorrelation,
    FlowInTraining,
    FlowVerdict,
    NetworkFlow,
)
from experiments.gradient_flow.names import AMONG, MOMENTS, SCHEMES, called, deepest, distinct
from experiments.gradient_flow.question import NORMS
from vggres.findings import along_layers
from vggres.findings.tables import interval, number, scientific

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


def words(verdict: FlowVerdict) -> str:
    """The verdict in words: the gradient at the greatest shared depth, then the correlations."""
    if not verdict.networks:
        return 'No finished network was observed.'
    greatest = deepest((network.variant, network.depth) for network in verdict.networks)
    deep = [network for network in verdict.networks if network.depth == greatest]
    lines = [
        f'At depth {greatest} and before the first update, the gradient was followed from the last '
        'block to the first. Brackets give the initialisation and the change in decades.',
        *_judged_words(deep),
        *_expected_words(deep, verdict.confidence),
        *_training_words([each for each in verdict.training if each.depth == greatest]),
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
    greatest = deepest((network.variant, network.depth) for network in verdict.networks)
    deep = [network for network in verdict.networks if network.depth == greatest]
    return {
        f'{family}, {NORMS[norm]}': ' or '.join(dict.fromkeys(each.judgement for each in group))
        for (family, norm), group in _pooled(deep, 'family', 'norm').items()
    }


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
        found = [called(network) for network in seen if network.judgement == judgement]
        if found:
            yield (
                f'During training, judged over {_seeds(seen)}: '
                f'{_JUDGED[judgement][0].lower()}{_JUDGED[judgement][1:]} in: {"; ".join(found)}.'
            )
    described = [
        f'{called(network)} {number(-network.gradient.decades, "+.1f")}'
        for network in seen
        if network.judgement is None and network.gradient.decades is not None
    ]
    if described:
        yield (
            f'During training, the change in decades is described and not judged, because '
            f'{_seeds(seen)} cannot speak for others: {"; ".join(described)}.'
        )
    fallen = [
        f'{called(network)} {number(-network.fallen, "+.1f")}'
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
            for found in distinct(verdict)
            if found.norm == norm and found.interval
        )
        if said:
            yield (
                f'In networks without shortcuts and with {norm_words}, the rank correlation of '
                'the shrinking with the training error at the end is '
                f'({100 * verdict.confidence:g} % intervals in brackets): {said}.'
            )


def _which(found: FailureCorrelation) -> str:
    return f'{AMONG[found.among]} {MOMENTS[found.moment]}'
