"""Trains one network to the end: updates, evaluations, records. Divergence is a result."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from vggres.config import Config, network_spec, steps
from vggres.results import Observation, Outcome, Record
from vggres.training.checkpoint import Checkpoints
from vggres.training.loops import Metrics
from vggres.training.optimizer import Schedule, learning_rate_schedule
from vggres.training.programs import Images, Programs, evaluate_split
from vggres.training.train_step import TrainState, with_weights

SECONDS_PER_DISPATCH = 2.0  # about as often as progress can be shown
_FIRST_DISPATCH = 4  # updates, to learn how long one of them takes
_SEEDS_PER_DRAW = 100_000  # keeps the seeds of other draws apart from those of a sweep


@dataclass(frozen=True)
class Run:
    """What one run starts from, how far and how fast it goes, and how often it is evaluated.

    Attributes:
        seed: it decides initialisation, order and augmentation.
        steps: the number of updates in the whole run.
        schedule: the learning rate against updates done.
        scheme: the scheme of the random weights: see `initialisation.rescaled`.
        weights: variables to start from instead: see `train_step.with_weights`.
        evaluate_every_epochs: the number of epochs between two evaluations; after the last update
            there always is one.
    """

    seed: int
    steps: int
    schedule: Schedule
    scheme: str = 'he'
    weights: dict | None = None
    evaluate_every_epochs: int = 1


def described_run(config: Config, num_train: int, weights: dict | None = None) -> Run:
    """The run that a configuration describes.

    Args:
        config: a checked configuration.
        num_train: the number of images to train on.
        weights: variables to start from; None for random ones.
    """
    _, total = steps(config, num_train)
    return Run(
        seed=config.seed,
        steps=total,
        schedule=learning_rate_schedule(config.optimizer, total, network_spec(config).depth),
        scheme=config.init.scheme,
        weights=weights,
        evaluate_every_epochs=config.evaluation.every_epochs,
    )


@dataclass(frozen=True)
class Observer:
    """Looks into a network now and then, and leaves its training as it is.

    Attributes:
        observe: (state, order key, schedule) → the values of each quantity by layer or block, in
            the update that comes next.
        every_epochs: the number of epochs between two observations. The network is also observed
            before the first update and, unless it diverges, after the last one.
        draws: the number of random weights, each with an order of the data of its own, that are
            observed before the first update. The run's own weights are the first of them.
    """

    observe: Callable[[TrainState, jax.Array, Schedule], Mapping[str, Mapping[str, float]]]
    every_epochs: int
    draws: int = 1


def _ignore(*values: object) -> None:
    """Does nothing with what a run tells."""


@dataclass(frozen=True)
class Listeners:
    """Who is told what happens during a run; by default nobody is.

    Attributes:
        on_record: called with a record after each epoch.
        on_observation: called with what an observer finds.
        on_progress: called with the number of updates done and that of the whole run, every few
            seconds.
    """

    on_record: Callable[[Record], object] = _ignore
    on_observation: Callable[[Observation], object] = _ignore
    on_progress: Callable[[int, int], object] = _ignore


def train(
    programs: Programs,
    data: Images,
    run: Run,
    checkpoints: Checkpoints | None = None,
    observer: Observer | None = None,
    listeners: Listeners | None = None,
) -> tuple[Outcome, TrainState]:
    """Trains one network from its seed, or from its newest checkpoint, to the end.

    Args:
        programs: the compiled network.
        data: the data set to train on and to evaluate.
        run: what to start from, and how far to go.
        checkpoints: where to go on from, and where to save at the ends of epochs; None saves
            nothing.
        observer: who looks into the network; None for nobody.
        listeners: who is told; None for nobody.

    Returns:
        The outcome, by the final weights on whole, clean splits, and the last state. The outcome of
        a diverged run has the errors of guessing.
    """
    listeners = listeners or Listeners()
    state, zeros, order_key = programs.init(run.seed, run.scheme)
    state = with_weights(state, run.weights) if run.weights else state
    state = checkpoints.restore(state) if checkpoints else state
    step = int(state.step)
    dispatches = _Dispatches(programs, data, run, order_key, listeners.on_progress)
    if observer and step == 0:
        listeners.on_observation(_observation(observer, programs, run, state, order_key))
        _observe_other_draws(observer, programs, run, listeners)
    evaluation: dict[str, float] = {}
    while step < run.steps:
        begin, stop = step, min(step + programs.steps_per_epoch, run.steps)
        sums = {name: jnp.copy(zero) for name, zero in zeros.items()}
        state, sums, seconds = dispatches.train(state, sums, stop)
        step = int(state.step)
        means = {name: float(value) / (step - begin) for name, value in sums.items()}
        if step < stop or not math.isfinite(means['loss'] + means['gradient_norm']):
            return _diverged(step, data.num_classes), state
        is_due = _is_due(step, run.evaluate_every_epochs, programs, run)
        evaluation = _evaluate(programs, data, state, ('train', 'validation')) if is_due else {}
        record = Record(
            epoch=_epoch(step, programs),
            step=step,
            learning_rate=float(run.schedule(step - 1)),
            gradient_norm=means['gradient_norm'],
            batch_loss=means['loss'],
            batch_error=means['error'],
            images_per_second=(step - begin) * programs.batch_size / seconds,
            **evaluation,
        )
        listeners.on_record(record)
        if observer and _is_due(step, observer.every_epochs, programs, run):
            listeners.on_observation(_observation(observer, programs, run, state, order_key))
        if checkpoints and step < run.steps:
            checkpoints.save_now_and_then(state)
    evaluation |= _evaluate(programs, data, state, ('test',))
    if not all(math.isfinite(value) for value in evaluation.values()):
        return _diverged(step, data.num_classes), state  # by the last update
    return Outcome(status='finished', diverged_at_step=None, **evaluation), state


class _Dispatches:
    """Cuts an epoch into dispatches of about two seconds each, so that progress can be shown."""

    def __init__(
        self,
        programs: Programs,
        data: Images,
        run: Run,
        order_key: jax.Array,
        on_progress: Callable[[int, int], object],
    ) -> None:
        self._programs, self._data, self._run = programs, data, run
        self._order_key = order_key
        self._on_progress = on_progress
        self._updates = _FIRST_DISPATCH

    def train(
        self, state: TrainState, sums: Metrics, epoch_stop: int
    ) -> tuple[TrainState, Metrics, float]:
        """Trains until the end of an epoch, or less far where the network diverges.

        Returns:
            The state, the sums of the epoch's metrics, and the seconds that it took.
        """
        step, seconds = int(state.step), 0.0
        while step < epoch_stop:
            started = time.perf_counter()
            stop = min(step + self._updates, epoch_stop)
            data, stop = self._data.training(self._order_key, step, stop)
            state, sums = self._programs.train(
                state, sums, self._order_key, data, self._run.schedule, stop
            )
            done, step = int(state.step) - step, int(state.step)
            elapsed = time.perf_counter() - started
            seconds += elapsed
            self._updates = max(1, int(SECONDS_PER_DISPATCH * done / elapsed))
            self._on_progress(step, self._run.steps)
            if step < stop:
                break
        return state, sums, seconds


def _is_due(step: int, every_epochs: int, programs: Programs, run: Run) -> bool:
    """Whether what happens every so many epochs, and at the end, happens after this update."""
    return step == run.steps or _epoch(step, programs) % every_epochs == 0


def _epoch(step: int, programs: Programs) -> int | float:
    """Passes over the training set done; a whole number is an int, and is written as one."""
    epoch = step / programs.steps_per_epoch
    return int(epoch) if epoch.is_integer() else epoch


def _observation(
    observer: Observer,
    programs: Programs,
    run: Run,
    state: TrainState,
    order_key: jax.Array,
    draw: int = 0,
) -> Observation:
    step = int(state.step)
    values = {
        quantity: {name: value if math.isfinite(value) else None for name, value in found.items()}
        for quantity, found in observer.observe(state, order_key, run.schedule).items()
    }
    return Observation(_epoch(step, programs), step, draw, values)


def _observe_other_draws(
    observer: Observer, programs: Programs, run: Run, listeners: Listeners
) -> None:
    """Observes random weights of other seeds than the run's own."""
    for draw in range(1, observer.draws):
        state, _, order_key = programs.init(run.seed + draw * _SEEDS_PER_DRAW, run.scheme)
        listeners.on_observation(_observation(observer, programs, run, state, order_key, draw))


def _evaluate(
    programs: Programs, data: Images, state: TrainState, splits: Iterable[str]
) -> dict[str, float]:
    """The loss and the error of some splits, by the names that `Record` and `Outcome` use."""
    found = {}
    for split in splits:
        loss, wrong = evaluate_split(programs.evaluate, data, state, split)
        found[f'{split}_loss'] = loss / data.num_images[split]
        found[f'{split}_error'] = 100 * wrong / data.num_images[split]
    return found


def _diverged(step: int, num_classes: int) -> Outcome:
    """The outcome of a run whose loss or gradient was no longer finite after `step` updates."""
    guessing = 100 * (1 - 1 / num_classes)
    return Outcome(
        status='diverged',
        diverged_at_step=step,
        train_error=guessing,
        validation_error=guessing,
        test_error=guessing,
        train_loss=None,
        validation_loss=None,
        test_loss=None,
    )
