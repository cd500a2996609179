"""Reads go on at their pace whatever becomes of the wall clock: the real collector and driver,
under virtual time.
"""

import asyncio
import functools
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from drivers.line import LineUrl, SerialSettings, Turns
from drivers.line_url import Framing
from drivers.profile import load_profile
from drivers.sample import Sample
from gateway.collect.collector import Collector
from gateway.site.devices import Device
from gateway.timing.clock import PROOF_S, Clock, Sources
from tests.drivers.modbus.frames import sealed
from tests.simulation.virtual_time import VirtualLoop

NOON_S = 1_800_000_000
"""A slot boundary."""
INTERVAL_S = 10
SLOT_S = 900
DAY_S = 86_400


def under_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Hours pass in moments."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


@dataclass
class Box:
    """The machine: what its clocks say, and what a test does to them."""

    asleep_s: float = 0.0
    set_by_s: float = 0.0
    synchronised: bool = True
    began_s: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def boottime_s(self) -> float:
        return asyncio.get_running_loop().time() - self.began_s + self.asleep_s

    def true_s(self) -> float:
        return NOON_S + self.boottime_s()

    def clock(self, trust: str = "kernel") -> Clock:
        assert trust in ("kernel", "assured")
        sources = Sources(
            lambda: self.true_s() + self.set_by_s,
            self.boottime_s,
            lambda: self.synchronised,
            lambda: "boot",
        )
        return Clock(trust, sources)  # type: ignore[arg-type]


@dataclass
class Wire:
    """A line with one Modbus RTU meter on it, all of whose registers are floats of 1. `on_request`
    happens before it answers.
    """

    on_request: Callable[[], None] = lambda: None
    name: str = "memory"
    settings: SerialSettings | None = None
    char_s: float = 0.0
    framing: Framing = "rtu"
    turns: Turns = field(default_factory=Turns)
    _answer: bytes = b""

    async def write(self, data: bytes) -> None:
        self.on_request()
        unit, function, _, count = struct.unpack(">BBHH", data[:6])
        frame = bytes((unit, function, 2 * count)) + struct.pack(">f", 1.0) * (count // 2)
        self._answer = sealed(frame)

    async def read(self, deadline_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(min(0.02, max(0.0, deadline_s - loop.time())))
        data, self._answer = self._answer, b""
        return data

    def drain(self) -> int:
        count, self._answer = len(self._answer), b""
        return count

    async def configure(self, settings: SerialSettings) -> None:
        pass

    async def ready(self) -> None:
        pass

    def rest(self) -> None:
        pass

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass


DEVICE = Device(
    name="grid",
    file="devices/grid.yaml",
    profile=load_profile("eastron/sdm120"),
    line=LineUrl.parse("serial:/dev/null?baud=9600"),
    address=1,
    interval_s=float(INTERVAL_S),
    invert=False,
    max_power_w=25_000,
    timeout_s=1.0,
)


@asynccontextmanager
async def reading(
    clock: Clock, wire: Wire | None = None
) -> AsyncIterator[tuple[list[Sample], list[float], Collector]]:
    """Samples, and when each was taken by the loop's time."""
    samples: list[Sample] = []
    at_s: list[float] = []

    def take(sample: Sample) -> None:
        samples.append(sample)
        at_s.append(asyncio.get_running_loop().time())

    async def open_line(url: LineUrl, settings: SerialSettings) -> Wire:
        return wire or Wire()

    collector = Collector([DEVICE], clock, SLOT_S, open_line, take, lambda: 0.5)
    task = asyncio.create_task(collector.run())
    try:
        yield samples, at_s, collector
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def longest_pause_s(at_s: list[float]) -> float:
    return max(b - a for a, b in pairwise(at_s))


@pytest.mark.parametrize("step_s", [-DAY_S, -3600, -3, -1, 1, 3, 3600, DAY_S])
@pytest.mark.parametrize("synchronised", [True, False])
@under_virtual_time
async def test_reads_go_on_at_their_pace_when_the_clock_is_set(
    step_s: int, *, synchronised: bool
) -> None:
    box = Box(synchronised=synchronised)
    async with reading(box.clock()) as (samples, at_s, _):
        await asyncio.sleep(65)
        box.set_by_s = step_s
        await asyncio.sleep(PROOF_S + 305)
    assert longest_pause_s(at_s) <= 2 * INTERVAL_S + 0.1
    assert len(samples) >= (65 + PROOF_S + 305) / INTERVAL_S - 2
    aligned = [
        round((box.true_s() + box.set_by_s - (at_s[-1] - t)) * 10) % (INTERVAL_S * 10)
        for t in at_s[-20:]
    ]
    assert len(set(aligned)) <= 2, "and are aligned to the clock again"
    if synchronised:
        assert (samples[-1].utc_ms or 0) / 1000 == pytest.approx(
            box.true_s() + step_s, abs=INTERVAL_S + 1
        ), "believed by now"
    everything = [s for s in samples if "voltage_l1_v" in s.values]
    assert len(everything) == pytest.approx((65 + PROOF_S + 305) / 60, abs=2), (
        "and everything once a minute"
    )


@under_virtual_time
async def test_a_clock_set_by_hand_moves_nothing_until_the_kernel_says_it_is_right() -> None:
    box = Box()
    async with reading(box.clock()) as (samples, _, _):
        await asyncio.sleep(65)
        box.set_by_s, box.synchronised = (
            DAY_S,
            False,
        )  # Linux forgets that it was synchronised when somebody sets the clock
        await asyncio.sleep(4000)
        dated = [(s.utc_ms or 0) - s.boottime_ms for s in samples]
        assert set(dated) == {NOON_S * 1000}
        box.set_by_s, box.synchronised = 0.0, True
        await asyncio.sleep(600)
    assert {(s.utc_ms or 0) - s.boottime_ms for s in samples} == {NOON_S * 1000}


@under_virtual_time
async def test_a_clock_that_is_wrong_by_years_until_it_is_synchronised_dates_nothing() -> None:
    box = Box(set_by_s=-20 * 365 * DAY_S, synchronised=False)
    async with reading(box.clock()) as (samples, at_s, _):
        await asyncio.sleep(300)
        assert {s.utc_ms for s in samples} == {None}
        box.set_by_s, box.synchronised = 0.0, True
        await asyncio.sleep(300)
    assert samples[-1].utc_ms == pytest.approx(box.true_s() * 1000, abs=11_000)
    assert longest_pause_s(at_s) <= 2 * INTERVAL_S + 0.1


@pytest.mark.parametrize("when", ["while waiting", "while reading"])
@under_virtual_time
async def test_no_sample_gets_a_wrong_time_when_the_machine_was_suspended(when: str) -> None:
    box = Box()

    def suspend() -> None:
        box.asleep_s += 3600

    wire = Wire()
    async with reading(box.clock(), wire) as (samples, at_s, collector):
        await asyncio.sleep(65)
        if when == "while waiting":
            suspend()
            await asyncio.sleep(65)
        else:
            wire.on_request = suspend
            await asyncio.sleep(10)
            wire.on_request = lambda: None
            await asyncio.sleep(65)
        skipped = collector.report().skipped
    began_s = at_s[0]
    slept = [(s.boottime_ms / 1000 - (t - began_s)) for s, t in zip(samples, at_s, strict=True)]
    # Each was taken just before it was given out, so it has slept all there was to sleep until
    # then, or nothing.
    assert {round(s / 3600, 2) for s in slept} == {0.0, round(box.asleep_s / 3600, 2)}
    assert all((s.utc_ms or 0) - s.boottime_ms == NOON_S * 1000 for s in samples)
    assert longest_pause_s(at_s) <= 2 * INTERVAL_S + 0.1
    assert skipped == 0, "the line was free"
