"""Imports run one way: from the configuration to the report."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Whoever comes later may import whoever comes earlier. The README draws it.
FLOW = (
    'vggres.errors',
    'vggres.files',
    'vggres.environment',
    'vggres.networks.spec',
    'vggres.networks.grammar',
    'vggres.networks.published',
    'vggres.config',
    'vggres.data.digits',
    'vggres.data.tfds',
    'vggres.data.batches',
    'vggres.networks.convolution',
    'vggres.networks.batch_norm',
    'vggres.networks.blocks',
    'vggres.networks.network',
    'vggres.networks.torch_weights',
    'vggres.networks.initialisation',
    'vggres.training.optimizer',
    'vggres.training.train_step',
    'vggres.probes.layers',
    'vggres.probes.jacobian',
    'vggres.training.checkpoint',
    'vggres.training.programs',
    'vggres.training.evaluation',
    'vggres.training.trainer',
    'vggres.figures.error.style',
    'vggres.figures.error.rendering',
    'vggres.figures.error',
    'vggres.figures.layers',
    'vggres.tracking.wandb_run',
    'vggres.sweeps.cell',
    'vggres.sweeps.run',
    'vggres.sweeps.sweep',
    'vggres.sweeps.cost',
    'vggres.sweeps.estimate_here',
    'vggres.executors.local',
    'vggres.executors.worker',
    'vggres.executors.progress',
    'vggres.findings.estimates',
    'vggres.findings.verdict',
    'vggres.findings.along_layers',
    'vggres.findings.report',
    'vggres.commands.conclude',
    'vggres.findings.claims',
    'vggres.findings.claims_page',
)


def imported(path):
    """The modules of this package that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f'{node.module}.{alias.name}'
                yield name if name in FLOW else node.module


def name_of(path):
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts)


MODULES = sorted(p for p in (ROOT / 'vggres').rglob('*.py') if p.name != '__init__.py')


def test_every_module_has_its_place():
    assert {name_of(path) for path in MODULES} == set(FLOW)


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_imports_run_with_the_flow(path):
    place = FLOW.index(name_of(path))
    for name in imported(path):
        if name.startswith('vggres'):
            assert FLOW.index(name) < place, f'{name_of(path)} imports {name}'
        assert not name.startswith(('experiments', 'configs', 'launch')), name


def test_the_launcher_leaves_jax_to_the_workers():
    # Otherwise it would hold a GPU's memory, and take seconds to say what a flag is.
    code = "import sys, launch; assert not {'jax', 'flax', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


def test_a_test_file_for_every_module():
    tests = {path.stem for path in (ROOT / 'tests').rglob('test_*.py')}
    # Blocks are tested with the networks, the worker process with the launcher.
    elsewhere = {'blocks', 'digits', 'worker'}
    assert {f'test_{path.stem}' for path in MODULES if path.stem not in elsewhere} <= tests
