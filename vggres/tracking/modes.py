"""How W&B is used, 'online', 'offline' or 'disabled': by configuration, environment, credential."""

import os
from collections.abc import Callable

_MODES = {  # that W&B knows, and what they stand for
    'online': 'online',
    'run': 'online',
    'shared': 'online',
    'offline': 'offline',
    'dryrun': 'offline',
    'disabled': 'disabled',
}


class NoCredentialError(Exception):
    """A run online would ask for a key, on the terminal and for ever."""


def resolve_mode(mode: str, on_failure: Callable[[str], object] = lambda sentence: None) -> str:
    """Turns 'auto' into 'online' where a credential works and into 'offline' where not.

    The environment's WANDB_MODE, if set, decides for 'auto'. Never asks and never raises.

    Args:
        mode: as the configuration has it.
        on_failure: called with a sentence where there is a credential and W&B does not take it.
    """
    if mode != 'auto':
        return mode
    asked = os.environ.get('WANDB_MODE', '')
    if asked in ('online', 'offline', 'disabled'):
        return asked
    os.environ.setdefault('WANDB_SILENT', 'true')
    try:
        import wandb

        return 'online' if wandb.login(prompt=False) else 'offline'
    except Exception as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        on_failure(f'W&B cannot be used, runs are logged offline: {message}')
        return 'offline'


def check_credential() -> None:
    """Makes sure that a run online asks for nothing.

    Raises:
        NoCredentialError: where there is no credential, or WANDB_MODE keeps it from being used.
        Exception: what W&B raises for a key that cannot be one.
    """
    import wandb

    os.environ.setdefault('WANDB_SILENT', 'true')
    if wandb.run or wandb.login(prompt=False):  # whoever has a run has logged in
        return
    asked = os.environ.get('WANDB_MODE', '')
    if _MODES.get(asked, 'online') != 'online':
        raise NoCredentialError(f'WANDB_MODE={asked} keeps it from being online')
    raise NoCredentialError('there is no credential; `wandb login` stores one')
