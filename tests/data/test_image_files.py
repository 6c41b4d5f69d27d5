import io
import itertools
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vggres.data import crops, decoding, image_files
from vggres.data.image_files import Cropping, FileReader, Files
from vggres.errors import UserError

CROPPING = Cropping('scaled', 8, (9, 12))
KEY = (3, 4)


class Encoded(list):
    """PNG files in memory, of grey images whose level is their number times ten."""

    def __init__(self, count, first=0):
        super().__init__()
        for number in range(first, first + count):
            file = io.BytesIO()
            Image.fromarray(np.full((10, 14, 3), 10 * number, np.uint8)).save(file, 'png')
            self.append((file.getvalue(), f'file {number}'))


@pytest.fixture
def files():
    """Eleven images in two parts; the label of image i is i."""
    return Files(
        parts=(Encoded(7), Encoded(4, first=7)),
        part=np.repeat([0, 1], [7, 4]),
        position=np.concatenate([np.arange(7), np.arange(4)]),
        labels=np.arange(11, dtype=np.int32),
        identity='eleven',
    )


def reader(files, processes=0, cropping=CROPPING):
    return FileReader({'train': files, 'test': files}, cropping, batch=4, processes=processes)


def batches(reader, steps, key=KEY):
    return [reader.training(key, step, stop=100)[0] for step in steps]


def test_files_are_decoded_with_their_labels(files):
    image, label = files[9]
    assert label == 9
    np.testing.assert_array_equal(np.asarray(image), np.full((10, 14, 3), 90))


def test_an_epoch_takes_each_image_at_most_once_and_the_next_one_has_another_order(files):
    found = batches(reader(files), range(6))  # two batches of 4 from 11 images, three times
    labels = np.stack([batch.labels for batch in found]).reshape(3, 8)
    assert all(len(set(epoch)) == 8 for epoch in labels.tolist())
    assert len({tuple(epoch) for epoch in labels.tolist()}) == 3
    assert len({frozenset(epoch) for epoch in labels.tolist()}) > 1  # others are left out
    for batch in found:
        assert batch.images.shape == (4, 8, 8, 3)
        assert batch.images.dtype == np.uint8
        np.testing.assert_array_equal(batch.images[:, 0, 0, 0], 10 * batch.labels)


def noisy_files(count):
    """Files of random pixels, so that every window is another one."""
    rng, encoded = np.random.default_rng(0), []
    for number in range(count):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (10, 14, 3), np.uint8)).save(file, 'png')
        encoded.append((file.getvalue(), f'file {number}'))
    return Files(
        (encoded,), np.zeros(count, int), np.arange(count), np.arange(count, dtype=np.int32), ''
    )


def equal(a, b):
    return np.array_equal(a.images, b.images) and np.array_equal(a.labels, b.labels)


def test_a_continued_stream_equals_an_uninterrupted_one():
    files = noisy_files(11)
    whole = batches(reader(files), range(7))
    continued = reader(files)
    again = batches(continued, range(3)) + batches(reader(files), range(3, 7))
    assert all(map(equal, whole, again))
    assert equal(batches(continued, [5])[0], whole[5])  # and from anywhere
    assert not equal(whole[0], batches(reader(files), [0], key=(3, 5))[0])


def test_who_looks_at_the_next_batch_takes_it_from_nobody():
    files = noisy_files(11)
    looked = reader(files)
    seen = batches(looked, [0, 0, 1, 2, 2])
    whole = batches(reader(files), range(3))
    assert all(map(equal, seen, [whole[0], whole[0], whole[1], whole[2], whole[2]]))


@pytest.mark.slow
def test_worker_processes_change_nothing():
    files = noisy_files(11)
    whole = batches(reader(files), range(5))
    assert all(map(equal, whole, batches(reader(files, processes=2), range(5))))


@pytest.mark.parametrize('many', [1, 1000])  # images, from which on processes evaluate
def test_neither_do_those_that_evaluate(many, monkeypatch):
    files = noisy_files(11)
    monkeypatch.setattr(image_files, '_MANY', many)
    ours = list(reader(files, processes=2).evaluation('test', 3))
    theirs = list(reader(files).evaluation('test', 3))
    assert [len(batch.labels) for batch in ours] == [3, 3, 3, 2]
    assert all(map(equal, ours, theirs))


@pytest.mark.slow
def test_processes_end_with_what_they_are_for():
    before = set(multiprocessing.active_children())

    def started():
        return set(multiprocessing.active_children()) - before

    ours = reader(noisy_files(11), processes=1)
    batches(ours, range(2))
    (first,) = started()
    batches(ours, range(2), key=(5, 6))
    (second,) = started()
    assert first != second
    assert not first.is_alive()
    del ours
    assert not started()


_KILLED = """
import multiprocessing
from test_image_files import batches, noisy_files, reader

if __name__ == '__main__':
    ours = reader(noisy_files(11), processes=1)
    batches(ours, range(2))
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    input()
"""


@pytest.mark.slow
def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / 'killed.py'
    script.write_text(_KILLED)
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')])
    parent = subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {'PYTHONPATH': paths},
    )
    with parent:
        (pid,) = map(int, parent.stdout.readline().split())
        os.kill(pid, 0)
        parent.kill()
        # It returns when nobody holds the pipe any more, and raises if that takes a minute.
        assert parent.communicate(timeout=60)[0] == ''


def test_hosts_that_share_a_batch_read_it_between_them():
    files = noisy_files(11)
    whole = batches(reader(files), range(4))
    halves = [
        batches(FileReader({'train': files}, CROPPING, 4, processes=0, host=(i, 2)), range(4))
        for i in range(2)
    ]
    for step in range(4):
        for name in ('images', 'labels'):
            parts = [getattr(half[step], name) for half in halves]
            assert [len(part) for part in parts] == [2, 2]
            np.testing.assert_array_equal(np.concatenate(parts), getattr(whole[step], name))


def test_hosts_that_share_a_batch_to_evaluate_read_it_between_them():
    files = noisy_files(11)
    (whole, last), *halves = (
        list(FileReader({'test': files}, CROPPING, 4, 0, host).evaluation('test', 8))
        for host in ((0, 1), (0, 2), (1, 2))
    )
    for name in ('images', 'labels'):
        first, second = ([getattr(batch, name) for batch in half] for half in halves)
        np.testing.assert_array_equal(np.concatenate([first[0], second[0]]), getattr(whole, name))
        np.testing.assert_array_equal(first[1], getattr(last, name))  # three images
        np.testing.assert_array_equal(second[1], getattr(last, name)[-1:])  # only to fill up


def test_every_crop_has_random_numbers_of_its_own():
    # One image, cropped again and again.
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8))
    file = io.BytesIO()
    image.save(file, 'png')
    zeros = np.zeros(4, np.int32)
    one = Files(([(file.getvalue(), 'x')],), zeros, zeros, zeros, '')
    found = itertools.chain(*(batch.images for batch in batches(reader(one), range(3))))
    assert len({crop.tobytes() for crop in found}) == 12


def test_the_evaluated_crop_is_the_centre_at_256_of_224():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8))
    expected = np.asarray(image.resize((341, 256), Image.Resampling.BILINEAR))[16:240, 58:282]
    found = Cropping('area', 224, (256, 256)).centre(image)
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_both_kinds_of_random_crops(files):
    image = decoding.decode(*noisy_files(1).parts[0][0])
    for cropping, expected in (
        (CROPPING, lambda rng: crops.scaled_crop(image, 8, (9, 12), rng)),
        (Cropping('area', 8, (9, 12)), lambda rng: crops.area_crop(image, 8, rng)),
    ):
        found = cropping.random(image, np.random.default_rng(1))
        np.testing.assert_array_equal(found, expected(np.random.default_rng(1)))


@pytest.mark.parametrize('processes', [0, 1])
def test_a_damaged_file_is_named(processes):
    files = noisy_files(4)
    content, _ = files.parts[0][2]
    files.parts[0][2] = (content[: len(content) // 2], 'cat/2.png')
    with pytest.raises(UserError, match=r'cat/2\.png') as caught:
        batches(reader(files, processes), range(1))
    assert '\n' not in str(caught.value)
