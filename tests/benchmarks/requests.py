"""How many requests a reading of a Modbus meter takes."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from drivers.line import Line, LineUrl, open_line
from drivers.modbus.plan import plan
from drivers.profile import DeviceAddress, Profile, load_profile, profile_ids
from gateway.sandbox.house import meter_values
from gateway.sandbox.meters import PV_SERIAL, ModbusTwin, modbus_rtu, modbus_tcp
from gateway.sandbox.wire import paced_line
from tests.benchmarks.figure import Figure

TITLE = "block reads of the Modbus profiles, beside a request per value"

MOST = 3
READINGS = 2


def figures() -> Iterator[Figure]:
    """What is planned for every profile, and what two meters are asked on real lines."""
    for profile_id in profile_ids():
        profile = load_profile(profile_id)
        if profile.protocol == "modbus":
            values = len(profile.settings.registers)
            requests = max(len(plan(profile.settings, char_s)) for char_s in (profile.serial.char_s, 0.0))
            yield Figure(
                f"{profile_id}: requests planned", requests, "", MOST, "low", f"{values} values, {values / requests:.0f} a request"
            )
    yield asyncio.run(_asked_over_rtu("eastron/sdm120"))
    yield asyncio.run(_asked_over_tcp("eastron/sdm630"))


async def _asked_over_rtu(profile_id: str) -> Figure:
    profile = load_profile(profile_id)
    async with paced_line(PV_SERIAL.char_s) as wire, modbus_rtu({1: _twin(profile)}, wire.meter_end):
        return await _asked(
            profile, LineUrl.parse(f"serial:{wire.gateway_end}?baud={PV_SERIAL.baud}"), f"on a line of {PV_SERIAL.baud} baud"
        )


async def _asked_over_tcp(profile_id: str) -> Figure:
    profile = load_profile(profile_id)
    async with modbus_tcp({1: _twin(profile)}) as port:
        return await _asked(profile, LineUrl.parse(f"tcp:127.0.0.1:{port}"), "over TCP")


def _twin(profile: Profile) -> ModbusTwin:
    phases_w = (1200, 300, 50) if "power_l3_w" in profile.settings.registers else (1200,)
    values: Mapping[str, float] = meter_values(phases_w, (230.1, 229.4, 231.0)[: len(phases_w)], 1_234_567, 7_654)
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
    beside = f"{len(profile.settings.registers)} values in {blocks_ms:.0f} ms; one by one {many:.0f} requests, {alone_ms:.0f} ms"
    return Figure(f"{profile.id}: requests a reading, counted {where}", requests, "", MOST, "low", beside)


async def _per_reading(profile: Profile, line: Line) -> tuple[float, float]:
    """Requests and milliseconds of one reading."""
    driver = profile.open_driver(DeviceAddress(name="meter", address=1), line)
    loop = asyncio.get_running_loop()
    await driver.read(loop.time())  # the first one asks for the serial number, too
    before, began_s = line.turns.requests, time.perf_counter()
    for _ in range(READINGS):
        reading = await driver.read(loop.time())
        if reading.values.keys() != profile.quantities:
            raise RuntimeError(f"{profile.id}: a reading lacks {', '.join(profile.quantities - reading.values.keys())}")
    return (line.turns.requests - before) / READINGS, (time.perf_counter() - began_s) * 1000 / READINGS
