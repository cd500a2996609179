"""How much a day leaves in the log: the gateway's own lines over simulated days."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figure import Figure
from tests.simulation import world
from tests.simulation.scenario import read

TITLE = "lines of log a day"

_DAY = """\
about: a day
starts: '2026-03-10T00:00:00'
lasts: 24h
interval: 60s
happens: {happens}
must: {{}}
"""
_DEAD = "[{at: 60min, fault: silent_meter, lasts: 22h, on: heat-pump}]"


class _Counting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        """As the daemon logs: from `info` on."""
        self.lines += record.levelno >= logging.INFO


def figures() -> Iterator[Figure]:
    """One day without a fault, one with a meter that does not answer."""
    quiet, dead = _lines("[]"), _lines(_DEAD)
    yield Figure("lines of a quiet day", quiet, "", 200, "low", "three meters, three assets, sdk")
    yield Figure("lines of a day with a dead meter", dead, "", 300, "low", "22 h of it")


def _lines(happens: str) -> int:
    counting, root = _Counting(), logging.getLogger()
    level = root.level
    root.addHandler(counting)
    root.setLevel(logging.INFO)
    others = [each for each in root.handlers if each is not counting]
    for each in others:
        root.removeHandler(each)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            scenario = read(_DAY.format(happens=happens).encode(), "a day")
            world.run(scenario, Path(scratch) / "site", quiet=False)
    finally:
        root.removeHandler(counting)
        for each in others:
            root.addHandler(each)
        root.setLevel(level)
    return counting.lines
