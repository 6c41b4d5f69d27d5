"""Whether the images of a directory's cells are still the same: cells of other ones do not mix.

WORKDIR/<sweep>/data.json     the fingerprints of each split, by the hash of what is configured
"""

import hashlib
import json

from rich.console import Console

from vggres.config import data_identity, data_name
from vggres.data import datasets
from vggres.errors import UserError
from vggres.files import read_json, write_json
from vggres.sweeps.sweep import Sweep

DATA_FILE = 'data.json'


def check_images(sweep: Sweep, console: Console | None = None) -> None:
    """Notes the fingerprints of the images, where they are not those that were noted before.

    It has to run before a cell trains, so that a cell that is continued from a checkpoint is
    covered as well.

    Args:
        sweep: with all cells of its directory; its directory exists, and the data are prepared.
        console: is told which classes a split has no image of; None for nobody.

    Raises:
        UserError: where the cells of the directory were trained on other images, or a class has no
            image to train on.
    """
    path = sweep.directory / DATA_FILE
    try:
        stored = read_json(path)
    except FileNotFoundError:
        stored = {}
    identity = json.dumps(data_identity(sweep.config), sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    contents = datasets.contents(sweep.config.data)
    lines = datasets.check_classes(contents, sweep.config.data)
    found = {name: each.fingerprint for name, each in contents.items()}
    earlier = [result.fingerprints for result in sweep.results() if result.fingerprints]
    for recorded in (stored.get(key, found), *earlier):
        if changed := [name for name in found if recorded.get(name) != found[name]]:
            raise UserError(
                f'{data_name(sweep.config)} has changed since {sweep.directory} was begun (split '
                f'{changed[0]}): choose another --workdir.'
            )
    if key not in stored:
        write_json(path, stored | {key: found})
    if console:
        for line in lines:
            console.print(line, soft_wrap=True)
