import json
import subprocess
import sys
from pathlib import Path

import pytest

from vggres import environment
from vggres.errors import UserError
from vggres.executors.orders import Order, order
from vggres.sweeps.cell import Cell


@pytest.fixture
def cell(config, tmp_path):
    return Cell(config, tmp_path, 'depth', 'a variant')


def test_an_order_passes_through_json(cell):
    text = json.dumps(Order(cell, 'abc').to_json())
    received = Order.from_json(json.loads(text))
    assert json.dumps(received.to_json()) == text
    assert received.cell.id == cell.id
    assert received.cell.coordinates() == cell.coordinates()


@pytest.mark.parametrize(
    ('ordered', 'now', 'may_run'),
    [
        ('abc', 'abc', True),
        (None, None, True),
        ('abc', 'def', False),
        ('abc', 'abc+1234abcd', False),  # edited since
        ('abc+1234abcd', 'abc+00000000', False),  # edited twice
        ('abc', None, False),
    ],
)
def test_an_order_is_for_the_code_that_gave_it(cell, monkeypatch, ordered, now, may_run):
    monkeypatch.setattr(environment, 'code_version', lambda: now)
    if may_run:
        Order(cell, ordered).check_code()
        return
    with pytest.raises(UserError, match='the code has changed') as caught:
        Order(cell, ordered).check_code()
    assert f'commit {ordered}, now {now or "none"}' in str(caught.value)


def test_a_worker_refuses_an_order_for_other_code(cell):
    assert order(cell).code == environment.code_version()
    line = json.dumps(Order(cell, 'another').to_json())
    ran = subprocess.run(
        [sys.executable, '-m', 'vggres.executors.worker'],
        input=line + '\n',
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(environment.__file__).parent.parent,
    )
    ready, failed = map(json.loads, ran.stdout.splitlines())
    assert (ready['kind'], failed['kind']) == ('ready', 'failed')
    assert 'the code has changed' in failed['values']['message']
    assert not cell.directory.exists()
