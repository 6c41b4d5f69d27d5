import errno
import io
import signal
import socket
from pathlib import Path

import pytest
from rich.console import Console

from vggres.commands import multihost, planning
from vggres.commands.multihost import Coordinates, coordinates
from vggres.errors import UserError

ROOT = Path(__file__).parents[2]


def test_coordinates():
    assert coordinates('auto') is None
    assert coordinates('node1:1234,2,0') == Coordinates('node1:1234', 2, 0)
    assert coordinates('[::1]:1234,12,11') == Coordinates('[::1]:1234', 12, 11)


@pytest.mark.parametrize(
    'text',
    [
        *('', 'node1,2,0', 'node1:1234,2,2', 'node1:1234,2', 'node1:1234,0,0', ':1,2,0', 'a:b,2,0'),
        *('node1:65536,2,0', 'node1:0,2,0'),
    ],
)
def test_other_coordinates_are_one_line(text):
    with pytest.raises(UserError, match='give auto, or HOST:PORT,NUM,INDEX') as caught:
        coordinates(text)
    assert '\n' not in str(caught.value)


@pytest.fixture
def cell(config, tmp_path):
    sweep, _ = planning.checked_sweep('', config, tmp_path)
    return sweep.cells[0]


def test_what_one_host_alone_decides_may_differ(config, tmp_path, cell):
    config.data.dir = config.data.dir + '/'
    config.wandb.mode = 'offline'
    (other,) = planning.checked_sweep('', config, tmp_path / 'elsewhere')[0].cells
    assert multihost._digest(other) == multihost._digest(cell) > 0
    config.evaluation.every_epochs += 1
    (other,) = planning.checked_sweep('', config, tmp_path)[0].cells
    assert multihost._digest(other) != multihost._digest(cell)


@pytest.mark.parametrize('told', ['nothing', 'another'])
def test_other_processes_train_only_what_the_first_one_does(cell, monkeypatch, told):
    number = 0 if told == 'nothing' else multihost._digest(cell) + 1
    monkeypatch.setattr('vggres.training.devices.agreed', lambda own: number)
    monkeypatch.setattr('vggres.sweeps.run.train_in_process', None)  # cannot be called
    if told == 'nothing':
        multihost._follow(cell)  # and returns
    else:
        with pytest.raises(UserError, match='another network, or with other code'):
            multihost._follow(cell)


def test_others_are_told_where_the_first_process_refuses(config, tmp_path, monkeypatch):
    sweep, info = planning.checked_sweep('', config, tmp_path)
    told = []
    monkeypatch.setattr('vggres.training.devices.agreed', told.append)

    def refuse(*arguments):
        raise UserError('another launch is running')

    monkeypatch.setattr('vggres.commands.train.run', refuse)
    console = Console(file=io.StringIO())
    with pytest.raises(UserError, match='another launch'):
        multihost._lead(sweep, info, console, multihost._Ending(console))
    assert told == [0]


def test_an_address_is_looked_at_before_jax_waits_for_it(monkeypatch):
    monkeypatch.setattr(multihost, 'SECONDS_TO_JOIN', 0)
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{taken.getsockname()[1]}'
        with pytest.raises(OSError, match='nobody listens'):
            multihost._check_address(Coordinates(address, 2, 1))
        taken.listen()
        multihost._check_address(Coordinates(address, 2, 1))
        with pytest.raises(OSError, match='in use'):
            multihost._check_address(Coordinates(address, 2, 0))
    multihost._check_address(Coordinates(address, 2, 0))
    with pytest.raises(OSError, match=r'[Nn]ame|known'):
        multihost._check_address(Coordinates('no-such-host.invalid:1234', 2, 0))


class TestEnding:
    @pytest.fixture(autouse=True)
    def _here(self, monkeypatch):
        self.asked, self.ended, self.saved = [], [], []
        monkeypatch.setattr('vggres.training.devices.ask_to_end', lambda: self.asked.append(1))
        monkeypatch.setattr(multihost, '_end_at_once', self.ended.append)
        monkeypatch.setattr(multihost, 'SECONDS_OF_UPDATES', 0.0)
        monkeypatch.setattr(multihost, 'SECONDS_TO_AGREE', 0.0)
        self.console = Console(file=io.StringIO())
        self.ending = multihost._Ending(self.console)
        self.ending.has_joined = True

    def test_before_the_processes_have_joined_it_ends_at_once(self):
        self.ending.has_joined = False
        self.ending.end(signal.SIGTERM)
        assert (self.asked, self.ended) == ([], [143])

    def test_where_the_others_do_not_agree_in_time_what_is_there_is_saved(self):
        self.ending.begin(self.saved.append)
        self.ending.end(signal.SIGTERM)
        assert (len(self.asked), self.saved, self.ended) == (1, [0.0], [143])
        assert 'Ctrl-C again' in self.console.file.getvalue()

    def test_the_others_have_time_to_agree_before_it_saves(self, monkeypatch):
        events = []
        monkeypatch.setattr(multihost, 'SECONDS_OF_UPDATES', 3.5)
        monkeypatch.setattr(multihost.time, 'sleep', events.append)
        self.ending.begin(lambda timeout: events.append('saved'))
        self.ending.end(signal.SIGTERM)
        assert events == [3.5, 'saved']

    @pytest.mark.parametrize(('later', 'ended'), [(0.5, [130]), (2.0, [130, 130])])
    def test_a_later_signal_ends_it_at_once_and_an_echo_does_not(self, monkeypatch, later, ended):
        now = [100.0]
        monkeypatch.setattr(multihost.time, 'monotonic', lambda: now[0])
        self.ending.begin(self.saved.append)
        self.ending.end(signal.SIGINT)
        now[0] += later
        self.ending.end(signal.SIGINT)
        assert (len(self.asked), self.saved, self.ended) == (1, [0.0], ended)

    def test_it_saves_and_ends_although_the_terminal_is_gone(self):
        class Gone(io.StringIO):
            def write(self, text):
                raise OSError(errno.EIO, 'Input/output error')

        self.ending._console = Console(file=Gone())
        self.ending.begin(self.saved.append)
        self.ending.end(signal.SIGHUP)
        assert (self.saved, self.ended) == ([0.0], [129])

    def test_exit_codes(self):
        told = KeyboardInterrupt()
        assert self.ending.exit_code(told) == 143  # another process was told
        assert self.ending.exit_code(UserError('no')) == 2
        assert self.ending.exit_code(ValueError()) == 1
        self.ending.end(signal.SIGINT)
        assert self.ending.exit_code(told) == 130
        assert self.ending.exit_code(ValueError()) == 130


@pytest.mark.parametrize(
    ('text', 'is_lost'),
    [
        ('UNKNOWN: [external/gloo] Gloo all-reduce failed: Connection closed by peer', True),
        ('RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes.', False),
        ('INTERNAL: Failed to compile', False),
    ],
)
def test_the_end_of_another_process_is_one_line(text, is_lost):
    import jax

    said = multihost._lost_process(jax.errors.JaxRuntimeError(text))
    assert ('another process seems to be lost' in said) == is_lost
    assert multihost._lost_process(ValueError('Connection')) == ''
