import platform
import subprocess

import jax
import pytest

from vggres import environment


def test_versions_are_those_imported():
    versions = environment.versions()
    assert versions['jax'] == jax.__version__
    assert {'python', 'flax', 'optax', 'numpy', 'wandb'} <= set(versions)


def test_hardware_in_words():
    assert environment.hardware().endswith(f'{len(environment.cores())} cores')


CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: {model}
model name\t: AMD EPYC
flags\t\t: fpu vme {flags}

processor\t: 1
model name\t: another
"""


@pytest.mark.parametrize(
    ('family', 'model', 'flags', 'words'),
    [  # Milan and Genoa, which clouds sell under one name
        (25, 1, 'avx avx2', 'AMD EPYC (family 25, model 1, AVX2)'),
        (25, 17, 'avx avx2 avx512f', 'AMD EPYC (family 25, model 17, AVX-512)'),
        (16, 2, 'sse2', 'AMD EPYC (family 16, model 2, no AVX)'),
    ],
)
def test_processors_of_one_name_are_told_apart(family, model, flags, words):
    cpuinfo = CPUINFO.format(family=family, model=model, flags=flags)
    assert environment.cpu_in_words(cpuinfo) == words


def test_a_processor_of_another_architecture_still_has_a_name(monkeypatch):
    monkeypatch.setattr(environment.Path, 'read_text', lambda path: 'BogoMIPS : 50\n')
    assert environment._cpu_model() in (platform.processor(), platform.machine())


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A directory that the package seems to lie in; its versions are looked up anew."""
    (tmp_path / 'vggres').mkdir()
    monkeypatch.setattr(environment, '__file__', str(tmp_path / 'vggres' / 'environment.py'))
    environment.code_version.cache_clear()
    yield tmp_path
    environment.code_version.cache_clear()


def _git(directory, *arguments):
    who = ('-c', 'user.name=a', '-c', 'user.email=a@b')
    command = ('git', '-C', directory, *who, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_outside_of_a_checkout_there_is_no_commit(checkout):
    assert environment.code_version() is None
    assert environment.git_commit() is None


def test_the_version_of_the_code_tells_one_edit_from_another(checkout):
    _git(checkout, 'init')
    edited = checkout / 'vggres' / 'a.py'
    edited.write_text('one')
    _git(checkout, 'add', '.')
    _git(checkout, 'commit', '-m', 'one')
    commit, versions = _git(checkout, 'rev-parse', 'HEAD'), []
    for text in ('one', 'two', 'three', 'two'):
        edited.write_text(text)
        environment.code_version.cache_clear()
        versions.append(environment.code_version())
        assert environment.git_commit() == commit + ('' if text == 'one' else '+')
    clean, two, three, again = versions
    assert clean == commit
    assert two == again != three
    assert all(version.startswith(commit + '+') for version in (two, three))
    edited.write_text('one')
    (checkout / 'README.md').write_text('a page')
    _git(checkout, 'add', '.')
    environment.code_version.cache_clear()
    assert environment.code_version() == commit  # pages do not run


def test_what_a_process_has_loaded_keeps_its_version(checkout):
    before = environment.code_version()
    _git(checkout, 'init')
    (checkout / 'a').write_text('')
    _git(checkout, 'add', '.')
    _git(checkout, 'commit', '-m', 'one')
    assert environment.code_version() is before is None
