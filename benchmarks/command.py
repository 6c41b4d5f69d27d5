"""Runs a command line so that bad input ends with one line and exit code 2."""

import sys
from collections.abc import Callable

from absl import app, flags, logging

from vggres.errors import UserError


def run(name: str, main: Callable[[], None]) -> None:
    """Parses the flags that are defined so far and calls `main`.

    Args:
        name: the name of the command, which stands in front of what is wrong.
        main: what the command does; it may raise a UserError.
    """

    logging.set_verbosity(logging.ERROR)  # else JAX tells which devices are missing

    def parse(argv: list[str]) -> list[str]:
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise UserError(f'cannot make sense of {rest[1]!r}: options start with --.')
        return rest

    def one_line(function: Callable, argv: list[str]) -> object:
        try:
            return function(argv)
        except (flags.Error, UserError) as error:
            print(f'{name}: {" ".join(str(error).split())}', file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)  # the exit code that shells use for Ctrl-C

    app.run(
        lambda argv: one_line(lambda argv: main(), argv),
        flags_parser=lambda argv: one_line(parse, argv),
    )
