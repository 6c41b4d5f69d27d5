import pytest
from matplotlib.colors import to_hex

from vggres.figures.arms import STATUS_COLORS, UNDECIDED
from vggres.figures.cures import NetworkUpdates, cure_by_depth

SWEEPS = {
    'surgery': [
        NetworkUpdates('resnet', 20, 39, 8, 8, 'reference'),
        NetworkUpdates('plain, clipped', 20, 1234.5, 7, 8, 'harms'),
        NetworkUpdates('plain, clipped', 56, None, 3, 8, 'inconclusive'),
    ],
    'deepen': [NetworkUpdates('plain, Dirac', 56, 47, 8, 8, 'cures')],
}


def texts(ax):
    """What stands in each column and row."""
    found = {}
    for text in ax.texts:
        x, y = text.get_position()
        found.setdefault((round(x), round(y)), []).append(text.get_text())
    return found


def test_a_row_is_a_network_and_a_column_a_depth():
    (ax,) = cure_by_depth(SWEEPS).axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ['', 'resnet', 'plain, clipped', '', 'plain, Dirac']
    assert [label.get_text() for label in ax.get_xticklabels()] == ['depth 20', 'depth 56']
    assert texts(ax) == {
        (0, 0): ['surgery'],
        (0, 1): ['39', 'reference'],
        (0, 2): ['1,234', 'harms'],
        (1, 2): ['3 of 8 runs', 'inconclusive'],
        (0, 3): ['deepen'],
        (1, 4): ['47', 'cures'],
    }


def test_the_colour_is_that_of_the_status():
    (ax,) = cure_by_depth(SWEEPS).axes
    colors = [to_hex(patch.get_facecolor()) for patch in ax.patches[::2]]
    expected = [STATUS_COLORS[name] for name in ('reference', 'harms')]
    assert colors == [*expected, UNDECIDED, STATUS_COLORS['cures']]


def test_nothing_is_no_figure():
    with pytest.raises(ValueError, match='no networks'):
        cure_by_depth({'surgery': []})
