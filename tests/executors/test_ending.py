import signal
import subprocess
import sys

import pytest

# Its main thread is in a computation that Python cannot interrupt, for a while.
_PROGRAM = """
import hashlib, os, signal
from vggres.executors.ending import when_told_to_end

def end(number):
    print('told', number, flush=True)
    if number == signal.SIGTERM:
        os._exit(7)

when_told_to_end(end, [signal.SIGINT, signal.SIGTERM])
print('ready', flush=True)
signal.alarm(60)
hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)
"""


@pytest.mark.parametrize('signals', [['TERM'], ['INT', 'TERM']])
def test_a_signal_is_heard_while_the_main_thread_is_busy(signals):
    numbers = [getattr(signal, f'SIG{name}') for name in signals]
    command = [sys.executable, '-c', _PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'ready\n'
        for number in numbers:
            process.send_signal(number)
            assert process.stdout.readline() == f'told {number:d}\n'
        assert process.wait(timeout=30) == 7
