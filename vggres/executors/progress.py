"""What a person sees while cells run: bars in a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Mapping

from rich import progress as bars
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vggres.executors.orders import Event
from vggres.results import Failure
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import cells_in_words

_SECONDS_BETWEEN_LINES = 30.0  # between two plain lines about cells that are still running
_OF_ALL_WORKERS = 'W&B '  # a notice that begins so holds for all workers, and is shown once
_SILENT = 120.0  # seconds without an event, after which a line says so
_PART_TO_JUDGE_BY = 0.03  # of all work: before that, compilation hides the pace


class Progress:
    """Follows the events of an executor; a context manager around its run."""

    def __init__(
        self, cells: Iterable[Cell], costs: Mapping[str, float], total: int, console: Console
    ) -> None:
        """Nothing is shown before the context is entered.

        Args:
            cells: what will run.
            costs: the relative cost of each cell, by its id.
            total: the cells of the sweep, those that are done already included.
            console: where to show it; whether it is a terminal decides how.
        """
        self.failed: list[Failure] = []
        cells = list(cells)
        self._costs = {cell.id: costs[cell.id] for cell in cells}
        self._labels = {cell.id: _label(cell) for cell in cells}
        self._width = max(map(len, self._labels.values()), default=0)
        self._fractions = dict.fromkeys(self._costs, 0.0)
        self._total = total
        self._ended = total - len(self._costs)
        self._started: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._states: dict[str, str] = {}
        self._bars: dict[str, bars.TaskID] = {}
        self._begin = self._last_line = time.monotonic()
        self._console = console
        self._display = bars.Progress(
            bars.TextColumn('{task.description}'),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TextColumn('{task.fields[state]}'),
            console=console,
        )
        self._has_heard_of_all = False
        self._live = None
        if console.is_terminal:
            self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4)

    def __enter__(self) -> 'Progress':
        self._begin = self._last_line = time.monotonic()
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Takes in an event."""
        if event.cell:
            self._heard[event.cell] = time.monotonic()
        getattr(self, f'_on_{event.kind}')(event.cell, event.values)
        if not self._live:
            self._show_line_now_and_then()

    def remaining_seconds(self) -> float | None:
        """Time left at the pace so far; None before there is one."""
        done = sum(self._costs[cell] * part for cell, part in self._fractions.items())
        total = sum(self._costs.values())
        if done < _PART_TO_JUDGE_BY * total:
            return None
        return (total - done) * (time.monotonic() - self._begin) / done

    def _on_started(self, cell: str, values: dict) -> None:
        self._started[cell] = time.monotonic()
        self._states[cell] = 'compiling'
        self._bars[cell] = self._display.add_task(self._labels[cell], total=1.0, state='compiling')

    def _on_progress(self, cell: str, values: dict) -> None:
        self._fractions[cell] = values['step'] / values['total']
        if values['step'] == values['total']:
            self._states[cell] = 'evaluating'
        elif self._states[cell] == 'compiling':
            self._states[cell] = 'training'
        self._update(cell)

    def _on_record(self, cell: str, values: dict) -> None:
        if values['train_error'] is not None:
            self._states[cell] = _errors(values['train_error'], values['validation_error'])
        self._update(cell)

    def _on_finished(self, cell: str, values: dict) -> None:
        outcome = _errors(values['train_error'], values['validation_error'])
        if values['status'] == 'diverged':
            outcome = f'diverged at step {values["diverged_at_step"]}'
        self._end(cell, outcome)

    def _on_failed(self, cell: str, values: dict) -> None:
        self.failed.append(Failure(cell, values['message'], values['log']))
        self._end(cell, f'failed: {values["message"].rstrip(".")}; see {values["log"]}')

    def _on_elsewhere(self, cell: str, values: dict) -> None:
        self._end(cell, f'left alone: {values["message"].rstrip(".")}')

    def _on_notice(self, cell: str, values: dict) -> None:
        message = values['message']
        if message.startswith(_OF_ALL_WORKERS):
            if not self._has_heard_of_all:
                self._console.print(Text(message), soft_wrap=True)
            self._has_heard_of_all = True
            return
        self._console.print(Text(f'{self._labels[cell]}: {message}'), soft_wrap=True)

    def _on_silence(self, cell: str, values: dict) -> None:
        for running in self._started:
            self._update(running)

    def _on_stopping(self, cell: str, values: dict) -> None:
        self._console.print(
            'stopping: the cells that run are saved first; Ctrl-C again ends them at once.',
            soft_wrap=True,
        )

    def _on_lost(self, cell: str, values: dict) -> None:
        del self._started[cell]
        self._fractions[cell] = 0.0
        self._display.remove_task(self._bars.pop(cell))
        line = f'{self._labels[cell]}: {values["message"].rstrip(".")}; it waits to run again'
        self._console.print(Text(line), soft_wrap=True)

    def _end(self, cell: str, outcome: str) -> None:
        self._fractions[cell] = 1.0
        self._ended += 1
        seconds = time.monotonic() - self._started.pop(cell)
        self._display.remove_task(self._bars.pop(cell))
        self._last_line = time.monotonic()
        width = len(str(self._total))
        label = self._labels[cell]
        line = f'[{self._ended:>{width}}/{self._total}] {label:<{self._width}}  {outcome}'
        line += f', {seconds:.0f} s'
        if not self._live and self._ended < self._total:
            line += f'; {self._time_left()}'
        self._console.print(Text(line), soft_wrap=True)

    def _state(self, cell: str) -> str:
        silent = time.monotonic() - self._heard[cell]
        told = self._states[cell]
        return told if silent < _SILENT else f'{told}, silent for {silent / 60:.0f} min'

    def _update(self, cell: str) -> None:
        self._display.update(
            self._bars[cell], completed=self._fractions[cell], state=self._state(cell)
        )

    def _render(self) -> Group:
        status = f'{self._ended} of {cells_in_words(self._total)} done, {self._time_left()}'
        return Group(self._display, Text(status))

    def _time_left(self) -> str:
        seconds = self.remaining_seconds()
        if seconds is None:
            return 'estimating the time left'
        if seconds < 90:
            return f'about {seconds:.0f} s left'
        if seconds < 2 * 3600:
            return f'about {seconds / 60:.0f} min left'
        return f'about {seconds / 3600:.1f} h left'

    def _show_line_now_and_then(self) -> None:
        if time.monotonic() - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = time.monotonic()
        running = ', '.join(
            f'{self._labels[cell]} {100 * self._fractions[cell]:.0f} % ({self._state(cell)})'
            for cell in self._started
        )
        self._console.print(Text(f'running: {running}; {self._time_left()}'), soft_wrap=True)


def _label(cell: Cell) -> str:
    """The id of a cell, and its variant where the id does not say it."""
    at = cell.coordinates()
    return cell.id if at['variant'] == at['family'] else f'{cell.id} ({at["variant"]})'


def _errors(train: float, validation: float) -> str:
    return f'error: train {train:5.2f} %, validation {validation:5.2f} %'
