"""Faults of what the gateway has learned for its forecasts, and of what it learns from."""

import contextlib
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.strict_yaml import Seconds
from tests.simulation.applying import Undo
from tests.simulation.scenario import FaultEvent

if TYPE_CHECKING:
    from tests.simulation.world import World


def learned_lost(world: "World", event: FaultEvent) -> None:
    """Kill the daemon, and change what it had learned before it is started again. No number of a
    meter is lost.
    """
    changes = (
        "state = substr(state, 1, length(state) / 2) WHERE state != x''",
        "state = CAST(substr(state, 1, 4) || x'7f' || substr(state, 6) AS BLOB) WHERE state != x''",
        "formula = 'other.import'",
    )

    def change() -> None:
        path = world.settings.buffer_path
        if not path.exists():
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, path.name)
            for suffix in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(path.with_name(path.name + suffix), folder)
            with contextlib.closing(sqlite3.connect(copy)) as db, db:
                sql = f"UPDATE forecast_states SET {changes[int(event.amount)]}"
                world.fault_log.felt[event.fault] += db.execute(sql).rowcount
            data = copy.read_bytes()  # closed, it has all of its log
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(data)

    if not world.process.power_off:
        world.process.die(event.lasts, change)


def slot_changed(world: "World", event: FaultEvent) -> Undo:
    """Somebody writes another length of slots into gateway.yaml, and restarts the daemon."""

    def change(slot_s: float) -> None:
        world.configure(replace(world.scenario, slot=Seconds(slot_s)))
        world.fault_log.slots_of.append((world.time.s(), int(slot_s)))
        if not world.process.power_off:
            world.process.restart(0)

    change(event.amount)
    return partial(change, world.scenario.slot)
