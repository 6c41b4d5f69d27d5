"""What was planted is drawn."""

import pytest

from experiments.gradient_flow.analysis import analyse
from experiments.gradient_flow.drawing import figures


@pytest.mark.slow
def test_every_scheme_has_its_figures(sweep):
    drawn = figures(sweep, analyse(sweep))
    assert list(drawn) == [
        *('gradient_by_layer_he', 'gradient_in_training_he'),
        *('gradient_by_layer_glorot', 'gradient_in_training_glorot'),
        *('gradient_by_layer_vgg', 'gradient_in_training_vgg'),
        *('error_against_shrinking', 'error_against_depth'),
    ]
    for figure, caption in drawn.values():
        assert figure.axes
        assert caption.endswith('.')
    panels = drawn['gradient_by_layer_he'][0].axes
    assert [len(ax.lines) for ax in panels] == 6 * [2]  # one line per depth
