"""What an interrupted run goes on from: its state at the end of an epoch, saved by orbax.

Order and augmentation are functions of (seed, step), so the state is everything: a run that goes on
comes to the same numbers as one that was never stopped. Orbax takes seconds to import and is
left alone until there is something to save or to restore.
"""

import shutil
import time
from pathlib import Path

from vggres.training.train_step import TrainState


class Checkpoints:
    """The one newest checkpoint of a run."""

    def __init__(self, directory: Path, every_seconds: float) -> None:
        """Nothing is read or written yet.

        Args:
            directory: of the checkpoints alone; it need not exist.
            every_seconds: the least time between two saves.
        """
        self._directory = directory.absolute()
        self._every_seconds = every_seconds
        self._last_save = time.monotonic()

    def latest_step(self) -> int:
        """Updates done in the newest complete checkpoint; 0 where there is none."""
        if not self._directory.exists():
            return 0
        with _manager(self._directory) as manager:
            return manager.latest_step() or 0

    def restore(self, state: TrainState) -> TrainState:
        """The newest checkpoint's state, which must be shaped like this one; or else this one."""
        step = self.latest_step()
        if step == 0:
            return state
        import orbax.checkpoint as ocp

        with _manager(self._directory) as manager:
            return manager.restore(step, args=ocp.args.StandardRestore(state))

    def save_now_and_then(self, state: TrainState) -> None:
        """Saves the state if the last save is long enough ago; it then replaces the last one."""
        if time.monotonic() - self._last_save < self._every_seconds:
            return
        import orbax.checkpoint as ocp

        with _manager(self._directory) as manager:
            manager.save(int(state.step), args=ocp.args.StandardSave(state))
        self._last_save = time.monotonic()

    def remove(self) -> None:
        """Deletes what a finished run no longer needs."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _manager(directory: Path):
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
    return ocp.CheckpointManager(directory, options=options)
