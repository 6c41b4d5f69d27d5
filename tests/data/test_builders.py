import sys
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vggres.data.builders import ArchiveBuilder
from vggres.errors import UserError


class Small(ArchiveBuilder, skip_registration=True):
    """Six images of 2×3 pixels and three classes, without an archive."""

    __module__ = 'small'  # an old TFDS fails to find its file in a folder that is no package
    VERSION = tfds.core.Version('1.0.0')
    SIZES: ClassVar = {'train': 6}
    ARCHIVES = ()
    images = np.arange(36, dtype=np.uint8).reshape(6, 2, 3)
    labels = np.array([0, 1, 2, 0, 1, 2])

    def _info(self):
        image = tfds.features.Image(shape=(2, 3, 1), encoding_format='png')
        label = tfds.features.ClassLabel(num_classes=3)
        features = {'id': tfds.features.Text(), 'image': image, 'label': label}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _read(self, split):
        return self.images, {'label': self.labels}


@pytest.fixture
def builder(tmp_path):
    tfds.disable_progress_bar()
    made = Small(data_dir=tmp_path, file_format='array_record')
    made.files = {'images': tmp_path / 'images.gz'}
    return made


def test_images_are_written_with_labels_and_ids_without_tensorflow(builder):
    builder.download_and_prepare()
    for example in builder.as_data_source('train'):
        number = int(example['id'].decode().removeprefix('train_'))
        assert example['id'] == b'train_%05d' % number
        np.testing.assert_array_equal(example['image'][..., 0], builder.images[number])
        assert example['label'] == builder.labels[number]
    assert 'tensorflow' not in sys.modules
    assert builder.name == 'small'
    assert 'small' not in tfds.core.registered._DATASET_REGISTRY


@pytest.mark.parametrize(
    ('labels', 'why'),
    [
        ([0, 1, 2, 0, 1, 3], 'a label of its train split is 3, not 0 to 2'),
        ([0, 1, 2, 0, 1, -1], 'a label of its train split is -1, not 0 to 2'),
        ([0, 0, 2, 0, 0, 2], 'its train split has no image of label 1'),
        ([0, 1, 2, 0, 1], 'its train split has 5 images, not 6'),
    ],
)
def test_wrong_labels_are_refused_and_nothing_is_left(builder, tmp_path, labels, why):
    builder.labels = np.array(labels)
    with pytest.raises(UserError) as error:
        builder.download_and_prepare()
    path = tmp_path / 'images.gz'
    assert str(error.value) == f'{path} cannot be read as small: {why}. Get it anew.'
    assert not list(tmp_path.rglob('*.array_record*'))


def test_a_wrong_number_of_images_is_refused(builder):
    builder.images = builder.images[:5]
    with pytest.raises(UserError, match='its train split has 5 images, not 6'):
        builder.download_and_prepare()
