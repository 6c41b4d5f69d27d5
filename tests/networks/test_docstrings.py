"""The examples in the docstrings of the room run and give what they say."""

import doctest
import importlib

import pytest

MODULES = ('grammar', 'published', 'network', 'initialisation', 'description', 'torch_weights')


@pytest.mark.parametrize('name', MODULES)
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the files that examples write
    found = doctest.testmod(importlib.import_module(f'vggres.networks.{name}'))
    assert found.attempted > 0
    assert found.failed == 0
