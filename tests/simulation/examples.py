"""Scenarios and events that the simulator's own tests use, and books that are tampered with."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator

from drivers.strict_yaml import Seconds
from tests.simulation.result import RunResult
from tests.simulation.scenario import Fault, FaultEvent, Scenario

HOUR = Scenario(
    about="an hour and a half",
    lasts=Seconds(5400),
    interval=Seconds(60),
    starts="2026-03-10T09:50:00",
)


def fault_event(
    fault: str, at_s: float = 1800, lasts_s: float = 0, amount: float = 0.0, on: str = "grid"
) -> FaultEvent:
    """A fault at a time."""
    return FaultEvent(
        at=Seconds(at_s), fault=Fault(fault), lasts=Seconds(lasts_s), on=on, amount=amount
    )


@contextlib.contextmanager
def tampering(
    result: RunResult, judged: Callable[[RunResult], list[str]]
) -> Iterator[Callable[[str], list[str]]]:
    """Changes the books with SQL, and gives out what is said of them then. They are as before in
    the end.
    """
    path = result.settings.buffer_path
    before = path.read_bytes()

    def tamper(sql: str) -> list[str]:
        db = sqlite3.connect(path)
        with db:
            assert db.execute(sql).rowcount > 0
        db.close()
        return judged(result)

    yield tamper
    path.write_bytes(before)
