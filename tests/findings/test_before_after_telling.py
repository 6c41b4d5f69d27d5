"""Sentences, rows and panels as they were written by hand."""

from vggres.findings.before_after import AFTER, BEFORE, Difference, Group, Network
from vggres.findings.before_after_telling import (
    deepest,
    in_words,
    network_columns,
    network_row,
    opening,
    panels,
)

SHRUNK = Difference('batch', 56, BEFORE, (-0.25, -0.35), -0.3, (-0.5, 0.1))
GROWN = Difference('none', 20, AFTER, (0.126,), 0.126, None)


def same(found):
    return found


def test_a_difference_in_a_sentence():
    assert opening(SHRUNK) == 'With batch norm, before training, at depth 56'
    assert opening(GROWN) == 'Without norm, after training, at depth 20'
    assert in_words(SHRUNK, 'none') == '−0.30 (95 % interval −0.50 to 0.10; 2 draws)'
    assert in_words(GROWN, 'no spread', 'by law 0.5') == '0.13 (no spread; by law 0.5; 1 seed)'


def test_the_deepest_networks_are_told_of():
    assert deepest([GROWN, SHRUNK, GROWN]) == [SHRUNK]
    assert deepest([]) == []


def test_a_row_has_a_text_for_each_column():
    columns = network_columns('cosine', 0.95, 'rank', 'law')
    assert [each.heading for each in columns] == [
        *('network', 'depth', 'when', 'cosine', '95 % CI', 'rank', 'law'),
        *('training error (%)', 'n'),
    ]
    before = Group('plain, no norm', 'plain', 'none', 8, BEFORE, ((1.0, 1.0), (4.0,)), 12.34)
    # The mean is 2 and the deviation √3, so that half the interval is Student's 4.303 for 2.
    row = ['plain, no norm', '8', BEFORE, '2.00', '−2.30 to 6.30', 'a', 'b', '', '3']
    assert network_row(before, same, '.2f', ['a', 'b']) == row
    after = Group('plain, no norm', 'plain', 'none', 8, AFTER, ((4.0,),), 12.34)
    row = ['plain, no norm', '8', AFTER, '4.0', '–', '12.3', '1']
    assert network_row(after, same, '.1f', []) == row


def test_a_panel_for_each_norm_and_moment_of_the_deepest_networks():
    networks = [
        Network(f'{family}, {norm}', family, norm, depth, 0, 0.0, (float(depth),), after)
        for norm in ('none', 'batch')
        for family, after in (('resnet', (1.0,)), ('plain', None))
        for depth in (56, 8)
    ]
    found = [(title, group.family, group.found) for title, group in panels(networks)]
    batch = [
        ('batch norm, before training, depth 56', 'plain', ((56.0,),)),
        ('batch norm, before training, depth 56', 'resnet', ((56.0,),)),
        ('batch norm, after training, depth 56', 'resnet', ((1.0,),)),
    ]
    assert found[:3] == batch
    assert [title for title, _, _ in found[3:]] == [
        'no norm, before training, depth 56',
        'no norm, before training, depth 56',
        'no norm, after training, depth 56',
    ]
    assert [title for title, _ in panels(networks, ['batch'])] == [title for title, *_ in batch]
    assert list(panels([])) == []
