"""The real daemon, while other programs have their hands on its buffer, or it may open no more
files.
"""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from drivers.profile import load_profile
from drivers.simulated.meters import ModbusTwin, modbus_tcp

if TYPE_CHECKING:
    from tests.system.conftest import StartSite

pytestmark = pytest.mark.long

LOCKED_S = 12.0


async def test_a_locked_buffer_holds_nobody_up(tmp_path: Path, start_site: "StartSite") -> None:
    async with start_site(tmp_path) as site:
        await site.until_booked("something is delivered", lambda booked: len(booked) > 1)
        before = await site.report()
        browser = sqlite3.connect(site.site.buffer_path, isolation_level=None)
        browser.execute("BEGIN EXCLUSIVE")
        worst_s, began_s = 0.0, time.monotonic()
        while time.monotonic() - began_s < LOCKED_S:
            asked_s = time.monotonic()
            report = await site.report()
            worst_s = max(worst_s, time.monotonic() - asked_s)
            await asyncio.sleep(0.2)
        browser.execute("ROLLBACK")
        browser.close()

        assert worst_s < 1.0
        for was, meter in zip(before.meters, report.meters, strict=True):
            assert meter.samples - was.samples >= 0.6 * LOCKED_S, "it was read each second"
        assert "locked by another program (pid" in report.buffer.last_error
        assert "close the program" in report.buffer.last_error

        newest_s = int(time.time())
        await site.until_booked("all is delivered", lambda booked: max(booked) >= newest_s)
        report = await site.until(lambda report: report.buffer.state == "ok", "it is written")
        kinds = [event.split(": ")[0].split()[-1] for event in report.buffer.events]
        assert kinds.count("locked") == kinds.count("unlocked") == 1
        for asset in site.site.assets:
            assert abs(site.difference_wh(asset)) <= site.allowed_wh(asset)


async def test_a_write_that_can_never_fit_ends_the_daemon_and_loses_nothing(
    tmp_path: Path, start_site: "StartSite"
) -> None:
    async with start_site(tmp_path) as site:
        await site.until_booked("something is delivered", lambda booked: len(booked) > 1)
        another = sqlite3.connect(site.site.buffer_path, timeout=30)
        another.execute(
            """WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 60)
               INSERT INTO samples SELECT id + n, layout, boot, boottime_ms, utc_ms, data
               FROM more, (SELECT * FROM samples ORDER BY id DESC LIMIT 1)"""
        )
        another.commit()
        another.close()

        async with asyncio.timeout(60):
            while (await site.page.get("/healthz")).status_code != 503:
                await asyncio.sleep(0.1)
        async with asyncio.timeout(60):
            while site.daemon.starts < 2:
                await asyncio.sleep(0.1)
        assert site.log("the disk is not at fault", "the daemon ends")
        assert site.log("samples that waited are on disk")
        assert not site.log("dmesg", "Traceback")

        newest_s = int(time.time())
        await site.until_booked("it goes on", lambda booked: max(booked) >= newest_s)
        for asset in site.site.assets:
            assert abs(site.difference_wh(asset)) <= site.allowed_wh(asset)


async def test_where_no_more_files_can_be_opened_it_goes_on_and_says_so_in_a_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "gateway.yaml").write_text(
        "site: home\nbuffer: {path: buffer.sqlite}\nstatus: {port: 0}\nclock: {trust: assured}\n"
    )
    twin = ModbusTwin(load_profile("eastron/sdm630"), lambda: {"power_w": 1.0}, serial_number=1)
    log = tmp_path / "log"
    async with modbus_tcp({1: twin}) as port:
        (tmp_path / "devices/heat.yaml").write_text(
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 1\ninterval: 1s\n"
        )
        run = f"ulimit -n 24; exec {sys.executable} -m gateway --config {tmp_path} run"
        with log.open("wb") as file:
            daemon = subprocess.Popen(["sh", "-c", run], stdout=file, stderr=file)
        try:
            async with asyncio.timeout(60):
                while "status page: " not in log.read_text():
                    await asyncio.sleep(0.1)
            page = log.read_text().partition("status page: ")[2].split()[0]
            host, _, number = page.removeprefix("http://").partition(":")
            async with contextlib.AsyncExitStack() as many, httpx.AsyncClient() as client:
                writers = []
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        for _ in range(14):
                            _, writer = await asyncio.open_connection(host, int(number))
                            writers.append(writer)
                        await asyncio.sleep(4)
                for writer in writers:
                    many.callback(writer.close)
                await many.aclose()
                async with asyncio.timeout(60):
                    while True:
                        with contextlib.suppress(httpx.HTTPError):
                            report = (await client.get(f"{page}/status")).json()
                            if report["meters"][0]["samples"] > 5:
                                break
                        await asyncio.sleep(0.5)
            assert daemon.poll() is None
        finally:
            daemon.kill()
            daemon.wait()
    text = log.read_text()
    assert "Traceback" not in text
    assert text.count("out of system resource: Too many open files") == 1, text
