"""Imports run one way: from the description of a network to the command that trains it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The import rule: a room imports from itself and from the lines above. CONTRIBUTING.md draws it.
ROOMS = (
    ('errors', 'files', 'environment', 'results'),
    ('figures', 'networks', 'data'),
    ('config',),
    ('checks', 'findings'),
    ('training',),
    ('probes',),
    ('tracking',),
    ('sweeps',),
    ('executors', 'experiments', 'configs'),
    ('commands',),
    ('launch',),
)
# Where JAX may be imported at the top of a file: everything else must start at once, and leave
# the devices to the workers.
JAX_ROOMS = ('training', 'probes')
JAX_FILES = {
    *(f'networks.{name}' for name in ('convolution', 'batch_norm', 'blocks', 'network')),
    *('networks.initialisation', 'data.batches', 'data.resident', 'data.stream'),
    *('sweeps.run', 'sweeps.estimate_here', 'sweeps.estimate_tpu'),
}
NO_JAX_FILES = {'probes.quantities'}
OWN = ('vggres.', 'experiments', 'configs', 'launch')
JAX = {'jax', 'flax', 'optax'}

FILES = [
    ROOT / 'launch.py',
    *(
        path
        for folder in ('vggres', 'experiments', 'configs')
        for path in sorted((ROOT / folder).rglob('*.py'))
        if path != ROOT / 'vggres' / '__init__.py'
    ),
]


def name_of(path):
    """'networks.spec' of vggres/networks/spec.py, 'experiments.depth' of experiments/depth.py."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    parts = parts[1:] if parts[0] == 'vggres' else parts
    return '.'.join(parts).removesuffix('.__init__')


NAMES = {name_of(path): path for path in FILES}


def is_for_types_alone(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING'


def imported(path, at_the_top=False):
    """The dotted names that a file imports, those of functions too where not `at_the_top`."""
    tree = ast.parse(path.read_text())
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f'{node.module}.{alias.name}' for alias in node.names)
        elif at_the_top and (isinstance(node, ast.FunctionDef) or is_for_types_alone(node)):
            continue
        nodes.extend(ast.iter_child_nodes(node))


def own(name):
    """The file of this project that a dotted name belongs to, None for others."""
    name = name.removeprefix('vggres.')
    while name and name not in NAMES:
        name = name.rpartition('.')[0]
    return name or None


def room_of(name):
    """The folder of a file; the files of the first line of `ROOMS` are one room, the base."""
    return 'base' if name in ROOMS[0] else name.split('.')[0]


def place(name):
    """The line of `ROOMS` that a file belongs to."""
    (line,) = (i for i, rooms in enumerate(ROOMS) if name.split('.')[0] in rooms)
    return line


@pytest.mark.parametrize('name', NAMES)
def test_imports_run_one_way(name):
    for other in imported(NAMES[name]):
        found = own(other) if other.startswith(OWN) else None
        if found and room_of(found) != room_of(name):
            assert place(found) < place(name), f'{name} imports {found}'


def test_no_circles_inside_a_room():
    following = {
        name: {found for other in imported(path) if (found := own(other)) and found != name}
        for name, path in NAMES.items()
    }

    def reachable(name, seen):
        for other in following[name] - seen:
            seen.add(other)
            reachable(other, seen)
        return seen

    assert [name for name in NAMES if name in reachable(name, set())] == []


@pytest.mark.parametrize('name', NAMES)
def test_jax_at_the_top_of_a_file_only_where_it_is_allowed(name):
    allowed = name in JAX_FILES or (name.split('.')[0] in JAX_ROOMS and name not in NO_JAX_FILES)
    if not allowed:
        top = {other.split('.')[0] for other in imported(NAMES[name], at_the_top=True)}
        assert not JAX & top


def test_the_init_files_of_rooms_stay_empty():
    rooms = [path for path in (ROOT / 'vggres').glob('*/__init__.py')]
    assert [path for path in rooms if path.read_text()] == []


def test_the_launcher_leaves_jax_to_the_workers():
    # Otherwise it would hold a GPU's memory, and take seconds to say what a flag is.
    code = "import sys, launch; assert not {'jax', 'flax', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


def test_the_tests_stand_in_the_same_rooms():
    tested = {
        (*path.parent.relative_to(ROOT / 'tests').parts, path.stem.removeprefix('test_'))
        for path in (ROOT / 'tests').rglob('test_*.py')
    }
    # Blocks are tested with the networks, the worker process with the launcher.
    elsewhere = {'networks.blocks', 'data.digits', 'executors.worker'}
    modules = {name for name in NAMES if NAMES[name].name != '__init__.py'} - elsewhere
    modules = {name for name in modules if not name.startswith('configs.')}  # tests/test_config.py
    assert {name for name in modules if tuple(name.split('.')) not in tested} == set()


def signatures(path):
    """The functions of a file with the text of their signature and the line above it."""
    lines = path.read_text().splitlines()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node, '\n'.join(lines[node.lineno - 2 : node.body[0].lineno - 1])


@pytest.mark.parametrize('name', NAMES)
def test_no_function_takes_more_than_six_parameters_without_a_reason(name):
    for function, text in signatures(NAMES[name]):
        taken = [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]
        taken = [each for each in taken if each not in ('self', 'cls')]
        assert len(taken) <= 6 or '# ' in text, f'{function.name} takes {len(taken)}'


def test_the_launcher_is_thin():
    assert len((ROOT / 'launch.py').read_text().splitlines()) <= 125
