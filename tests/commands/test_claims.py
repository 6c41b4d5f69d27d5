import dataclasses
import io
import math
import shutil

import pytest
from planted import finish
from planted_arms import finish_stages
from rich.console import Console

import experiments
from experiments import depth, without_shortcuts
from vggres.commands import claims
from vggres.errors import UserError
from vggres.sweeps import sweep as sweeps


def judged(workdir):
    console = Console(file=io.StringIO(), width=200)
    findings = claims.judge(workdir, ['--workdir=x'], console)
    return {finding.claim.key: finding for finding in findings}, console.file.getvalue()


@pytest.fixture
def sweep(config, tmp_path):
    """A sweep of which plain networks degrade: depth 56 errs by 10, 10.5 and 11 %, others by 0."""
    config.sweep.seeds, config.sweep.depths = 3, (8, 20, 56)
    asked = sweeps.assemble('depth', config, tmp_path, depth.cells(config))
    asked.directory.mkdir()
    for cell in sweeps.joined(asked).cells:
        at = cell.coordinates()
        is_worse = (at['family'], at['depth']) == ('plain', 56)
        # The first run was made with changes on top of its commit.
        commit = '0123456789' * 4 + '+' * (cell.id == asked.cells[0].id)
        finish(cell, error=10.0 + at['seed'] / 2 if is_worse else 0.0, git_commit=commit)
    return asked


def test_claims_are_judged_by_the_sweeps_that_are_there(sweep, tmp_path):
    found, text = judged(tmp_path)
    assert found['degradation'].judged[0].contrast.value == 10.5
    # The t of excesses of 10, 10.5 and 11 against a margin of 1 is 19 √3. With two degrees of
    # freedom, its two-sided p is 1 − t / √(2 + t²),
    # times 32, the contrasts of the story: 2 of fit, 6 of each claim on shrinking, 2 of failure,
    # 6 of protection, 4 of identity, 3 of the rate, and 1 of each of the three others.
    assert found['degradation'].judged[0].p == pytest.approx(32 * (1 - math.sqrt(1083 / 1085)))
    assert found['degradation'].status == 'holds'
    assert found['gain'].status == 'floor'
    assert found['shrinking'].status == 'not measured'
    assert 'not measured yet: python launch.py --sweep gradient_flow --workdir=x' in text
    assert 'holds (exploratory)' in text
    for name in ('claims.html', 'claims.md', 'claims.zh.md', 'claims.json'):
        assert (tmp_path / name).stat().st_size > 1000
    assert 'href="claims.html"' in (tmp_path / 'index.html').read_text()
    page = (tmp_path / 'claims.md').read_text()
    assert '18 of 18 cells' in page
    assert 'commit 0123456 and 0123456+; a CPU.' in page


def test_what_is_missing_and_damaged_is_said(sweep, tmp_path):
    (sweep.cells[0].directory / 'result.json').write_text('{}')
    (sweep.cells[1].directory / 'result.json').unlink()
    found, text = judged(tmp_path)
    assert 'depth: no result of 2 of 18 cells yet.' in text
    assert 'is damaged' in text
    assert found['degradation'].status == 'inconclusive'  # one seed is left
    assert found['degradation'].judged[0].contrast.n == 1


def test_without_a_finished_sweep_it_says_what_to_run(config, tmp_path):
    with pytest.raises(UserError, match=r'first run python launch\.py --sweep') as caught:
        judged(tmp_path)
    assert '--sweep identity_shortcut --workdir=x' in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_causes_have_a_table_and_a_page_of_their_own(config, tmp_path):
    """Tailored rectifiers cure in a planted sweep, of which the story is not told a word."""
    planted = finish_stages(
        without_shortcuts,
        config,
        tmp_path,
        lambda arm, depth: 50 if arm in ('resnet', 'plain, tailored') else 50 + 3.5 * (depth - 8),
    )
    asked = dataclasses.replace(
        planted, name='without_shortcuts', directory=tmp_path / 'without_shortcuts'
    )
    (tmp_path / 'planted').rename(asked.directory)
    cells = tuple(
        dataclasses.replace(cell, workdir=asked.directory, sweep=asked.name) for cell in asked.cells
    )
    sweeps.joined(dataclasses.replace(asked, cells=cells))
    found, text = judged(tmp_path)
    assert set(found) == {claim.key for claim in experiments.causes()}
    assert found['tailored'].judged[0].contrast.value == pytest.approx(0, abs=0.1)  # log10 of 1
    assert 'not measured yet: python launch.py --sweep surgery --workdir=x' in text
    assert '--sweep depth ' not in text
    for name in ('causes.html', 'causes.md', 'causes.zh.md', 'causes.json'):
        assert (tmp_path / name).stat().st_size > 1000
    assert (tmp_path / 'causes.md').read_text().startswith('# The causes, claim by claim')
    assert not (tmp_path / 'claims.md').exists()
    last = (tmp_path / 'remains.md').read_text()
    assert '| plain, tailored | 44 | cures |' in last
    assert 'what remains: ' in text


def test_claims_are_logged_in_the_mode_of_their_own_time(sweep, tmp_path, monkeypatch):
    path = sweep.directory / 'sweep.json'
    path.write_text(path.read_text().replace('"mode": "disabled"', '"mode": "online"'))
    told = []

    def mirror(configs, workdir, statuses, files, on_failure):
        told.append({name: config.wandb.mode for name, config in configs.items()})
        if configs['depth'].wandb.mode == 'online':
            return 'https://wandb.example/me/run'
        log = workdir / 'wandb' / f'{configs["depth"].wandb.mode}-run-1-a' / 'run-a.wandb'
        log.parent.mkdir(parents=True)
        log.write_bytes(b'more than a header')
        return None

    monkeypatch.setattr(claims, 'mirror_claims', mirror)
    said = {}
    for mode in ('disabled', 'bogus', 'online', 'offline'):
        monkeypatch.setenv('WANDB_MODE', mode)
        shutil.rmtree(tmp_path / 'wandb', ignore_errors=True)
        _, said[mode] = judged(tmp_path)
        (tmp_path / 'claims.json').unlink()
    assert told == [{'depth': mode} for mode in ('disabled', 'disabled', 'online', 'offline')]
    assert 'W&B: https://wandb.example/me/run\n' in said['online']
    assert f'upload to W&B: wandb sync {tmp_path}/wandb\n' in said['offline']
    assert said['bogus'].count("WANDB_MODE is 'bogus'") == 1
    assert 'W&B' not in said['disabled']
