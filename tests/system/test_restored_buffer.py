"""An old copy of the buffer is put back, by hand or by the command, while the exchange has accepted
more since: no slot that it accepted may get another number.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.cli.main import main

if TYPE_CHECKING:
    from tests.system.conftest import RunningSite, StartSite

pytestmark = pytest.mark.long

AFTER = 3
"""Slots that are accepted after the copy was made, and after it was put back."""


def by_hand(site: "RunningSite", copy: Path) -> None:
    shutil.copyfile(copy, site.site.buffer_path)
    for suffix in ("-wal", "-shm"):
        Path(f"{site.site.buffer_path}{suffix}").unlink(missing_ok=True)


def by_command(site: "RunningSite", copy: Path) -> None:
    assert main(["--config", str(site.site.folder), "restore", str(copy)]) == 0


def onto_a_new_card(site: "RunningSite", copy: Path) -> None:
    for path in site.site.folder.glob("buffer.sqlite*"):
        path.unlink()
    by_command(site, copy)


def deleted(site: "RunningSite", _: Path) -> None:
    """Nothing is put back."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{site.site.buffer_path}{suffix}").unlink(missing_ok=True)


async def test_no_slot_that_was_accepted_is_sent_with_another_number(
    tmp_path: Path, start_site: "StartSite"
) -> None:
    """All at once, because slots take their time."""
    ways = by_hand, by_command, onto_a_new_card, deleted
    sites = [_put_back(tmp_path / way.__name__, start_site, way) for way in ways]
    for found in await asyncio.gather(*sites, return_exceptions=True):
        if found is not None:
            raise found


async def test_nor_where_the_whole_folder_is_put_back(
    tmp_path: Path, start_site: "StartSite", monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the marks beside the buffer, which are as old: systemd's cache folder tells."""
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("CACHE_DIRECTORY", str(cache))

    def whole_folder(site: "RunningSite", copy: Path) -> None:
        by_hand(site, copy)
        shutil.copyfile(f"{copy}.accepted", f"{site.site.buffer_path}.accepted")

    await _put_back(tmp_path / "home", start_site, whole_folder)


async def _put_back(
    folder: Path, start_site: "StartSite", put_back: Callable[["RunningSite", Path], None]
) -> None:
    folder.mkdir()
    async with start_site(folder) as site:
        await _more_slots(site, 2)
        copy = folder / "copy.sqlite"
        assert main(["--config", str(folder), "backup", str(copy)]) == 0
        shutil.copyfile(f"{site.site.buffer_path}.accepted", f"{copy}.accepted")
        await _more_slots(site, AFTER)

        assert site.daemon.process is not None
        site.daemon.process.terminate()
        await site.daemon.process.wait()
        site.runs.cancel()
        await asyncio.wait([site.runs])
        accepted = _booked(site)
        await asyncio.to_thread(put_back, site, copy)
        runs = asyncio.create_task(site.daemon.run())
        try:
            await _more_slots(site, AFTER)
        finally:
            runs.cancel()
            await asyncio.wait([runs])

        after = _booked(site)
        changed = {key: (uwh, after[key]) for key, uwh in accepted.items() if after[key] != uwh}
        assert not changed, f"{put_back.__name__}: sent with another number"
        assert len(after) >= len(accepted) + 3 * (AFTER - 2), "live slots go on"
        assert site.log("counts as accepted"), "nobody was told"
        with site.buffer() as buffer:
            assert any("counts as accepted" in event for event in buffer.latest_events())


async def _more_slots(site: "RunningSite", count: int) -> None:
    newest = {slot_s for _, slot_s in _booked(site)}
    until_s = max(newest, default=0) + count * site.slot_s
    if newest:
        await site.until_booked("goes on", lambda slots: max(slots, default=0) >= until_s)
    else:
        await site.until_booked("begins", lambda slots: len(slots) >= count)


def _booked(site: "RunningSite") -> dict[tuple[object, int], int]:
    books = site.exchange.books.measurements
    return {(asset, slot_s): uwh for asset, slots in books.items() for slot_s, uwh in slots.items()}
