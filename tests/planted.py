"""Results as a finished cell leaves them, without a training run."""

from vggres.results import Result


def finish(cell, **values):
    """Leaves the result of a cell; its three errors are `error` where nothing else is said."""
    error = values.pop('error', 0.0)
    errors = dict.fromkeys(('train_error', 'validation_error', 'test_error'), error)
    losses = dict.fromkeys(('train_loss', 'validation_loss', 'test_loss'), 0.5)
    result = {
        'status': 'finished',
        'diverged_at_step': None,
        'hardware': 'a CPU',
        'git_commit': 'abc',
        'versions': {'jax': '1.2'},
        'peak_memory_mb': 700.0,
        'parameters': 5,
        'steps': 10,
        'seconds': 1.0,
        'compile_seconds': 0.5,
        'image_shape': (32, 32, 3),
        'num_classes': 10,
        'num_images': {'train': 40, 'validation': 5, 'test': 7},
    }
    cell.directory.mkdir(parents=True, exist_ok=True)
    cell.finish(Result(**cell.coordinates() | result | errors | losses | values))
