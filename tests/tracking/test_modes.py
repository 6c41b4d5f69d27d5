"""Which mode W&B is used in."""

import pytest
import wandb

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
