"""Cells as tasks of a real Ray, with a worker that trains nothing."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import fake_worker
import pytest
from planted import finish

from vggres.errors import UserError
from vggres.executors import ray as executor
from vggres.executors.options import RayOptions
from vggres.executors.orders import ENDS, Event
from vggres.sweeps.cell import Cell
from vggres.sweeps.failure import read_failure

ROOT = Path(__file__).parents[2]
# Ray forks where jax has begun to compute, by other tests of the process.
pytestmark = pytest.mark.filterwarnings('ignore:os.fork')
PATIENT = 60  # seconds for what takes few on a machine that is busy


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    program = fake_worker.__file__

    def run_once(arguments):  # on a node, which does not know the modules of tests
        from vggres.executors import process, ray_task

        process.WORKER = (sys.executable, program)
        yield from ray_task.run_once(arguments)

    monkeypatch.setattr(executor, 'run_once', run_once)


def wait_for(condition):
    deadline = time.monotonic() + PATIENT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def pids(tmp_path):
    """Those of the workers that have begun a cell that hangs or holds."""
    return [int(path.suffixes[-2][1:]) for path in tmp_path.glob('*.*.pid')] + [
        int(path.stem) for path in tmp_path.glob('*.pid') if path.stem.isdigit()
    ]


def test_variables_of_the_launcher_that_a_worker_gets(monkeypatch):
    monkeypatch.setenv('XLA_FLAGS', '--some')
    monkeypatch.setenv('SECRET_OF_THE_LAUNCHER', 'mine')
    monkeypatch.setenv('JAX_PLATFORMS', 'tpu')
    on_cpu, shared = executor._variables(0.0), executor._variables(0.25)
    assert (on_cpu['JAX_PLATFORMS'], on_cpu['CUDA_VISIBLE_DEVICES']) == ('cpu', '')
    assert shared['JAX_PLATFORMS'] == 'cuda,cpu'
    assert 'CUDA_VISIBLE_DEVICES' not in shared  # Ray sets it
    assert float(shared['XLA_PYTHON_CLIENT_MEM_FRACTION']) == 0.225  # a quarter of 0.9
    assert float(executor._variables(2.0)['XLA_PYTHON_CLIENT_MEM_FRACTION']) == 0.9  # of each
    assert on_cpu['XLA_FLAGS'] == shared['XLA_FLAGS'] == '--some'
    assert 'SECRET_OF_THE_LAUNCHER' not in on_cpu


def test_without_ray_one_line_names_the_extra(make, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(UserError, match=r"pip install -e '.\[ray\]'"):
        executor.run([make(8, 0)], {}, RayOptions(), tmp_path, print)


@contextlib.contextmanager
def cluster(**head):
    """A cluster on this machine, and a function that adds a node to it; none of it is left."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=small(**head))
    try:
        yield made
    finally:
        made.shutdown()


def small(**resources):
    return {'include_dashboard': False, 'object_store_memory': 80 * 2**20} | resources


@pytest.fixture(scope='module')
def head():
    """A cluster of one node, with a GPU that is only pretended."""
    with cluster(num_cpus=4, num_gpus=1) as made:
        yield made


def run(cells, address, tmp_path, gpus=0.0, events=None):
    events = [] if events is None else events
    costs = {cell.id: float(cell.config.model.depth) for cell in cells}
    options = RayOptions(address, gpus)
    executor.run(cells, costs, options, tmp_path / 'logs', events.append)
    return events


def ended(events):
    return {event.cell: event for event in events if event.kind in ENDS}


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_cells_that_fail_take_no_other_along(head, make, tmp_path):
    fails = {
        fake_worker.DIES: 'its worker died (signal 9, out of memory?: no event at all)',
        fake_worker.RAISES: 'ValueError: no such thing',
        fake_worker.GARBLES: 'its worker died (exit code 3: {"kind": "finis)',
    }
    good = [make(8, 0), make(14, 1), make(20, fake_worker.DIES_LATE)]
    elsewhere = make(8, fake_worker.ELSEWHERE)
    cells = [*good, elsewhere, *(make(20, seed) for seed in fails)]
    events = run(cells, head.address, tmp_path)
    for kinds in [('started',), ENDS]:
        told = [event.cell for event in events if event.kind in kinds]
        assert sorted(told) == sorted(cell.id for cell in cells)
    found = ended(events)
    assert {found[cell.id].kind for cell in good} == {'finished'}
    assert found[elsewhere.id].kind == 'elsewhere'
    for cell in cells[4:]:
        failed = found[cell.id]
        assert (failed.kind, failed.values['message']) == ('failed', fails[cell.config.seed])
        assert 'noise of a library' in Path(failed.values['log']).read_text()
        assert read_failure(cell.directory).message == fails[cell.config.seed]  # for --status
    assert not any(is_alive(found[cell.id].values['pid']) for cell in good[:2])


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_the_costliest_cells_come_first_and_each_in_a_process_of_its_own(make, tmp_path):
    with cluster(num_cpus=1) as single:
        events = run([make(depth, 0) for depth in (14, 8, 20)], single.address, tmp_path)
    started = [event.cell.split('-')[1] for event in events if event.kind == 'started']
    assert started == ['d20', 'd14', 'd8']
    # The next cell starts when the last has ended: what was not said yet was waiting.
    kinds = [event.kind for event in events]
    assert kinds.pop(1) == 'ready'  # of the first worker alone
    assert kinds == ['started', 'progress', 'finished'] * 3
    assert len({event.values['pid'] for event in ended(events).values()}) == 3


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_a_worker_reads_its_environment_afresh(head, make, tmp_path, monkeypatch):
    monkeypatch.setenv('SECRET_OF_THE_LAUNCHER', 'mine')
    for flags in ('--first', '--second'):
        monkeypatch.setenv('XLA_FLAGS', flags)
        (event,) = ended(run([make(8, 0)], head.address, tmp_path)).values()
        values = event.values
        assert (values['platforms'], values['flags'], values['gpus']) == ('cpu', flags, '')
        assert values['cores'] is None
        assert values['secret'] is None  # the node started before it was set
        assert values['cache'] == os.environ['JAX_COMPILATION_CACHE_DIR']


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_two_cells_share_a_gpu_and_its_memory(head, make, tmp_path):
    cells = [make(depth, fake_worker.HOLDS) for depth in (8, 14, 20)]

    def let_go():
        wait_for(lambda: len(pids(tmp_path)) == 2)
        time.sleep(2)  # in which a third one would start
        seen.append(len(pids(tmp_path)))
        (tmp_path / 'go').touch()

    seen = []
    helper = threading.Thread(target=let_go)
    helper.start()
    events = ended(run(cells, head.address, tmp_path, gpus=0.5))
    helper.join()
    assert seen == [2]
    assert len(events) == 3
    for event in events.values():
        values = event.values
        assert (values['platforms'], values['gpus']) == ('cuda,cpu', '0')
        assert float(values['memory']) == 0.45


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_an_interrupt_lets_cells_save_and_leaves_no_process(head, make, tmp_path):
    cells = [make(depth, fake_worker.SAVES) for depth in (8, 14, 20, 26, 32, 38)]  # two wait
    interrupted = []

    def interrupt_when_all_hang():
        wait_for(lambda: len(pids(tmp_path)) == 4)
        interrupted.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_when_all_hang).start()
    with pytest.raises(KeyboardInterrupt):
        run(cells, head.address, tmp_path)
    assert time.monotonic() - interrupted[0] < 10
    assert [pid for pid in pids(tmp_path) if is_alive(pid)] == []
    assert len(list(tmp_path.glob('*.saved'))) == 4


@pytest.mark.needs('ray')
@pytest.mark.slow
@pytest.mark.parametrize(
    ('how', 'message'),
    [
        ('unable', 'a worker cannot start on .*: jax finds no device'),
        ('aborts', r'a worker cannot start on .*: exit code 1: Unknown flag in XLA_FLAGS$'),
    ],
)
def test_a_worker_that_cannot_start_is_one_line(head, make, tmp_path, monkeypatch, how, message):
    monkeypatch.setattr(executor, '_HANDED_ON', ('FAKE_WORKER',))
    monkeypatch.setenv('FAKE_WORKER', how)
    with pytest.raises(UserError, match=message) as caught:
        run([make(8, 0), make(8, 1)], head.address, tmp_path)
    assert '\n' not in str(caught.value)


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_no_node_has_what_a_cell_asks_for(head, make, tmp_path):
    with pytest.raises(UserError, match=r'one CPU core and 2 GPUs: .* at most 1 GPUs each'):
        run([make(8, 0)], head.address, tmp_path, gpus=2.0)


@pytest.mark.needs('ray')
@pytest.mark.parametrize(
    ('address', 'message'),
    [
        ('here', 'HOST:PORT'),
        ('ray://127.0.0.1:10001', 'HOST:PORT'),
        ('127.0.0.1:{free}', 'refused'),
        ('127.0.0.1:http', 'invalid literal'),
    ],
)
def test_an_address_without_ray_is_one_line(make, tmp_path, address, message):
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        address = address.format(free=unused.getsockname()[1])
    started = time.monotonic()
    with pytest.raises(UserError, match=f'cannot connect to Ray .*{message}') as caught:
        run([make(8, 0)], address, tmp_path)
    assert '\n' not in str(caught.value)
    assert time.monotonic() - started < 10


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_a_connection_that_was_there_stays(head, make, tmp_path):
    import ray

    on_sigterm = signal.getsignal(signal.SIGTERM)
    run([make(8, 0)], head.address, tmp_path)
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is on_sigterm
    ray.init(head.address, log_to_driver=False)
    try:
        run([make(8, 0)], head.address, tmp_path)
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def tree(pid):
    """A process and all that came from it, by pid."""
    parents = {}
    for path in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(')')[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_the_cell_of_a_killed_node_runs_again_elsewhere(make, tmp_path):
    holding = [make(20, fake_worker.HOLDS), make(14, fake_worker.HOLDS)]
    cells = [*holding, make(8, 0), make(8, 1)]
    killed, events = [], []

    def kill(raylet):
        wait_for(lambda: len(pids(tmp_path)) == 2)
        wait_for(lambda: sum(event.kind == 'progress' for event in events) == 2)
        doomed = tree(raylet)
        killed.extend(doomed & set(pids(tmp_path)))
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(3)  # so that the cell that is left holds its node while the loss is noticed
        (tmp_path / 'go').touch()

    with cluster(num_cpus=1) as two:
        node = two.add_node(**small(num_cpus=1))
        raylet = node.all_processes['raylet'][0].process.pid
        helper = threading.Thread(target=kill, args=(raylet,))
        helper.start()
        run(cells, two.address, tmp_path, events=events)
        helper.join()
    (victim,) = killed
    (lost,) = [event for event in events if event.kind == 'lost']
    assert lost.cell in {cell.id for cell in holding}
    assert (tmp_path / f'{lost.cell}.{victim}.pid').exists()
    assert lost.values['message'].endswith(' was lost (attempt 1)')
    assert sorted(e.cell for e in events if e.kind == 'finished') == sorted(c.id for c in cells)
    assert not [event for event in events if event.kind == 'failed']
    attempts = {cell.id: len(list(tmp_path.glob(f'{cell.id}.*.pid'))) for cell in holding}
    assert sorted(attempts.values()) == [1, 2]
    assert attempts[lost.cell] == 2
    assert all(cell.result() for cell in holding)


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_what_ray_says_about_its_nodes_stays_off_the_terminal(make, tmp_path, capfd):
    """The rest of a node prints pages about its raylet, while the cell there goes on or is lost."""
    cells = [make(20, fake_worker.HOLDS), make(14, fake_worker.HOLDS)]

    def kill(raylet):
        wait_for(lambda: len(pids(tmp_path)) == 2)
        os.kill(raylet, signal.SIGKILL)
        time.sleep(5)  # until they would be printed
        (tmp_path / 'go').touch()

    with cluster(num_cpus=1) as two:
        node = two.add_node(**small(num_cpus=1))
        raylet = node.all_processes['raylet'][0].process.pid
        helper = threading.Thread(target=kill, args=(raylet,))
        helper.start()
        capfd.readouterr()
        events = run(cells, two.address, tmp_path)
        helper.join()
        assert 'raylet' not in ''.join(capfd.readouterr()).lower()
    assert sorted(e.cell for e in events if e.kind == 'finished') == sorted(c.id for c in cells)


class Lossy:
    """Stands in for the library: every task is lost as soon as it has started."""

    class exceptions:
        class RayError(Exception):
            """What all its errors are."""

        class NodeDiedError(RayError):
            """The one that is raised."""

        WorkerCrashedError = OutOfMemoryError = ObjectLostError = RaySystemError = NodeDiedError

    def __init__(self):
        self.tasks = 0

    def remote(self, **options):
        assert options['max_retries'] == 0

        def start(arguments):
            self.tasks += 1
            cell = Cell.from_json(json.loads(arguments)['order']['cell'])
            return iter([json.dumps(Event('started', cell.id, {'node': 'n1'}).to_json()), None])

        return lambda function: types.SimpleNamespace(remote=start)

    def wait(self, generators, num_returns, timeout):
        return generators[:num_returns], generators[num_returns:]

    def get(self, line):
        if line is None:
            raise self.exceptions.NodeDiedError
        return line


def test_a_cell_is_given_up_after_its_node_was_lost_too_often(make, tmp_path):
    library, events, cell = Lossy(), [], make(8, 0)
    launch = executor._Launch(library, RayOptions(), tmp_path, events.append)
    launch.run([cell])
    assert library.tasks == 1 + executor.RETRIES == 4
    assert [event.kind for event in events] == ['started', 'lost'] * 3 + ['started', 'failed']
    assert [event.values['message'] for event in events if event.kind == 'lost'] == [
        f'its node n1 was lost (attempt {number})' for number in (1, 2, 3)
    ]
    assert events[-1].values['message'] == 'its node n1 was lost (attempt 4)'


def test_a_cell_whose_node_was_lost_after_its_work_is_done(make, tmp_path):
    library, events, cell = Lossy(), [], make(8, 0)
    finish(cell)
    executor._Launch(library, RayOptions(), tmp_path, events.append).run([cell])
    assert library.tasks == 1
    assert [event.kind for event in events] == ['started', 'finished']


@pytest.mark.parametrize(
    ('name', 'node', 'said'),
    [
        ('OutOfMemoryError', 'n1', 'its node n1 ran out of memory'),
        ('WorkerCrashedError', 'n1', 'its task crashed on node n1'),
        ('WorkerCrashedError', '', 'its task crashed'),
        ('NodeDiedError', '', 'its node was lost'),
    ],
)
def test_why_a_task_was_lost(name, node, said):
    assert executor._in_words(type(name, (Exception,), {})(), node) == said


@pytest.mark.needs('ray')
@pytest.mark.slow
def test_a_sweep_is_trained_and_reported_on(config, tmp_path, monkeypatch):
    monkeypatch.undo()
    command = [
        *(sys.executable, 'launch.py', '--sweep', 'depth', '--executor', 'ray'),
        *('--config.sweep.depths=(8,)', '--config.sweep.seeds=1', '--config.train.epochs=1'),
        *('--config.wandb.mode=disabled', '--workdir', str(tmp_path)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    assert 'ray' not in done.stdout.lower().replace('ray has room', '')
    assert len(list(tmp_path.glob('depth/cells/*/result.json'))) == 2
    assert (tmp_path / 'depth' / 'report.html').exists()
