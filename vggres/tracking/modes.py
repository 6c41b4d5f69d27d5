"""How W&B is used, 'online', 'offline' or 'disabled': by configuration, environment, credential."""

import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException

from ml_collections import ConfigDict

from vggres.config import Config

_MODES = {  # that W&B knows, and what they stand for
    'online': 'online',
    'run': 'online',
    'shared': 'online',
    'offline': 'offline',
    'dryrun': 'offline',
    'disabled': 'disabled',
}
_SERVER = re.compile(r'https?://[\w.:-]*\w')  # in a message
_PATIENCE = 5  # seconds that a server may take to answer at all


class NoCredentialError(Exception):
    """A run online would ask for a key, on the terminal and for ever."""


def resolve_mode(mode: str, on_failure: Callable[[str], object] = lambda sentence: None) -> str:
    """Turns 'auto' into 'online' where a credential works and into 'offline' where not.

    The environment's WANDB_MODE, if set, decides for 'auto'; one that W&B does not know, with which
    it starts no run at all, disables it. Never asks and never raises.

    Args:
        mode: as the configuration has it.
        on_failure: called with a sentence where W&B takes neither WANDB_MODE nor the credential.
    """
    asked = os.environ.get('WANDB_MODE', '')
    if mode == 'disabled':
        return mode
    if asked and asked not in _MODES:
        on_failure(f'W&B is left out: WANDB_MODE is {asked!r}, not one of {", ".join(_MODES)}.')
        return 'disabled'
    if mode != 'auto':
        return mode
    if asked:
        return _MODES[asked]
    os.environ.setdefault('WANDB_SILENT', 'true')
    try:
        import wandb

        return 'online' if wandb.login(prompt=False) else 'offline'
    except Exception as error:
        on_failure(f'W&B cannot be used, runs are logged offline: {reason(error)}')
        return 'offline'


def resolved_again(config: Config, on_failure: Callable[[str], object]) -> Config:
    """The configuration of an earlier launch, with the mode of W&B that holds now.

    What was kept from W&B stays so. WANDB_MODE and the credential decide anew for the rest, but
    nothing that was logged offline goes online unless WANDB_MODE says so.

    Args:
        config: with the mode that was resolved at that time.
        on_failure: as in `resolve_mode`.
    """
    copy = ConfigDict(config.to_dict())
    is_anew = config.wandb.mode == 'online' or os.environ.get('WANDB_MODE')
    if config.wandb.mode != 'disabled' and is_anew:
        copy.wandb.mode = resolve_mode('auto', on_failure)
    return copy


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


def reason(error: Exception) -> str:
    """Why W&B failed, in a line; its own words are no help where a server does not answer."""
    message = (str(error).splitlines() or [type(error).__name__])[0]
    server = _SERVER.search(message)
    if server and not _answers(server[0]):
        return f'{server[0]} does not answer: is there a network?'
    return message


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=_PATIENCE).close()
    except urllib.error.HTTPError:  # which is an answer
        return True
    except (OSError, HTTPException):  # the latter for an address or an answer that is none
        return False
    return True
