"""Tells the verdict on lesions in words, a table and a figure."""

from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.lesion.analysis import DESTROYED, HARDLY, Lesioned, LesionVerdict
from vggres.figures.lesions import Lesions, lesions
from vggres.findings.estimates import t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.phrases import beside
from vggres.findings.tables import Column, Table, interval, number
from vggres.sweeps.sweep import Sweep


def words(verdict: LesionVerdict) -> str:
    """The verdict in words: what one deletion costs, several, and swaps."""
    if not verdict.networks:
        return 'No trained network was lesioned.'
    lines = [_group_words(*each) for each in verdict.groups().items()]
    lines.append(
        'A part of the way to guessing is 0 where the validation error stays, and 1 at '
        f'{verdict.guessing:.0f} %. A block is one convolution in a vgg, and two in the others; '
        'without a shortcut, it is replaced by what passes its input on.'
    )
    return '\n'.join(lines)


def in_short(verdict: LesionVerdict) -> dict[str, str]:
    """What the deletion of one block does, by family and depth."""
    return {
        f'{family}, depth {depth}': _hurt(own) for (family, depth), own in verdict.groups().items()
    }


def _hurt(networks: list[Lesioned]) -> str:
    if any(network.has_failed for network in networks):
        return 'budget insufficient'
    damages = [network.damage for network in networks]
    if beside(damages, DESTROYED, 'destroys', '') == 'destroys':
        return 'destroys'
    return beside(damages, HARDLY, 'hurts', 'hardly hurts')


def _group_words(place: tuple[str, int], networks: list[Lesioned]) -> str:
    family, depth = place
    damages = [network.damage for network in networks]
    ends = t_interval(damages, CONFIDENCE)
    between = f' (95 % CI {number(ends[0], ".2f")} to {number(ends[1], ".2f")})' if ends else ''
    said = (
        f'{family}, depth {depth}: deleting one of {len(networks[0].deleted)} blocks raises the '
        f'validation error from {fmean(each.whole for each in networks):.1f} % by '
        f'{fmean(damages):.2f} of the way to guessing in the mean over blocks{between}, by '
        f'{fmean(each.typical for each in networks):.2f} for the median block and by '
        f'{fmean(each.worst for each in networks):.2f} for the worst (n = {len(networks)}).'
    )
    most = max(networks[0].several)
    if most:
        error = fmean(each.several[most] for each in networks)
        said += f' Without {most} random blocks the error is {error:.1f} %.'
    if networks[0].swapped:
        swapped = [each for network in networks for each in network.swapped]
        error = fmean(error for _, error in swapped)
        said += f' With blocks swapped (τ down to {min(swapped)[0]:.2f}) it is {error:.1f} %.'
    failed = sum(network.has_failed for network in networks)
    return said + (f' {failed} of these networks had failed to train.' if failed else '')


def tables(verdict: LesionVerdict) -> list[Table]:
    """The verdict in numbers: one row per family and depth."""
    return [
        Table(
            title='What trained networks lose with a block',
            columns=(
                Column('network', words=True),
                Column('depth'),
                Column('blocks'),
                Column('training error (%)'),
                Column('validation error (%)'),
                Column('without a block (%)'),
                Column('damage'),
                Column(f'{100 * verdict.confidence:g} % CI'),
                Column('median block'),
                Column('worst block'),
                Column('n'),
            ),
            rows=[_row(*each) for each in verdict.groups().items()],
            note='Damage: the rise of the validation error by deleting one block as a part of the '
            f'rise to guessing ({verdict.guessing:.0f} %), the mean over the blocks of a network. '
            f'It hardly hurts below {verdict.hardly:g}, and destroys the network above '
            f'{verdict.destroyed:g}. Nothing is trained after a lesion. n counts seeds.',
        )
    ]


def _row(place: tuple[str, int], networks: list[Lesioned]) -> list[str]:
    damages = [network.damage for network in networks]
    return [
        place[0],
        str(place[1]),
        str(len(networks[0].deleted)),
        number(fmean(each.train_error for each in networks), '.2f'),
        number(fmean(each.whole for each in networks), '.2f'),
        number(fmean(fmean(each.deleted.values()) for each in networks), '.2f'),
        number(fmean(damages), '.3f'),
        interval(t_interval(damages, CONFIDENCE), '.3f'),
        number(fmean(each.typical for each in networks), '.3f'),
        number(fmean(each.worst for each in networks), '.3f'),
        str(len(networks)),
    ]


def figures(sweep: Sweep, verdict: LesionVerdict) -> dict[str, tuple[Figure, str]]:
    """The validation error of lesioned networks.

    Args:
        sweep: is not drawn from; all that the figure shows stands in the verdict.
        verdict: what `analyse` found.
    """
    if not verdict.networks:
        return {}
    drawn = [_drawn(*each) for each in verdict.groups().items()]
    return {
        'lesions': (
            lesions(drawn, verdict.guessing),
            'The validation error of trained networks without one block (left), without several '
            'random ones (middle) and with blocks of one stage swapped (right), as in Veit et al. '
            '2016, Fig. 3 and 5. Means over seeds, and over random sets of blocks; on the right '
            'each point is one random order. Dashed: guessing.',
        )
    }


def _drawn(place: tuple[str, int], networks: list[Lesioned]) -> Lesions:
    return Lesions(
        name=f'{place[0]}-{place[1]}',
        deleted=np.mean([list(each.deleted.values()) for each in networks], axis=0).tolist(),
        several={
            count: fmean(each.several[count] for each in networks) for count in networks[0].several
        },
        swapped=np.array([each for network in networks for each in network.swapped]).reshape(-1, 2),
    )
