"""Weights & Biases as a mirror of what the files of a sweep say.

The files are the truth. Whatever goes wrong with W&B is logged and ends the mirroring, never the
training. `wandb` is imported only where something is mirrored.
"""

import contextlib
import io
import logging as standard_logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from absl import logging
from matplotlib.figure import Figure

from vggres.config import Config
from vggres.figures.rendering import to_png
from vggres.tracking import fragments, run_ids
from vggres.tracking.modes import check_credential
from vggres.tracking.patience import HangsError, all_within, within

_INIT_TIMEOUT = 15  # seconds
_FINISH_TIMEOUT = 30  # seconds that the end of a run may take beside the next cell
_PATIENCE = 15  # seconds that a server that fails may hold up the next cell, once
_CALL_TIMEOUT = 30  # seconds that a process of W&B that hangs may hold up training, once
_FLUSH_INTERVAL = 1  # seconds of records that a killed process may lose
_SLOWEST_UPLOAD = 1_000_000  # bytes per second; a server that takes longer counts as failing
_AT_A_TIME = 8  # questions to the server
_GRACE = 5  # seconds, after which W&B does not keep its own time limit


# W&B counts its own failures by a library that prints an error where the server does not listen.
standard_logging.getLogger('opentelemetry').setLevel(standard_logging.CRITICAL)


@dataclass(frozen=True)
class Label:
    """What a run is called in the list of runs.

    Attributes:
        name: readable.
        group: what the run is part of; '' for nothing.
        job_type: 'cell', 'summary' or 'claims'.
        tags: to filter by, besides those of the configuration.
        notes: the command that makes the run again; '' for none.
        config: what decides the run, to group and filter by.
    """

    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    notes: str = ''
    config: Mapping[str, object] = field(default_factory=dict)


class Mirror:
    """A W&B run that may fail or hang at any moment without anybody having to care.

    All runs of a process depend on one process of W&B and on one server: where the server fails,
    further runs are offline, and where the process hangs, there are none.

    A context manager: the run ends with it, as failed where an exception ends it. Its id follows
    from its directory and its name, so that whoever continues it continues it in W&B as well.

    Attributes:
        run: the W&B run; None when W&B is disabled or has failed.
        first_step: the number of updates from which on the run has no records yet.
    """

    _is_hung = False
    _is_cut_off = False  # from the server
    _has_told = False

    def __init__(
        self,
        config: Config,
        directory: Path,
        label: Callable[[], Label],
        marker: Path | None = None,
        on_failure: Callable[[str], object] = lambda sentence: None,
        falls_back: bool = True,
    ) -> None:
        """Starts a run or continues it, offline where online fails.

        Args:
            config: its `wandb` part is obeyed, with a resolved mode.
            directory: of the sweep; W&B's files go to its folder `wandb`.
            label: says what the run is called, which no other run of the directory is.
            marker: a file that says that the run was begun before; None for one that is not
                continued.
            on_failure: called with a sentence, once in a process, where W&B fails.
            falls_back: whether the run is offline where online fails; else there is none, and
                whoever asked tells of it.
        """
        self.run = None
        self.first_step = 0.0
        self._on_failure = on_failure
        self._begun: tuple[Path, str] | None = None
        self._name, self._lacks, self._tells = '', False, falls_back
        for self._mode in _modes(config.wandb.mode)[: None if falls_back else 1]:
            with self.guard():
                self._start(config, directory, label(), marker)
                break
            if self._mode == 'online' and falls_back:
                _forget()
            Mirror._is_hung = self._mode == 'offline'  # which needs no server

    def _start(self, config: Config, directory: Path, label: Label, marker: Path | None) -> None:
        self._name = label.name
        run_id = run_ids.run_of_agent(label.group) or run_ids.run_id(directory, label.name)
        is_new = not (marker and run_ids.is_of(marker, run_id))
        is_whole = is_new or not run_ids.is_cut_off(marker)
        if self._mode == 'offline' and not is_whole:
            return  # an upload could not tell what the server has: whoever is online completes it
        if self._mode == 'online':
            within(_INIT_TIMEOUT, check_credential)
        is_empty = is_new or fragments.set_aside_empty(directory, run_id)
        begin = partial(_init, self._mode, run_id, config, directory, label)
        self.run = within(_INIT_TIMEOUT + _GRACE, begin)
        if self._mode == 'online':
            self.first_step = self.run.starting_step
        elif not is_empty:  # an earlier fragment has what was logged, or had it
            self.first_step = math.inf
        if marker:
            run_ids.mark(marker, run_id, is_whole)
            self._begun = (marker, run_id) if self._mode == 'online' else None
        self.run.define_metric('epoch')
        self.run.define_metric('*', step_metric='epoch')

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Around whatever touches W&B: what it raises is logged and ends the mirroring."""
        try:
            yield
        except Exception as error:
            failed, self.run = self.run, None
            self._say(error)
            if isinstance(error, HangsError):
                Mirror._is_hung = True
            elif failed:
                with contextlib.suppress(Exception):
                    within(self._patience(), partial(failed.finish, exit_code=1))

    def _say(self, error: Exception) -> None:
        """Tells of a failure, in the log and, the first time, to the user."""
        logging.warning('W&B failed, going on without it: %s', error)
        Mirror._is_cut_off |= self._mode == 'online'
        if self._begun:
            run_ids.mark(*self._begun, is_whole=False)
            self._begun = None
        if self._tells and not Mirror._has_told:
            Mirror._has_told = True
            then = 'further runs are logged offline' if self._mode == 'online' else 'going on'
            message = (str(error).splitlines() or [type(error).__name__])[0]
            self._on_failure(f'W&B failed, {then}: {message}')

    def say_lack(self, error: Exception) -> None:
        """Tells the user, once a run, of a damaged file, whose content the run goes on without."""
        if not self._lacks:
            self._on_failure(f'W&B lacks a part of {self._name}: {error}')
        self._lacks = True

    def _patience(self) -> float:
        """The seconds that the end of the run may take: a server that fails is waited for once."""
        if self._mode == 'offline':
            return _FINISH_TIMEOUT + _GRACE
        return 0 if Mirror._is_cut_off else _PATIENCE

    def log(
        self, record: Mapping[str, object], step: int | None = None, is_last: bool = False
    ) -> None:
        """Adds a record of numbers or W&B objects.

        Args:
            record: by name.
            step: the number of updates; None for the next step, which nothing is added to.
            is_last: whether nothing is added to that step. Otherwise W&B holds it back until a
                later one comes, and a process that is killed before has lost it.
        """
        with self.guard():
            if self.run:
                commit = is_last or step is None
                add = partial(self.run.log, dict(record), step=step, commit=commit)
                within(_CALL_TIMEOUT, add)

    def log_pictures(self, figures: Mapping[str, Figure], epoch: float) -> None:
        """Adds figures by name, as PNG, as a record of their own after so many epochs."""
        with self.guard():
            if self.run:
                import wandb
                from PIL import Image

                pictures = {
                    name: wandb.Image(Image.open(io.BytesIO(to_png(figure))))
                    for name, figure in figures.items()
                }
                self.log(pictures | {'epoch': epoch})

    def keep(self, files: Sequence[Path], name: str, kind: str, alias: str) -> None:
        """Keeps files as a version of an artifact, which W&B stores once however often it is kept.

        Args:
            files: they are not changed afterwards.
            name: of the artifact in its project.
            kind: its type, as 'weights'.
            alias: by which others find this version.
        """
        with self.guard():
            if self.run:
                patience = _PATIENCE + sum(path.stat().st_size for path in files) / _SLOWEST_UPLOAD
                try:
                    within(patience, partial(_keep, self.run, files, (name, kind, alias)))
                except HangsError as error:  # the run goes on: the server alone is slow
                    self._say(error)

    def use(self, artifacts: Sequence[str]) -> None:
        """Says that the run uses artifacts, each 'name:alias'; offline, W&B cannot record that."""
        with self.guard():
            if self.run and self._mode == 'online':
                try:
                    _use(self.run, artifacts)
                except HangsError as error:
                    self._say(error)

    def summarise(self, summary: Mapping[str, object]) -> None:
        """Sets summary values."""
        with self.guard():
            if self.run:
                within(_CALL_TIMEOUT, partial(self.run.summary.update, dict(summary)))

    def __enter__(self) -> 'Mirror':
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if not self.run:
            return
        finish = partial(self.run.finish, exit_code=0 if kind is None else 1)
        with self.guard():
            try:
                within(self._patience(), finish)
            except HangsError as error:
                if self._mode == 'offline':
                    raise
                self._say(error)  # it goes on in its thread, and may yet succeed
            if self._begun and kind is None:
                run_ids.mark(*self._begun)


def _init(mode: str, run_id: str, config: Config, directory: Path, label: Label) -> Any:
    """Begins the run of W&B, or continues it."""
    import wandb

    return wandb.init(
        mode=mode,
        id=run_id,
        resume='allow',
        project=config.wandb.project,
        entity=config.wandb.entity or None,
        dir=directory,
        name=label.name,
        group=label.group or None,
        job_type=label.job_type,
        tags=[*label.tags, *config.wandb.tags],
        notes=label.notes or None,
        config=dict(label.config),
        settings=wandb.Settings(
            silent=True,
            console='off',
            disable_git=True,
            reinit='create_new',
            init_timeout=_INIT_TIMEOUT,
            finish_timeout=_FINISH_TIMEOUT,
            x_transaction_log_flush_interval=_FLUSH_INTERVAL,
        ),
    )


def _forget() -> None:
    """Leaves the process of W&B, which starts no run offline that it failed to start online.

    The next run has a process of its own: other workers may go on with the one that this one left.
    """
    os.environ.pop('WANDB_SERVICE', None)  # by which a launcher's process is found
    with contextlib.suppress(Exception):
        import wandb

        within(_GRACE, wandb.teardown)


def _keep(run: Any, files: Sequence[Path], named: tuple[str, str, str]) -> None:
    import wandb

    name, kind, alias = named
    artifact = wandb.Artifact(name, kind)
    for path in files:
        artifact.add_file(str(path), policy='immutable', skip_cache=True)  # no copies elsewhere
    run.log_artifact(artifact, aliases=[alias])
    if not run.offline:
        artifact.wait()


def _use(run: Any, artifacts: Sequence[str]) -> None:
    """Marks what is there; a cell that was offline has no artifact.

    Raises:
        HangsError: where the server does not answer some of them; the rest is not asked for.
    """

    def use(artifact: str) -> None:
        with contextlib.suppress(Exception):
            run.use_artifact(artifact)

    for at in range(0, len(artifacts), _AT_A_TIME):
        together = [partial(use, artifact) for artifact in artifacts[at : at + _AT_A_TIME]]
        all_within(_PATIENCE, together)


def _modes(asked: str) -> tuple[str, ...]:
    """The ways to start a run, in the order in which they are tried."""
    if asked == 'disabled' or Mirror._is_hung:
        return ()
    return ('offline',) if asked == 'offline' or Mirror._is_cut_off else ('online', 'offline')
