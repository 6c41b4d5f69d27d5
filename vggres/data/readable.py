"""Whole image files are decoded once before anything trains, so that none of them fails later."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import rich.progress as bars
from rich.console import Console

from vggres.data import cache, decoding
from vggres.data.source import SPLITS, DataConfig, Source, Split, pieces_of
from vggres.data.threads import in_threads

_TRAINING = 50_000  # images: to decode more takes many minutes, and training meets them early
_BETWEEN = 500  # images, after which the progress is shown


def check(found: Source, config: DataConfig, console: Console | None) -> None:
    """Decodes all image files of the splits, but for a very large training split.

    What was readable is noted in the cache, and not decoded again until a file changes.

    Args:
        found: a source that is prepared.
        config: the `data` part of a configuration.
        console: shows the progress; None for nobody.

    Raises:
        UserError: naming files that cannot be decoded.
    """
    places = list(dict.fromkeys(_places(found, config)))
    encoded = {part: found.encoded(part) for part in {part for part, _ in places}}

    def read() -> Split:
        if failures := _failures(encoded, places, found.name, console):
            raise decoding.unreadable(failures, len(places), found.name)
        return Split(np.zeros(0, np.uint8), np.zeros(0, np.int32))

    splits = [pieces_of(found, config, name) for name in SPLITS]
    key = cache.entry(f'{config.name.replace("/", "-")}-readable', found.cache_key(), splits)
    cache.cached(key, read)


def _places(found: Source, config: DataConfig) -> Iterator[tuple[str, int]]:
    """The part and the position of each image that is to be decoded."""
    for name in SPLITS:
        pieces = pieces_of(found, config, name)
        if name == 'train' and sum(len(positions) for _, positions in pieces) > _TRAINING:
            continue
        for part, positions in pieces:
            yield from ((part, position) for position in positions)


def _failures(
    encoded: Mapping[str, Sequence[tuple[bytes, str]]],
    places: Sequence[tuple[str, int]],
    name: str,
    console: Console | None,
) -> list[str]:
    """The image files that cannot be decoded, each with the reason."""

    def attempt(place: tuple[str, int]) -> str:
        part, position = place
        content, where = encoded[part][position]
        try:
            decoding.rgb(content)
        except OSError as error:
            return f'{where} ({error})'
        return ''

    lines = []
    with _progress(f'reading {len(places):,} images of {name}, once', len(places), console) as show:
        for start in range(0, len(places), _BETWEEN):
            chunk = places[start : start + _BETWEEN]
            lines += in_threads(attempt, chunk)
            show(len(chunk))
    return [line for line in lines if line]


@contextlib.contextmanager
def _progress(text: str, total: int, console: Console | None) -> Iterator[Callable[[int], object]]:
    """A bar in a terminal, and a line elsewhere."""
    if console is None or not console.is_terminal:
        if console:
            console.print(text, soft_wrap=True)
        yield lambda count: None
        return
    columns = (
        bars.TextColumn('{task.description}', markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True) as display:
        task = display.add_task(text, total=total)
        yield lambda count: display.advance(task, count)
