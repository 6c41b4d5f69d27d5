"""Trains plain and residual networks, one or a whole sweep of them, and reports what came out.

    python launch.py --sweep depth                          error against depth, on embedded data
    python launch.py --sweep depth --dry_run                what that would run
    python launch.py --sweep depth --estimate here          and how long it would take
    python launch.py --claims                               the story, by the finished sweeps
    python launch.py --config.model.depth=56                one network, by family and depth
    python launch.py --config.model.name=cifar_resnet56     one network, by its published name
    python launch.py --config.model.depth=56 --config.init.weights=FILE --evaluate
    python launch.py --config configs/cifar10.py --config.data.dir=DIR --sweep depth

Every knob of a configuration can be overridden, as in --config.train.epochs=40. The files in
configs/ list them with their units.
"""

import os
import runpy
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from rich.console import Console
from rich.table import Table

import experiments
from vggres import config as configuration
from vggres.commands import conclude
from vggres.data import tfds
from vggres.errors import UserError
from vggres.executors import local, worker
from vggres.executors.progress import Progress
from vggres.findings import claims, claims_page
from vggres.findings.languages import ENGLISH, SweepProtocol, verdict_words
from vggres.sweeps import cost as tables
from vggres.sweeps import sweep
from vggres.sweeps.cell import Cell
from vggres.tracking import wandb_run

FLAGS = flags.FLAGS
_INTERRUPTED = 130  # the exit code that shells use for Ctrl-C
DEFAULT_CONFIG = Path(__file__).parent / 'configs' / 'digits.py'


def define_flags() -> None:
    """Defines the command line; the configuration's overrides are checked on the way."""
    config_flags.DEFINE_config_file(
        'config',
        str(DEFAULT_CONFIG),
        'Configuration file; --config.KEY=VALUE overrides a knob of it.',
        lock_config=True,
    )
    flags.DEFINE_string(
        'sweep', None, f'Which sweep: {", ".join(experiments.names())}. None: one network.'
    )
    flags.DEFINE_string('workdir', None, 'Where results go. None: runs/<name of --config>.')
    flags.DEFINE_integer(
        'workers',
        None,
        'Cells run at once. None: one a GPU, or else one a CPU core.',
        lower_bound=1,
    )
    flags.DEFINE_bool('dry_run', False, 'Print the cells and what they cost; run nothing.')
    flags.DEFINE_enum(
        'estimate',
        None,
        ['here', 'v5e'],
        'Print what the cells will cost and run nothing: on this machine, by timing a few steps of '
        "each network, or on a TPU v5e, by its compiler (pip install 'vggres[tpu]'), without one.",
    )
    flags.DEFINE_bool('evaluate', False, 'Print the error of --config.init.weights; train nothing.')
    flags.DEFINE_enum('split', 'test', tfds.SPLITS, 'What --evaluate looks at.')
    flags.DEFINE_bool(
        'report_only', False, 'Rebuild verdict and report of --sweep from the results there are.'
    )
    flags.DEFINE_bool(
        'claims', False, 'Judge the popular story, claim by claim, from the finished sweeps.'
    )


def main(argv: list[str]) -> int:
    """Does what the flags say; returns the exit code."""
    if len(argv) > 1:
        raise UserError(f'cannot make sense of {argv[1]!r}: options start with --, see --help.')
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to end as with Ctrl-C
    logging.set_verbosity(logging.ERROR)  # TFDS reports at length
    console = Console(markup=False, highlight=False)
    experiment = None if FLAGS.sweep is None else experiments.load(FLAGS.sweep)
    config_name = Path(config_flags.get_config_filename(FLAGS['config'])).stem
    workdir = Path(FLAGS.workdir or f'runs/{config_name}')
    modes = ('report_only', 'claims', 'evaluate', 'estimate', 'dry_run')
    if len(chosen := [mode for mode in modes if FLAGS[mode].value]) > 1:
        raise UserError(f'{" and ".join(f"--{mode}" for mode in chosen)}: only one at a time.')
    if FLAGS['split'].present and not FLAGS.evaluate:
        raise UserError('--split says what --evaluate looks at: give both.')
    if FLAGS.report_only:
        return _report_only(experiment, workdir, console)
    if FLAGS.claims:
        return _claims(workdir, console)

    config = FLAGS.config
    if experiment and config.model.name:
        raise UserError(f'--sweep {FLAGS.sweep} varies family and depth: leave model.name empty.')
    given = config_flags.get_override_values(FLAGS['config'])
    configuration.resolve_name(config, given)
    if experiment:
        fixed = {'model.family', 'model.depth', *experiment.VARIES}
        if refused := sorted(fixed & set(given)):
            raise UserError(
                f'--sweep {FLAGS.sweep} sets {", ".join(refused)} itself: leave it out.'
            )
        configuration.set_defaults(config, experiment.defaults(config), given)
    else:
        configuration.check(config)  # of a sweep each cell is checked
    configuration.check_given(
        given, config.sweep.families if experiment else (config.model.family,)
    )
    if FLAGS.evaluate:
        return _evaluate(config, console)
    configs = experiment.cells(config) if experiment else [('', config)]
    plan = sweep.plan(FLAGS.sweep or '', config, workdir, configs)
    sweep.refuse(plan)
    info = tfds.describe(config.data)
    for cell in plan.cells:
        sweep.check_data(cell.config, info)
    flops = {cell.id: sweep.flops(cell.config, info) for cell in plan.cells}
    if FLAGS.estimate:
        return _estimate(plan, info, flops, console)
    if FLAGS.dry_run:
        console.print(tables.plan_table(plan, flops))
        return 0
    mode = wandb_run.resolve_mode(config.wandb.mode)
    for each in (config, *(cell.config for cell in plan.cells)):
        each.wandb.mode = mode
    with sweep.claim(plan):
        return _run(plan, flops, experiment, console)


def _run(
    plan: sweep.Sweep, flops: dict[str, float], experiment: ModuleType | None, console: Console
) -> int:
    missing = plan.missing()
    if unobserved := [cell.id for cell in plan.unobserved()]:
        console.print(
            f'done without the probes that are asked for now: {", ".join(unobserved[:3])}'
            f'{" and more" * (len(unobserved) > 3)}; in another --workdir they would be observed.',
            soft_wrap=True,
        )
    progress = Progress(missing, flops, len(plan.cells), console)
    if missing:
        workers = FLAGS.workers or local.default_workers()
        console.print(
            f'{plan.directory}: {len(missing)} of {len(plan.cells)} cells to run, '
            f'{min(workers, len(missing))} at a time',
            soft_wrap=True,
        )
        try:
            with progress:
                local.run(missing, flops, workers, plan.directory / 'logs', progress)
        except KeyboardInterrupt:
            console.print(
                f'stopped: {len(plan.results())} of {len(plan.cells)} cells are done and kept; '
                'the same command goes on from there.'
            )
            return _INTERRUPTED
    if plan.results() and experiment:
        conclude.conclude(plan, experiment, progress.failed, console)
    elif plan.results():
        conclude.print_cells(plan, console)
    if missing and (command := wandb_run.upload_command(plan.directory)):
        console.print(f'upload to W&B: {command}', soft_wrap=True)
    if progress.failed:
        console.print(f'{len(progress.failed)} cells failed; the same command tries them again.')
        return 1
    return 0


def _evaluate(config: ConfigDict, console: Console) -> int:
    if FLAGS.sweep:
        raise UserError('--evaluate looks at one file of weights: leave --sweep out.')
    if not config.init.weights:
        raise UserError('--evaluate needs --config.init.weights=FILE.')
    if config.init.new_head:
        raise UserError('--evaluate needs the head of the weights: leave init.new_head out.')
    sweep.check_data(config, tfds.describe(config.data))
    for name, value in (local.DEFAULT_ENVIRONMENT | local.placement(0, 1)).items():
        os.environ.setdefault(name, value)

    from vggres.training.evaluation import (
        evaluate,  # imports jax, which reads its surroundings once
    )

    found = evaluate(config, FLAGS.split)
    console.print(
        f'{config.model.family} of depth {config.model.depth} with {config.init.weights} on '
        f'{config.data.name}, {FLAGS.split}: error {found["error"]:.2f} % ({found["wrong"]:,} of '
        f'{found["images"]:,} images), loss {found["loss"]:.4f}',
        soft_wrap=True,
    )
    return 0


def _estimate(
    plan: sweep.Sweep, info: tfds.DatasetInfo, flops: dict[str, float], console: Console
) -> int:
    cells = plan.missing()
    if not cells:
        console.print(f'all {len(plan.cells)} cells are done: nothing is left to pay for.')
        return 0
    workers = FLAGS.workers or local.default_workers()
    environment = local.DEFAULT_ENVIRONMENT | local.placement(0, workers)
    if FLAGS.estimate != 'here':  # the compiler alone is asked
        environment = {'JAX_PLATFORMS': 'cpu', 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    worker.take_cores()

    from vggres import cost  # imports jax, which reads its surroundings once

    def show(cell: Cell, found: cost.Cost) -> None:
        console.print(tables.cost_line(cell, found), soft_wrap=True)

    costs = cost.of_networks(FLAGS.estimate, cells, info, show)
    console.print(tables.cost_table(cells, info, flops, costs, FLAGS.estimate, workers))
    return 0


def _report_only(experiment: ModuleType | None, workdir: Path, console: Console) -> int:
    if experiment is None:
        raise UserError('--report_only needs --sweep NAME.')
    plan = _stored_plan(FLAGS.sweep, workdir)
    if not plan.results():
        raise UserError(f'no finished cell in {plan.directory}: run it without --report_only.')
    conclude.conclude(plan, experiment, [], console)
    return 0


def _claims(workdir: Path, console: Console) -> int:
    if FLAGS.sweep:
        raise UserError('--claims gathers all sweeps: leave --sweep out.')
    evidence, commands, protocols = {}, {}, {}
    story = experiments.claims()
    for name in dict.fromkeys(claim.sweep for claim in story):
        plan = _stored_plan(name, workdir) if (workdir / name / sweep.SWEEP_FILE).exists() else None
        if plan and plan.results():
            verdict = experiments.load(name).analyse(plan)
            evidence[name] = claims.Evidence(plan.results(), verdict, plan.depths())
            protocols[name] = _protocol(plan)
            if missing := plan.missing():
                console.print(f'{name}: {len(missing)} of {len(plan.cells)} cells are missing.')
        else:
            commands[name] = ' '.join(['python launch.py --sweep', name, *_where_options()])
    if not evidence:
        raise UserError(
            f'no finished sweep in {workdir} that claims rest on; first run '
            f'{"; ".join(commands.values())}'
        )
    findings = [claims.find(claim, evidence.get(claim.sweep)) for claim in story]
    paths = claims_page.write(workdir, findings, commands, protocols)
    table = Table('claim', 'verdict', show_lines=True)
    for finding in findings:
        table.add_row(finding.claim.sentence['en'], verdict_words(finding, ENGLISH))
    console.print(table)
    for command in commands.values():
        console.print(f'not measured yet: {command}', soft_wrap=True)
    console.print(f'claims: {", ".join(map(str, paths.values()))}', soft_wrap=True)
    return 0


def _protocol(plan: sweep.Sweep) -> SweepProtocol:
    """What a sweep's findings hold for."""
    config = plan.config
    return SweepProtocol(
        finished=len(plan.cells) - len(plan.missing()),
        cells=len(plan.cells),
        data=config.data.name,
        epochs=config.train.epochs,
        steps=config.train.steps,
        depths=tuple(config.sweep.depths),
        seeds=config.sweep.seeds,
        learning_rate=config.optimizer.learning_rate,
    )


def _where_options() -> list[str]:
    """The options that said which sweeps are meant."""
    given = {
        'config': config_flags.get_config_filename(FLAGS['config']),
        'workdir': FLAGS.workdir,
    }
    return [f'--{name}={given[name]}' for name in given if FLAGS[name].present]


def _stored_plan(name: str, workdir: Path) -> sweep.Sweep:
    config = sweep.base_config(name, workdir)
    return sweep.plan(name, config, workdir, experiments.load(name).cells(config))


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; whatever is wrong with it becomes a UserError."""
    try:
        define_flags()
        rest = FLAGS(argv)
        FLAGS.config.keys()  # a file that could not be loaded says so only when it is used
    except (AttributeError, KeyError) as error:
        default = runpy.run_path(str(DEFAULT_CONFIG))['get_config']()
        overridden = [a[len('--config.') :].split('=')[0] for a in argv if a[:9] == '--config.']
        configuration.check_keys(overridden, default)
        raise UserError(str(error)) from None
    except OSError:
        name = config_flags.get_config_filename(FLAGS['config'])
        files = ', '.join(f'configs/{path.name}' for path in DEFAULT_CONFIG.parent.glob('[!_]*.py'))
        raise UserError(f'no configuration file {name!r}: there is {files}.') from None
    except (flags.Error, TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    except Exception as error:  # whatever a configuration file of the user's own raises
        raise UserError(f'cannot read the configuration: {type(error).__name__}: {error}') from None
    return rest


def _one_line(function: Callable, argv: list[str]) -> object:
    """The function's value; of a UserError, its message and exit code 2."""
    try:
        return function(argv)
    except UserError as error:
        print(f'launch.py: {" ".join(str(error).split())}', file=sys.stderr)
        sys.exit(2)
    except PermissionError as error:
        print(f'launch.py: {error.filename}: {error.strerror}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == '__main__':
    app.run(partial(_one_line, main), flags_parser=partial(_one_line, _parse_flags))
