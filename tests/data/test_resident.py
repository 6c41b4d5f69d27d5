import jax
import numpy as np
import pytest

from vggres.data import datasets
from vggres.data.resident import ResidentData
from vggres.data.source import SPLITS
from vggres.errors import UserError


def test_the_splits_follow_one_another_and_the_statistics_are_those_of_the_training_set(
    data, config
):
    splits = datasets.load(config.data)
    ranges = {split: data.range_of(split) for split in SPLITS}
    assert ranges == {'train': (0, 40), 'validation': (40, 45), 'test': (45, 52)}
    for name, (start, stop) in ranges.items():
        np.testing.assert_array_equal(data.images[start:stop], splits[name].images)
        np.testing.assert_array_equal(data.labels[start:stop], splits[name].labels)
    expected = splits['train'].images.astype(float).mean(axis=0) / 255
    np.testing.assert_allclose(data.mean, expected, atol=1e-6)
    np.testing.assert_array_equal(data.deviation, np.ones((1, 1, 3)))


def test_its_sizes(data):
    assert data.num_train == 40
    assert data.num_images == {'train': 40, 'validation': 5, 'test': 7}
    assert data.image_shape == (6, 6, 3)
    assert data.num_classes == 4


def test_arrays_are_data_and_sizes_are_constants_of_a_program(data):
    # Inside jit an array is traced; a size that were traced could not be a shape.
    counted = jax.jit(lambda data: data.labels[: data.num_train].sum() + 100 * data.num_classes)
    assert int(counted(data)) == int(np.sum(np.asarray(data.labels)[:40])) + 400
    leaves, structure = jax.tree.flatten(data)
    assert [leaf.shape for leaf in leaves] == [(52, 6, 6, 3), (52,), (6, 6, 3), (1, 1, 3)]
    hash(structure)  # programs are kept by it
    assert isinstance(jax.tree.unflatten(structure, leaves), ResidentData)


def test_a_split_that_there_is_not(data):
    with pytest.raises(UserError, match="unknown split 'holdout': there is test, train, valid"):
        data.range_of('holdout')
