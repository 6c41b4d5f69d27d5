"""What the user got wrong, in one line."""

import difflib
from collections.abc import Iterable

_SHOWN = 20  # names, where none is near


class UserError(ValueError):
    """Bad input. Its message is one line: what was wrong and what is allowed.

    `launch.py` prints it and exits with code 2; library users see an ordinary ValueError.
    """


def unknown(kind: str, name: object, allowed: Iterable[str], where: str = '') -> UserError:
    """The error for a name that does not exist, with the nearest names or else all of them."""
    allowed = {each.lower(): each for each in sorted(allowed)}
    nearest = difflib.get_close_matches(str(name).lower(), allowed, n=3, cutoff=0.5)
    nearest, allowed = [allowed[each] for each in nearest], allowed.values()
    few = ', '.join([*allowed][:_SHOWN]) + (', …' if len(allowed) > _SHOWN else '')
    hint = f'did you mean {" or ".join(nearest)}?' if nearest else f'there is {few}.'
    return UserError(f'unknown {kind} {name!r}{where and f" in {where}"}: {hint}')
