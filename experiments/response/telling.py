"""Tells the verdict on responses and summands in words, tables and figures."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.response.analysis import ResponseNetwork, ResponseVerdict, ratios
from experiments.response.claims import SMALLER
from experiments.response.question import FAMILIES
from vggres.figures.layers import BlockLine, along_blocks
from vggres.findings.estimates import t_interval
from vggres.findings.phrases import beside
from vggres.findings.tables import MISSING, Column, Table, number
from vggres.findings.tables import interval as interval_text
from vggres.sweeps.sweep import Sweep

Groups = dict[tuple[str, int], list[ResponseNetwork]]  # the seeds of each variant and depth


def words(verdict: ResponseVerdict) -> str:
    """The verdict in words: responses by family and depth, and branches against the closed form."""
    if not verdict.networks:
        return 'No finished network was observed.'
    lines = [
        'Every layer with a fresh batch norm responds with a standard deviation of 1; what is '
        'learnt later on are the scales and biases of the norms.',
        *_ratio_lines(verdict),
        *_part_lines(verdict),
        'All of this is at one learning rate and one budget, and n counts seeds.',
    ]
    return '\n'.join(lines)


def in_short(verdict: ResponseVerdict) -> dict[str, str]:
    """Whether residual networks respond more weakly than plain ones, by depth."""
    told = {}
    for depth in sorted({each.depth for each in verdict.networks if each.variant in FAMILIES}):
        if found := ratios(verdict.networks, ('resnet', depth), ('plain', depth)):
            said = beside(found, SMALLER, 'not weaker', 'weaker')
            compared = [n for n in verdict.networks if n.variant in FAMILIES and n.depth == depth]
            is_trained = not any(network.failed for network in compared)
            told[f'resnet-{depth} beside plain'] = said if is_trained else 'budget insufficient'
    return told


def _ratio_lines(verdict: ResponseVerdict) -> Iterator[str]:
    groups = _groups(verdict.networks)
    depths = sorted({depth for variant, depth in groups if variant in FAMILIES})
    for depth in depths:
        found = ratios(verdict.networks, ('resnet', depth), ('plain', depth))
        if not found:
            continue
        failed = [sum(n.failed for n in groups[family, depth]) for family in FAMILIES]
        said = (
            f'Depth {depth}: after training, the mean response of ResNet is {fmean(found):.2f} '
            f'times that of plain{_interval(found, verdict.confidence)} (n = {len(found)})'
        )
        runs = len(groups['plain', depth])
        told = f'; plain failed to train in {failed[0]} of {runs} runs' if failed[0] else ''
        yield f'{said}{told}.'
    for depth in depths:
        found = ratios(verdict.networks, ('resnet', depth), ('resnet', verdict.compared))
        if depth > verdict.compared and found:
            yield (
                f'ResNet-{depth} responds with {fmean(found):.2f} times the mean response of '
                f'ResNet-{verdict.compared}{_interval(found, verdict.confidence)} '
                f'(n = {len(found)}). Smaller means below {SMALLER:g}.'
            )


def _interval(found: Sequence[float], confidence: float) -> str:
    ends = t_interval(found, confidence)
    return f', {100 * confidence:g} % interval {ends[0]:.2f} to {ends[1]:.2f}' if ends else ''


def _part_lines(verdict: ResponseVerdict) -> Iterator[str]:
    deepest = max(network.depth for network in verdict.networks)
    for (variant, depth), networks in _groups(verdict.networks).items():
        before = _profile(networks, 'parts_before')
        if depth != deepest or not before:
            continue
        expected = networks[0].expected
        said = (
            f'{variant}, depth {depth}, before training: the branch is {before[0]:.2f} of the '
            f"signal's energy in the first block and {before[-1]:.2f} in the last of {len(before)}"
        )
        if expected:
            worst = max(abs(a - b) for a, b in zip(before, expected, strict=True))
            said += (
                f'; the closed form has {expected[0]:.2f} and {expected[-1]:.2f}, and is off by '
                f'{worst:.3f} at the most'
            )
        after = _profile(networks, 'parts_after')
        said += f'. After training it is {after[0]:.2f} and {after[-1]:.2f}.' if after else '.'
        yield said


def _groups(networks: Sequence[ResponseNetwork]) -> Groups:
    groups: Groups = {}
    for network in networks:
        groups.setdefault((network.variant, network.depth), []).append(network)
    return groups


def _profile(networks: Sequence[ResponseNetwork], field: str) -> list[float]:
    """The mean of a profile over seeds, as far as they have it."""
    rows = [row for each in networks if (row := getattr(each, field))]
    return np.mean(rows, axis=0).tolist() if rows else []


def tables(verdict: ResponseVerdict) -> list[Table]:
    """The verdict in numbers: one row per network."""
    return [
        Table(
            title='Responses, and the part of the branch',
            columns=(
                Column('network', words=True),
                Column('depth'),
                Column('training error (%)'),
                Column('response before'),
                Column('response after'),
                Column(f'{100 * verdict.confidence:g} % CI'),
                Column('part, first block'),
                Column('part, last block'),
                Column('closed form, last'),
                Column('off by, at the most'),
                Column('n'),
            ),
            rows=[
                _row(variant, depth, networks, verdict.confidence)
                for (variant, depth), networks in _groups(verdict.networks).items()
            ],
            note='Response: the standard deviation of what leaves a 3×3 layer before ReLU or '
            'addition, over images, pixels and channels, as a mean over the layers and the seeds; '
            'before the first update and after the last. Part: that of the branch in the energy '
            '(mean square) of both summands of a block, before the first update, the mean over '
            'draws of the weights. Closed form: in the limit of wide layers (see '
            '`vggres.findings.expected_response`). n counts seeds.',
        )
    ]


def _row(
    variant: str, depth: int, networks: Sequence[ResponseNetwork], confidence: float
) -> list[str]:
    responses = [n.response for n in networks if n.response is not None]
    starts = [n.start for n in networks if n.start is not None]
    before, expected = _profile(networks, 'parts_before'), networks[0].expected
    deviations = [n.deviation for n in networks if n.deviation is not None]
    ends = t_interval(responses, confidence)
    return [
        variant,
        str(depth),
        number(fmean(n.train_error for n in networks), '.2f'),
        number(fmean(starts), '.3f') if starts else MISSING,
        number(fmean(responses), '.3f') if responses else MISSING,
        interval_text(ends, '.3f'),
        number(before[0], '.3f') if before else MISSING,
        number(before[-1], '.3f') if before else MISSING,
        number(expected[-1], '.3f') if expected else MISSING,
        number(max(deviations), '.3f') if deviations else MISSING,
        str(len(networks)),
    ]


def figures(sweep: Sweep, verdict: ResponseVerdict) -> dict[str, tuple[Figure, str]]:
    """The responses along the layers, and the part of the branch along the blocks."""
    drawn = {}
    groups = _groups(verdict.networks)
    if lines := list(_response_lines(groups)):
        drawn['responses'] = (
            along_blocks(
                lines,
                'Responses of the layers after training',
                'standard deviation',
                'layer, 1 next to the image',
            ),
            'Standard deviation of what leaves each 3×3 layer after batch norm and before ReLU or '
            'addition, as in He et al. 2015, Fig. 7; the mean over seeds. Dashed: before the first '
            'update.',
        )
    if lines := list(_part_lines_drawn(groups)):
        drawn['branch_parts'] = (
            along_blocks(
                lines,
                "The branch's part of the energy at each addition",
                'B / (B + S)',
            ),
            'The mean square B of the branch over that of branch and shortcut, B + S, in each '
            'block of the deepest network. Dashed: the closed form for wide random networks, '
            'with He’s weights; with batch norm it is about 1/(1 + l) in block l of the first '
            'stage (De & Smith 2020), and channels that are new in a stage start anew.',
        )
    return drawn


def _response_lines(groups: Groups) -> Iterator[BlockLine]:
    for (variant, depth), networks in sorted(groups.items(), key=lambda each: each[0][1]):
        found = _profile(networks, 'by_layer')
        if variant in FAMILIES and found:
            layers = np.array(networks[0].layers)
            panel = f'depth {depth}'
            yield BlockLine(panel, variant, layers, np.array(found))
            fresh = np.ones(len(layers))
            yield BlockLine(panel, 'a fresh network', layers, fresh, is_expected=True)


def _part_lines_drawn(groups: Groups) -> Iterator[BlockLine]:
    deepest = max((depth for _, depth in groups), default=0)
    for (variant, depth), networks in groups.items():
        if depth != deepest:
            continue
        for name, field in (
            ('before training', 'parts_before'),
            ('after training', 'parts_after'),
        ):
            if found := _profile(networks, field):
                blocks = np.arange(1, 1 + len(found))
                yield BlockLine(variant, name, blocks, np.array(found))
        if networks[0].expected:
            expected = np.array(networks[0].expected)
            blocks = np.arange(1, 1 + len(expected))
            yield BlockLine(variant, 'closed form', blocks, expected, is_expected=True)
