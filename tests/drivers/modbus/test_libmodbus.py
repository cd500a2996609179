"""The Modbus drivers against libmodbus's server: neither our code nor pymodbus has a part in what
it answers.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.line import LineUrl, SerialSettings, open_line
from drivers.modbus.bus import Refused, request
from drivers.profile import DeviceAddress, load_profile
from drivers.simulated.home import meter_values
from drivers.simulated.sunspec import BASE, INVERTER, chain
from drivers.simulated.wire import paced_line
from drivers.strict_yaml import parse

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("libmodbus")

RECORDINGS = sorted((Path(__file__).parents[2] / "recordings").glob("*.yaml"))
SOURCE = Path(__file__).with_name("libmodbus_server.c")
HINT = "libmodbus is not installed; apt-get install libmodbus-dev gcc to run this test"

Words = Mapping[int, Mapping[int, int]]
"""Function → address → word."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's program. Where it cannot be compiled the tests are skipped, saying so; under CI
    they fail.
    """
    program = tmp_path_factory.mktemp("libmodbus") / "server"
    command = [
        "cc",
        "-O1",
        "-Wall",
        "-Werror",
        "-I/usr/include/modbus",
        str(SOURCE),
        "-o",
        str(program),
        "-lmodbus",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        done = subprocess.CompletedProcess(command, 1, "", "there is no C compiler")
    if done.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{HINT}\n{done.stderr}")
        pytest.skip(HINT)
    return program


@asynccontextmanager
async def served(server: Path, words: Words, *args: str) -> AsyncIterator[int]:
    """libmodbus with these registers; gives its port (0 on a serial line)."""
    process = await asyncio.create_subprocess_exec(
        server, *args, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        rows = "".join(
            f"{function:x} {at:x} {word:x}\n"
            for function in words
            for at, word in sorted(words[function].items())
        )
        assert process.stdin and process.stdout
        process.stdin.write(rows.encode())
        process.stdin.close()
        yield int(await asyncio.wait_for(process.stdout.readline(), 20))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def image(recorded: Mapping[str, Any]) -> Words:
    """A recording's registers, and what it says of those in between."""
    filler = [int(word, 16) for word in recorded.get("unlisted", "0000").split()]
    found: dict[int, dict[int, int]] = {}
    for function, rows in recorded["registers"].items():
        listed = {
            at: int(word, 16)
            for start, text in rows.items()
            for at, word in enumerate(text.split(), _number(start))
        }
        between = range(max(0, min(listed) - 125), min(max(listed) + 125, 0x10000))
        if max(listed) - min(listed) > 0x1000:
            between = range(0)
        found[int(function)] = {at: filler[(at + 1) % len(filler)] for at in between} | listed
    return found


def _number(text: object) -> int:
    return text if isinstance(text, int) else int(str(text), 0)


def device(address: int) -> DeviceAddress:
    return DeviceAddress(name="meter", address=address, timeout_s=10.0)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_every_modbus_profile_is_read_from_libmodbus(path: Path, server: Path) -> None:
    recording: Any = parse(path.read_bytes(), str(path)).data
    recorded = recording["readings"][0]
    profile = load_profile(recording["profile"])
    async with served(server, image(recorded), "tcp") as port:
        line = await open_line(LineUrl("tcp", "127.0.0.1", port), profile.serial)
        try:
            driver = profile.open_driver(device(recording["address"]), line)
            reading = await driver.read(0.0)
        finally:
            line.close()
    assert reading.values == pytest.approx(recorded["values"], rel=3e-7)
    assert reading.serial_number == recording.get("serial_number")


@pytest.mark.parametrize("profile_id", ["eastron/sdm630", "abb/b23", "carlo_gavazzi/em340"])
async def test_meters_are_read_from_libmodbus_on_a_serial_line(
    profile_id: str, server: Path
) -> None:
    path = next(path for path in RECORDINGS if path.stem == profile_id.replace("/", "-"))
    recording: Any = parse(path.read_bytes(), str(path)).data
    recorded, profile = recording["readings"][0], load_profile(profile_id)
    async with (
        paced_line(10 / 9600) as wire,
        served(server, image(recorded), "rtu", wire.meter_end, str(recording["address"])),
    ):
        line = await open_line(
            LineUrl.parse(f"serial:{wire.gateway_end}?baud=9600&parity=none&stop_bits=1"),
            profile.serial,
        )
        try:
            reading = await profile.open_driver(device(recording["address"]), line).read(0.0)
        finally:
            line.close()
    assert reading.values == pytest.approx(recorded["values"], rel=3e-7)


async def test_a_sunspec_inverter_is_read_from_libmodbus(server: Path) -> None:
    profile = load_profile("sunspec/auto")
    values = meter_values((-1200, -300, -50), (230, 229, 231), 0, 7_654)
    words = {3: dict(enumerate(chain(INVERTER, values, "4711"), BASE))}
    async with served(server, words, "tcp") as port:
        line = await open_line(LineUrl("tcp", "127.0.0.1", port), profile.serial)
        try:
            reading = await profile.open_driver(device(1), line).read(0.0)
        finally:
            line.close()
    assert (reading.values["energy_export_wh"], reading.serial_number) == (7_654, "4711")


async def test_what_libmodbus_refuses_is_told_by_its_exception(server: Path) -> None:
    async with served(server, {4: {0: 1, 1: 2}}, "tcp") as port:
        line = await open_line(LineUrl("tcp", "127.0.0.1", port), SerialSettings())
        try:
            assert await request(line, 1, 4, 0, 2, 10.0) == b"\x00\x01\x00\x02"
            with pytest.raises(Refused) as caught:
                await request(line, 1, 4, 1, 2, 10.0)
        finally:
            line.close()
    assert caught.value.code == 2
