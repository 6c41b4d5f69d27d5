"""Results, curves and observations as finished cells leave them, without a training run."""

from vggres.results import Curve, Observation, Record, Result

# Plain 6n+2 nets on digits, training error of three seeds, measured with another implementation.
DIGITS_PLAIN = {
    8: [0.0, 0.0, 0.0],
    20: [0.0, 0.0, 0.0],
    32: [1.7, 1.8, 5.8],
    44: [30.7, 34.9, 26.0],
    56: [84.6, 74.9, 46.8],
}
DIGITS_RESNET = {depth: [0.0, 0.0, 0.0] for depth in DIGITS_PLAIN}
# Degradation as He et al. saw it: all networks train, and the deepest errs a little more.
TRAINED = {8: [0.9, 0.7, 0.8], 20: [0.7, 0.8, 0.6], 56: [3.4, 3.5, 3.2]}


def result(variant='plain', depth=20, seed=0, error=0.0, **values):
    """A finished run whose three errors are `error`, in percent, where nothing else is said."""
    planted = {
        'cell': f'{variant}-d{depth}-s{seed}-3f9c1a',
        'variant': variant,
        'family': variant.split(',')[0],
        'depth': depth,
        'seed': seed,
        'status': 'finished',
        'diverged_at_step': None,
        'train_error': error,
        'validation_error': error,
        'test_error': error,
        'train_loss': 0.5,
        'validation_loss': 0.5,
        'test_loss': 0.5,
        'steps': 10,
        'parameters': 5,
        'num_classes': 10,
        'image_shape': (32, 32, 3),
        'num_images': {'train': 40, 'validation': 5, 'test': 5},
        'seconds': 1.0,
        'compile_seconds': 0.5,
        'peak_memory_mb': 700.0,
        'hardware': 'a CPU',
        'git_commit': 'abc',
        'versions': {'jax': '1.2'},
    }
    return Result(**planted | values)


def runs(variant, errors_of_depth, **values):
    """A run for each depth and each of its errors, in percent, by seed."""
    return [
        result(variant, depth, seed, error, **values)
        for depth, errors in errors_of_depth.items()
        for seed, error in enumerate(errors)
    ]


def record(epoch, train_error=None, validation_error=None):
    """An epoch of a run, with its errors in percent."""
    return Record(
        epoch=epoch,
        step=10 * epoch,
        learning_rate=0.1,
        gradient_norm=1.0,
        batch_loss=0.5,
        batch_error=9.0,
        images_per_second=1000.0,
        train_error=train_error,
        validation_error=validation_error,
    )


def curve(variant, depth, seed, records):
    """The epochs of a run."""
    family = variant.split(',')[0]
    return Curve(f'{variant}-d{depth}-s{seed}', variant, family, depth, seed, tuple(records))


def observation(epoch=0, step=0, draw=0, **values):
    """What probes measured, by quantity and by layer or block."""
    return Observation(epoch, step, draw, values)


def finish(cell, **values):
    """Leaves the result of a cell; its three errors are `error` where nothing else is said.

    Args:
        cell: a `sweeps.cell.Cell`.
        values: fields of its `Result`, or `error`, in percent.
    """
    cell.directory.mkdir(parents=True, exist_ok=True)
    cell.finish(result(**{'error': values.pop('error', 0.0)} | cell.coordinates() | values))
