"""Trains one network to the end: updates, evaluations, records. Divergence is a result."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vggres.config import Config, network_spec, steps
from vggres.results import Look, Observation, Outcome, Record, steps_to_error
from vggres.training import devices
from vggres.training.checkpoint import Checkpoints, Snapshot
from vggres.training.loops import Metrics
from vggres.training.optimizer import Schedule, learning_rate_schedule
from vggres.training.programs import Images, Programs, evaluate_split
from vggres.training.train_step import TrainState, with_weights

SECONDS_PER_DISPATCH = 2.0  # about as often as progress can be shown
_FIRST_DISPATCH = 4  # updates, to learn how long one of them takes
# A look costs as much as a forward pass over the training set. Within an epoch it is left out while
# the batches since the last occasion were this often wrong, in percent: a network that errs on half
# of its batches is not at 5 %.
_TOO_EARLY_TO_LOOK = 50.0
_SEEDS_PER_DRAW = 100_000  # keeps the seeds of other draws apart from those of a sweep


@dataclass(frozen=True)
class Run:
    """What one run starts from, how far and how fast it goes, and how often it is evaluated.

    Attributes:
        seed: it decides initialisation, order and augmentation.
        steps: the number of updates in the whole run.
        schedule: the learning rate against updates done.
        scheme: of the random weights, one of `initialisation.SCHEMES`.
        weights: variables to start from instead: see `train_step.with_weights`.
        evaluate_every_epochs: the number of epochs between two evaluations; after the last update
            there always is one.
        until_error: training errors in percent, the lowest last; training stops at the first look
            at which the error is at or below the lowest. Empty: training goes on to the end.
        look_every_steps: the number of updates between two looks at that error, besides those at
            the ends of epochs; 0 for no others.
    """

    seed: int
    steps: int
    schedule: Schedule
    scheme: str = 'he'
    weights: dict | None = None
    evaluate_every_epochs: int = 1
    until_error: tuple[float, ...] = ()
    look_every_steps: int = 0

    def is_reached_by(self, looks: Sequence[Look]) -> bool:
        """Whether the last of these looks saw the lowest of the errors to stop at."""
        return bool(self.until_error and looks) and looks[-1][1] <= min(self.until_error)


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
        until_error=tuple(config.train.until_error),
        look_every_steps=config.evaluation.every_steps,
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
        on_record: called with a record after each epoch, whole or not.
        on_observation: called with what an observer finds.
        on_progress: called with the number of updates done and that of the whole run, every few
            seconds. Where training stops by its error, the last two numbers are equal.
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

    The end is that of the budget or, where the run has errors to stop at, the first look at the
    training error that sees the lowest of them. A look evaluates the whole, clean training set.

    Args:
        programs: the compiled network.
        data: the data set to train on and to evaluate.
        run: what to start from, and how far to go.
        checkpoints: where to go on from, and where to save now and then; None saves nothing.
        observer: who looks into the network; None for nobody.
        listeners: who is told; None for nobody.

    Returns:
        The outcome, by the final weights on whole, clean splits, and the last state. The outcome of
        a diverged run has the errors of guessing.
    """
    listeners = listeners or Listeners()
    state, zeros, order_key = programs.init(run.seed, run.scheme)
    state = with_weights(state, run.weights) if run.weights else state
    restored = checkpoints.restore(state, zeros) if checkpoints else None
    at = _of_first_process(restored or _fresh(state, zeros))
    state, step = at.state, at.begin
    dispatches = _Dispatches(programs, data, run, order_key, checkpoints, listeners.on_progress)
    if observer and at.step == 0:
        listeners.on_observation(_observation(observer, programs, run, state, order_key))
        _observe_other_draws(observer, programs, run, listeners)
    evaluation: dict[str, float] = {}
    is_last = False
    while step < run.steps and not is_last:
        begin = step
        epoch = dispatches.train_epoch(at)
        state, step = epoch.state, int(epoch.state.step)
        if epoch.has_diverged:
            return _diverged(step, data.num_classes, run), state
        is_last = step == run.steps or run.is_reached_by(epoch.looks)
        evaluation = {}
        if is_last or _is_due(step, run.evaluate_every_epochs, programs):
            splits = ('validation',) if epoch.seen else ('train', 'validation')
            evaluation = epoch.seen | _evaluate(programs, data, state, splits)
        record = Record(
            epoch=_epoch(step, programs),
            step=step,
            learning_rate=float(run.schedule(step - 1)),
            gradient_norm=epoch.means['gradient_norm'],
            batch_loss=epoch.means['loss'],
            batch_error=epoch.means['error'],
            images_per_second=(step - begin) * programs.batch_size / epoch.seconds,
            looks=tuple(look for look in epoch.looks if look[0] > begin) or None,
            **evaluation,
        )
        listeners.on_record(record)
        if observer and (is_last or _is_due(step, observer.every_epochs, programs)):
            listeners.on_observation(_observation(observer, programs, run, state, order_key))
        at = _fresh(state, zeros, epoch.looks)
        if checkpoints and not is_last:
            checkpoints.offer(at)
            checkpoints.save_now_and_then(at)
    if step < run.steps:
        listeners.on_progress(step, step)
    evaluation |= _evaluate(programs, data, state, ('test',))
    if not all(math.isfinite(value) for value in evaluation.values()):
        return _diverged(step, data.num_classes, run), state  # by the last update
    reached = steps_to_error(at.looks, run.until_error)
    return Outcome('finished', None, **evaluation, steps_to_error=reached), state


def _fresh(state: TrainState, zeros: Metrics, looks: Iterable[Look] = ()) -> Snapshot:
    """The snapshot at the beginning of an epoch."""
    step = int(state.step)
    sums = {name: jnp.copy(zero) for name, zero in zeros.items()}  # training uses them up
    return Snapshot(state, sums, begin=step, looks=tuple(looks), occasion=step)


def _of_first_process(at: Snapshot) -> Snapshot:
    """The snapshot that the first of several processes starts from, on every device of all."""
    at = replace(at, state=devices.replicate(at.state), sums=devices.replicate(at.sums))
    last = at.looks[-1] if at.looks else (-1, 0.0)
    numbers = np.array([at.begin, at.occasion, at.wrong, *last])
    numbers = devices.of_first_process(numbers.view(np.int32)).view(np.float64)
    begin, occasion, wrong, step, error = numbers.tolist()
    looks = at.looks or (((int(step), error),) if step >= 0 else ())
    return replace(at, begin=int(begin), occasion=int(occasion), wrong=wrong, looks=looks)


class _Epoch(NamedTuple):
    """What came of an epoch, or of the part of it that was trained.

    Attributes:
        state: the state after the last update.
        means: the mean of each metric over the batches.
        seconds: the time that the updates took.
        looks: the updates done and the training error in percent, of each look since the run began.
        seen: the loss and the error of the training set after the last update, by the names that
            `Record` uses; empty where nobody looked.
        has_diverged: whether the loss or the gradient is no longer finite.
    """

    state: TrainState
    means: dict[str, float]
    seconds: float
    looks: list[Look]
    seen: dict[str, float]
    has_diverged: bool


class _Dispatches:
    """Cuts an epoch into dispatches of about two seconds each, so that progress can be shown.

    Dispatches end where the training error may be looked at, too.
    """

    def __init__(
        self,
        programs: Programs,
        data: Images,
        run: Run,
        order_key: jax.Array,
        checkpoints: Checkpoints | None,
        on_progress: Callable[[int, int], object],
    ) -> None:
        self._programs, self._data, self._run = programs, data, run
        self._order_key = order_key
        self._checkpoints = checkpoints
        self._on_progress = on_progress
        self._updates = _FIRST_DISPATCH

    def train_epoch(self, at: Snapshot) -> _Epoch:
        """Trains an epoch to its end, or less far: until it diverges or is at the error to stop at.

        Args:
            at: where the epoch begins, or where an interrupted run was within it.
        """
        run, begin = self._run, at.begin
        end = min(begin + self._programs.steps_per_epoch, run.steps)
        seen: dict[str, float] = {}
        has_diverged = False
        for stop in _occasions(begin, end, run):
            if stop <= at.occasion or run.is_reached_by(at.looks):
                continue
            at = self._train_until(stop, at)
            wrong = float(at.sums['error'])
            is_finite = math.isfinite(float(at.sums['loss']) + float(at.sums['gradient_norm']))
            if has_diverged := at.step < stop or not is_finite:
                break
            of_batches = (wrong - at.wrong) / (stop - at.occasion)
            if run.until_error and (stop == end or _is_worth_a_look(of_batches, run)):
                seen = _evaluate(self._programs, self._data, at.state, ('train',))
                at = replace(at, looks=(*at.looks, (stop, seen['train_error'])))
            at = replace(at, occasion=stop, wrong=wrong)
            self._offer(at)
        means = {name: float(value) / (at.step - begin) for name, value in at.sums.items()}
        return _Epoch(at.state, means, at.seconds, at.looks, seen, has_diverged)

    def _train_until(self, occasion: int, at: Snapshot) -> Snapshot:
        """Trains until so many updates are done, or less far where the network diverges."""
        step = at.step
        while step < occasion:
            started = time.perf_counter()
            stop = min(step + self._updates, occasion)
            data, stop = self._data.training(self._order_key, step, stop)
            if self._checkpoints:
                self._checkpoints.begin_update(at)
            state, sums = self._programs.train(
                at.state, at.sums, self._order_key, data, self._run.schedule, stop
            )
            done, step = int(state.step) - step, int(state.step)
            elapsed = time.perf_counter() - started
            at = replace(at, state=state, sums=sums, seconds=at.seconds + elapsed)
            self._offer(at)
            if self._checkpoints:
                self._checkpoints.save_now_and_then(at)
            self._updates = devices.agreed(max(1, int(SECONDS_PER_DISPATCH * done / elapsed)))
            self._on_progress(step, self._run.steps)
            if step < stop:
                break
        return at

    def _offer(self, at: Snapshot) -> None:
        if self._checkpoints:
            self._checkpoints.offer(at)


def _occasions(begin: int, end: int, run: Run) -> list[int]:
    """The updates done when the training error may be looked at; the last is an epoch's end."""
    every = run.look_every_steps
    if not run.until_error or not every:
        return [end]
    return [*range(begin + every - begin % every, end, every), end]


def _is_worth_a_look(batch_error: float, run: Run) -> bool:
    """Whether a network that errs so often on its last batches may be at an error to stop at."""
    return batch_error < max(_TOO_EARLY_TO_LOOK, *run.until_error)


def _is_due(step: int, every_epochs: int, programs: Programs) -> bool:
    """Whether what happens every so many epochs happens after this update."""
    return _epoch(step, programs) % every_epochs == 0


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


def _diverged(step: int, num_classes: int, run: Run) -> Outcome:
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
        steps_to_error=steps_to_error([], run.until_error),
    )
