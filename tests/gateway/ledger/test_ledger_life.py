"""The ledger on a real buffer file: whatever is flushed, closed or killed in between, and whatever
clock, register and power do, the books stay right.
"""

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import MeterState, Slot, Unallocated
from tests.draws import draws
from tests.gateway.ledger.home import (
    BEGIN_S,
    Home,
    site,
    take,
)

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["", "", "", "flush", "stop", "kill", "prune", "checkpoint"]),
        st.sampled_from([10_000, 10_000, 10_000, 7_301, 45_000, 400_000, 2_000_000, 9_000_000]),
        st.integers(0, 12_000),
        st.integers(0, 4_000),
        st.sampled_from(["both", "both", "both", "grid", "pv"]),
    ),
    min_size=5,
    max_size=50,
)


SETTLED = [("", 10_000, 0, 0, "both"), ("", 60_000, 0, 0, "both"), ("flush", 10_000, 0, 0, "both")]
"""Readings at the end that leave no doubt."""


def check_series(
    slots: list[Slot],
    states: dict[str, MeterState | None],
    firsts: dict[str, int],
    mj: dict[str, int],
    left: list[Unallocated],
) -> None:
    """No slot is there twice; each counter's change is in its slots, one after the other."""
    keys = [(slot.device, slot.direction, slot.start_s) for slot in slots]
    assert len(keys) == len(set(keys))
    for device, direction, name in (("grid", "import", "import"), ("pv", "export", "pv")):
        mine = [slot for slot in slots if (slot.device, slot.direction) == (device, direction)]
        each = states[device].directions[direction]  # type: ignore[index,union-attr]
        booked_uwh = sum(slot.energy_uwh or 0 for slot in mine) + sum(
            one.energy_uwh for one in left if (one.device, one.direction) == (device, direction)
        )
        # In the register's step, as far as its first one said.
        begin_uwh = min(slot.begin_uwh for slot in [*mine, each.slot])
        assert firsts[name] <= begin_uwh <= firsts[name] + WH
        assert (
            booked_uwh + each.counter.counter_uwh - each.slot.begin_uwh
            == each.counter.counter_uwh - begin_uwh
        )
        register_uwh = mj[name] // 3_600_000 * WH
        assert register_uwh <= each.counter.counter_uwh <= register_uwh + WH
        began = {one.end_uwh: one.begin_uwh for one in left if one.kind == "start"}
        for a, b in pairwise(mine):
            begin_uwh = began.get(b.begin_uwh, b.begin_uwh)
            assert (
                (a.start_s + a.length_s, a.end_uwh) == (b.start_s, begin_uwh)
                or b.quality == "partial"
                or a.quality in ("partial", "missing")
            )


def read(home: Home, at_ms: int, who: str, mj: dict[str, int], grid_w: int, pv_w: int) -> None:
    """Both meters' registers are as they are, or one's; power is a little wrong."""
    if who in ("both", "grid"):
        home.take(
            "grid",
            at_ms,
            energy_import_wh=mj["import"] // 3_600_000,
            energy_export_wh=0,
            power_w=grid_w + 0.1,
        )
    if who in ("both", "pv"):
        home.take(
            "pv",
            at_ms,
            energy_import_wh=0,
            energy_export_wh=mj["pv"] // 3_600_000,
            power_w=-pv_w / 3,
        )


@settings(draws(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_flushes_restarts_and_kills_lose_nothing_and_double_nothing(
    example_folder: Callable[[], Path], actions: list[Any]
) -> None:
    folder = example_folder()
    home = Home(folder, site(folder))
    at_ms = BEGIN_S * 1000
    mj = {"import": 5_000 * 3_600_000, "pv": 9_000 * 3_600_000}
    firsts: dict[str, int] = {}
    try:
        for action, elapsed_ms, grid_w, pv_w, who in [
            ("flush", 0, 0, 0, "both"),
            *actions,
            *SETTLED,
        ]:
            at_ms += elapsed_ms
            mj["import"] += grid_w * elapsed_ms
            mj["pv"] += pv_w * elapsed_ms
            read(home, at_ms, who, mj, grid_w, pv_w)
            firsts = firsts or {name: value // 3_600_000 * WH for name, value in mj.items()}
            if action == "flush":
                home.buffer.flush()
            elif action == "prune":
                home.buffer.prune(home.now_s)
            elif action == "checkpoint":
                home.ledger.checkpoint()
            elif action in ("stop", "kill"):
                getattr(home, action)()
                home.boot += elapsed_ms > 60_000
                home.start()
        home.buffer.flush()
        states = {device: home.ledger.state_of(device) for device in ("grid", "pv")}
        slots = list(home.buffer.slots())
        assert home.buffer.slot_count == len(slots)
        left = [each.what for each in home.buffer.unallocated()]
        events = [
            kind for (kind,) in home.buffer.database.connection.execute("SELECT kind FROM events")
        ]
    finally:
        home.buffer.close_file()
        shutil.rmtree(folder)
    assert set(events) <= {"gap"}
    check_series(slots, states, firsts, mj, left)


LIFE = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "",
                "",
                "",
                "",
                "flush",
                "kill",
                "mute",
                "mute",
                "pause",
                "back",
                "far back",
                "forward",
                "far forward",
                "bogus",
            ]
        ),
        st.sampled_from([10_000, 10_000, 10_000, 60_000, 400_000, 2_000_000, 9_000_000]),
        st.integers(0, 12_000),
    ),
    min_size=5,
    max_size=60,
)
STEPS_MS = {"back": -300_000, "far back": -5_000_000, "forward": 300_000, "far forward": 20_000_000}


def booked_for_good_uwh(home: Home) -> int:
    """What the panels' meter has in slots that are not provisional, and on record as
    unallocated.
    """
    final = [
        slot
        for slot in home.buffer.slots()
        if slot.direction == "export" and slot.method != "power"
    ]
    left_uwh = sum(
        left.what.energy_uwh
        for left in home.buffer.unallocated()
        if left.what.direction == "export" and not left.is_withdrawn
    )
    return sum(slot.energy_uwh or 0 for slot in final) + left_uwh


def begins_uwh(home: Home) -> list[int]:
    """Where what is booked of the panels' meter begins. Where the register jumps in the first slot,
    what it jumped over comes before that slot.
    """
    slots = [slot.begin_uwh for slot in home.buffer.slots() if slot.direction == "export"]
    return slots + [
        left.what.begin_uwh
        for left in home.buffer.unallocated()
        if left.what.direction == "export" and not left.is_withdrawn
    ]


@settings(draws(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(life=[("", 10_000, 0), *[("bogus", 10_000, 0)] * 3, ("", 9_000_000, 0)])
@given(life=LIFE)
def test_whatever_clock_register_and_power_do_slots_and_records_are_the_change_of_the_counter(
    example_folder: Callable[[], Path], life: list[Any]
) -> None:
    """A kill loses samples that were not flushed, and no energy: registers are cumulative."""
    folder = example_folder()
    home = Home(folder, site(folder))
    true_ms, wrong_ms, mj = 0, 0, 9_000 * 3_600_000
    shown_wh: float | None = None
    mute = False
    try:
        for action, elapsed_ms, power_w in [
            *[("flush", 10_000, 0)] * 3,
            *life,
            ("", 10_000, 0),
            ("", 60_000, 0),
            ("flush", 10_000, 0),
        ]:
            true_ms += elapsed_ms
            mj += power_w * elapsed_ms
            wrong_ms += STEPS_MS.get(action, 0)
            mute ^= action == "mute"
            if action == "pause":
                shown_wh = None if shown_wh else mj // 3_600_000
            home.now_s = BEGIN_S + (true_ms + wrong_ms) / 1000
            values = {
                "energy_import_wh": 1.0,
                "energy_export_wh": 4e6 if action == "bogus" else shown_wh or mj // 3_600_000,
            }
            values = (
                {"power_w": -float(power_w)} if mute else {**values, "power_w": -float(power_w)}
            )
            take(
                home.ledger,
                Sample(
                    "pv", "S", "boot-0", true_ms + 1000, BEGIN_S * 1000 + true_ms + wrong_ms, values
                ),
            )
            if action in ("flush", "kill"):
                if action == "flush":
                    home.buffer.flush()
                else:
                    home.kill()
                    home.start()
        home.buffer.flush()
        state = home.ledger.state_of("pv")
        assert state is not None
        each = state.directions.get("export")
        if each is None:
            return
        booked_uwh = booked_for_good_uwh(home) + each.counter.counter_uwh - each.slot.begin_uwh
        begin_uwh = min([each.slot.begin_uwh, *begins_uwh(home)])
        assert booked_uwh == each.counter.counter_uwh - begin_uwh
        owed = [o.item for o in home.buffer.owed()]
        assert len({(item.subject, item.slot_s, item.kind, item.revision) for item in owed}) == len(
            owed
        )
    finally:
        home.buffer.close_file()
        shutil.rmtree(folder)
