"""How many requests a reading of a Modbus meter takes."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from drivers.line import Line, LineUrl, open_line
from drivers.modbus.load import REPLY_S, blocks_s, exchange_s
from drivers.modbus.plan import plan
from drivers.modbus.settings import WORDS, Settings
from drivers.profile import DeviceAddress, Profile, load_profile, profile_ids
from drivers.simulated.home import meter_values
from drivers.simulated.meters import PV_SERIAL, ModbusTwin, modbus_rtu, modbus_tcp
from drivers.simulated.wire import paced_line
from tests.benchmarks.figure import Figure

TITLE = "block reads of the Modbus profiles, beside a request per value"

FEWEST = ("eastron/sdm630", "abb/b23")
MOST = 3
READINGS = 2


def figures() -> Iterator[Figure]:
    """What is planned for every profile, and what two meters are asked on real lines."""
    yield _all_profiles()
    for profile_id in FEWEST:
        profile = load_profile(profile_id)
        settings = profile.settings
        limits = f"{len(settings.registers)} values, {settings.max_registers} registers a request, "
        limits += "across holes" if settings.holes else "not across holes"
        planned = len(plan(settings, profile.serial.char_s))
        fewest = len(_fewest(settings))
        yield Figure(
            f"{profile_id}: requests planned for all quantities",
            planned,
            "",
            fewest,
            "low",
            f"as few as its limits allow: {limits}",
        )
    yield asyncio.run(_asked_over_rtu("eastron/sdm120"))
    yield asyncio.run(_asked_over_tcp("eastron/sdm630"))


def _all_profiles() -> Figure:
    """No plan may take longer on the wire than the fewest requests would: a request is saved where
    that saves time.
    """
    shares: list[tuple[float, str]] = []
    planned_s = alone_s = 0.0
    requests = values = 0
    for profile_id in profile_ids():
        profile = load_profile(profile_id)
        if profile.protocol != "modbus":
            continue
        settings, char_s = profile.settings, profile.serial.char_s
        turnaround_s = max(settings.turnaround_ms / 1000, REPLY_S)
        blocks = plan(settings, char_s)
        this_s = blocks_s(blocks, char_s, turnaround_s)
        fewest_s = sum(exchange_s(count, char_s, turnaround_s) for count in _fewest(settings))
        shares.append((this_s / fewest_s, profile_id))
        planned_s += this_s
        alone_s += sum(
            exchange_s(WORDS[settings.type_of(row)], char_s, turnaround_s)
            for row in settings.registers.values()
        )
        requests += len(blocks)
        values += len(settings.registers)
    most, worst = max(shares)
    beside = (
        f"{values} values in {requests} requests, {planned_s:.1f} s on the wire; one by one "
        f"{alone_s:.1f} s; the dearest plan: {worst}"
    )
    return Figure(
        f"{len(shares)} profiles: wire time, beside the fewest requests",
        most,
        "",
        1.0001,
        "low",
        beside,
    )


def _fewest(settings: Settings) -> list[int]:
    """Registers of each request where there are as few as the limits allow: from the first value
    not read yet, as far as they let one.
    """
    counts: list[int] = []
    for function in (3, 4):
        rows = sorted(
            (row.address, row.address + WORDS[settings.type_of(row)])
            for row in settings.registers.values()
            if settings.function_of(row) == function
        )
        start = end = -1
        for first, beyond in rows:
            if (
                end < 0
                or beyond - start > settings.max_registers
                or (first != end and not settings.holes)
            ):
                counts.append(0)
                start = first
            end = beyond
            counts[-1] = end - start
    return counts


async def _asked_over_rtu(profile_id: str) -> Figure:
    profile = load_profile(profile_id)
    async with (
        paced_line(PV_SERIAL.char_s) as wire,
        modbus_rtu({1: _twin(profile)}, wire.meter_end),
    ):
        return await _asked(
            profile,
            LineUrl.parse(f"serial:{wire.gateway_end}?baud={PV_SERIAL.baud}"),
            f"on a line of {PV_SERIAL.baud} baud",
        )


async def _asked_over_tcp(profile_id: str) -> Figure:
    profile = load_profile(profile_id)
    async with modbus_tcp({1: _twin(profile)}) as port:
        return await _asked(profile, LineUrl.parse(f"tcp:127.0.0.1:{port}"), "over TCP")


def _twin(profile: Profile) -> ModbusTwin:
    phases_w = (1200, 300, 50) if "power_l3_w" in profile.settings.registers else (1200,)
    values: Mapping[str, float] = meter_values(
        phases_w, (230.1, 229.4, 231.0)[: len(phases_w)], 1_234_567, 7_654
    )
    return ModbusTwin(profile, lambda: values)


async def _asked(profile: Profile, url: LineUrl, where: str) -> Figure:
    # Room for one value in a request, and no way across holes: a request for each.
    alone = replace(profile, settings=replace(profile.settings, max_registers=2, holes=False))
    line = await open_line(url, profile.serial)
    try:
        requests, blocks_ms = await _per_reading(profile, line)
        many, alone_ms = await _per_reading(alone, line)
    finally:
        line.close()
    beside = (
        f"{len(profile.settings.registers)} values in {blocks_ms:.0f} ms; one by one "
        f"{many:.0f} requests, {alone_ms:.0f} ms"
    )
    return Figure(
        f"{profile.id}: requests a reading, counted {where}", requests, "", MOST, "low", beside
    )


async def _per_reading(profile: Profile, line: Line) -> tuple[float, float]:
    """Requests and milliseconds of one reading."""
    driver = profile.open_driver(DeviceAddress(name="meter", address=1), line)
    loop = asyncio.get_running_loop()
    await driver.read(loop.time())  # the first one asks for the serial number, too
    before, began_s = line.turns.requests, time.perf_counter()
    for _ in range(READINGS):
        reading = await driver.read(loop.time())
        if reading.values.keys() != profile.quantities:
            raise RuntimeError(
                f"{profile.id}: a reading lacks "
                f"{', '.join(profile.quantities - reading.values.keys())}"
            )
    return (line.turns.requests - before) / READINGS, (
        time.perf_counter() - began_s
    ) * 1000 / READINGS
