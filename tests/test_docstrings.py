"""The examples in docstrings run; those that train stand in `tests/commands/test_python.py`."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path.relative_to(ROOT)
    for room in ('vggres', 'experiments')
    for path in (ROOT / room).rglob('*.py')
    if '>>>' in path.read_text() and path.relative_to(ROOT) != Path('vggres/commands/python.py')
)


@pytest.mark.parametrize('path', FILES, ids=str)
def test_examples_in_docstrings_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the files that examples write
    found = doctest.testmod(importlib.import_module('.'.join(path.with_suffix('').parts)))
    assert found.attempted > 0
    assert found.failed == 0


def test_there_are_examples():
    assert {path.stem for path in FILES} >= {'grid', 'results', 'grammar', 'published', 'source'}
