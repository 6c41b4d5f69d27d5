"""The gradient along the layers, and the error beside it, as figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from experiments.gradient_flow.analysis import FlowVerdict, NetworkFlow
from experiments.gradient_flow.names import SCHEMES, deepest
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
from vggres.probes.quantities import QUANTITIES
from vggres.sweeps.sweep import Sweep

_GRADIENT = 'log10 of the gradient'


def figures(sweep: Sweep, verdict: FlowVerdict) -> dict[str, tuple[Figure, str]]:
    """Gradient against layer, heat maps, and training error against shrinking and depth."""
    drawn = {}
    observed = _observed(sweep)
    greatest = deepest((f'{each.panel}, {each.scheme}', each.depth) for each in observed)
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
        deep = [each for each in found if each.depth == greatest]
        if deep:
            epochs = max((each.epochs for each in deep), key=len)
            title = f'Gradient that reaches each block, depth {greatest}, {scheme_words}'
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
