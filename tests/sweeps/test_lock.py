import pytest

from vggres.errors import UserError
from vggres.sweeps.lock import locked


def test_two_launches_do_not_share_a_directory(tmp_path):
    with locked(tmp_path / 'a'):
        with pytest.raises(UserError, match='another launch is running'), locked(tmp_path / 'a'):
            pass
        with locked(tmp_path / 'b'):
            pass
    with locked(tmp_path / 'a'):
        pass


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot write to'), locked(tmp_path / 'file' / 'below'):
        pass
