"""One file a question, and a `--sweep` of the same name.

An experiment is a module with TITLE, CLAIM and SOURCE in words, VARIES, the knobs besides family
and depth that its grid sets or relies on, and six functions:

* `defaults(config)`: dotted knobs with the values that the question wants where the user gave none;
* `cells(config)`: the grid, of each cell its variant's name and its configuration;
* `analyse(sweep)`: what the finished cells say, as `verdict.json` holds it; `words(verdict)` and
  `tables(verdict)` say it to a reader;
* `figures(sweep, verdict)`: by file name, with captions.
"""

import importlib
import pkgutil
from types import ModuleType

from vggres.errors import unknown


def names() -> list[str]:
    """The experiments there are."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def load(name: str) -> ModuleType:
    """An experiment by its name.

    Raises:
        UserError: where there is none, with the nearest names.
    """
    if name not in names():
        raise unknown('sweep', name, names())
    return importlib.import_module(f'{__name__}.{name}')
