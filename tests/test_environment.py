import jax

from vggres import environment


def test_versions_are_those_imported():
    versions = environment.versions()
    assert versions['jax'] == jax.__version__
    assert {'python', 'flax', 'optax', 'numpy', 'wandb'} <= set(versions)


def test_hardware_in_words():
    assert environment.hardware().endswith(f'{len(environment.cores())} cores')


def test_the_commit_is_this_checkouts(monkeypatch, tmp_path):
    commit = environment.git_commit()
    assert commit is None or len(commit.rstrip('+')) == 40
    package = tmp_path / 'vggres'
    package.mkdir()
    monkeypatch.setattr(environment, '__file__', str(package / 'environment.py'))
    assert environment.git_commit() is None
