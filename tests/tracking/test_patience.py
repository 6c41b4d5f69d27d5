"""Calls that take too long."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vggres.tracking.patience import HangsError, all_within, within


def test_what_comes_back_in_time_is_returned_or_raised():
    def fail():
        raise ArithmeticError('no')

    assert within(10, lambda: 'done') == 'done'
    assert all_within(10, [lambda: 1, lambda: 2]) == [1, 2]
    with pytest.raises(ArithmeticError, match='no'):
        within(10, fail)


def test_what_hangs_is_given_up_and_they_all_run_at_once():
    met = threading.Barrier(3, timeout=10)
    assert len(all_within(20, [met.wait] * 3)) == 3
    ends = threading.Event()
    with pytest.raises(HangsError, match='no answer within 0 s'):
        all_within(0.05, [lambda: ends.wait(60), lambda: 1])
    ends.set()


def test_a_call_that_was_given_up_keeps_no_process_alive():
    code = (
        'import threading; from vggres.tracking.patience import HangsError, within\n'
        'try: within(0.01, threading.Event().wait)\n'
        'except HangsError: print("given up")'
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=20, cwd=root
    )
    assert done.stdout == 'given up\n'
