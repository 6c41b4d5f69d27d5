import sys
import textwrap
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from configs import digits
from vggres.commands import command_line, executor_flags
from vggres.errors import UserError

DIGITS = digits.__file__
# ml_collections loads files by a way that Python deprecates.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')


def defined():
    """Flags like those of `launch.py`, of one test alone."""
    found = flags.FlagValues()
    config_flags.DEFINE_config_file('config', DIGITS, lock_config=True, flag_values=found)
    flags.DEFINE_string('sweep', None, 'which', flag_values=found)
    flags.DEFINE_string('workdir', None, 'where', flag_values=found)
    flags.DEFINE_integer('workers', None, 'how many', 1, flag_values=found)
    command_line.define_modes(found)
    executor_flags.define(found)
    return found


@pytest.fixture
def given(monkeypatch):
    """A command line, checked and parsed → its flags."""

    def given(*argv):
        monkeypatch.setattr(sys, 'argv', ['launch.py', *argv])  # overrides are looked for there
        command_line.check(argv, DIGITS)
        values = defined()
        command_line.parse(values, sys.argv)
        return command_line.given(values, argv)

    return given


@pytest.mark.parametrize(
    ('argv', 'expected'),
    [
        ((), None),
        (('--dashboard',), 'dashboard'),
        (('--dashboard', '--dry_run', '--config.wandb.project=mine'), 'dashboard'),
        (('--sweep=depth', '--workers=2', '--config.train.epochs=3'), None),
        (('--sweep=depth', '--dry_run'), 'dry_run'),
        (('--sweep=depth', '--report_only', '--workdir=x'), 'report_only'),
        (('--sweep=depth', '--estimate=here', '--workers=2'), 'estimate'),
        (('--evaluate', '--split=train', '--config.init.weights=w.pth'), 'evaluate'),
        (('--claims',), 'claims'),
        (('--sweep=depth', '--status'), 'status'),
        (('--sweep=depth', '--cancel', '--workdir=x'), 'cancel'),
        (('--sweep=depth', '--executor=slurm', '--slurm.gpus', '1'), None),
        (('--nodry_run',), None),
    ],
)
def test_what_is_asked_for(given, argv, expected):
    assert command_line.mode(given(*argv)) == expected


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (('--report_only',), '--report_only needs --sweep NAME'),
        (('--status',), '--status needs --sweep NAME'),
        (('--cancel',), '--cancel needs --sweep NAME'),
        (('--cancel', '--sweep=depth', '--status'), '--status and --cancel: give only one'),
        (('--status', '--sweep=depth', '--executor=slurm'), 'executor changes nothing with --st'),
        (('--dry_run', '--slurm.gpus=1'), '--slurm.gpus changes nothing with --dry_run'),
        (('--slurm.gpus', '1'), '--slurm.gpus changes nothing without --executor slurm'),
        (('--executor=slurm', '--ray.gpus=1'), '--ray.gpus changes nothing without --executor ray'),
        (('--executor=slurm', '--workers=2'), 'workers changes nothing .* slurm: see --slurm.par'),
        (('--executor=ray', '--workers=2'), '--workers changes nothing with --executor ray'),
        (('--executor=pbs',), 'local.slurm.ray'),
        (('--multihost=auto', '--executor=slurm'), '--executor changes nothing with --multihost'),
        (('--multihost=', '--workers=2'), '--workers changes nothing with --multihost'),
        (('--executor=slurm', '--slurm.gpus=-1'), 'non-negative'),
        (('--executor=slurm', '--slurm.gpu=1'), "Unknown command line flag 'slurm.gpu'"),
        (('--claims', '--sweep=depth'), '--sweep changes nothing with --claims'),
        (('--claims', '--config.seed=3'), '--config.seed changes nothing with --claims'),
        (
            ('--report_only', '--sweep=depth', '--config.train.epochs=3'),
            '--config.train.epochs changes nothing with --report_only',
        ),
        (('--dry_run', '--workers=2'), '--workers changes nothing with --dry_run'),
        (('--split=train',), '--split changes nothing without --evaluate'),
        (('--evaluate', '--sweep=depth'), '--sweep changes nothing with --evaluate'),
        (('--estimate=v5e', '--workers=1'), '--workers changes nothing with --estimate v5e'),
        (('--evaluate', '--dry_run'), '--evaluate and --dry_run: give only one'),
        (('--sweep=depth', '--sweep=vgg_depth'), '--sweep is given twice'),
        (('--config.seed=1', '--config.seed=2'), '--config.seed is given twice'),
        (('-config.seed=1', '--report_only'), '-config.seed: flags start with two dashes'),
        (('--report_only', '--sweep=depth', '--noconfig.data.flip'), 'data.flip changes nothing'),
        (('--evaluate', '--workers=2'), '--workers changes nothing with --evaluate'),
        (('--evaluate', '--config.train.epochs=5'), 'train.epochs changes nothing with --ev'),
        (('--config.sweep.seeds=3', '--dry_run'), 'sweep.seeds changes nothing without --sweep'),
        (('--evaluate', '--workdir=x'), '--workdir changes nothing with --evaluate'),
        (('--workers=0',), 'positive'),
        (('--swep=depth',), "Unknown command line flag 'swep'"),
        (('sweep',), "cannot make sense of 'sweep'"),
        (('--config.model.deph=3',), "unknown config key 'model.deph': did you mean model.depth"),
        (('--config.model={}',), 'model is a section'),
        (('--config.train.epochs=many',), 'invalid literal'),
        (('--config', 'configs/digit.py'), "no configuration file 'configs/digit.py': there are"),
        (('--config=',), "no configuration file ''"),
        (('--config=configs/digits.py:foo',), 'no configuration file'),
    ],
)
def test_what_makes_no_sense_is_one_line(given, argv, message):
    with pytest.raises(UserError, match=message) as caught:
        command_line.mode(given(*argv))
    assert '\n' not in str(caught.value).strip()


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        ('', 'has no function get_config'),
        ('def get_config(:', 'SyntaxError'),
        ('def get_config():\n    return None', 'gave a NoneType; get_config.. has to return'),
        ('def get_config():\n    return {}', 'gave a dict; get_config.. has to return'),
        ('def get_config():\n    return 1 + "a"', 'line 2: TypeError: unsupported operand'),
        ('def get_config():\n    return {}["a"]', "line 2: KeyError: 'a'"),
        ('def get_config():\n    raise ValueError', 'line 2: ValueError: no message'),
        (
            """
            from configs import digits

            def get_config():
                config = digits.get_config()
                config.optimizer.nesterov = True
                return config
            """,
            "unknown knob 'optimizer.nesterov' in .*mine.py: did you mean optimizer.",
        ),
        (
            """
            from configs import digits

            def get_config():
                config = digits.get_config()
                config.optimizer.learning_rate = None
                return config
            """,
            'optimizer.learning_rate has to be a number, not None',
        ),
    ],
)
def test_a_configuration_file_that_fails_says_where(tmp_path, source, message):
    path = tmp_path / 'mine.py'
    path.write_text(textwrap.dedent(source))
    with pytest.raises(UserError, match=message) as caught:
        command_line.check_config_file(str(path))
    assert '\n' not in str(caught.value)
    assert 'mine.py' in str(caught.value) or 'learning_rate' in str(caught.value)


def test_the_help_fits_one_screen():
    values = defined()
    modules = values.flags_by_module_dict()
    (module,) = (m for m in modules if any(flag.name == 'sweep' for flag in modules[m]))
    text = command_line.help_text('Examples.', values, module)
    assert len(text.splitlines()) < 40
    for flag in ('config', 'sweep', 'workdir', 'workers', 'dry_run', 'estimate'):
        assert f'  --{flag} ' in text
    assert '<here|v5e>: ' in text
    listed = [line.split()[0] for line in text.splitlines() if line.startswith('  --')]
    assert {'--executor', '--status', '--multihost'} <= set(listed)
    assert len(listed) == len(set(listed))


def test_the_page_to_which_the_help_leads_names_the_flags_of_every_executor():
    page = (Path(__file__).parents[2] / 'docs' / 'clusters.md').read_text()
    dotted = [name for name in defined() if name.startswith(('slurm.', 'ray.'))]
    assert {'slurm.time', 'ray.gpus'} <= {*dotted}
    assert [name for name in dotted if f'--{name}' not in page] == []


def test_where_names_the_flags_that_were_given(given):
    found = given('--config', 'configs/cifar10.py', '--workdir=x')
    assert command_line.where(found) == ['--config=configs/cifar10.py', '--workdir=x']
