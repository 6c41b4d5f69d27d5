"""Lets contenders take turns, and computes the ratios of their times."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vggres.executors.placement import default_environment, placement

SECONDS_PER_TURN = 2.0  # about as long as a dispatch of the trainer
_PAUSE_SECONDS = 0.3  # after a turn, for threads that spin before they sleep


@dataclass
class Contender:
    """A process that does as many steps as it is told (see `benchmarks.contenders`).

    Attributes:
        name: the name of the contender.
        process: the process.
        begun: what it cost to begin: seconds of compilation, and MB of temporaries.
        steps_per_turn: the number of steps in a turn.
        step_seconds: the seconds of a step, in each round.
        peak_mb: the most memory that the process has held, in MB.
    """

    name: str
    process: subprocess.Popen
    begun: dict
    steps_per_turn: int = 1
    step_seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    def take_turn(self, count: int) -> float:
        """Does `count` steps, and returns the seconds that one of them took."""
        self.process.stdin.write(f'{count}\n')
        self.process.stdin.flush()
        answer = _answer(self.name, self.process)
        self.peak_mb = answer['peak_mb']
        time.sleep(_PAUSE_SECONDS)
        return answer['seconds'] / count


def start(name: str, arguments: Sequence[str]) -> Contender:
    """Starts a contender, warms it up, and finds how many steps make a turn.

    Args:
        name: the name of the contender.
        arguments: the command-line arguments of its process, after the name.
    """
    process = subprocess.Popen(
        [sys.executable, '-m', 'benchmarks.contenders', name, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_surroundings(name) | os.environ | placement(0, 1),
    )
    contender = Contender(name, process, _answer(name, process))
    contender.take_turn(1)
    seconds = contender.take_turn(1)
    contender.steps_per_turn = max(1, round(SECONDS_PER_TURN / seconds))
    return contender


def alternate(contenders: Sequence[Contender], rounds: int) -> None:
    """Lets each contender take a turn in each round; each round begins with another one."""
    for r in range(rounds):
        first = r % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            seconds = contender.take_turn(contender.steps_per_turn)
            contender.step_seconds.append(seconds)


def stop(contenders: Sequence[Contender]) -> None:
    """Ends the processes of contenders."""
    for contender in contenders:
        contender.process.stdin.close()
        contender.process.wait()


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, the smallest and the largest of some values."""
    return statistics.median(values), min(values), max(values)


def ratios(contender: Contender, other: Contender) -> tuple[float, float, float]:
    """The ratios of two contenders' step times, round by round: median, smallest and largest."""
    pairs = zip(contender.step_seconds, other.step_seconds, strict=True)
    return spread([a / b for a, b in pairs])


def _surroundings(name: str) -> dict[str, str]:
    """The environment of our workers without their compilation cache; others get none of it."""
    if name != 'ours':
        return {}
    return {key: value for key, value in default_environment().items() if 'CACHE' not in key}


def _answer(name: str, process: subprocess.Popen) -> dict:
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f'{name} ended with exit code {process.wait()}')
    return json.loads(line)
