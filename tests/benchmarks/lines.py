"""How well a serial line is used: time beside what the standard asks for, CPU beside other masters,
ten meters on one line.
"""

import asyncio
import ctypes
import ctypes.util
import time
from collections.abc import Iterator
from dataclasses import replace

from pymodbus.client import AsyncModbusSerialClient

from drivers.line import Line, LineUrl, open_line
from drivers.modbus.bus import request
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.load import blocks_s, energy_settings
from drivers.modbus.plan import plan
from drivers.modbus.settings import WORDS, Settings
from drivers.profile import DeviceAddress, Profile, load_profile, profile_ids
from drivers.sample import Sample
from gateway.collect.collector import Collector
from gateway.collect.line_load import load_of
from gateway.site.devices import Device
from gateway.timing.clock import Clock
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.slave import slave

TITLE = (
    "serial lines: time beside the standard's, CPU beside libmodbus and pymodbus, ten meters "
    "on one line"
)

EFFICIENCY = {9600: 0.95, 19200: 0.90, 115200: 0.75}
METER = "eastron/sdm630"
ROUNDS = 8
BRIEF_TURNS = 5
"""Turns with energy and power alone between two with everything: a minute's at an interval of 10 s.
"""

CPU_BAUD = 19200
CPU_BLOCK = (4, 0, 80)
"""Function, first register, count."""

CPU_TRANSACTIONS = 30
CPU_MS = 1.5
"""Wake-ups are what costs: four or five in a transaction, whatever its length."""


MAKES = 10
CYCLE_S = 10
CYCLES = 2


def figures() -> Iterator[Figure]:
    """Efficiency, CPU, and ten meters."""
    for baud, bound in EFFICIENCY.items():
        progress(f"a line of {baud} baud")
        yield _efficiency(baud, bound)
    progress("CPU per transaction")
    yield from _cpu()
    progress(f"{MAKES} meters on a line of 9600 baud, {CYCLES} cycles of {CYCLE_S} s")
    yield from _ten_meters()


def _url(path: str, baud: int) -> LineUrl:
    return LineUrl.parse(f"serial:{path}?baud={baud}&parity=none&data_bits=8&stop_bits=1")


# --- time -----------------------------------------------------------------------------------------


def _efficiency(baud: int, bound: float) -> Figure:
    # Without the silence the meter asks for: a longer one would only hide what we lose.
    profile = load_profile(METER)
    profile = replace(profile, settings=replace(profile.settings, turnaround_ms=0.0))
    with slave(baud, {1: METER}) as path:
        needed_s, taken_s, requests = asyncio.run(_read_for_long(profile, _url(path, baud)))
    beside = (
        f"{needed_s / requests * 1000:.1f} of {taken_s / requests * 1000:.1f} ms a request; "
        f"{METER}, energy and power and then all"
    )
    return Figure(f"line efficiency at {baud} baud", needed_s / taken_s, "", bound, "high", beside)


async def _read_for_long(profile: Profile, url: LineUrl) -> tuple[float, float, int]:
    """Seconds needed by the standard, seconds taken, and requests."""
    line = await open_line(url, profile.serial)
    # A line that is busy all the time has none to spare for others: the collector sees to that.
    line.turns.overheard.listen_s = 0.0
    try:
        driver = ModbusDriver(profile, DeviceAddress(name="meter"), line)
        await driver.read(0.0)  # the first one asks for the serial number, too
        brief, everything = (
            plan(each, line.char_s)
            for each in (energy_settings(profile.settings), profile.settings)
        )
        turns = [*[brief] * BRIEF_TURNS, everything] * ROUNDS
        needed_s = sum(blocks_s(turn, line.char_s) for turn in turns)
        before, began_s = line.turns.requests, time.perf_counter()
        for turn in turns:
            await (driver.read(0.0) if turn is everything else driver.read_energy(0.0))
        return needed_s, time.perf_counter() - began_s, line.turns.requests - before
    finally:
        line.close()


# --- CPU ------------------------------------------------------------------------------------------


def _cpu() -> Iterator[Figure]:
    profile = load_profile(METER)
    with slave(CPU_BAUD, {1: METER}) as path:
        ours_ms = asyncio.run(_cpu_of_ours(_url(path, CPU_BAUD), profile))
        theirs_ms, reading_ms = asyncio.run(_cpu_of_pymodbus(path, profile.settings))
        libmodbus_ms = _cpu_of_libmodbus(path)
    beside = f"pymodbus {theirs_ms:.2f} ms; "
    beside += (
        f"libmodbus (C) {libmodbus_ms:.2f} ms"
        if libmodbus_ms
        else "libmodbus is not installed (apt-get install libmodbus5)"
    )
    yield Figure(
        f"CPU of one transaction of {CPU_BLOCK[2]} registers", ours_ms, "ms", CPU_MS, "low", beside
    )
    requests = len(plan(profile.settings, profile.serial.char_s))
    beside = (
        f"{requests} {'request' if requests == 1 else 'requests'}; pymodbus, register by "
        f"register: {len(profile.settings.registers)}"
    )
    yield Figure(
        f"CPU of a whole reading of {METER}",
        ours_ms * requests,
        "ms",
        round(reading_ms / 5, 1),
        "low",
        f"{beside} requests, {reading_ms:.1f} ms",
    )


async def _cpu_of_ours(url: LineUrl, profile: Profile) -> float:
    line: Line = await open_line(url, profile.serial)
    try:
        await request(line, 1, *CPU_BLOCK, timeout_s=1.0)
        began_s = time.process_time()
        for _ in range(CPU_TRANSACTIONS):
            await request(line, 1, *CPU_BLOCK, timeout_s=1.0)
        return (time.process_time() - began_s) / CPU_TRANSACTIONS * 1000
    finally:
        line.close()


async def _cpu_of_pymodbus(path: str, settings: Settings) -> tuple[float, float]:
    """Of one transaction, and of all the meter's values register by register, in ms."""
    client = AsyncModbusSerialClient(path, baudrate=CPU_BAUD)
    if not await client.connect():
        raise RuntimeError("pymodbus cannot open the line")
    try:
        _, address, count = CPU_BLOCK
        await client.read_input_registers(address, count=count, device_id=1)
        began_s = time.process_time()
        for _ in range(CPU_TRANSACTIONS):
            await client.read_input_registers(address, count=count, device_id=1)
        between_s = time.process_time()
        for row in settings.registers.values():
            await client.read_input_registers(
                row.address, count=WORDS[settings.type_of(row)], device_id=1
            )
        ended_s = time.process_time()
    finally:
        client.close()
    return (between_s - began_s) / CPU_TRANSACTIONS * 1000, (ended_s - between_s) * 1000


def _cpu_of_libmodbus(path: str) -> float | None:
    """Milliseconds of one transaction; None where the library is not there."""
    name = ctypes.util.find_library("modbus")
    if name is None:
        return None
    library = ctypes.CDLL(name, use_errno=True)
    library.modbus_new_rtu.restype = ctypes.c_void_p
    context = ctypes.c_void_p(
        library.modbus_new_rtu(path.encode(), CPU_BAUD, ctypes.c_char(b"N"), 8, 1)
    )
    try:
        library.modbus_set_slave(context, 1)
        if library.modbus_connect(context) != 0:
            raise RuntimeError("libmodbus cannot open the line")
        _, address, count = CPU_BLOCK
        words = (ctypes.c_uint16 * count)()
        began_s = time.process_time()
        for _ in range(CPU_TRANSACTIONS):
            if library.modbus_read_input_registers(context, address, count, words) != count:
                raise RuntimeError("libmodbus gets no answer")
        return (time.process_time() - began_s) / CPU_TRANSACTIONS * 1000
    finally:
        library.modbus_close(context)
        library.modbus_free(context)


# --- ten meters -----------------------------------------------------------------------------------


def _ten_meters() -> Iterator[Figure]:
    ids = [
        each
        for each in profile_ids()
        if (p := load_profile(each)).protocol == "modbus"
        and {"power_w", "energy_import_wh"} <= p.quantities
    ]
    chosen = dict(enumerate(ids[:: max(1, len(ids) // MAKES)][:MAKES], 1))
    with slave(9600, chosen) as path:
        devices = [
            Device(
                name=profile_id,
                file="",
                profile=load_profile(profile_id),
                line=_url(path, 9600),
                address=address,
                interval_s=CYCLE_S,
                invert=False,
                max_power_w=1e6,
                timeout_s=None,
            )
            for address, profile_id in chosen.items()
        ]
        samples, busy, longest_s = asyncio.run(_collect(devices))
    load = load_of(devices)
    assert load is not None
    makers = len({profile_id.partition("/")[0] for profile_id in chosen.values()})
    who = f"{len(chosen)} models of {makers} makers on 9600 baud"
    yield Figure(
        f"{who}: needed in a cycle",
        load.needed_ms,
        "ms",
        load.available_ms,
        "low",
        f"busy for {busy:.0%} of the time, measured",
    )
    due = len(chosen) * CYCLES
    kept = sum(bool({"energy_import_wh", "power_w"} <= sample.values.keys()) for sample in samples)
    beside = (
        f"each meter once in each of {CYCLES} cycles, energy and power; the last of a cycle "
        f"{longest_s:.1f} s after its beginning"
    )
    yield Figure(f"{who}: readings taken of {due} that were due", kept, "", due, "high", beside)


async def _collect(devices: list[Device]) -> tuple[list[Sample], float, float]:
    """What came on the instants of the first whole cycles, how busy the line was, and how long
    after an instant the last meter was read.
    """
    samples: list[Sample] = []
    clock = Clock("assured")
    collector = Collector(devices, clock, 900, open_line, samples.append, lambda: 0.5)
    task = asyncio.create_task(collector.run())
    # The first readings are not on the grid; the cycle in which they end is not counted.
    while len(samples) < len(devices):
        await asyncio.sleep(0.1)
        if task.done() or collector.report().errors:
            raise RuntimeError(collector.report().last_error or "the collector ended")
    began_s = (int(clock.now_s()) // CYCLE_S + 1) * CYCLE_S
    ended_s = began_s + CYCLES * CYCLE_S
    await asyncio.sleep(ended_s - clock.now_s())
    busy = collector.report().busy or 0.0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    found = [
        sample for sample in samples if began_s * 1000 <= (sample.utc_ms or 0) < ended_s * 1000
    ]
    longest_s = max(((sample.utc_ms or 0) / 1000 - began_s) % CYCLE_S for sample in found)
    return found, busy, longest_s
