"""What W&B leaves on the disk, and whether its own command uploads that."""

import os
import time

from vggres.tracking import fragments

_HEADER = b':W&B\xbe\xec\x00'  # what W&B writes before the first record


def log(directory, folder, content, age=3600.0):
    path = directory / 'wandb' / folder / f'run-{folder.rpartition("-")[2]}.wandb'
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_runs_that_are_left_are_uploaded_by_one_command(tmp_path):
    directory = tmp_path / 'a sweep'
    assert fragments.upload_command(directory) is None
    log(directory, 'run-20261128_1-a', _HEADER + b'logged online')
    assert fragments.upload_command(directory) is None
    first = log(directory, 'offline-run-20261128_1-b', _HEADER + b'a record')
    last = log(directory, 'offline-run-20261128_2-b', _HEADER + b'a record')
    command = f"wandb sync '{directory}'/wandb"
    assert fragments.upload_command(directory) == command
    first.with_suffix('.wandb.synced').touch()  # as W&B leaves it beside what it has uploaded
    assert fragments.upload_command(directory) == command
    last.with_suffix('.wandb.synced').touch()
    assert fragments.upload_command(directory) is None


def test_logs_without_a_record_are_set_aside_and_nothing_is_deleted(tmp_path):
    empty = log(tmp_path, 'offline-run-20261128_1-a', _HEADER)
    torn = log(tmp_path, 'run-20261128_1-b', b'')
    young = log(tmp_path, 'offline-run-20261128_2-a', _HEADER, age=1.0)
    whole = log(tmp_path, 'offline-run-20261128_1-c', _HEADER + b'a record')
    assert fragments.upload_command(tmp_path)
    assert [path.exists() for path in (empty, torn, young, whole)] == [False, False, True, True]
    assert empty.with_name('run-a.wandb.empty').read_bytes() == _HEADER
    assert not fragments.set_aside_empty(tmp_path, 'c')
    assert (young.exists(), whole.exists()) == (True, True)
    assert not fragments.set_aside_empty(tmp_path, 'd')  # left nothing, or it was tidied up
    # Whoever continues a run is its only process.
    assert fragments.set_aside_empty(tmp_path, 'a')
    assert (young.exists(), whole.exists()) == (False, True)


def test_nothing_is_offered_where_there_is_no_record_at_all(tmp_path):
    log(tmp_path, 'offline-run-20261128_1-a', _HEADER)
    assert fragments.upload_command(tmp_path) is None
