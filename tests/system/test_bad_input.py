"""Bad input to the running daemon: one clear line each, counted and not repeated; a state on the
status page; and the rest goes on.

One site suffers everything, and one meter of it, the heat pump's, is well all the time. What is
done to the grid's meter, to the PV's and to the exchange happens at the same time, in three tracks;
each test then looks at one case. In the end, the energy must be right.
"""

import asyncio
import contextlib
import os
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from pymodbus.framer import FramerRTU

from drivers.line import SerialSettings
from drivers.profile import load_profile
from drivers.simulated.meters import (
    PV_ADDRESS,
    Home,
    ModbusTwin,
    grid_telegram,
    p1_meter,
    pv_values,
    simulated_home,
)
from drivers.simulated.wire import Wire, paced_line
from gateway.cli.demo_home import ASSETS, Site
from gateway.monitoring.report import MeterReport, Report

if TYPE_CHECKING:
    from tests.system.conftest import RunningSite, StartSite

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("bad-input")

FAST_BAUD = 921600
"""On a line of 115200 baud 1 MB of noise would take 90 s."""

NOISE_BYTES = 1_000_000


# --- the meters, and what is wrong with them ------------------------------------------------------


@dataclass
class GridMeter:
    """A P1 port whose telegrams can be spoiled."""

    house: Home
    spoil: Callable[[bytes], bytes] = bytes
    sent: int = 0

    def telegram(self, second: int) -> bytes:
        self.sent += 1
        return self.spoil(grid_telegram(self.house.truth, second))


Fault = Callable[[bytes], tuple[float, bytes]]
"""What comes instead of the right reply, and how much later, in seconds."""


def well(reply: bytes) -> tuple[float, bytes]:
    return 0.0, reply


@dataclass
class PvMeter:
    """A Modbus RTU meter on a wire that can be pulled out; `path` stays the same, as a name in
    /dev/serial/by-id does.
    """

    house: Home
    path: Path
    fault: Fault = well
    wire: Wire | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _fd: int = -1
    _heard: bytes = b""

    def plug_in(self) -> None:
        self._heard = b""
        self.wire = Wire(SerialSettings(baud=9600).char_s)
        self._fd = os.open(self.wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._fd, self._hear)
        self.path.symlink_to(self.wire.gateway_end)

    def pull_out(self) -> None:
        assert self.wire is not None
        self.path.unlink()
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self.wire.unplug()

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            self._heard += os.read(self._fd, 4096)
        if len(self._heard) >= 8:  # so long is every request to read registers
            task = asyncio.get_running_loop().create_task(self._answer(self._heard[:8], self._fd))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._heard = b""

    async def _answer(self, request: bytes, fd: int) -> None:
        _, function, address, count = struct.unpack(">BBHH", request[:6])
        twin = ModbusTwin(
            load_profile("eastron/sdm120"),
            lambda: pv_values(self.house.truth, time.time()),
            serial_number=19_040_002,
        )
        words = twin.read(function, address, count)
        body = (
            struct.pack(f">BB{len(words)}H", function, 2 * count, *words)
            if isinstance(words, list)
            else bytes((function | 0x80, words))
        )
        delay_s, reply = self.fault(with_checksum(bytes((PV_ADDRESS,)) + body))
        await asyncio.sleep(delay_s)
        with contextlib.suppress(OSError):
            os.write(fd, reply)


def with_checksum(frame: bytes) -> bytes:
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def wrong_checksum(telegram: bytes) -> bytes:
    return telegram.replace(b"*kWh", b"*kWj", 1)


def cut_off(telegram: bytes) -> bytes:
    return telegram[: len(telegram) // 2]


RTU_FAULTS: dict[str, tuple[Fault, str]] = {
    "exception": (
        lambda reply: (0, with_checksum(bytes((PV_ADDRESS, reply[1] | 0x80, 4)))),
        "with exception 4: it failed",
    ),
    "another address": (
        lambda reply: (0, with_checksum(bytes((PV_ADDRESS + 1,)) + reply[1:-2])),
        "address 3 answered instead",
    ),
    "short frame": (lambda reply: (0, reply[: len(reply) // 2]), "bytes came within 0.5 s"),
    "late reply": (lambda reply: (0.8, reply), "no answer within 0.5 s"),
    "wrong checksum": (lambda reply: (0, reply[:-2] + b"\0\0"), "wrong checksum"),
}


# --- the site -------------------------------------------------------------------------------------


@dataclass
class Suffering:
    """The site, its troubled meters, and what came of each case: None, or what was not as it should
    be.
    """

    site: "RunningSite"
    grid: GridMeter
    pv: PvMeter
    noise_fd: int
    outcomes: dict[str, AssertionError | None] = field(default_factory=dict)


Case = Callable[[Suffering], Awaitable[None]]


@contextlib.asynccontextmanager
async def suffering_site(start_site: "StartSite", folder: Path) -> AsyncIterator[Suffering]:
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(simulated_home())
        wire = await stack.enter_async_context(paced_line(SerialSettings(baud=FAST_BAUD).char_s))
        grid = GridMeter(house)
        await stack.enter_async_context(p1_meter(wire.meter_end, grid.telegram, time.time))
        noise_fd = os.open(wire.meter_end, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        stack.callback(os.close, noise_fd)
        pv = PvMeter(house, folder / "usb-RS485-adapter")
        pv.plug_in()
        stack.callback(pv.pull_out)

        def prepare(site: Site) -> None:
            device = site.folder / "devices" / "pv.yaml"
            device.write_text(device.read_text().replace(house.pv_path, str(pv.path)))
            device = site.folder / "devices" / "grid.yaml"
            device.write_text(
                device.read_text().replace(wire.gateway_end, f"{wire.gateway_end}?baud={FAST_BAUD}")
            )
            site.buffer_path.write_bytes(Random(2).randbytes(100_000))

        house = replace(house, grid_wire=wire)
        site = await stack.enter_async_context(start_site(folder, house=house, prepare=prepare))
        yield Suffering(site, grid, pv, noise_fd)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def suffering(start_site: "StartSite", tmp_path_factory: pytest.TempPathFactory) -> Suffering:
    async with suffering_site(start_site, tmp_path_factory.mktemp("bad")) as suffering:
        site = suffering.site
        async with asyncio.TaskGroup() as group:
            for track in TRACKS:
                group.create_task(_go_through(track, suffering))
        well_since_s = time.time()
        await site.until_booked(
            "slots after it all are accepted", lambda slots: max(slots) + site.slot_s > well_since_s
        )
        await site.until(lambda r: r.destinations[0].state == "ok", "the exchange is well")
    return suffering


async def _go_through(track: list[Case], suffering: Suffering) -> None:
    for case in track:
        name = case.__doc__ or ""
        suffering.outcomes[name] = None
        try:
            before = await suffering.site.report()
            await case(suffering)
            await suffering.site.until(
                lambda r, before=before: _goes_on(before, r),
                "the heat pump's meter is read all the while",
            )
        except AssertionError as error:
            suffering.outcomes[name] = error


def _goes_on(before: Report, now: Report) -> bool:
    (then,), (later,) = (
        [m for m in report.meters if m.name == "heat-pump"] for report in (before, now)
    )
    return (later.last_success_s or 0) > (then.last_success_s or 0)


# --- the cases: the grid's meter (P1) -------------------------------------------------------------


async def single_wrong_checksums(suffering: Suffering) -> None:
    """P1: a wrong checksum now and then"""
    site, grid = suffering.site, suffering.grid
    before, mark = site.meter(await site.report(), "grid"), len(site.log())
    grid.spoil = lambda telegram: wrong_checksum(telegram) if grid.sent % 2 else telegram
    after = await until_meter(
        site, "grid", lambda m: m.errors >= before.errors + 2, "wrong checksums are counted"
    )
    grid.spoil = bytes
    assert "wrong checksum: the telegram says" in after.last_error
    await until_meter(site, "grid", lambda m: m.samples >= after.samples + 2, "readings go on")
    lines = about_meter(site, "grid", mark)
    assert len(lines) == 1, lines
    assert "wrong checksum" in lines[0]
    assert "readings go on" in lines[0]


async def doubled_telegrams(suffering: Suffering) -> None:
    """P1: every telegram twice"""
    site, grid = suffering.site, suffering.grid
    before, mark = site.meter(await site.report(), "grid"), len(site.log())
    grid.spoil = lambda telegram: telegram + telegram
    after = await until_meter(
        site, "grid", lambda m: m.samples >= before.samples + 3, "readings go on"
    )
    grid.spoil = bytes
    assert (after.errors, after.glitches) == (before.errors, before.glitches), (
        "a telegram that is there twice harms nobody"
    )
    assert about_meter(site, "grid", mark) == []


async def truncated_telegrams(suffering: Suffering) -> None:
    """P1: nothing but truncated telegrams"""
    grid = suffering.grid

    def begin() -> None:
        grid.spoil = cut_off

    def end() -> None:
        grid.spoil = bytes

    await trouble_with_meter(
        suffering.site, "grid", begin, end, "a telegram began and did not end", failures=1
    )


async def noise(suffering: Suffering) -> None:
    """P1: 1 MB of noise"""
    grid = suffering.grid
    tasks: list[asyncio.Task[None]] = []

    def begin() -> None:
        grid.spoil = lambda _: b""  # else a whole telegram comes through now and then, and is read
        tasks.append(asyncio.create_task(make_noise(suffering.noise_fd)))

    def end() -> None:
        grid.spoil = bytes

    await trouble_with_meter(
        suffering.site,
        "grid",
        begin,
        end,
        "check the cable",
        failures=1,
        wait=lambda: asyncio.gather(*tasks),
    )


async def make_noise(fd: int) -> None:
    rest = memoryview(Random(1).randbytes(NOISE_BYTES))
    while rest:
        try:
            rest = rest[os.write(fd, rest[:2048]) :]
        except BlockingIOError:
            await asyncio.sleep(0.01)


# --- the cases: the PV's meter (Modbus RTU) -------------------------------------------------------


def rtu_case(name: str) -> Case:
    async def case(suffering: Suffering) -> None:
        fault, text = RTU_FAULTS[name]

        def begin() -> None:
            suffering.pv.fault = fault

        def end() -> None:
            suffering.pv.fault = well

        await trouble_with_meter(suffering.site, "pv", begin, end, text)

    case.__doc__ = f"Modbus: {name}"
    return case


async def silence(suffering: Suffering) -> None:
    """Modbus: silence for so long that the line is opened anew"""
    site = suffering.site
    line = site.line_of(await site.report(), "pv")

    def begin() -> None:
        suffering.pv.fault = lambda _: (0, b"")

    def end() -> None:
        suffering.pv.fault = well

    async def opened_anew() -> None:
        report = await site.until(
            lambda r: site.line_of(r, "pv").errors > line.errors, "the line is opened anew"
        )
        assert "no meter answers" in site.line_of(report, "pv").last_error

    await trouble_with_meter(
        site, "pv", begin, end, "no answer within 0.5 s", failures=3, wait=opened_anew
    )


async def vanished_port(suffering: Suffering) -> None:
    """Modbus: the adapter is unplugged and plugged in again"""
    site, pv = suffering.site, suffering.pv
    before, mark = await site.report(), len(site.log())
    pv.pull_out()

    def gone(report: Report) -> bool:
        line, meter = site.line_of(report, "pv"), site.meter(report, "pv")
        return (
            line.state == meter.state == "retrying" and "there is no such port" in line.last_error
        )

    report = await site.until(gone, "the page says that the port is gone")
    assert site.line_of(report, "pv").errors >= site.line_of(before, "pv").errors + 2
    assert site.meter(report, "pv").errors >= site.meter(before, "pv").errors + 2
    lines = site.log(str(pv.path), " pv:", since=mark)
    assert len(lines) == 1, lines
    assert f"WARNING serial:{pv.path}" in lines[0]
    assert "the port has vanished" in lines[0]
    assert "check the plug and the cable" in lines[0]
    pv.plug_in()
    await site.until(
        lambda r: site.meter(r, "pv").state == "ok" and site.line_of(r, "pv").state == "open",
        "it comes back by itself",
    )
    lines = site.log(str(pv.path), " pv:", since=mark)
    assert len(lines) == 2, lines
    assert "works again after" in lines[1]


# --- the cases: the exchange ----------------------------------------------------------------------


async def first_slots(suffering: Suffering) -> None:
    """Exchange: all is well"""
    await suffering.site.until_booked("a slot of every asset is accepted", bool)


async def web_pages(suffering: Suffering) -> None:
    """Exchange: 200 with a web page"""
    await trouble_with_exchange(
        suffering.site, lambda: suffering.site.exchange.mode("html"), "something other than JSON"
    )


async def server_errors(suffering: Suffering) -> None:
    """Exchange: 500"""
    await trouble_with_exchange(
        suffering.site,
        lambda: suffering.site.exchange.mode("status", status=500),
        "the exchange answered 500",
    )


async def too_many_requests(suffering: Suffering) -> None:
    """Exchange: 429 with Retry-After is obeyed"""
    site = suffering.site
    exchange = site.exchange
    before, mark = (await site.report()).destinations[0], len(site.log())
    exchange.mode("status", status=429, retry_after_s=7, times=1)
    await site.until(lambda r: r.destinations[0].state == "retrying", "it is told to wait")
    asked_s = next(at_s for at_s, _, status in reversed(exchange.journal) if status == 429)
    after = (
        await site.until(
            lambda r: r.destinations[0].requests > before.requests + 1, "it tries again"
        )
    ).destinations[0]
    assert "answered 429" in after.last_error
    next_s = next(at_s for at_s, _, _ in exchange.journal if at_s > asked_s)
    assert next_s >= asked_s + 6.9, (
        "no request before the time that it was asked to wait, not even for a slot that has just "
        "closed"
    )
    await exchange_is_well(site, mark)


async def expired_login(suffering: Suffering) -> None:
    """Exchange: 401 at any time leads to one new login, and nobody hears of it"""
    site = suffering.site
    logins, before, mark = (
        site.exchange.logins,
        (await site.report()).destinations[0],
        len(site.log()),
    )
    site.exchange.revoke_tokens()
    after = (
        await site.until(
            lambda r: r.destinations[0].accepted >= before.accepted + 2, "deliveries go on"
        )
    ).destinations[0]
    assert site.exchange.logins == logins + 1
    assert after.errors == before.errors
    assert not site.log("WARNING deliveries", since=mark)


async def wrong_password(suffering: Suffering) -> None:
    """Exchange: a wrong password is not hammered, and a corrected file is used at once"""
    site = suffering.site
    logins, password, mark = site.exchange.logins, site.exchange.password, len(site.log())
    site.exchange.password = "another one"
    site.exchange.revoke_tokens()
    before = (await site.report()).destinations[0]
    report = await site.until(
        lambda r: r.destinations[0].errors >= before.errors + 3, "the page says so"
    )
    assert "does not take this user name and password" in report.destinations[0].last_error
    assert site.exchange.logins == logins + 1, (
        "the answer will be the same as long as the password is"
    )
    assert len(site.log("WARNING deliveries fail", since=mark)) == 1
    credentials = site.site.folder / "exchange.credentials"
    credentials.write_text(credentials.read_text().replace(password, "another one"))
    await exchange_is_well(site, mark)
    assert site.exchange.logins == logins + 2
    everything = site.daemon.log_path.read_text() + (await site.page.get("/status")).text
    assert "another one" not in everything
    assert password not in everything


async def lost_answers(suffering: Suffering) -> None:
    """Exchange: it accepts, and its answer is lost"""
    site = suffering.site
    await trouble_with_exchange(
        site, lambda: site.exchange.mode("drop_after_accept"), "cannot be reached"
    )
    # Another number may be the first to get through.
    await site.until(
        lambda _: max(site.exchange.booked.values()) > 1,
        "it is sent again, for nobody knew that it had been accepted",
    )


# --- what is asked of every case ------------------------------------------------------------------


async def until_meter(
    site: "RunningSite", name: str, condition: Callable[[MeterReport], bool], what: str
) -> MeterReport:
    return site.meter(
        await site.until(lambda r: condition(site.meter(r, name)), f"{name}: {what}"), name
    )


def about_meter(site: "RunningSite", name: str, mark: int) -> list[str]:
    """What the log says of a meter and of its line, from a line on."""
    line = {"pv": str(site.site.folder / "usb-RS485-adapter"), "grid": site.house.grid_path}[name]
    return site.log(f" {name}: ", f":{line}", since=mark)


async def trouble_with_meter(
    site: "RunningSite",
    name: str,
    begin: Callable[[], None],
    end: Callable[[], None],
    text: str,
    *,
    failures: int = 2,
    wait: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """One line when it begins, however often it fails; the page says so; one line when it is over,
    and it goes on by itself.
    """
    before, mark = site.meter(await site.report(), name), len(site.log())
    begin()
    try:
        during = await until_meter(
            site,
            name,
            lambda m: m.state == "retrying" and m.errors >= before.errors + failures,
            "the page says that it fails",
        )
        assert text in during.last_error
        if wait:
            await wait()
        lines = about_meter(site, name, mark)
        assert len(lines) == 1, lines
        assert lines[0].startswith(f"WARNING {name}: ")
        assert text in lines[0]
    finally:
        end()
    await until_meter(
        site, name, lambda m: m.state == "ok" and m.samples > before.samples, "it answers again"
    )
    lines = about_meter(site, name, mark)
    assert len(lines) == 2, lines
    assert lines[1].startswith(f"INFO {name}: answers again after ")


async def trouble_with_exchange(site: "RunningSite", begin: Callable[[], None], text: str) -> None:
    """One line when it begins; the page says so; what is owed is kept, and delivered when it is
    over.
    """
    before, mark = (await site.report()).destinations[0], len(site.log())
    begin()
    report = await site.until(
        lambda r: (
            r.destinations[0].state == "retrying" and r.destinations[0].errors >= before.errors + 2
        ),
        "the page says that it fails",
    )
    assert text.removeprefix("the exchange ") in report.destinations[0].last_error
    assert report.destinations[0].backlog > 0
    lines = site.log("WARNING deliveries fail", since=mark)
    assert len(lines) == 1, lines
    assert text in lines[0]
    site.exchange.mode("ok")
    await exchange_is_well(site, mark)


async def exchange_is_well(site: "RunningSite", mark: int) -> None:
    await site.until(
        lambda r: r.destinations[0].state == "ok", "the exchange takes deliveries again"
    )
    lines = site.log("deliveries fail", "takes deliveries again", since=mark)
    assert [line.partition(" ")[0] for line in lines] == ["WARNING", "INFO"], lines


TRACKS: list[list[Case]] = [
    [single_wrong_checksums, doubled_telegrams, truncated_telegrams, noise],
    [*map(rtu_case, RTU_FAULTS), silence, vanished_port],
    [
        first_slots,
        web_pages,
        server_errors,
        expired_login,
        lost_answers,
        wrong_password,
        too_many_requests,
    ],
]


# --- the tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case.__doc__ for track in TRACKS for case in track])
def test_it_is_said_once_and_counted_and_the_rest_goes_on(suffering: Suffering, case: str) -> None:
    failure = suffering.outcomes[case]
    if failure is not None:
        raise failure


@pytest.mark.parametrize("asset", ASSETS)
def test_no_energy_is_lost_or_doubled_through_all_of_it(suffering: Suffering, asset: str) -> None:
    site = suffering.site
    assert abs(site.difference_wh(asset)) <= site.allowed_wh(asset)
    accepted = {o.item.slot_s: o.item.energy_uwh for o in site.owed(asset) if o.state == "accepted"}
    assert accepted == site.exchange.measurements[site.site.assets[asset]]


def test_a_file_that_is_not_a_database_is_set_aside_and_a_new_one_begun(
    suffering: Suffering,
) -> None:
    site = suffering.site
    aside = list(site.site.folder.glob("buffer.sqlite.damaged-*"))
    assert [path.read_bytes() for path in aside] == [Random(2).randbytes(100_000)], (
        "it is kept as it was, for whoever can read it"
    )
    lines = site.log("buffer.sqlite")
    assert len(lines) == 1, lines
    assert "was damaged (file is not a database); it was set aside as" in lines[0]
    with site.buffer() as buffer:
        assert [
            event for event in buffer.latest_events(1000) if "buffer.sqlite was damaged" in event
        ]


def test_the_daemon_never_had_to_start_again(suffering: Suffering) -> None:
    assert suffering.site.daemon.starts == 1
    assert not suffering.site.log("Traceback")


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("file", "text", "where"),
    [
        ("gateway.yaml", "site: home\nmarket: {slot: 15min\nassets: []\n", "gateway.yaml:3"),
        (
            "devices/pv.yaml",
            "profile: eastron/sdm120\n\tline: serial:/dev/ttyUSB0\n",
            "devices/pv.yaml:2",
        ),
        ("devices/pv.yaml", "\x00\x01\x02 not text at all", "devices/pv.yaml:1"),
    ],
)
def test_yaml_that_is_not_yaml_is_told_with_its_file_and_line(
    tmp_path: Path, command: str, file: str, text: str, where: str
) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "gateway.yaml").write_text("site: home\n")
    (tmp_path / "devices" / "pv.yaml").write_text(
        "profile: eastron/sdm120\nline: serial:/dev/ttyUSB0\n"
    )
    (tmp_path / file).write_text(text)
    result = subprocess.run(
        [sys.executable, "-m", "gateway", "--config", str(tmp_path), command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    told = result.stdout + result.stderr
    assert where in told, told
    assert "Traceback" not in told
