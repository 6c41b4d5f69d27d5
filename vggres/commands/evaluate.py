"""The error of a file of weights on one split, without training."""

import os
from collections.abc import Iterable

from ml_collections import ConfigDict
from rich.console import Console

from vggres import checks
from vggres.commands.planning import checked_network, checked_structure
from vggres.config import data_name, set_options
from vggres.data import datasets
from vggres.errors import UserError
from vggres.executors.placement import check_devices, default_environment, placement
from vggres.networks import torch_weights


def evaluate(config: ConfigDict, given: Iterable[str], split: str, console: Console) -> None:
    """Prints error and loss of the weights in `config.init.weights`.

    A file that this suite wrote describes its network, so that no flag has to repeat it.

    Args:
        config: the configuration; the given knobs of its model have to agree with the file's.
        given: dotted names of the knobs whose values the user gave.
        split: 'train', 'validation' or 'test'.
        console: where to print.

    Raises:
        UserError: where the weights, the network and the data do not fit together.
    """
    config, path = checked_structure(config), config.init.weights
    if not path:
        raise UserError('--evaluate needs --config.init.weights=FILE.')
    if config.init.new_head:
        raise UserError('--evaluate needs the head of the weights: leave init.new_head out.')
    description = torch_weights.read_description(path)
    if description and not config.model.name:
        set_options(config, description.options, given)
    config = checked_network(config, given)
    # Nothing is trained, so that any number of images will do, and of updates.
    config.train.batch_size, config.train.epochs = 1, 0
    config.train.steps = max(1, config.model.shortcut.fade_steps)
    checks.check_data(config, datasets.describe(config.data))
    datasets.prepare(config.data, console)
    for name, value in (default_environment() | placement(0, 1)).items():
        os.environ.setdefault(name, value)
    check_devices()

    from vggres.training.evaluation import evaluate  # imports jax, which reads its surroundings

    found = evaluate(config, split)
    console.print(
        f'{config.model.family} of depth {config.model.depth} with {path} on {data_name(config)}, '
        f'{split}: error {found.error:.2f} % ({found.wrong:,} of {found.images:,} images), loss '
        f'{found.loss:.4f}',
        soft_wrap=True,
    )
