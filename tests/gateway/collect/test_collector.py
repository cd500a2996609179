"""Meters that take turns on one serial line, by the real collector and drivers, on a wire with a
real one's pace.
"""

import asyncio
import contextlib
import os
import struct
import termios
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from drivers.line import LineUrl, SerialSettings, open_line
from drivers.profile import load_profile
from drivers.sample import Sample
from drivers.simulated.wire import Wire, paced_line
from gateway.collect.collector import Collector
from gateway.site.devices import Device
from gateway.timing.clock import Clock
from tests.drivers.modbus.frames import sealed
from tests.serving import serving

SDM120 = load_profile("eastron/sdm120")
SLOT_S = 2
BAUDS = {termios.B2400: 2400, termios.B9600: 9600, termios.B19200: 19200}


@dataclass(frozen=True)
class Asked:
    """One request as it was heard."""

    utc_s: float
    unit: int
    function: int
    address: int
    count: int


@dataclass
class Bus:
    """Meters that hear every request and answer those that are theirs, if the port is set as they
    are. All registers are floats of 1.
    """

    wire: Wire
    bauds: dict[int, int]
    asked: list[Asked] = field(default_factory=list)
    garbled: int = 0
    heard: bytes = b""

    def hear(self, fd: int, gateway_fd: int) -> None:
        try:
            self.heard += os.read(fd, 100)
        except OSError:  # unplugged
            asyncio.get_running_loop().remove_reader(fd)
        while len(self.heard) >= 8:
            frame, self.heard = self.heard[:8], self.heard[8:]
            self._answer(fd, gateway_fd, frame)

    def _answer(self, fd: int, gateway_fd: int, frame: bytes) -> None:
        assert sealed(frame[:6]) == frame
        unit, function, address, count = struct.unpack(">BBHH", frame[:6])
        self.asked.append(Asked(time.time(), unit, function, address, count))
        baud = BAUDS[termios.tcgetattr(gateway_fd)[4]]
        if unit in self.bauds and self.bauds[unit] != baud:
            self.garbled += 1
        elif unit in self.bauds:
            os.write(
                fd,
                sealed(
                    bytes((unit, function, 2 * count))
                    + (struct.pack(">f", 1.0) * count)[: 2 * count]
                ),
            )


@contextlib.asynccontextmanager
async def bus(bauds: dict[int, int], char_s: float = 10 / 9600) -> AsyncIterator[Bus]:
    async with paced_line(char_s) as wire:
        fd = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        gateway_fd = os.open(wire.gateway_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        found = Bus(wire, bauds)
        loop = asyncio.get_running_loop()
        loop.add_reader(fd, found.hear, fd, gateway_fd)
        try:
            yield found
        finally:
            loop.remove_reader(fd)
            os.close(fd)
            os.close(gateway_fd)


def device(
    name: str, address: int, path: str, query: str = "?baud=9600", **other: object
) -> Device:
    found = Device(
        name=name,
        file=f"devices/{name}.yaml",
        profile=SDM120,
        line=LineUrl.parse(f"serial:{path}{query}"),
        address=address,
        interval_s=1.0,
        invert=False,
        max_power_w=25_000,
        timeout_s=0.15,
    )
    return replace(found, **other)


@contextlib.asynccontextmanager
async def running(devices: list[Device]) -> AsyncIterator[tuple[Collector, list[Sample]]]:
    samples: list[Sample] = []
    collector = Collector(devices, Clock("assured"), SLOT_S, open_line, samples.append, lambda: 0.5)
    task = asyncio.create_task(collector.run())
    try:
        yield collector, samples
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until_boundaries(count: int) -> list[int]:
    """Wait for so many slot boundaries, and almost a second; says which."""
    first = (
        int(time.time() + 2) // SLOT_S * SLOT_S + SLOT_S
    )  # the first readings, with everything, have been by then
    boundaries = [first + n * SLOT_S for n in range(count)]
    await asyncio.sleep(boundaries[-1] + 0.9 - time.time())
    return boundaries


async def test_a_dead_meter_costs_the_others_nothing_but_its_own_turn() -> None:
    async with bus({1: 9600, 3: 9600}) as found:
        devices = [
            device("dead", 2, found.wire.gateway_end),
            device("a", 1, found.wire.gateway_end),
            device("b", 3, found.wire.gateway_end),
        ]
        async with running(devices) as (collector, samples):
            boundaries = await until_boundaries(2)
            report = collector.report()
    for boundary in boundaries:
        heard = list(
            dict.fromkeys(
                asked.unit for asked in found.asked if boundary <= asked.utc_s < boundary + 0.9
            )
        )
        assert heard in ([1, 3], [1, 3, 2]), "those that answer go first"
    probes = [asked.utc_s for asked in found.asked if asked.unit == 2]
    cycles = [int(at_s) for at_s in probes]
    assert len(set(cycles)) == len(cycles) >= 2, "one request in a cycle"
    assert len(probes) < sum(asked.unit == 1 for asked in found.asked) / 2, "and fewer and fewer"
    assert {sample.device for sample in samples} == {"a", "b"}
    assert report.state == "open"
    assert report.busy is not None and 0 < report.busy < 1
    assert report.needed_ms is not None and report.needed_ms < report.available_ms == 1000
    assert [meter.report(0, 0.0).state for meter in collector.meters] == ["retrying", "ok", "ok"]


async def test_a_boundary_is_for_energy_and_power_and_everything_else_is_read_once_a_minute() -> (
    None
):
    async with (
        bus({1: 9600, 3: 9600}) as found,
        running(
            [device("a", 1, found.wire.gateway_end), device("b", 3, found.wire.gateway_end)]
        ) as (collector, samples),
    ):
        boundary = (await until_boundaries(1))[0] + SLOT_S
        collector.meters[0].due.everything_s = boundary  # the minute is over at the next boundary
        await asyncio.sleep(boundary + 1.9 - time.time())
    of_a = [sample for sample in samples if sample.device == "a"]
    everything = [sample for sample in of_a if "voltage_l1_v" in sample.values]
    assert of_a[0] is everything[0], "at first, and"
    assert len(everything) == 2, "when the minute is over"
    at_s = (everything[1].utc_ms or 0) / 1000
    assert boundary + 0.9 < at_s < boundary + 1.9, "but not on the boundary"
    assert {frozenset(sample.values) for sample in samples} == {
        SDM120.quantities,
        frozenset(("energy_import_wh", "energy_export_wh", "power_w")),
    }
    assert collector.meters[0].report(0, 0.0).values.keys() == SDM120.quantities, (
        "the page shows what was said last"
    )


async def test_meters_of_one_line_may_differ_in_their_serial_settings() -> None:
    async with bus({1: 2400, 2: 9600, 3: 19200}, 0.0) as found:
        at = found.wire.gateway_end
        slow = replace(SDM120, serial=SerialSettings(baud=2400))
        devices = [
            device("a", 1, at, "", profile=slow),
            device("b", 2, at, "?baud=9600"),
            device("c", 3, at, "?baud=19200&parity=even"),
        ]
        async with running(devices) as (collector, samples), asyncio.timeout(20):
            while len({sample.device for sample in samples}) < 3 or len(samples) < 6:
                await asyncio.sleep(0.05)
            assert {meter.report(0, 0.0).line for meter in collector.meters} == {
                collector.report().name
            }
    assert found.garbled == 0
    assert {sample.device for sample in samples} == {"a", "b", "c"}


async def test_a_device_for_one_client_is_left_alone_between_two_rounds() -> None:
    rounds: list[list[int]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        units: list[int] = []
        rounds.append(units)
        while frame := await reader.readexactly(12):
            units.append(frame[6])
            count = frame[11]
            body = (
                bytes((frame[6], frame[7], 2 * count))
                + (struct.pack(">f", 1.0) * count)[: 2 * count]
            )
            writer.write(frame[:4] + len(body).to_bytes(2, "big") + body)

    async with serving(serve) as port:
        url = LineUrl.parse(f"tcp:127.0.0.1:{port}?connect=cycle")
        async with running(
            [device("a", 1, "/dev/none", line=url), device("b", 2, "/dev/none", line=url)]
        ):
            # On a busy machine a late round may run into the next one: so it is rounds that are
            # waited for, not samples.
            async with asyncio.timeout(30):
                while len(rounds) < 3:
                    await asyncio.sleep(0.05)
    assert all(set(units) == {1, 2} for units in rounds[:-1]), (
        "both meters of a round on one connection"
    )


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Path]:
    """A port's lasting name, as udev gives it."""
    (tmp_path / "by-id").mkdir()
    yield tmp_path / "by-id" / "usb-FTDI_FT232R-if00-port0"


async def test_a_line_that_was_unplugged_is_read_again_within_5_s_of_being_plugged_in(
    link: Path,
) -> None:
    async with bus({1: 9600}) as first, bus({1: 9600}) as second:
        link.symlink_to(first.wire.gateway_end)
        async with running([device("a", 1, str(link))]) as (_, samples):
            async with asyncio.timeout(20):
                while len(samples) < 2:
                    await asyncio.sleep(0.05)
                link.unlink()
                first.wire.unplug()
                await asyncio.sleep(2)  # away for a while, so that waits have grown
                count = len(samples)
                link.symlink_to(second.wire.gateway_end)
                replugged_s = time.monotonic()
                while len(samples) == count:
                    await asyncio.sleep(0.05)
            assert time.monotonic() - replugged_s < 5 + 1, "and a second for a busy machine"


async def test_a_second_master_is_counted_and_said_and_costs_no_reading(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bus({1: 9600}, char_s=0.0) as found:
        fd = os.open(found.wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        wrong = sealed(bytes((1, 4, 8)) + struct.pack(">2f", 9.0, 9.0))
        try:
            async with running([device("a", 1, found.wire.gateway_end)]) as (collector, samples):
                async with asyncio.timeout(20):
                    while len(samples) < 2:
                        await asyncio.sleep(0.01)
                    for _ in range(3):
                        os.write(fd, sealed(bytes((1, 4, 0, 72, 0, 4))) + wrong)
                        await asyncio.sleep(0.1)
                    while not collector.report().strangers or len(samples) < 4:
                        await asyncio.sleep(0.01)
                report = collector.report()
        finally:
            os.close(fd)
    assert report.strangers >= 6
    assert report.state == "open"
    assert report.errors == 0
    assert {sample.values["energy_import_wh"] for sample in samples} == {1000.0}
    said = [r.getMessage() for r in caplog.records if "nobody here has asked" in r.getMessage()]
    assert len(said) == 1
    assert "a second master is on the bus" in said[0]
