import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from vggres.data import cache, datasets, decoding, readable
from vggres.data.source import SPLITS
from vggres.errors import UserError


@pytest.fixture
def streamed(mine, tmp_path, monkeypatch):
    """The `data` of a folder of JPEG files that are decoded in every epoch, and its folder."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    config, path = mine
    root = path.parents[1]
    for each in list(root.rglob('*.png')):
        noise = np.random.default_rng(int(each.stem)).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(each.with_suffix('.jpg'))
        each.unlink()
    config.data.crop, config.data.crop_padding = 'area', 0
    config.data.normalisation = 'imagenet'
    return config.data, root


def cut(path):
    """Cuts an image short behind its header."""
    path.write_bytes(path.read_bytes()[:-500])


def paths(data, split):
    """The image files of a split."""
    files = datasets.files(data)[split]
    return [files.parts[0][int(position)][1] for position in files.position]


@pytest.mark.parametrize('split', SPLITS)
def test_an_image_that_is_cut_short_is_named_before_training(streamed, split):
    data, _ = streamed
    path = Path(paths(data, split)[0])
    datasets.prepare(data)
    cut(path)
    with pytest.raises(UserError, match=r'^1 of 40 images of .* is truncated') as caught:
        datasets.prepare(data)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match='truncated'):  # a failure is not kept
        datasets.prepare(data)


def test_images_are_decoded_once_until_a_file_changes(streamed, monkeypatch):
    data, root = streamed
    decoded, rgb = [], decoding.rgb
    monkeypatch.setattr(decoding, 'rgb', lambda content: decoded.append(content) or rgb(content))
    log = Console(file=io.StringIO(), width=200)
    datasets.prepare(data, log)
    assert len(decoded) == 40
    assert f'reading 40 images of {root}, once' in log.file.getvalue()
    datasets.prepare(data, log)
    assert len(decoded) == 40
    path = next(root.rglob('*.jpg'))
    path.write_bytes(path.read_bytes() + b'\0')
    datasets.prepare(data)
    assert len(decoded) == 80


def test_a_very_large_training_split_is_left_to_training(streamed, monkeypatch):
    data, _ = streamed
    monkeypatch.setattr(readable, '_TRAINING', 31)
    decoded, rgb = [], decoding.rgb
    monkeypatch.setattr(decoding, 'rgb', lambda content: decoded.append(content) or rgb(content))
    datasets.prepare(data)
    assert len(decoded) == 4 + 4


def test_a_bar_is_shown_in_a_terminal(streamed):
    data, _ = streamed
    screen = Console(file=io.StringIO(), force_terminal=True, width=150)
    datasets.prepare(data, screen)
    assert '40/40' in screen.file.getvalue()


def test_nothing_is_decoded_where_arrays_are_kept_anyway(mine, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    config, _ = mine
    datasets.prepare(config.data)
    assert not list(cache.directory().glob('*readable*'))
