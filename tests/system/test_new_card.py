"""The card died. A new one goes on from a backup, with the meters' registers and the exchange: the
user's own commands, whole processes.
"""

import asyncio
import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.cli.demo_home import Daemon
from gateway.cli.main import main

if TYPE_CHECKING:
    from uuid import UUID

    from tests.system.conftest import RunningSite, StartSite

pytestmark = pytest.mark.long

DEAD_SLOTS = 6
"""So long there is no box."""


async def test_a_new_card_goes_on_from_a_backup_and_nothing_is_sent_twice(
    tmp_path: Path, start_site: "StartSite"
) -> None:
    old, new, copy = tmp_path / "old", tmp_path / "new", tmp_path / "home.sqlite"
    old.mkdir()
    async with start_site(old) as site:
        await _slots(site, 3)
        assert main(["--config", str(old), "backup", str(copy)]) == 0
        await _slots(site, 3)
        assert site.daemon.process is not None
        site.daemon.process.kill()
        await site.daemon.process.wait()
        site.runs.cancel()
        await asyncio.wait([site.runs])
        shutil.rmtree(old)
        before = _booked(site)
        await asyncio.sleep((DEAD_SLOTS + 1) * site.slot_s)

        new.mkdir()
        said = await _command(new, "restore", str(copy))
        assert f"written: {new}/gateway.yaml" in said
        assert f"written: {new}/devices/grid.yaml" in said
        assert "the exchange shows slots up to" in said, said
        assert "those after it are missing there" in said
        assert "The copy ends at" in said
        assert "Start it with" in said
        assert (new / "exchange.credentials").stat().st_mode & 0o777 == 0o600
        assert b"password" not in (new / "buffer.sqlite").read_bytes(), "logins are in no buffer"

        daemon = Daemon(new)
        runs = asyncio.create_task(daemon.run())
        try:
            await _slots(site, DEAD_SLOTS + 3)
        finally:
            runs.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await runs

        after = _booked(site)
        changed = {key: (uwh, after[key]) for key, uwh in before.items() if after[key] != uwh}
        assert not changed, "sent again with another number"
        for name in site.site.assets:
            # No slot is missing in between, and the energy is right over all of them.
            assert abs(site.difference_wh(name)) <= site.allowed_wh(name), name


async def _command(folder: Path, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "--config", str(folder), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def _slots(site: "RunningSite", count: int) -> None:
    """Wait until so many more slots of every asset are booked."""
    wanted = {
        asset: len(slots) + count for asset, slots in site.exchange.books.measurements.items()
    }
    await site.until(
        lambda _: all(
            len(slots) >= wanted[asset] for asset, slots in site.exchange.books.measurements.items()
        ),
        "slots are booked",
    )


def _booked(site: "RunningSite") -> dict[tuple["UUID", int], int]:
    books = site.exchange.books.measurements
    return {(asset, slot_s): uwh for asset, slots in books.items() for slot_s, uwh in slots.items()}
