"""Which cell a free worker takes next."""

from collections.abc import Hashable, Iterable, Mapping

from vggres.config import program
from vggres.sweeps.cell import Cell


class Waiting:
    """The cells that have not started yet, by the compiled program that they share."""

    def __init__(self, cells: Iterable[Cell], costs: Mapping[str, float]) -> None:
        """Takes the cells in; `costs` holds the relative cost of each, by its id."""
        self._costs = costs
        self._cells: dict[Hashable, list[Cell]] = {}
        for cell in cells:
            self._cells.setdefault(program(cell.config), []).append(cell)

    def take(self, last: Cell | None, running: Iterable[Cell]) -> Cell | None:
        """The next cell for a worker; None when all have started.

        The first choice is a run of the program that the worker has compiled last, with another
        seed, learning rate or length; the second is the costliest program that no worker is busy
        with; the third is what is left of the costliest one.

        Args:
            last: what the worker did last.
            running: what the other workers are busy with.
        """
        if not self._cells:
            return None
        chosen = last and program(last.config)
        if chosen not in self._cells:
            busy = {program(cell.config) for cell in running}
            chosen = max(self._cells.keys() - busy or self._cells, key=self._cost)
        cells = self._cells[chosen]
        cell = cells.pop(0)
        if not cells:
            del self._cells[chosen]
        return cell

    def put_back(self, cell: Cell) -> None:
        """Lets a cell wait once more, which its worker could not run."""
        self._cells.setdefault(program(cell.config), []).insert(0, cell)

    def _cost(self, chosen: Hashable) -> tuple[float, str]:
        cells = self._cells[chosen]
        return sum(self._costs[cell.id] for cell in cells), cells[0].id
