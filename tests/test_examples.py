"""The notebooks run from top to bottom, and show what they promise."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.filterwarnings('default')  # of what runs a notebook
def test_the_quickstart_shows_a_network_a_sweep_its_figures_and_probes(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(ROOT), prepend=os.pathsep)
    notebook = nbformat.read(ROOT / 'examples' / 'quickstart.ipynb', as_version=4)
    assert all(not cell.get('outputs') for cell in notebook.cells)  # committed without outputs
    NotebookClient(notebook, timeout=600, resources={'metadata': {'path': str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    shown = [output.get('data', {}) for output in outputs]
    assert sum('image/png' in data for data in shown) == 3
    assert sum('class="dataframe"' in data.get('text/html', '') for data in shown) == 2
    printed = [output.get('text', '') for output in outputs]
    text = ''.join([*printed, *(data.get('text/plain', '') for data in shown)])
    assert 'logits: (2, 10)' in text
    assert '4 of 4 cells to run' in text
    values = [
        output.data['text/plain'] for output in outputs if output.output_type == 'execute_result'
    ]
    assert '853018' in values[0]  # He et al. 2015, Table 6: 0.85 million
