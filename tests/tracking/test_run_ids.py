"""Ids that whoever continues a run finds again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vggres.tracking import run_ids

ROOT = Path(__file__).parents[2]


def test_processes_that_come_together_agree_on_the_id_of_their_directory(tmp_path):
    code = (
        'import sys; from pathlib import Path; from vggres.tracking import run_ids\n'
        'print(*[run_ids.run_id(Path(sys.argv[1]), name) for name in "ab"])'
    )
    run_ids.draw_id(tmp_path)  # as a launch does before its workers start
    command = [sys.executable, '-c', code, str(tmp_path)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)
    ]
    found = {process.communicate()[0] for process in started}
    assert len(found) == 1
    one, two = found.pop().split()
    assert one != two


@pytest.mark.parametrize('left', [b'', b'half', b'\xff' * 32, b'x' * 32, None])
def test_the_id_of_a_directory_is_drawn_anew_where_its_file_holds_none(tmp_path, left):
    found = []
    for name in 'ab':
        path = tmp_path / name / 'wandb_id'
        path.parent.mkdir()
        path.mkdir() if left is None else path.write_bytes(left)
        found += [run_ids.draw_id(path.parent), path.read_text(), run_ids.draw_id(path.parent)]
        assert re.fullmatch('[0-9a-f]{32}', found[-1])
    assert found[0] == found[1] == found[2] != found[3] == found[4] == found[5]


def test_a_marker_says_of_which_run_it_is_and_whether_that_is_whole(tmp_path):
    marker = tmp_path / 'wandb_id'
    assert not run_ids.is_of(marker, 'abc')
    run_ids.mark(marker, 'abc')
    assert (marker.read_text(), run_ids.is_cut_off(marker)) == ('abc\n', False)
    run_ids.mark(marker, 'abc', is_whole=False)
    assert run_ids.is_cut_off(marker)
    assert run_ids.is_of(marker, 'abc')
    assert not run_ids.is_of(marker, 'ab')
    run_ids.mark(tmp_path / 'not' / 'there', 'abc')  # nothing is raised


def test_sweeps_of_one_name_in_two_directories_are_told_apart(tmp_path):
    for name in 'ab':
        (tmp_path / name).mkdir()
    one, two = (run_ids.group(tmp_path / name, 'depth', 'emnist/balanced') for name in 'ab')
    assert one != two
    assert re.fullmatch('depth-emnist-balanced-[0-9a-f]{6}', one)
    assert run_ids.group(tmp_path / 'a', 'depth', 'emnist/balanced') == one
    assert run_ids.group(tmp_path / 'a', '', 'digits') == ''
