"""That all is well is earned, and what is not well is said soon, and in the same words everywhere:
by daemons as processes.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers.profile import load_profile
from drivers.simulated.meters import ModbusTwin, modbus_tcp
from gateway.energy.slot import KNOWN
from tests.serving import serving

if TYPE_CHECKING:
    from gateway.cli.demo_home import Site
    from tests.system.conftest import RunningSite, StartSite

pytestmark = pytest.mark.xdist_group("health")

SOON_S = 30.0  # on a busy machine


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Systemd's end of NOTIFY_SOCKET, for the daemons that are started."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield ear


def told(ear: socket.socket) -> list[str]:
    """The statuses that systemd was told."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(ear.recv(4096).decode())
    return [each.removeprefix("STATUS=") for each in found if each.startswith("STATUS=")]


async def until_told(ear: socket.socket, begin: str) -> None:
    """Wait for a status that begins so."""
    async with asyncio.timeout(SOON_S):
        while not any(each.startswith(begin) for each in told(ear)):
            await asyncio.sleep(0.1)


async def healthz(site: "RunningSite") -> tuple[int, str]:
    reply = await site.page.get("/healthz")
    return reply.status_code, reply.text


async def test_all_is_well_once_everything_was_heard_and_all_say_so_alike(
    start_site: "StartSite", tmp_path: Path, systemd: socket.socket
) -> None:
    silent = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()

    def with_a_silent_meter(site: "Site") -> None:
        file = site.folder / "devices" / "slow.yaml"
        file.write_text(
            f"profile: eastron/sdm120\nline: tcp:127.0.0.1:{port}\ninterval: 2s\ntimeout: 8s\n"
        )

    async with (
        serving(slow) as port,
        start_site(tmp_path / "site", prepare=with_a_silent_meter) as site,
    ):
        report = await site.until(
            lambda r: r.starting() == ["slow not heard yet"], "only one meter is awaited"
        )
        assert report.headline() == "starting: slow not heard yet"
        assert await healthz(site) == (503, "starting: slow not heard yet\n")
        assert "meter_gateway_healthy 0\n" in (await site.page.get("/metrics")).text
        document = (await site.page.get("/status")).json()
        assert (document["verdict"], document["headline"]) == ("starting", report.headline())

        await until_told(systemd, "starting: slow not heard yet")

        silent.set()
        await site.until(lambda r: r.verdict == "unwell", "a meter that hangs up is not well")
        await until_told(systemd, "one thing needs attention: slow:")
        (site.site.folder / "devices" / "slow.yaml").unlink()
        assert site.daemon.process is not None
        site.daemon.process.terminate()
        await site.until(lambda r: r.verdict == "well", "without it all is well")
        assert await healthz(site) == (200, "ok\n")
        await until_told(systemd, "all is well")


async def test_a_refused_password_shows_and_goes_when_it_is_corrected(
    start_site: "StartSite", tmp_path: Path
) -> None:
    def with_a_wrong_password(site: "Site") -> None:
        (site.folder / "exchange.credentials").write_text("username: 'x'\npassword: 'y'\n")

    async with start_site(tmp_path, prepare=with_a_wrong_password) as site:
        report = await site.until(
            lambda r: any("does not take this user name" in each for each in r.unhealthy()),
            "the login is refused",
        )
        assert report.destinations[0].refused
        assert (await healthz(site))[0] == 503

        right = f"username: {site.exchange.username}\npassword: {site.exchange.password}\n"
        (site.site.folder / "exchange.credentials").write_text(right)
        await site.until(lambda r: r.destinations[0].state == "ok", "it is taken")
        await site.until(lambda r: not r.unhealthy(), "and all is well")


@pytest.mark.long
async def test_a_fuse_that_is_none_is_said_and_what_passes_is_unallocated(
    start_site: "StartSite", tmp_path: Path
) -> None:
    """`max_power: 250` beside a furnace of 1 MW: no reading follows the one before."""
    began_s = time.time()

    def furnace() -> dict[str, float]:
        return {"energy_import_wh": 1e6 + (time.time() - began_s) * 1e6 / 3600, "power_w": 1e6}

    twin = ModbusTwin(load_profile("eastron/sdm630"), furnace, serial_number=20_110_099)
    async with modbus_tcp({1: twin}) as port:

        def with_a_furnace(site: "Site") -> None:
            (site.folder / "devices" / "furnace.yaml").write_text(
                f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\ninterval: 1s\n"
                "max_power: 250\n"
            )

        async with start_site(tmp_path, prepare=with_a_furnace) as site:
            report = await site.until(
                lambda r: bool(site.meter(r, "furnace").unbelieved_why), "it is not believed"
            )
            (complaint,) = report.unhealthy()
            for expected in ("furnace: ", "import register", "max_power 250 W", "correct max_p"):
                assert expected in complaint
            assert "import register in a row are not believed" in (await healthz(site))[1]

            first = await site.until(lambda r: r.buffer.unallocated_wh > 0, "it is unallocated")
            last = await site.until(
                lambda r: r.buffer.unallocated > first.buffer.unallocated + 1, "slot by slot"
            )
            assert any("max_power" in event for event in last.buffer.events)

    imported = site.series()["furnace", "import"]
    assert not [slot for slot in imported if slot.quality in KNOWN]
    assert len(site.log("readings of its import register in a row")) == 1, "it is told once"


@pytest.mark.long
async def test_an_inverter_that_fades_out_sleeps_and_one_that_dies_while_it_produces_is_an_alarm(
    start_site: "StartSite", tmp_path: Path
) -> None:
    def inverter(power_w: float) -> ModbusTwin:
        values = {"energy_export_wh": 1e6, "power_w": -power_w}
        return ModbusTwin(load_profile("sma/inverter"), lambda: values, serial_number=3_000_000_001)

    async with contextlib.AsyncExitStack() as stack:
        suns = {"dusk": 0.0, "noon": 3000.0, "pool": 0.0}
        running = contextlib.AsyncExitStack()
        ports = {
            name: await running.enter_async_context(modbus_tcp({3: inverter(power_w)}))
            for name, power_w in suns.items()
        }
        stack.push_async_exit(running)

        def with_inverters(site: "Site") -> None:
            for name, port in ports.items():
                (site.folder / "devices" / f"{name}.yaml").write_text(
                    f"profile: sma/inverter\nline: tcp:127.0.0.1:{port}\naddress: 3\n"
                    f"interval: 2s\nseasonal: {str(name == 'pool').lower()}\n"
                )

        site = await stack.enter_async_context(start_site(tmp_path, prepare=with_inverters))
        await site.until(lambda r: r.verdict == "well", "all three are heard")
        await asyncio.sleep(2)
        await running.aclose()

        report = await site.until(lambda r: r.verdict == "unwell", "one is missed")
        noon = site.meter(report, "noon")
        assert noon.last_success_s is not None
        assert report.now_s - noon.last_success_s < noon.max_age_s + 5

        report = await site.until(
            lambda r: all(site.meter(r, name).asleep for name in ("dusk", "pool")), "others sleep"
        )
        assert [each.partition(":")[0] for each in report.unhealthy()] == ["noon"]

        # Who starts at night has the readings of before to go by.
        assert site.daemon.process is not None
        site.daemon.process.terminate()
        report = await site.until(
            lambda r: r.started_s > report.now_s and not r.starting(), "it is started again"
        )
        assert [each.partition(":")[0] for each in report.unhealthy()] == ["noon"]
        assert site.meter(report, "dusk").last_success_s is None


async def test_a_start_that_fails_alike_stays_and_goes_on_with_a_corrected_file(
    start_site: "StartSite", tmp_path: Path, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "run"
    kept.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(kept))

    def with_a_mistake(site: "Site") -> None:
        file = site.folder / "gateway.yaml"
        file.write_text(file.read_text().replace("site:", "sitee:", 1))

    async with start_site(tmp_path / "site", prepare=with_a_mistake) as site:
        async with asyncio.timeout(60):
            while site.daemon.starts < 2 or not site.log("not started"):
                await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        assert site.daemon.starts == 2, "the first ends with an error, the second one stays"
        lines = site.log()
        assert len(lines) < 12
        assert any("did you mean 'site'?" in line for line in lines)
        (said,) = set(told(systemd))
        assert said.startswith("not started: ")
        assert "gateway.yaml" in said

        file = site.site.folder / "gateway.yaml"
        file.write_text(file.read_text().replace("sitee:", "site:", 1))
        await site.until(lambda r: r.verdict == "well", "it starts by itself")
        assert site.daemon.starts == 2
        assert list(kept.iterdir()) == []
