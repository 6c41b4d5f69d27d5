"""Saves what an interrupted run goes on from: its state at the end of an epoch.

Order and augmentation are functions of (seed, step), so the state is all that is needed: a run that
goes on comes to the same numbers as one that was never stopped. Orbax, which writes the files,
takes seconds to import; it is imported only when there is something to save or to restore.
"""

import shutil
import time
from pathlib import Path

from vggres.training.train_step import TrainState


class Checkpoints:
    """The one newest checkpoint of a run."""

    def __init__(self, directory: Path, every_seconds: float) -> None:
        """Remembers where checkpoints go; nothing is read or written yet.

        Args:
            directory: a directory for nothing but checkpoints; it need not exist.
            every_seconds: the least time between two saves, in seconds.
        """
        self._directory = directory.absolute()
        self._every_seconds = every_seconds
        self._last_save = time.monotonic()

    def latest_step(self) -> int:
        """The number of updates done in the newest complete checkpoint; 0 where there is none."""
        if not self._directory.exists():
            return 0
        with _manager(self._directory) as manager:
            return manager.latest_step() or 0

    def restore(self, state: TrainState) -> TrainState:
        """The state in the newest checkpoint, or the given one where there is no checkpoint.

        Args:
            state: a state with the shapes of the one that was saved.
        """
        step = self.latest_step()
        if step == 0:
            return state
        import orbax.checkpoint as ocp

        with _manager(self._directory) as manager:
            return manager.restore(step, args=ocp.args.StandardRestore(state))

    def save_now_and_then(self, state: TrainState) -> None:
        """Replaces the checkpoint by this state if the last save is long enough ago."""
        if time.monotonic() - self._last_save < self._every_seconds:
            return
        import orbax.checkpoint as ocp

        with _manager(self._directory) as manager:
            manager.save(int(state.step), args=ocp.args.StandardSave(state))
        self._last_save = time.monotonic()

    def remove(self) -> None:
        """Deletes the checkpoints, which a finished run no longer needs."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _manager(directory: Path):
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
    return ocp.CheckpointManager(directory, options=options)
