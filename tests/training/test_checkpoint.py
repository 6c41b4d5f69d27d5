import dataclasses
import errno
import hashlib
import shutil
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.errors import UserError
from vggres.training import trainer
from vggres.training.checkpoint import Checkpoints, Snapshot
from vggres.training.trainer import Listeners, Observer, described_run


@pytest.fixture
def snapshots(build, data, config):
    """Of a run, the snapshots after 2 and 4 of the 5 updates of its first epoch."""
    compiled, schedule = build(config), described_run(config, data.num_train).schedule

    def trained(stop):
        state, sums, order_key = compiled.init(0)
        state, sums = compiled.train(state, sums, order_key, data, schedule, stop)
        return Snapshot(state, sums, seconds=0.25, looks=((stop, 37.5),), occasion=stop, wrong=75.0)

    return trained(2), trained(4)


@pytest.fixture
def fresh(build, config):
    return build(config).init(7)[:2]


def assert_equal(found, expected):
    for field in dataclasses.fields(Snapshot):
        if field.name in ('state', 'sums'):
            a, b = getattr(found, field.name), getattr(expected, field.name)
            assert jax.tree.structure(a) == jax.tree.structure(b)
            jax.tree.map(np.testing.assert_array_equal, a, b)
        else:
            assert getattr(found, field.name) == getattr(expected, field.name)


def save(directory, snapshots, **options):
    checkpoints = Checkpoints(directory, every_seconds=0, **options)
    for snapshot in snapshots:
        checkpoints.save_now_and_then(snapshot)
    return sorted(directory.iterdir())


def test_the_newest_snapshot_comes_back_to_the_last_bit(snapshots, fresh, tmp_path):
    save(tmp_path, snapshots)
    assert_equal(Checkpoints(tmp_path, 0).restore(*fresh), snapshots[1])


def test_where_nothing_was_saved_nothing_comes_back(fresh, tmp_path):
    checkpoints = Checkpoints(tmp_path / 'none', 0)
    assert checkpoints.choose() is None
    assert checkpoints.restore(*fresh) is None


def test_the_newest_two_are_kept(snapshots, tmp_path):
    two, four = snapshots
    three = dataclasses.replace(two, state=two.state.replace(step=two.state.step + 1))
    names = [path.name for path in save(tmp_path, [two, three, four])]
    assert names == ['step-000000000003.ckpt', 'step-000000000004.ckpt']


def test_it_saves_no_more_often_than_asked(snapshots, tmp_path):
    Checkpoints(tmp_path / 'a', every_seconds=3600).save_now_and_then(snapshots[0])
    assert not (tmp_path / 'a').exists()


def test_removing_leaves_nothing(snapshots, tmp_path):
    save(tmp_path / 'a', snapshots)
    Checkpoints(tmp_path / 'a', 0).remove()
    assert not (tmp_path / 'a').exists()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path):
    path.write_bytes(b'')


def _flip(place):
    def flip(path):
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 1
        path.write_bytes(content)

    return flip


def _directory(path):
    path.unlink()
    path.mkdir()


def _of_another_release(path):
    path.write_bytes(b'not even a checksum')


def _of_format_1(path):
    content = path.read_bytes()[:-64]
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + content)


def _of_a_later_release(path):
    content = path.read_bytes()[:-64].replace(b'"format": 2', b'"format": 3', 1)
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())


DAMAGES = [_truncate, _empty, _flip(0), _flip(0.001), _flip(0.5), _flip(1), _directory]
DAMAGES += [_of_another_release, _of_a_later_release, _of_format_1]


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_checkpoint_costs_one_interval(snapshots, fresh, tmp_path, damage):
    _, newest = save(tmp_path, snapshots)
    damage(newest)
    checkpoints, said = Checkpoints(tmp_path, 0), []
    checkpoints.choose(on_damage=said.append)
    assert_equal(checkpoints.restore(*fresh), snapshots[0])
    assert len(said) == 1
    assert said[0].startswith('the checkpoint step-000000000004.ckpt cannot be used: ')
    checkpoints.save_now_and_then(snapshots[1])  # in its place
    assert_equal(Checkpoints(tmp_path, 0).restore(*fresh), snapshots[1])


def test_what_cannot_be_read_for_the_moment_stays(snapshots, fresh, tmp_path, monkeypatch):
    save(tmp_path, snapshots)
    with monkeypatch.context() as patch:

        def stale(path):
            raise OSError(errno.ESTALE, 'Stale file handle', str(path))

        patch.setattr(Path, 'read_bytes', stale)
        with pytest.raises(OSError, match='Stale file handle'):
            Checkpoints(tmp_path, 0).choose()
    assert_equal(Checkpoints(tmp_path, 0).restore(*fresh), snapshots[1])


def test_two_damaged_checkpoints_are_a_new_beginning(snapshots, fresh, tmp_path):
    for path in save(tmp_path, snapshots):
        _truncate(path)
    checkpoints, said = Checkpoints(tmp_path, 0), []
    assert checkpoints.choose(on_damage=said.append) is None
    assert checkpoints.restore(*fresh) is None
    assert len(said) == 2
    early = dataclasses.replace(
        snapshots[0], state=snapshots[0].state.replace(step=snapshots[0].state.step - 1)
    )
    checkpoints.save_now_and_then(early)  # fewer updates than those that were lost
    assert_equal(Checkpoints(tmp_path, 0).restore(*fresh), early)


def test_a_file_in_the_place_of_the_directory_is_replaced(snapshots, fresh, tmp_path):
    place = tmp_path / 'checkpoints'
    place.write_text('in the way')
    said = []
    assert Checkpoints(place, 0).choose(on_damage=said.append) is None
    assert said == ['checkpoints is no directory: the run begins anew.']
    save(place, snapshots)
    assert_equal(Checkpoints(place, 0).restore(*fresh), snapshots[1])
    shutil.rmtree(place)
    place.write_text('in the way')
    Checkpoints(place, 0).remove()
    assert not place.exists()


def test_notes_go_with_a_checkpoint_and_may_refuse_it(snapshots, fresh, tmp_path):
    one, two = snapshots
    two = dataclasses.replace(two, begin=3)
    save(tmp_path, [one, two], notes=lambda begin: {'begun at': begin})
    checkpoints, said = Checkpoints(tmp_path, 0), []
    assert checkpoints.choose() == {'begun at': 3}
    checkpoints = Checkpoints(tmp_path, 0)
    chosen = checkpoints.choose(lambda notes: 'no' if notes['begun at'] else None, said.append)
    assert chosen == {'begun at': 0}
    assert said == ['the checkpoint step-000000000004.ckpt cannot be used: no.']
    assert_equal(checkpoints.restore(*fresh), one)


def test_what_may_not_be_saved_is_not(snapshots, tmp_path):
    def forbid():
        raise PermissionError

    with pytest.raises(PermissionError):
        save(tmp_path / 'a', snapshots, is_allowed=forbid)
    assert not (tmp_path / 'a').exists()


# On request, from another thread


def test_a_request_saves_what_is_offered(snapshots, fresh, tmp_path):
    checkpoints = Checkpoints(tmp_path, every_seconds=3600)
    assert not checkpoints.save_on_request(0)
    checkpoints.offer(snapshots[0])
    assert checkpoints.save_on_request(0)
    assert_equal(Checkpoints(tmp_path, 0).restore(*fresh), snapshots[0])


def test_a_request_waits_for_the_updates_that_run(snapshots, fresh, tmp_path):
    checkpoints = Checkpoints(tmp_path, every_seconds=3600)
    checkpoints.begin_update(snapshots[0])
    saved = []
    thread = threading.Thread(target=lambda: saved.append(checkpoints.save_on_request(60)))
    thread.start()
    time.sleep(0.1)
    assert not saved
    checkpoints.offer(snapshots[1])
    thread.join(timeout=20)  # it is woken, and does not wait for its minute to end
    assert saved == [True]
    assert_equal(Checkpoints(tmp_path, 0).restore(*fresh), snapshots[1])


def test_where_updates_take_too_long_what_was_there_before_them_is_saved(
    snapshots, fresh, tmp_path
):
    checkpoints = Checkpoints(tmp_path, every_seconds=3600)
    one = snapshots[0]
    used_up = dataclasses.replace(one, state=jax.tree.map(jnp.copy, one.state))
    checkpoints.begin_update(used_up)
    jax.tree.map(lambda leaf: leaf.delete(), used_up.state)  # as donating them does
    started = time.monotonic()
    assert checkpoints.save_on_request(0.05)
    assert time.monotonic() - started > 0.05
    assert_equal(Checkpoints(tmp_path, 0).restore(*fresh), one)


def test_what_was_saved_now_and_then_is_not_saved_again_on_request(snapshots, fresh, tmp_path):
    checkpoints = Checkpoints(tmp_path, every_seconds=0)
    checkpoints.save_now_and_then(snapshots[0])
    (path,) = tmp_path.iterdir()
    first = path.stat().st_ino
    checkpoints.begin_update(snapshots[0])
    assert checkpoints.save_on_request(0)
    assert path.stat().st_ino == first
    seen = dataclasses.replace(snapshots[0], looks=(*snapshots[0].looks, (2, 30.0)))
    checkpoints.offer(seen)  # no more updates, but a look that took its time
    assert checkpoints.save_on_request(0)
    assert_equal(Checkpoints(tmp_path, 0).restore(*fresh), seen)
    path.unlink()
    assert checkpoints.save_on_request(0)
    assert path.is_file()
    path.unlink()
    checkpoints.offer(snapshots[1])
    assert checkpoints.save_on_request(0)
    assert [path.name for path in tmp_path.iterdir()] == ['step-000000000004.ckpt']


def test_a_request_does_not_wait_longer_where_something_is_being_saved(snapshots, tmp_path):
    """A save of a second, within which a request comes: both take a second together."""
    checkpoints = Checkpoints(tmp_path, 0, is_allowed=lambda: time.sleep(1))
    checkpoints.offer(snapshots[0])
    started = time.monotonic()
    saves = threading.Thread(target=checkpoints.save_now_and_then, args=(snapshots[0],))
    saves.start()
    time.sleep(0.1)
    assert checkpoints.save_on_request(0.5)
    assert time.monotonic() - started < 1.9
    saves.join()


@pytest.mark.parametrize('change', ['sums', 'state'])
def test_a_checkpoint_with_other_arrays_is_refused_in_one_line(snapshots, fresh, tmp_path, change):
    save(tmp_path, snapshots)
    state, sums = fresh
    if change == 'sums':  # one less, which would shift all others
        sums = {name: value for name, value in sums.items() if name != 'error'}
    else:
        state = state.replace(step=state.step.astype(jnp.float32))
    with pytest.raises(UserError, match=r'step-000000000004.ckpt does not fit .*other arrays'):
        Checkpoints(tmp_path, 0).restore(state, sums)


class Killed(Exception):
    pass


@pytest.fixture
def one_by_one(monkeypatch):
    """Each update is a dispatch of its own, so that a run may be saved after each of them."""
    monkeypatch.setattr(trainer, 'SECONDS_PER_DISPATCH', 0)
    monkeypatch.setattr(trainer, '_FIRST_DISPATCH', 1)


def run_until(run, compiled, data, directory, stop):
    """Trains, and gives what it was heard to say; `stop` saves on request and kills it.

    Args:
        stop: 'update 7', 'record 10' or 'look 10', by the updates done, or 'within 7' for the
            update after them; '' lets it end.
    """
    checkpoints = Checkpoints(directory, every_seconds=3600)
    heard = {'record': [], 'look': [], 'update': []}

    def reach(place):
        if place == stop:
            assert checkpoints.save_on_request(0)
            raise Killed

    def hear(kind, entry, step):
        heard[kind].append(entry)
        reach(f'{kind} {step}')

    def update(state, *arguments):
        done = int(state.step)
        updated = compiled.train(state, *arguments)  # it uses the state up
        reach(f'within {done}')
        return updated

    listeners = Listeners(
        on_record=lambda record: hear(
            'record', dataclasses.replace(record, images_per_second=0), record.step
        ),
        on_observation=lambda seen: hear('look', seen, seen.step),
        on_progress=lambda step, total: hear('update', step, step),
    )
    observer = Observer(lambda state, key, rate: {'a': {'b': float(rate(state.step))}}, 1)
    try:
        programs = dataclasses.replace(compiled, train=update)
        outcome, state = trainer.train(programs, data, run, checkpoints, observer, listeners)
    except Killed:
        return None, None, heard
    return outcome, state, heard


STOPS = ['update 1', 'update 4', 'update 5', 'update 7', 'update 10', 'record 5', 'record 10']
STOPS += ['look 5', 'look 10', 'within 1', 'within 5', 'within 8']


@pytest.mark.usefixtures('one_by_one')
@pytest.mark.parametrize('targets', [(), (60.0, 0.0)])
@pytest.mark.parametrize('stop', STOPS)
def test_a_run_that_was_saved_anywhere_comes_to_the_same_bits(
    build, data, config, tmp_path, stop, targets
):
    """Two epochs of five updates, with looks at the error after every second one where it counts.

    A record or an observation of the epoch that was interrupted is written again: the files of a
    cell are cut back to the beginning of that epoch (see `sweeps.attempt`).
    """
    config.model.width, config.optimizer.learning_rate = 8, 0.03
    config.train.until_error, config.evaluation.every_steps = targets, 2
    run, compiled = described_run(config, data.num_train), build(config)
    outcome, state, whole = run_until(run, compiled, data, tmp_path / 'whole', '')
    assert whole['update'] == [*range(1, 11)]
    _, _, before = run_until(run, compiled, data, tmp_path / 'cut', stop)
    again, final, after = run_until(run, compiled, data, tmp_path / 'cut', '')
    assert again == outcome
    jax.tree.map(np.testing.assert_array_equal, final, state)
    done = int(stop.split()[1])
    assert after['update'] == [*range(done + 1, 11)]  # no update is done twice
    last_begun = done + 1 if stop.startswith('within') else done
    begin = 5 if last_begun > 5 else 0  # of the interrupted epoch
    for kind in ('record', 'look'):
        kept = [entry for entry in before[kind] if entry.step <= begin]
        assert kept + after[kind] == whole[kind]


@pytest.mark.usefixtures('one_by_one')
def test_the_errors_that_were_reached_before_the_interruption_count(build, data, config, tmp_path):
    """The first error is reached in the first half of the run, and the second one by the end."""
    config.model.width, config.train.epochs, config.optimizer.learning_rate = 8, 20, 0.03
    config.train.until_error, config.evaluation.every_steps = (60.0, 1.0), 2
    run, compiled = described_run(config, data.num_train), build(config)
    outcome, _, _ = run_until(run, compiled, data, tmp_path / 'whole', '')
    early, late = outcome.steps_to_error['60'], outcome.steps_to_error['1']
    assert early + 3 < late
    run_until(run, compiled, data, tmp_path / 'cut', f'update {early + 3}')
    again, _, after = run_until(run, compiled, data, tmp_path / 'cut', '')
    assert again == outcome
    assert min(after['update']) == early + 4
