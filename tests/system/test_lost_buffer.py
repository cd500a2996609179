"""A buffer that is taken away from under the running daemon: its folder removed, its file emptied
or written over, its log cut off. Then the daemon is killed.

Nothing that the exchange accepted may be gone from the books, and no slot may be missing in them.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.store.opening import open_for_reading

if TYPE_CHECKING:
    from gateway.cli.demo_home import Site
    from tests.system.conftest import RunningSite, StartSite

pytestmark = pytest.mark.long

BUFFER = "state/buffer.sqlite"
BEFORE = 3
"""Slots before it happens."""
AFTER = 2
"""Slots after it, until the daemon is killed."""


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def empty_file(path: Path) -> None:
    os.truncate(path, 0)


def empty_log(path: Path) -> None:
    os.truncate(path.with_name(path.name + "-wal"), 0)


def write_over(path: Path) -> None:
    path.write_bytes(os.urandom(1 << 20))


async def test_what_is_taken_away_from_the_running_daemon_is_made_anew(
    tmp_path: Path, start_site: "StartSite"
) -> None:
    """All at once, because slots take their time."""
    attacks = remove_folder, empty_file, empty_log, write_over
    sites = [_take_away(tmp_path / attack.__name__, start_site, attack) for attack in attacks]
    for found in await asyncio.gather(*sites, return_exceptions=True):
        if found is not None:
            raise found


async def _take_away(folder: Path, start_site: "StartSite", attack: Callable[[Path], None]) -> None:
    folder.mkdir()
    async with start_site(folder, prepare=_in_a_folder_of_its_own) as site:
        await site.until_booked("some slots", lambda slots: len(slots) >= BEFORE)
        booked = _booked(site)
        attack(folder / BUFFER)

        await _more_slots(site, AFTER)
        assert site.daemon.process is not None
        site.daemon.process.kill()
        await _more_slots(site, AFTER)

        assert site.daemon.starts == 2
        assert booked - _accepted(folder / BUFFER) == set(), f"{attack.__name__}: gone"
        for name in site.site.assets:
            assert abs(site.difference_wh(name)) <= site.allowed_wh(name), attack.__name__
        assert site.log("while it was open"), "nobody was told"


async def test_where_it_cannot_be_made_anew_nothing_is_delivered_and_what_is_lost_is_said(
    tmp_path: Path, start_site: "StartSite"
) -> None:
    async with start_site(tmp_path, prepare=_in_a_folder_of_its_own) as site:
        await site.until_booked("some slots", lambda slots: len(slots) >= 2)
        folder = (tmp_path / BUFFER).parent
        shutil.rmtree(folder)
        folder.touch()  # a file where the folder was

        report = await site.until(lambda report: bool(report.unhealthy()), "it is not well")
        assert "buffer: failing" in report.unhealthy()[0]
        assert (await site.page.get("/healthz")).status_code == 503
        booked = _booked(site)
        await asyncio.sleep(2 * site.slot_s)
        assert _booked(site) == booked, "something was delivered that is not on disk"

        assert site.daemon.process is not None
        site.daemon.process.terminate()
        await site.daemon.process.wait()
        [line] = site.log("stopped, and lost with that")
        assert "samples and" in line
        assert "slots of meters, from" in line
        assert "Traceback" not in "\n".join(site.log())


def _in_a_folder_of_its_own(site: "Site") -> None:
    (site.folder / BUFFER).parent.mkdir()
    settings = site.folder / "gateway.yaml"
    settings.write_text(settings.read_text().replace("path: buffer.sqlite", f"path: {BUFFER}"))


async def _more_slots(site: "RunningSite", count: int) -> None:
    newest = {slot_s for _, slot_s in _booked(site)}
    until_s = max(newest) + count * site.slot_s
    await site.until_booked("goes on", lambda slots: max(slots, default=0) >= until_s)


def _booked(site: "RunningSite") -> set[tuple[object, int]]:
    books = site.exchange.books.measurements
    return {(asset, slot_s) for asset, slots in books.items() for slot_s in slots}


def _accepted(path: Path) -> set[tuple[object, int]]:
    buffer = open_for_reading(path)
    try:
        return {(o.item.subject, o.item.slot_s) for o in buffer.owed() if o.state == "accepted"}
    finally:
        buffer.close_file()
