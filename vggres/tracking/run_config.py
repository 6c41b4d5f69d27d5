"""The configuration of a run as W&B shows it: what decides the run, without the rest.

A column that is the same for all runs, or that changes nothing, only hides the others. So knobs of
W&B itself, of the place of data and of saving are left out, as well as those that another knob
makes pointless, those of other families, and those that are empty.
"""

from collections.abc import Iterator

from vggres.checks import POINTLESS
from vggres.config import DATA_KNOBS_WITHOUT_EFFECT, KNOB_OF_OPTION, Config, dotted_keys, get
from vggres.networks import grammar

_SECTIONS = ('wandb', 'checkpoint', 'sweep')
_KNOBS = {
    *(f'data.{name}' for name in DATA_KNOBS_WITHOUT_EFFECT),
    *('model.name', 'train.protocol'),  # other knobs say what they stand for
    *('model.remat', 'evaluation.batch_size'),  # memory and speed alone
}
_AXES = ('sweep.families', 'sweep.depths', 'sweep.seeds')
_OF_ONE_NETWORK = ('seed', 'model.family', 'model.depth')


def of_cell(config: Config) -> dict[str, object]:
    """The dotted knobs that decide one training run, and what is observed of it."""
    without = {*_pointless(config), *_of_other_families((config.model.family,))}
    return {key: each for key, each in _shown(config) if key not in without}


def of_sweep(config: Config) -> dict[str, object]:
    """The dotted knobs that all cells of a sweep share, and the axes of its grid."""
    without = {*_pointless(config), *_of_other_families(config.sweep.families), *_OF_ONE_NETWORK}
    shared = {key: each for key, each in _shown(config) if key not in without}
    return shared | {key: get(config, key) for key in _AXES}


def nested(knobs: dict[str, object]) -> dict[str, object]:
    """The dotted knobs that are not empty, in sections, as W&B groups by them: `model.depth`."""
    found: dict = {}
    for key, value in knobs.items():
        if value in ('', ()):
            continue
        *sections, last = key.split('.')
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return found


def _shown(config: Config) -> Iterator[tuple[str, object]]:
    for key in dotted_keys(config.to_dict()):
        if key.split('.')[0] not in _SECTIONS and key not in _KNOBS:
            yield key, get(config, key)


def _pointless(config: Config) -> set[str]:
    """The knobs that change nothing where others have the values that they have."""
    found = {knob for knob, other, value in POINTLESS if get(config, other) == value}
    found |= {'init.new_head'} if not config.init.weights else set()
    found |= {'train.epochs'} if config.train.steps else {'train.steps'}
    if not config.probes.every_epochs:
        found |= {key for key in dotted_keys(config.to_dict()) if key.startswith('probes.')}
    return found


def _of_other_families(families: tuple[str, ...]) -> set[str]:
    own = {option for family in families for option in grammar.options_of(family)}
    return {f'model.{knob}' for option, knob in KNOB_OF_OPTION.items() if option not in own}
