"""The main job, from bytes on a wire to Wh accepted by an exchange, by the daemon as a process:
through a kill and outages.

Two sites live through their stories at the same time, because slots take their time; each test then
looks at what came of one of them.
"""

import asyncio
import csv
import signal
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.cli.demo_home import ASSETS

if TYPE_CHECKING:
    from tests.system.conftest import RunningSite, StartSite

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("main-job")

OUTAGE_SLOTS = 3


@dataclass
class Dated:
    """What happened at the site that speaks the dialect sdk."""

    site: "RunningSite"
    before_outage: int
    """How many (what, asset, slot) had been booked when the exchange went away."""
    pending_slots: list[int]
    """The slots that were owed when it came back."""
    exit_code: int


@dataclass
class Undated:
    """What happened at the site that speaks the dialect rest."""

    site: "RunningSite"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stories(
    start_site: "StartSite", tmp_path_factory: pytest.TempPathFactory
) -> tuple[Dated, Undated]:
    async with asyncio.TaskGroup() as group:
        dated = group.create_task(_dated(start_site, tmp_path_factory.mktemp("sdk")))
        undated = group.create_task(_undated(start_site, tmp_path_factory.mktemp("rest")))
    return dated.result(), undated.result()


@pytest.fixture(scope="module")
def dated(stories: tuple[Dated, Undated]) -> Dated:
    return stories[0]


@pytest.fixture(scope="module")
def undated(stories: tuple[Dated, Undated]) -> Undated:
    return stories[1]


async def _dated(start_site: Any, folder: Path) -> Dated:
    async with start_site(folder) as site:
        await site.until_booked(
            "three slots of every asset are accepted", lambda slots: len(slots) >= 3
        )

        site.daemon.process.kill()
        killed_at = site.exchange.now()
        await site.until_booked(
            "slots after the kill are accepted", lambda slots: max(slots) + site.slot_s > killed_at
        )

        site.exchange.mode("down")
        before_outage = len(site.exchange.books.booked)
        booked = site.exchange.books.measurements.values()
        newest_s = max(map(max, booked))
        await site.until(
            lambda _: (
                len(
                    {
                        o.item.slot_s
                        for name in ASSETS
                        for o in site.owed(name)
                        if o.state == "pending"
                    }
                    - {newest_s}
                )
                >= OUTAGE_SLOTS
            ),
            "three slots wait for the exchange",
        )
        # One that it has, and whose answer was lost as it went away, waits as well.
        pending_slots = sorted(
            {
                o.item.slot_s
                for name in ASSETS
                for o in site.owed(name)
                if o.state == "pending" and o.item.slot_s > newest_s
            }
        )
        site.exchange.mode("ok")
        await site.until_booked(
            "what was owed is accepted", lambda slots: set(pending_slots) <= slots.keys()
        )
        await site.until(
            lambda r: (
                r.destinations[0].backlog == 0
                and not any(o.state == "sent" for name in ASSETS for o in site.owed(name))
            ),
            "no backlog, and a verdict on everything",
        )

        process = site.daemon.process
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            exit_code = await process.wait()
    return Dated(site, before_outage, pending_slots, exit_code)


async def _undated(start_site: Any, folder: Path) -> Undated:
    async with start_site(folder, dialect="rest") as site:
        await site.until_booked(
            "two slots of every asset are accepted", lambda slots: len(slots) >= 2, dated=False
        )
        site.exchange.mode("down")
        lost_s = max(o.item.slot_s for o in site.owed("PV")) + site.slot_s
        await site.until(
            lambda _: all(_state(site, name, lost_s) == "missed" for name in ASSETS),
            "a slot is missed",
        )
        site.exchange.mode("ok")
        until_s = max(map(max, site.exchange.books.undated.values())) + 2 * site.slot_s
        await site.until_booked(
            "slots after the outage are accepted", lambda slots: max(slots) > until_s, dated=False
        )
    return Undated(site)


def _state(site: "RunningSite", name: str, slot_s: int) -> str:
    return next((o.state for o in site.owed(name) if o.item.slot_s == slot_s), "")


# --- dated energy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("asset", ASSETS)
def test_every_slot_is_accepted_and_the_totals_are_true_to_the_house(
    dated: Dated, asset: str
) -> None:
    """Through a kill, a new start and an outage. `difference_wh` wants every slot from the first to
    the last.
    """
    assert abs(dated.site.difference_wh(asset)) <= dated.site.allowed_wh(asset)


@pytest.mark.parametrize("asset", ASSETS)
def test_the_exchange_has_exactly_what_the_buffer_says_it_accepted(
    dated: Dated, asset: str
) -> None:
    dated.site.holds_what_it_accepted(asset)


def test_killed_it_starts_again_and_loses_and_doubles_no_energy(dated: Dated) -> None:
    assert dated.site.daemon.starts >= 2
    with dated.site.buffer() as buffer:
        # What the first step of a register says of where it began is in no slot.
        left = [record.what for record in buffer.unallocated()]
    assert {each.kind for each in left} <= {"start"}
    for series, slots in dated.site.series().items():
        unbooked = [
            each
            for each in left
            if (each.device, each.direction) == series and each.begin_uwh >= slots[0].end_uwh
        ]
        jumped_uwh = 0
        for before, after in pairwise(slots):
            assert after.start_s == before.start_s + before.length_s, series
            gap_uwh = after.begin_uwh - before.end_uwh
            assert gap_uwh in (0, *(each.energy_uwh for each in unbooked)), series
            jumped_uwh += gap_uwh
        assert jumped_uwh == sum(each.energy_uwh for each in unbooked), series
        assert all(slot.energy_uwh == slot.end_uwh - slot.begin_uwh for slot in slots), series
        assert {slot.quality for slot in slots[1:]} <= {"measured", "estimated"}, series


def test_nothing_was_sent_that_the_exchange_refused_or_dropped(
    dated: Dated, undated: Undated
) -> None:
    for site in (dated.site, undated.site):
        assert set(site.exchange.requests) <= {0, 101, 200}, "0 is the outage"
        assert not site.exchange.books.dropped["measurement"]


def test_after_an_outage_live_slots_go_before_the_backlog(dated: Dated) -> None:
    exchange = dated.site.exchange
    after = [
        slot_s
        for what, _, slot_s in list(exchange.books.booked)[dated.before_outage :]
        if what == "measurement"
    ]
    assert len(dated.pending_slots) >= OUTAGE_SLOTS
    assert after[0] > dated.pending_slots[0], "the oldest has no deadline that is near"
    assert set(dated.pending_slots) <= set(after)


def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(dated: Dated) -> None:
    missed, begins, ends = "can no longer be delivered", "deliveries fail", "takes deliveries again"
    lines = dated.site.log(begins, missed, ends)
    marks = [i for i, line in enumerate(lines) if missed not in line]
    assert [lines[i].partition(" ")[0] for i in marks] == ["WARNING", "INFO"], lines
    # What a busy machine is late with before the outage or after it has a line of its own.
    assert marks[1] - marks[0] == 2, "the rest of the forecasts is counted"


def test_a_polite_request_to_stop_is_obeyed(dated: Dated) -> None:
    assert dated.exit_code == 0


# --- undated energy -------------------------------------------------------------------------------


@pytest.mark.parametrize("asset", ASSETS)
def test_undated_energy_is_sent_once_and_inside_its_window(undated: Undated, asset: str) -> None:
    site = undated.site
    uuid = site.site.assets[asset]
    # What arrives during slot n + 1 is booked to slot n + 2: so the exchange's own book says when
    # it came.
    accepted = {
        o.item.slot_s + 2 * site.slot_s: o.item.energy_uwh
        for o in site.owed(asset)
        if o.state == "accepted"
    }
    assert accepted == site.exchange.books.undated[uuid]
    assert all(site.exchange.books.booked["undated", uuid, slot_s] == 1 for slot_s in accepted)


@pytest.mark.parametrize("asset", ASSETS)
def test_undated_energy_that_could_not_be_sent_in_time_is_missed_and_says_why(
    undated: Undated, asset: str
) -> None:
    missed = [
        o
        for o in undated.site.owed(asset)
        if o.state == "missed" and o.quality in ("measured", "estimated")
    ]
    assert missed
    assert all(o.reason.startswith("not delivered before its window closed") for o in missed)
    assert all("cannot be reached" in o.reason for o in missed), [o.reason for o in missed]


def test_what_was_missed_can_be_exported_with_its_reason(undated: Undated, tmp_path: Path) -> None:
    """The upload page's own format has no seconds, so slots of 5 s go as a plain table;
    tests/gateway/cli/test_export.py has the other.
    """
    site, table = undated.site, tmp_path / "slots.csv"
    command = [sys.executable, "-m", "gateway", "--config", str(site.site.folder), "export"]
    result = subprocess.run(
        [*command, "slots", "--output", str(table), "--asset", "Heat pump"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    missed = [
        row
        for row in csv.DictReader(table.read_text().splitlines())
        if row["delivery"] == "missed" and row["quality"] in ("measured", "estimated")
    ]
    known = [
        o
        for o in site.owed("Heat pump")
        if o.state == "missed" and o.quality in ("measured", "estimated")
    ]
    assert [round(float(row["energy_wh"]) * 10**6) for row in missed] == [
        o.item.energy_uwh for o in known
    ]
    assert [row["reason"] for row in missed] == [o.reason for o in known]

    command += ["undelivered", "--output", str(tmp_path / "upload")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    # On a slow machine so few slots may be whole that all of them begin with a minute.
    whole = [o.item for name in site.site.assets for o in site.owed(name) if o.state == "missed"
             and o.quality in ("measured", "estimated")]  # fmt: skip
    if any(item.slot_s % 60 for item in whole):
        assert result.returncode == 1
        assert "no seconds" in result.stderr
        left = list((tmp_path / "upload").glob("*"))
        assert not left, "half a file would be taken for a whole one"
