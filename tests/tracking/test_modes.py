"""Which mode W&B is used in."""

import pytest
import wandb
import wandb_server

from vggres.tracking import modes


@pytest.mark.parametrize(
    ('login', 'mode'), [(True, 'online'), (False, 'offline'), (OSError('no network'), 'offline')]
)
def test_the_mode_follows_the_credential(monkeypatch, login, mode):
    def answer(**kwargs):
        if isinstance(login, Exception):
            raise login
        return login

    monkeypatch.delenv('WANDB_MODE', raising=False)
    monkeypatch.setattr(wandb, 'login', answer)
    told = []
    assert modes.resolve_mode('auto', told.append) == mode
    expected = 'W&B cannot be used, runs are logged offline: no network'
    assert told == ([expected] if isinstance(login, Exception) else [])
    assert modes.resolve_mode('disabled') == 'disabled'
    monkeypatch.setenv('WANDB_MODE', 'disabled')
    assert modes.resolve_mode('auto') == 'disabled'


@pytest.mark.parametrize(
    ('asked', 'why'), [(None, 'there is no credential'), ('offline', 'WANDB_MODE=offline keeps it')]
)
def test_a_run_online_needs_a_credential_that_may_be_used(monkeypatch, asked, why):
    monkeypatch.setattr(wandb, 'login', lambda prompt: prompt)
    monkeypatch.delenv('WANDB_MODE', raising=False)
    if asked:
        monkeypatch.setenv('WANDB_MODE', asked)
    with pytest.raises(modes.NoCredentialError, match=why):
        modes.check_credential()
    monkeypatch.setattr(wandb, 'login', lambda prompt: True)
    modes.check_credential()


@pytest.mark.parametrize('mode', ['auto', 'online', 'offline'])
def test_a_mode_that_wandb_does_not_know_leaves_it_out_and_is_named(monkeypatch, mode):
    monkeypatch.setenv('WANDB_MODE', 'bogus')
    told = []
    assert modes.resolve_mode(mode, told.append) == 'disabled'
    (line,) = told
    assert "WANDB_MODE is 'bogus'" in line
    assert '\n' not in line
    assert modes.resolve_mode('disabled', told.append) == 'disabled'
    assert len(told) == 1


@pytest.mark.parametrize(
    ('asked', 'mode'),
    [('run', 'online'), ('shared', 'online'), ('dryrun', 'offline'), ('offline', 'offline')],
)
def test_all_modes_of_wandb_are_taken(monkeypatch, asked, mode):
    assert wandb.Settings(mode=asked).mode == asked
    monkeypatch.setenv('WANDB_MODE', asked)
    assert modes.resolve_mode('auto') == mode


@pytest.mark.parametrize(
    ('stored', 'asked', 'login', 'mode'),
    [
        ('online', 'disabled', True, 'disabled'),
        ('online', '', False, 'offline'),
        ('online', '', True, 'online'),
        ('offline', '', True, 'offline'),
        ('offline', 'online', True, 'online'),
        ('disabled', 'online', True, 'disabled'),
    ],
)
def test_what_is_made_of_an_earlier_sweep_has_a_mode_of_its_own(
    config, monkeypatch, stored, asked, login, mode
):
    monkeypatch.setenv('WANDB_MODE', asked)
    monkeypatch.setattr(wandb, 'login', lambda prompt: login)
    config.wandb.mode = stored
    assert modes.resolved_again(config, print).wandb.mode == mode
    assert config.wandb.mode == stored


def test_a_server_that_does_not_answer_is_named_and_nothing_else_is_put_otherwise():
    def failed(address):
        return OSError(f'Failed to authenticate with {address}: the process is busy\nand more')

    with wandb_server.serving() as (address, runs):
        assert modes.reason(failed(address)) == str(failed(address)).partition('\n')[0]
        runs.fault = 500
        assert modes.reason(failed(address)) == str(failed(address)).partition('\n')[0]
    assert modes.reason(failed(address)) == f'{address} does not answer: is there a network?'
    no_port = 'http://127.0.0.1:port'
    assert modes.reason(failed(no_port)) == f'{no_port} does not answer: is there a network?'
    assert modes.reason(ValueError('the key is short')) == 'the key is short'
    assert modes.reason(TimeoutError()) == 'TimeoutError'
