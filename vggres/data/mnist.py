"""MNIST and Fashion-MNIST as TFDS data sets, out of their four files."""

import gzip
import math
import zlib
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from vggres.data.archives import Archive, unpacked
from vggres.data.builders import ArchiveBuilder

_FILES = {
    'train': ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte'),
    'test': ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'),
}


class _MnistLike(ArchiveBuilder, skip_registration=True):
    """What MNIST and Fashion-MNIST share: formats, sizes and names of files."""

    VERSION = tfds.core.Version('3.0.1')
    SIZES: ClassVar[Mapping[str, int]] = {'train': 60_000, 'test': 10_000}

    def _read(self, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        images, labels = _FILES[split]
        pixels = self._idx(images, 3)
        if pixels.shape[1:] != (28, 28):
            raise self._refusal(f'the images in {images} are not of 28×28 pixels')
        return pixels, {'label': self._idx(labels, 1)}

    def _idx(self, name: str, dimensions: int) -> np.ndarray:
        """The array of bytes in a file of the IDX format: magic number, shape, values."""
        header = 4 + 4 * dimensions
        try:
            content = unpacked(self.files[name])
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise self._refusal(f'{name} is damaged') from None
        if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
            raise self._refusal(f'{name} is no IDX file of {dimensions} dimensions')
        shape = np.frombuffer(content, '>u4', dimensions, offset=4).tolist()
        if len(content) != header + math.prod(shape):
            raise self._refusal(f'{name} is cut short')
        return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _archives(
    files: Mapping[str, tuple[int, str, str]], mirrors: tuple[str, ...], folder: str = ''
) -> tuple[Archive, ...]:
    """The archives of files, each with its packed size, packed checksum and unpacked checksum."""
    return tuple(
        Archive(
            holds=name,
            name=f'{name}.gz',
            size=size,
            sha256=sha256,
            contents=contents,
            mirrors=tuple(f'{mirror}/{name}.gz' for mirror in mirrors),
            folder=folder,
        )
        for name, (size, sha256, contents) in files.items()
    )


class Mnist(_MnistLike, skip_registration=True):
    """MNIST: 70,000 handwritten digits."""

    ARCHIVES = _archives(
        {
            'train-images-idx3-ubyte': (
                9_912_422,
                '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
                'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
            ),
            'train-labels-idx1-ubyte': (
                28_881,
                '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
                '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
            ),
            't10k-images-idx3-ubyte': (
                1_648_877,
                '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
                '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
            ),
            't10k-labels-idx1-ubyte': (
                4_542,
                'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
                'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
            ),
        },
        mirrors=(
            'https://ossci-datasets.s3.amazonaws.com/mnist',
            'https://storage.googleapis.com/cvdf-datasets/mnist',
            'https://dataset.bj.bcebos.com/mnist',
            'https://oneflow-public.oss-cn-beijing.aliyuncs.com/datasets/mnist/MNIST',
        ),
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description='Handwritten digits of 28×28 grey pixels (LeCun et al. 1998).',
            homepage='http://yann.lecun.com/exdb/mnist/',
            features=_features(tfds.features.ClassLabel(num_classes=10)),
            supervised_keys=('image', 'label'),
        )


class FashionMnist(_MnistLike, skip_registration=True):
    """Fashion-MNIST: 70,000 photographs of clothes."""

    ARCHIVES = _archives(
        {
            'train-images-idx3-ubyte': (
                26_421_880,
                '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84',
                'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
            ),
            'train-labels-idx1-ubyte': (
                29_515,
                'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845',
                'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
            ),
            't10k-images-idx3-ubyte': (
                4_422_102,
                '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073',
                '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
            ),
            't10k-labels-idx1-ubyte': (
                5_148,
                '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5',
                '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
            ),
        },
        mirrors=(
            'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com',
            'https://storage.googleapis.com/tensorflow/tf-keras-datasets',
            'https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion',
            'https://dataset.bj.bcebos.com/fashion_mnist',
            'https://oneflow-public.oss-cn-beijing.aliyuncs.com/datasets/mnist/Fashion-MNIST',
        ),
        folder='/usr/share/datasets/fashion-mnist',  # Debian's dataset-fashion-mnist
    )

    def _info(self) -> tfds.core.DatasetInfo:
        names = ('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat')
        names += ('Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot')
        return tfds.core.DatasetInfo(
            builder=self,
            description='Photographs of clothes, 28×28 grey pixels (Xiao et al. 2017).',
            homepage='https://github.com/zalandoresearch/fashion-mnist',
            features=_features(tfds.features.ClassLabel(names=names)),
            supervised_keys=('image', 'label'),
        )


def _features(label: tfds.features.ClassLabel) -> tfds.features.FeaturesDict:
    image = tfds.features.Image(shape=(28, 28, 1), encoding_format='png')
    return tfds.features.FeaturesDict({'image': image, 'label': label})
