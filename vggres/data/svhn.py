"""SVHN, cropped to single digits, as a TFDS data set, out of its files for MATLAB."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from vggres.data.archives import Archive
from vggres.data.builders import ArchiveBuilder

_MIRRORS = (
    'http://ufldl.stanford.edu/housenumbers',
    'https://cseweb.ucsd.edu/~weijian/static/datasets/svhn',
)


class SvhnCropped(ArchiveBuilder, skip_registration=True):
    """99,289 house numbers of Google Street View, one digit each (Netzer et al. 2011).

    TFDS's own builder prepares the 531,131 easier images of the split 'extra' as well.
    """

    VERSION = tfds.core.Version('3.1.0')
    SIZES: ClassVar[Mapping[str, int]] = {'train': 73_257, 'test': 26_032}
    ID_DIGITS = 6
    ARCHIVES = (
        Archive(
            holds='train',
            name='train_32x32.mat',
            sha256='435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8',
            size=182_040_794,
            mirrors=tuple(f'{url}/train_32x32.mat' for url in _MIRRORS),
        ),
        Archive(
            holds='test',
            name='test_32x32.mat',
            sha256='cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b',
            size=64_275_384,
            mirrors=tuple(f'{url}/test_32x32.mat' for url in _MIRRORS),
        ),
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description='Digits in photographs of house numbers, 32×32 colour pixels.',
            homepage='http://ufldl.stanford.edu/housenumbers/',
            features=tfds.features.FeaturesDict(
                {
                    'id': tfds.features.Text(),
                    'image': tfds.features.Image(shape=(32, 32, 3), encoding_format='png'),
                    'label': tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=('image', 'label'),
        )

    def _read(self, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        from scipy.io import loadmat  # slow to import, and needed only once

        path = self.files[split]
        try:
            content = loadmat(path, variable_names=('X', 'y'))
            images, labels = content['X'], content['y'].ravel().astype(int)
        except Exception:  # a damaged file can raise anything
            raise self._refusal(f'{path.name} is damaged') from None
        if images.dtype != np.uint8 or images.shape[:-1] != (32, 32, 3):
            raise self._refusal(f'the images in {path.name} are not of 32×32 pixels in 3 colours')
        # The file calls the digit 0 a 10; what else is no digit stays so, and is refused.
        digits = np.select([labels == 10, labels == 0], [0, 10], labels)
        return np.moveaxis(images, -1, 0), {'label': digits}
