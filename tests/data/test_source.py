import hashlib

import pytest

from vggres.data import datasets
from vggres.data.source import cut, pieces_of, places_of, rows_of
from vggres.errors import UserError


@pytest.mark.parametrize(
    ('expression', 'expected'),
    [
        ('train', [('train', range(50))]),
        ('train[:90%]', [('train', range(45))]),
        ('train[45:]+test[:2]', [('train', range(45, 50)), ('test', range(2))]),
        ('test[-3:]', [('test', range(7, 10))]),
        ('train[:10%]+train[90%:]', [('train', range(5)), ('train', range(45, 50))]),
    ],
)
def test_splits_are_cut_by_the_syntax_of_tfds(expression, expected):
    assert cut({'train': 50, 'test': 10}, 'train_split', expression, 'mine') == expected


@pytest.mark.parametrize(
    'expression', ['valid', 'train[', 'train[x:]', '', 'train[50:]', 'all[:5]', 'train+']
)
def test_a_split_that_makes_no_sense_is_one_line(expression):
    with pytest.raises(UserError, match=r'data.test_split') as caught:
        cut({'train': 50}, 'test_split', expression, 'mine')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('expression', 'twice'), [('train[:10]+train[:10]', 10), ('train[:90%]+test+train[40:]', 5)]
)
def test_a_split_that_takes_images_twice_is_refused(expression, twice):
    with pytest.raises(UserError, match=f'takes {twice} images twice'):
        cut({'train': 50, 'test': 10}, 'train_split', expression, 'mine')


def test_without_an_expression_a_split_is_what_the_source_says(config):
    config.data.train_split = ''
    opened = datasets.open_source(config.data)
    assert pieces_of(opened, config.data, 'train') == [('train', range(40))]
    assert pieces_of(opened, config.data, 'test') == [('test', range(5, 12))]


def test_the_fingerprint_is_that_of_shape_pixels_and_labels(config):
    test = datasets.load(config.data)['test']
    found = test.content(num_classes=4)
    expected = hashlib.sha256(b'(7, 6, 6, 3)' + test.images.tobytes() + test.labels.tobytes())
    assert found.fingerprint == expected.hexdigest()
    assert found.class_counts == tuple(int((test.labels == label).sum()) for label in range(4))
    config.data.label_noise = 0.5
    train = datasets.load(config.data)['train']
    config.data.label_noise = 0.0
    clean = datasets.load(config.data)['train']
    assert train.content(4).fingerprint != clean.content(4).fingerprint


def test_hosts_have_each_row_of_a_batch_once_and_in_order():
    rows = [rows_of((index, 4), 12) for index in range(4)]
    assert [[*each] for each in rows] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


@pytest.mark.parametrize(
    ('index', 'first', 'places'),
    [
        (0, 0, [0, 1, 2, 3]),
        (1, 0, [4, 5, 6, 7]),
        (0, 8, [8, 9, 10]),  # the last batch, of images 8, 9 and 10
        (1, 8, [10]),  # no row of it
    ],
)
def test_a_host_has_an_image_of_every_batch(index, first, places):
    assert [*places_of(rows_of((index, 2), 8), first, num_images=11)] == places
