import platform

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


def test_the_commit_is_this_checkouts(monkeypatch, tmp_path):
    commit = environment.git_commit()
    assert commit is None or len(commit.rstrip('+')) == 40
    package = tmp_path / 'vggres'
    package.mkdir()
    monkeypatch.setattr(environment, '__file__', str(package / 'environment.py'))
    assert environment.git_commit() is None
