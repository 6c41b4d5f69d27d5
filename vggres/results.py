"""What a training run leaves, as frozen records: no files, no JAX.

The same records travel from the trainer to the files of a cell, to its progress and its mirror, and
back from the files to figures, verdicts and reports. A list of them is one `pandas.DataFrame(...)`
away from a table. Errors are in percent, losses are mean cross-entropies.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

T = TypeVar('T')
Look = tuple[int, float]  # the number of updates done, and the training error in percent


@dataclass(frozen=True)
class Outcome:
    """How a run ended, by its final weights on whole, clean splits in evaluation mode.

    Attributes:
        status: 'finished' or 'diverged'.
        diverged_at_step: updates done when the loss or the gradient was no longer finite; None for
            a finished run.
        train_error: the error on the training set in percent. All three errors of a diverged run
            are that of guessing, 100·(1 − 1/classes).
        validation_error: the error on the validation set in percent.
        test_error: the error on the test set in percent.
        train_loss: the mean cross-entropy on the training set. All three losses of a diverged run
            are None.
        validation_loss: the mean cross-entropy on the validation set.
        test_loss: the mean cross-entropy on the test set.
        steps_to_error: for each error of `train.until_error`, by its `target_name`, the updates
            done at the first look at which the training error was at or below it; None where the
            run ended before, as for all errors of a diverged run. None for a run without such
            errors.
    """

    status: str
    diverged_at_step: int | None
    train_error: float
    validation_error: float
    test_error: float
    train_loss: float | None
    validation_loss: float | None
    test_loss: float | None
    steps_to_error: Mapping[str, int | None] | None = dataclasses.field(default=None, kw_only=True)


@dataclass(frozen=True)
class Result(Outcome):
    """The outcome of a cell, with its coordinates in the grid and what it ran on.

    Attributes:
        cell: the cell's id.
        variant: what its sweep compares at each depth: a family, or one with other options.
        family: 'vgg', 'plain' or 'resnet'.
        depth: weighted layers.
        seed: the seed of initialisation and data order.
        steps: the number of updates that a finished run did, which are fewer than allowed where it
            stopped by its training error; those allowed to a diverged run.
        parameters: the number of learnable parameters.
        num_classes: the number of labels in the data set.
        image_shape: the [height, width, channels] of its images.
        num_images: the number of images in each split; None where it was not recorded (format 1).
        seconds: the time that the whole cell took, compilation included.
        compile_seconds: the time that compilation took.
        peak_memory_mb: the most memory that its process had held so far, in MB.
        hardware: the devices, in words.
        git_commit: the commit of the code; None outside of a checkout.
        versions: the versions of Python and of the packages, by name.
        class_counts: the number of images of each class in each split, by label; None where it was
            not recorded, as before release 0.3.
        fingerprints: the SHA-256 of each split's images and labels (`source.Content`); None as
            above.
        validated_and_trained: the number of validation images that were trained on as well; None
            where it was not recorded.
        unknown_archive: whether the data set is known to come from an archive with another checksum
            than the published one; None where it was not recorded.
        attempts: the number of processes that had to train it, one after another; None where it was
            not recorded.
        mixed_with: the other hardware, libraries or commits that trained the parts of an
            interrupted run, in words: its last digits are of both. None where it was not recorded.
    """

    cell: str
    variant: str
    family: str
    depth: int
    seed: int
    steps: int
    parameters: int
    num_classes: int
    image_shape: tuple[int, int, int]
    num_images: Mapping[str, int] | None
    seconds: float
    compile_seconds: float
    peak_memory_mb: float
    hardware: str
    git_commit: str | None
    versions: Mapping[str, str]
    class_counts: Mapping[str, Sequence[int]] | None = None
    fingerprints: Mapping[str, str] | None = None
    validated_and_trained: int | None = None
    unknown_archive: bool | None = None
    attempts: int | None = None
    mixed_with: Sequence[str] | None = None


@dataclass(frozen=True)
class Failure:
    """A cell that failed.

    Attributes:
        cell: the cell's id.
        message: what happened, in one line.
        log: the file that says more.
    """

    cell: str
    message: str
    log: str


@dataclass(frozen=True)
class Record:
    """An epoch of a run.

    Attributes:
        epoch: the number of passes over the training set; fractional where training ends within
            one.
        step: the number of updates done.
        learning_rate: the learning rate of the last update.
        gradient_norm: the Euclidean norm of the gradient over all parameters, without weight decay,
            as a mean over the epoch's batches.
        batch_loss: the mean cross-entropy of the epoch's batches, as they were trained on.
        batch_error: the error on these batches in percent.
        images_per_second: the speed of training.
        train_loss: the mean cross-entropy on the whole, clean training set in evaluation mode. It
            is None where the network was not evaluated, as are the three values below.
        train_error: the error on the training set in percent.
        validation_loss: the mean cross-entropy on the validation set.
        validation_error: the error on the validation set in percent.
        looks: what `train.until_error` was compared with since the record before: the number of
            updates done and the training error in percent. None where nobody looked.
    """

    epoch: float
    step: int
    learning_rate: float
    gradient_norm: float
    batch_loss: float
    batch_error: float
    images_per_second: float
    train_loss: float | None = None
    train_error: float | None = None
    validation_loss: float | None = None
    validation_error: float | None = None
    looks: Sequence[Look] | None = None


@dataclass(frozen=True)
class Curve:
    """The epochs of a finished cell, with its coordinates."""

    cell: str
    variant: str
    family: str
    depth: int
    seed: int
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Observation:
    """What probes found in the update that comes next.

    Attributes:
        epoch: the number of passes over the training set.
        step: the number of updates done.
        draw: 0 for the run's own weights; other numbers stand for other random weights, which are
            observed before the first update.
        values: the values by layer or block for each quantity, by its name (see
            `probes.quantities`); None for a value that was not finite.
    """

    epoch: float
    step: int
    draw: int
    values: Mapping[str, Mapping[str, float | None]]


def target_name(target: float) -> str:
    """What an error of `train.until_error` is called: 5.0 is '5', and 0.5 is '0.5'."""
    return f'{target:g}'


def steps_to_error(looks: Iterable[Look], targets: Sequence[float]) -> dict[str, int | None] | None:
    """The updates done at the first look at or below each error; see `Outcome.steps_to_error`.

    >>> steps_to_error([(10, 20.0), (15, 4.0), (20, 6.0)], targets=(5.0, 1.0))
    {'5': 15, '1': None}

    Args:
        looks: those of the whole run, in their order.
        targets: the errors in percent.
    """
    looks = list(looks)
    found: dict[str, int | None] = {}
    for target in targets:
        reached = (step for step, error in looks if error <= target)
        found[target_name(target)] = next(reached, None)
    return found or None


def parsed(kind: type[T], values: object) -> T:
    """A record of a kind from what JSON holds of it; keys that it does not know are left out.

    Raises:
        ValueError: naming what is missing, not finite, or of another type than the record's.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f'holds a {type(values).__name__}, not an object')
    found = {}
    for field in dataclasses.fields(kind):
        if field.name not in values:
            if field.default is None:  # a release that did not record it
                continue
            raise ValueError(f'lacks {field.name!r}')
        value = values[field.name]
        value = tuple(value) if isinstance(value, list) else value
        if not _conforms(value, field.type):
            raise ValueError(f'has {values[field.name]!r} as {field.name!r}')
        found[field.name] = value
    return kind(**found)


def _conforms(value: object, kind: Any) -> bool:
    if isinstance(kind, UnionType):
        return any(_conforms(value, each) for each in get_args(kind))
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        has_length = isinstance(value, tuple) and len(value) == len(parts)
        return has_length and all(map(_conforms, value, parts))
    if get_origin(kind) is Mapping:
        key, inner = get_args(kind)
        return isinstance(value, Mapping) and all(
            _conforms(k, key) and _conforms(v, inner) for k, v in value.items()
        )
    if get_origin(kind) is Sequence:
        (inner,) = get_args(kind)
        return isinstance(value, list | tuple) and all(_conforms(each, inner) for each in value)
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)
