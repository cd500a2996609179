"""The API of a real daemon: it tells what the exchange holds and the buffer says, and what is wrong
while meters go on.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.energy.counter import UWH_PER_WH

if TYPE_CHECKING:
    from tests.system.conftest import RunningSite

SLOTS = 3


async def asked(site: "RunningSite", path: str) -> Any:
    """What the API says."""
    answer = await site.page.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_api_tells_what_was_settled_sent_and_accepted(
    start_site: Any, tmp_path: Path
) -> None:
    async with start_site(tmp_path / "site") as site:
        await site.until_booked("enough slots are accepted", lambda booked: len(booked) >= SLOTS)

        now = await asked(site, "now")
        assert now["meters_heard"] == now["meters"] == 3
        assert {node["role"] for node in now["nodes"]} == {"grid", "house", "sun", "other"}
        assert all(node["power_w"] is not None for node in now["nodes"])
        assert now["today"]["sun_wh"] > 0

        for name, uuid in site.site.assets.items():
            booked = site.exchange.books.measurements[uuid]
            start_s = sorted(booked)[0]
            story = await asked(site, f"slots/{name}/{start_s}")
            newest = [each for each in story["deliveries"] if each["kind"] == "measurement"][-1]
            assert newest["state"] == "accepted"
            assert newest["energy_wh"] == booked[start_s] / UWH_PER_WH
            assert newest["answer"]
            assert story["terms"][0]["samples"] > 0
            assert len(story["power"][0]["points"]) > 1

            command = [sys.executable, "-m", "gateway", "explain", name, str(start_s), "--json"]
            told = await asyncio.to_thread(
                subprocess.run,
                [*command, "--config", str(site.site.folder)],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            explained = json.loads(told.stdout)
            assert explained["terms"] == story["terms"], "the terminal says the same"

        exchange = await asked(site, "exchange")
        [destination] = exchange["destinations"]
        assert {each["title"] for each in destination["assets"]} == set(site.site.assets)


async def test_a_stream_of_a_real_daemon_tells_each_slot(start_site: Any, tmp_path: Path) -> None:
    async with start_site(tmp_path / "site") as site:
        await site.report()
        names: list[str] = []
        async with asyncio.timeout(100), site.page.stream("GET", "/api/v1/live") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    names.append(line.removeprefix("event: "))
                if names.count("slot") >= 3 and names.count("delivery") >= 2:
                    break
        assert names[0] == "now"
        assert (await site.page.get("/healthz")).status_code in (200, 503)
