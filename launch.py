"""Trains plain and residual networks, one or a whole sweep of them, and reports what came out.

python launch.py --sweep depth                      error against depth, on embedded data
python launch.py --sweep depth --dry_run            what that would run
python launch.py --sweep depth --estimate here      and how long it would take
python launch.py --sweep depth --report_only        its report again, from its results
python launch.py --sweep depth --executor slurm     on a cluster: see docs/clusters.md
python launch.py --claims                           the popular story, by the finished sweeps
python launch.py --dashboard                        their views in Weights & Biases
python launch.py --config.model.depth=56            one network, by family and depth
python launch.py --config.model.name=resnet50       one network, by its published name
python launch.py --evaluate --config.init.weights=FILE
python launch.py --config configs/cifar10.py --sweep depth      other data: see configs/
"""

import os
import signal

# Ctrl-C while the libraries are imported ends quietly, too.
signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import sys
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags
from rich.console import Console

import experiments
from vggres.commands import (
    claims,
    command_line,
    conclude,
    dashboard,
    estimate,
    evaluate,
    executor_flags,
    multihost,
    planning,
    status,
    train,
)
from vggres.errors import UserError

FLAGS = flags.FLAGS
DEFAULT_CONFIG = Path(__file__).parent / 'configs' / 'digits.py'
ON_A_SWEEP = {'report_only': conclude.report_again, 'status': status.show, 'cancel': status.cancel}
INTERRUPTED = 130  # the exit code that shells use for Ctrl-C


def define_flags() -> None:
    """Defines the command line."""
    config_flags.DEFINE_config_file(
        'config',
        str(DEFAULT_CONFIG),
        'configuration file; --config.KEY=VALUE overrides a knob of configs/base.py',
        lock_config=True,
    )
    flags.DEFINE_string('sweep', None, f'the sweep to run: {", ".join(experiments.names())}')
    flags.DEFINE_string('workdir', None, 'the place of results; else runs/<name of --config>')
    flags.DEFINE_integer('workers', None, 'cells run at once; else one per GPU or CPU core', 1)
    command_line.define_modes()
    executor_flags.define()


def main(argv: list[str]) -> int:
    """Does what the parsed flags say, and returns the exit code."""
    for ends in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C does
        if signal.getsignal(ends) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(ends, signal.default_int_handler)
    logging.set_verbosity(logging.ERROR)  # TFDS reports at length
    given = command_line.given(FLAGS, argv)
    mode = command_line.mode(given)
    console = Console(markup=False, highlight=False)
    executor_flags.use_devices(given, console)
    config, overrides = FLAGS.config, config_flags.get_override_values(FLAGS['config'])
    workdir = Path(FLAGS.workdir or train.results_directory(given.get('config', DEFAULT_CONFIG)))
    if mode in ON_A_SWEEP:
        ON_A_SWEEP[mode](workdir / FLAGS.sweep, console)
    elif mode == 'claims':
        claims.judge(workdir, command_line.where(given), console)
    elif mode == 'dashboard':
        dashboard.show(FLAGS.sweep or '', workdir, config, FLAGS.dry_run, console)
    elif mode == 'evaluate':
        evaluate.evaluate(config, overrides, FLAGS.split, console)
    else:
        sweep, info = planning.checked_sweep(FLAGS.sweep or '', config, workdir, (), overrides)
        if mode == 'estimate':
            estimate.estimate(sweep, info, FLAGS.estimate, FLAGS.workers, console)
        elif mode == 'dry_run':
            estimate.dry_run(sweep, info, console)
        elif FLAGS.multihost is not None:
            return multihost.run(sweep, info, multihost.coordinates(FLAGS.multihost), console)
        elif train.run(sweep, info, executor_flags.options(given), console):
            return 1
    return 0


def run(argv: list[str]) -> None:
    """Runs `main` on a command line; bad input ends in one line and exit code 2."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if {'-h', '--help', '-help'} & set(argv):
            define_flags()
            print(command_line.help_text(__doc__, FLAGS, argv[0]))
            return
        command_line.check(argv[1:], DEFAULT_CONFIG)
        define_flags()
        command_line.parse(FLAGS, argv)
        sys.exit(main(argv[1:]))
    except UserError as error:
        print(f'launch.py: {" ".join(str(error).split())}', file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        path = error.filename2 or error.filename or 'output'
        print(f'launch.py: {path}: {error.strerror or error}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == '__main__':
    run(sys.argv)
