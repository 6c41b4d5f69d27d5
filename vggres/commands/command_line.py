"""What can be wrong with a command line, each in one line, before anything is parsed or loaded."""

import runpy
import textwrap
import traceback
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from configs import base
from vggres import checks
from vggres.commands import executor_flags
from vggres.data.source import SPLITS
from vggres.errors import UserError

MODES = (
    'report_only',
    'status',
    'cancel',
    'claims',
    'dashboard',
    'evaluate',
    'estimate',
    'dry_run',
)
_OF_A_SWEEP = ('report_only', 'status', 'cancel')
_ON_DEVICES = ('device', 'deterministic', 'multihost')
# The flags that change nothing in each mode; 'overrides' are those of knobs.
_NEEDLESS = {
    **dict.fromkeys(_OF_A_SWEEP, ('executor', 'workers', 'split', 'overrides', *_ON_DEVICES)),
    'claims': ('sweep', 'executor', 'workers', 'split', 'overrides', *_ON_DEVICES),
    'dashboard': ('executor', 'workers', 'split', *_ON_DEVICES),
    'evaluate': ('sweep', 'executor', 'workers', 'workdir', 'multihost'),
    'estimate': ('executor', 'split', 'multihost'),
    'dry_run': ('executor', 'workers', 'split', *_ON_DEVICES),
    None: ('split',),
}
_ONLY_OF_TRAINING = ('seed', 'train', 'optimizer', 'probes', 'checkpoint', 'sweep', 'wandb')
_OVERRIDES = ('--config.', '--noconfig.')
_HELP_WIDTH = 17
_SCREEN_WIDTH = 110  # characters


def define_modes(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags that ask for something else than training."""
    does = {
        'dry_run': 'print the cells and their cost, or the views of --dashboard',
        'report_only': 'rebuild verdict and report of --sweep, train nothing',
        'claims': 'judge the popular story from the finished sweeps',
        'dashboard': 'make W&B views of --sweep, else of all in the workdir',
        'evaluate': 'print the error of --config.init.weights, train nothing',
    }
    for name, text in does.items():
        flags.DEFINE_bool(name, False, text, values)
    kinds = ['here', 'v5e']
    flags.DEFINE_enum('estimate', None, kinds, 'print time and memory, here or on a TPU', values)
    flags.DEFINE_enum('split', 'test', SPLITS, 'the split that --evaluate looks at', values)


def check(argv: Sequence[str], default_config: Path) -> None:
    """Raises UserError for flags given twice, knobs that do not exist and files that do not load.

    Args:
        argv: the command line without the program.
        default_config: the configuration file where none is given.
    """
    _check_flags(argv)
    checks.check_keys(overridden(argv), base.get_config())
    file = config_file(argv)
    check_config_file(str(default_config) if file is None else file)


def parse(values: flags.FlagValues, argv: Sequence[str]) -> None:
    """Parses a command line that was checked.

    Args:
        values: the flags.
        argv: the program and its command line.

    Raises:
        UserError: for an unknown flag, a value of another kind, or a word that is no flag.
    """
    try:
        rest = values(argv)
        values.config.keys()  # the file is loaded when it is used
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    if len(rest) > 1:
        raise UserError(f'cannot make sense of {rest[1]!r}: flags start with --, see --help.')


def given(values: flags.FlagValues, argv: Sequence[str]) -> dict[str, object]:
    """The values of the flags that were given, and as 'overrides' the knobs overridden."""
    found = {name: values[name].value for name in values if values[name].present}
    if file := config_file(argv):
        found['config'] = file  # not the object that it holds
    knobs = overridden(argv)
    return found | ({'overrides': knobs} if knobs else {})


def mode(given: Mapping[str, object]) -> str | None:
    """The one of `MODES` that was asked for; None to train.

    Raises:
        UserError: for more than one, for flags that change nothing with it or with the executor,
            and for a mode that looks at a sweep where none is named.
    """
    chosen = [name for name in MODES if given.get(name)]
    if set(chosen) == {'dashboard', 'dry_run'}:
        chosen = ['dashboard']
    if len(chosen) > 1:
        raise UserError(f'{" and ".join(f"--{name}" for name in chosen)}: give only one of them.')
    found = chosen[0] if chosen else None
    for name in _NEEDLESS[found]:
        if name in given:
            said = f'--config.{given[name][0]}' if name == 'overrides' else f'--{name}'
            how = f'with --{found}' if found else 'without --evaluate'
            raise UserError(f'{said} changes nothing {how}: leave it out.')
    executor_flags.check(given, found)
    for knob in given.get('overrides', ()):
        section = knob.split('.')[0]
        if (found == 'evaluate' and section in _ONLY_OF_TRAINING) or (
            found == 'dashboard' and section != 'wandb'
        ):
            raise UserError(f'--config.{knob} changes nothing with --{found}: leave it out.')
        if section == 'sweep' and not given.get('sweep'):
            raise UserError(f'--config.{knob} changes nothing without --sweep NAME.')
    for name in ('workers', 'device', 'deterministic'):
        if given.get('estimate') == 'v5e' and name in given:
            raise UserError(f'--{name} changes nothing with --estimate v5e: leave it out.')
    if given.get('multihost') is not None:
        _check_multihost(given)
    if found in _OF_A_SWEEP and not given.get('sweep'):
        raise UserError(f'--{found} needs --sweep NAME.')
    return found


def _check_multihost(given: Mapping[str, object]) -> None:
    if given.get('sweep'):
        raise UserError(
            '--multihost trains one network on several hosts: for a --sweep, start it on each host '
            'with a --workdir of its own, or by an executor of the cluster.'
        )
    for name in ('workers', 'executor'):
        if name in given:
            raise UserError(f'--{name} changes nothing with --multihost: leave it out.')


def where(given: Mapping[str, object]) -> list[str]:
    """The flags that said which configuration and which directory is meant."""
    return [f'--{name}={given[name]}' for name in ('config', 'workdir') if name in given]


def help_text(examples: str, values: flags.FlagValues, module: str) -> str:
    """The help of one screen: examples, what each flag of a module does, and where cells run."""
    modules = values.flags_by_module_dict()
    main = [*modules[module], *modules[__name__]]
    lines = [examples.strip(), '', 'Flags:', *_help_lines(main)]
    where = modules.get(executor_flags.__name__, [])
    own = [flag for flag in where if '.' not in flag.name]  # one executor understands the others
    lines += ['Where and how cells run:', *_help_lines(own)]
    return '\n'.join([*lines, '  --slurm.…, --ray.…: what a cluster gets, see docs/clusters.md'])


def _help_lines(of: Iterable[flags.Flag]) -> list[str]:
    lines = []
    for flag in sorted(of, key=lambda flag: flag.name):
        first, *more = textwrap.wrap(flag.help, _SCREEN_WIDTH - _HELP_WIDTH)
        lines.append(f'  --{flag.name}'.ljust(_HELP_WIDTH) + ' ' + first)
        lines += [' ' * (_HELP_WIDTH + 1) + line for line in more]
    return lines


def overridden(argv: Sequence[str]) -> list[str]:
    """The dotted names of the knobs that a command line overrides."""
    return [
        word.removeprefix(start).split('=')[0]
        for word in argv
        for start in _OVERRIDES
        if word.startswith(start)
    ]


def config_file(argv: Sequence[str]) -> str | None:
    """The value of --config; None where it is not given."""
    for word, following in pairwise((*argv, '')):
        if word == '--config':
            return following
        if word.startswith('--config='):
            return word[len('--config=') :]
    return None


def _check_flags(argv: Sequence[str]) -> None:
    seen = set()
    for word in argv:
        name = word.split('=')[0]
        if name.startswith('-') and not name.startswith('--'):
            raise UserError(f'{name}: flags start with two dashes, see --help.')
        if name.startswith('--') and name in seen:
            raise UserError(f'{name} is given twice: give it once.')
        seen.add(name)


def check_config_file(path: str) -> ConfigDict:
    """The configuration in a file, checked for its structure.

    Raises:
        UserError: where there is no such file, its code fails, or what it returns is not built like
            `configs/base.py`.
    """
    if not Path(path).is_file():
        there = ', '.join(
            f'configs/{file.name}'
            for file in sorted(Path(base.__file__).parent.glob('[!_]*.py'))
            if file.stem != 'base'
        )
        raise UserError(f'no configuration file {path!r}: there are {there}.')
    try:
        config = runpy.run_path(path)['get_config']()
    except KeyError as error:
        if error.args != ('get_config',):
            raise UserError(_failure(path, error)) from None
        raise UserError(f'{path} has no function get_config().') from None
    except Exception as error:  # a file of the user's own raises anything
        raise UserError(_failure(path, error)) from None
    checks.check_structure(config, base.get_config(), path)
    return config


def _failure(path: str, error: Exception) -> str:
    lines = [
        f', line {frame.lineno}'
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == path
    ]
    where = lines[-1] if lines else ''
    message = str(error).splitlines()[0] if str(error) else 'no message'
    return f'cannot read the configuration {path}{where}: {type(error).__name__}: {message}'
