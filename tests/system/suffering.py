"""A site that suffers: meters whose answers can be spoiled, and how one sees that an error was
logged once, counted, and over.
"""

import asyncio
import contextlib
import os
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

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
from gateway.cli.demo_home import Site
from gateway.monitoring.report import MeterReport, Report
from tests.drivers.modbus.frames import sealed

if TYPE_CHECKING:
    from tests.system.conftest import RunningSite, StartSite

FAST_BAUD = 921600
"""On a line of 115200 baud 1 MB of noise would take 90 s."""


# --- the meters, and what is wrong with them ------------------------------------------------------


@dataclass
class GridMeter:
    """A P1 port whose telegrams can be spoiled."""

    home: Home
    spoil: Callable[[bytes], bytes] = bytes
    sent: int = 0

    def telegram(self, second: int) -> bytes:
        self.sent += 1
        return self.spoil(grid_telegram(self.home.truth, second))


Fault = Callable[[bytes], tuple[float, bytes]]
"""What comes instead of the right reply, and how much later, in seconds."""


def well(reply: bytes) -> tuple[float, bytes]:
    return 0.0, reply


@dataclass
class PvMeter:
    """A Modbus RTU meter on a wire that can be pulled out; `path` stays the same, as a name in
    /dev/serial/by-id does.
    """

    home: Home
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
            lambda: pv_values(self.home.truth, time.time()),
            serial_number=19_040_002,
        )
        words = twin.read(function, address, count)
        body = (
            struct.pack(f">BB{len(words)}H", function, 2 * count, *words)
            if isinstance(words, list)
            else bytes((function | 0x80, words))
        )
        delay_s, reply = self.fault(sealed(bytes((PV_ADDRESS,)) + body))
        await asyncio.sleep(delay_s)
        with contextlib.suppress(OSError):
            os.write(fd, reply)


def wrong_checksum(telegram: bytes) -> bytes:
    return telegram.replace(b"*kWh", b"*kWj", 1)


def cut_off(telegram: bytes) -> bytes:
    return telegram[: len(telegram) // 2]


RTU_FAULTS: dict[str, tuple[Fault, str]] = {
    "exception": (
        lambda reply: (0, sealed(bytes((PV_ADDRESS, reply[1] | 0x80, 4)))),
        "with exception 4: it failed",
    ),
    "another address": (
        lambda reply: (0, sealed(bytes((PV_ADDRESS + 1,)) + reply[1:-2])),
        "address 3 answered instead",
    ),
    "short frame": (lambda reply: (0, reply[: len(reply) // 2]), "bytes came within 0.5 s"),
    "late reply": (lambda reply: (0.8, reply), "no answer within 0.5 s"),
    "wrong checksum": (lambda reply: (0, reply[:-2] + b"\0\0"), "wrong checksum"),
}


# --- the site -------------------------------------------------------------------------------------


@dataclass
class Suffering:
    """The site, its meters that fail, and what came of each case: None, or what was wrong."""

    site: "RunningSite"
    grid: GridMeter
    pv: PvMeter
    noise_fd: int
    outcomes: dict[str, AssertionError | None] = field(default_factory=dict)


Case = Callable[[Suffering], Awaitable[None]]


@contextlib.asynccontextmanager
async def suffering_site(start_site: "StartSite", folder: Path) -> AsyncIterator[Suffering]:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(simulated_home())
        wire = await stack.enter_async_context(paced_line(SerialSettings(baud=FAST_BAUD).char_s))
        grid = GridMeter(home)
        await stack.enter_async_context(p1_meter(wire.meter_end, grid.telegram, time.time))
        noise_fd = os.open(wire.meter_end, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        stack.callback(os.close, noise_fd)
        pv = PvMeter(home, folder / "usb-RS485-adapter")
        pv.plug_in()
        stack.callback(pv.pull_out)

        def prepare(site: Site) -> None:
            device = site.folder / "devices" / "pv.yaml"
            device.write_text(device.read_text().replace(home.pv_path, str(pv.path)))
            device = site.folder / "devices" / "grid.yaml"
            device.write_text(
                device.read_text().replace(wire.gateway_end, f"{wire.gateway_end}?baud={FAST_BAUD}")
            )
            site.buffer_path.write_bytes(Random(2).randbytes(100_000))
            # So it is known for ours, of which nothing can be read any more.
            site.buffer_path.with_name(f"{site.buffer_path.name}.reserve").touch()

        home = replace(home, grid_wire=wire)
        site = await stack.enter_async_context(start_site(folder, home=home, prepare=prepare))
        yield Suffering(site, grid, pv, noise_fd)


async def go_through(track: list[Case], suffering: Suffering) -> None:
    for case in track:
        name = case.__doc__ or ""
        suffering.outcomes[name] = None
        try:
            before = await suffering.site.report()
            await case(suffering)
            await suffering.site.until(
                lambda r, before=before: goes_on(before, r),
                "the heat pump's meter is read all the while",
            )
        except AssertionError as error:
            suffering.outcomes[name] = error


def goes_on(before: Report, now: Report) -> bool:
    (then,), (later,) = (
        [m for m in report.meters if m.name == "heat-pump"] for report in (before, now)
    )
    return (later.last_success_s or 0) > (then.last_success_s or 0)


# --- what is asked of every case ------------------------------------------------------------------


async def until_meter(
    site: "RunningSite", name: str, condition: Callable[[MeterReport], bool], what: str
) -> MeterReport:
    return site.meter(
        await site.until(lambda r: condition(site.meter(r, name)), f"{name}: {what}"), name
    )


def about_meter(site: "RunningSite", name: str, mark: int) -> list[str]:
    """What the log says of a meter and of its line, from a line on."""
    line = {"pv": str(site.site.folder / "usb-RS485-adapter"), "grid": site.home.grid_path}[name]
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


async def trouble_with_exchange(
    site: "RunningSite", begin: Callable[[], None], text: str, *, is_kept: bool = True
) -> None:
    """One line when it begins; the page says so; what is owed is kept (unless the exchange has it
    and only its answer is lost), and delivered when it is over.
    """
    before, mark = (await site.report()).destinations[0], len(site.log())
    with as_before(site):
        begin()
        report = await site.until(
            lambda r: (
                r.destinations[0].state == "retrying"
                and r.destinations[0].errors >= before.errors + 2
            ),
            "the page says that it fails",
        )
        assert text.removeprefix("the exchange ") in report.destinations[0].last_error
        assert report.destinations[0].backlog > 0 or not is_kept
        lines = site.log("WARNING deliveries fail", since=mark)
        assert len(lines) == 1, lines
        assert text in lines[0]
    await exchange_is_well(site, mark)


@contextlib.contextmanager
def as_before(site: "RunningSite") -> Iterator[None]:
    """Whatever came of a case: the exchange is well for those after it."""
    try:
        yield
    finally:
        site.exchange.mode("ok")


async def exchange_is_well(site: "RunningSite", mark: int) -> None:
    await site.until(
        lambda r: r.destinations[0].state == "ok", "the exchange takes deliveries again"
    )
    lines = site.log("deliveries fail", "takes deliveries again", since=mark)
    assert [line.partition(" ")[0] for line in lines] == ["WARNING", "INFO"], lines
