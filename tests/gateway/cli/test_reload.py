"""SIGHUP: a configuration that checks is used without missing a reading; another one is not."""

import asyncio
import os
import signal
import sys

import pytest

from drivers.profile import load_profile
from drivers.simulated.meters import ModbusTwin, modbus_tcp
from gateway.store.opening import open_for_reading
from tests.gateway.cli.notify_socket import heard, listening

INTERVAL_S = 4
VALUES = {"energy_import_wh": 12_345_678.0, "energy_export_wh": 4_000.0, "power_w": 1_234.0}
SITE = """\
site: {site}
market: {{slot: {slot}}}
assets: []
buffer: {{path: {path}, flush: 1s}}
clock: {{trust: assured}}
status: {{port: {page}}}
"""
PATIENCE_S = 60


class Daemon:
    """The daemon under a systemd that only listens."""

    def __init__(self, home, page, ear, process):
        self.home, self.page, self.ear, self.process = home, page, ear, process
        self.log = []
        self.said = []

    def configure(self, site="home-12", slot="15min", path="buffer.sqlite"):
        text = SITE.format(site=site, slot=slot, path=path, page=self.page)
        self.home.write("gateway.yaml", text)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    async def until(self, text):
        """Wait for a line of the log."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = (await self.process.stdout.readline()).decode()
                assert line, self.log
                self.log.append(line)
                if text in line:
                    return line

    async def until_status(self, text):
        """Wait for a status that systemd is told."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = [word for word in heard(self.ear) if word.startswith("STATUS=")]
                if any(text in status for status in found):
                    return
                await asyncio.sleep(0.1)

    def readings(self):
        """The instants (s, aligned) after which the meter was read before the next one."""
        buffer = open_for_reading(self.home.folder / "buffer.sqlite")
        times_s = [sample.utc_ms / 1000 for _, sample in buffer.samples() if sample.utc_ms]
        buffer.close_file()
        return sorted({int((each + 0.1) / INTERVAL_S) * INTERVAL_S for each in times_s})


@pytest.fixture
async def daemon(home, tmp_path, unused_tcp_port):
    twin = ModbusTwin(load_profile("eastron/sdm630"), lambda: VALUES, serial_number=20_110_001)
    async with modbus_tcp({1: twin}) as port:
        for path in (home.folder / "devices").glob("*.yaml"):
            path.unlink()
        home.write(
            "devices/grid.yaml",
            f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\ninterval: {INTERVAL_S}s\n",
        )
        with listening(tmp_path / "notify") as ear:
            found = Daemon(home, unused_tcp_port, ear, None)
            found.configure()
            found.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "--config", str(home.folder), "run",
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            )  # fmt: skip
            try:
                await found.until("open")
                yield found
            finally:
                if found.process.returncode is None:
                    found.process.terminate()
                await found.process.communicate()


async def test_a_changed_configuration_is_used_and_no_reading_is_missed(daemon):
    await asyncio.sleep(INTERVAL_S)
    for number in (1, 2):
        daemon.configure(site=f"changed-{number}")
        daemon.reload()
        await daemon.until(f"changed-{number}: 1 meters")
        await asyncio.sleep(2 * INTERVAL_S)
    daemon.process.terminate()
    assert await daemon.process.wait() == 0
    instants = daemon.readings()
    assert len(instants) >= 5
    assert instants == list(range(instants[0], instants[-1] + 1, INTERVAL_S))


async def test_a_mistake_leaves_the_old_configuration_in_use_and_the_status_says_so(daemon):
    daemon.home.write("gateway.yaml", "site: half-writ\nasse")
    daemon.reload()
    line = await daemon.until("reload refused, the old configuration goes on: ")
    assert "gateway.yaml:2" in line
    await daemon.until_status("reload refused, the old configuration goes on: ")
    assert daemon.process.returncode is None

    daemon.configure(site="mended")
    daemon.reload()
    await daemon.until("mended: 1 meters")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"path": "other.sqlite"}, "buffer.path"),
        ({"slot": "5min"}, "market.slot"),
        ({"path": "other.sqlite", "slot": "5min"}, "buffer.path and market.slot"),
    ],
)
async def test_what_only_a_restart_can_change_is_named(daemon, change, named):
    daemon.configure(**change)
    daemon.reload()
    line = await daemon.until("reload refused")
    assert f"{named} can only change with a restart: systemctl restart meter-gateway" in line
