"""Recordings: each file of tests/recordings/*.jsonl is a test; what a recording may hold, and how
it is played back and redacted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import crc16
from drivers.line import LineError, LineUrl, MeterError, SerialSettings, open_line
from drivers.modbus.redact import redact as redact_modbus
from drivers.p1.redact import redact as redact_p1
from drivers.profile import DeviceAddress, load_profile
from drivers.recording import Passed, Recording, RecordingError, Told, parse, write
from drivers.replay import ReplayLine
from tests.simulation.virtual_time import VirtualLoop

RECORDINGS = sorted((Path(__file__).parents[1] / "recordings").glob("*.jsonl"))
T = TypeVar("T")


def virtual(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(0.0)) as runner:
        return runner.run(main())


async def play(recording: Recording, *, fast: bool = False) -> list[Told]:
    """What the driver makes of the recorded bytes, for the readings that were due then."""
    loop = asyncio.get_running_loop()
    line = ReplayLine(recording, "replay:test", fast=fast)
    profile = load_profile(recording.profile)
    began_s = loop.time()
    driver = profile.open_driver(DeviceAddress(name="meter", address=recording.address), line)
    found = []
    for each in recording.told:
        try:
            reading = await driver.read(began_s + each.due_s)
            found.append(
                replace(
                    each, values=dict(reading.values), serial_number=reading.serial_number, error=""
                )
            )
        except MeterError as error:
            found.append(replace(each, values={}, serial_number=None, error=str(error)))
    line.close()
    return found


def load(path: Path) -> Recording:
    return parse(path.read_text(), str(path))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_gives_again_what_it_gave(path: Path) -> None:
    recording = load(path)
    assert recording.told, "a recording without a reading tests nothing"
    found = virtual(lambda: play(recording))
    for was, now in zip(recording.told, found, strict=True):
        assert (now.values, now.serial_number, bool(now.error)) == (
            was.values,
            was.serial_number,
            bool(was.error),
        )


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_can_be_written_as_it_was_read(path: Path) -> None:
    assert write(load(path)) == path.read_text()


@given(
    st.lists(
        st.tuples(st.sampled_from(["sent", "came"]), st.binary(min_size=1, max_size=40)),
        max_size=20,
    )
)
def test_any_bytes_are_written_and_read_back(rows: list[tuple[str, bytes]]) -> None:
    passed = tuple(
        Passed(n / 4, "sent" if way == "sent" else "came", data)
        for n, (way, data) in enumerate(rows)
    )
    told = (
        Told(9.5, 1.0, {"power_w": 1.5}, "4711"),
        Told(9.75, 2.0, {}, None, "address 2: no answer"),
    )
    for serial in (None, SerialSettings(baud=115200, parity="even", data_bits=7)):
        recording = Recording(
            profile="a/b", address=7, framing="tcp", serial=serial, passed=passed, told=told
        )
        assert parse(write(recording), "test") == recording


HEAD = (
    '{"recording": 1, "profile": "eastron/sdm120", "address": 2, "framing": "rtu", "serial": '
    '%s, "redacted": false}\n'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "test:1: no recording of version 1"),
        ("{}", "test:1: no recording of version 1"),
        ("/ISK5", "test:1: not JSON"),
        ("[1]", "test:1: not an object"),
        ('{"recording": 1}', "test:1: cannot be read"),
        ("[" * 100_000, "test:1: not JSON"),
        (HEAD % '{"baud": 0}', "test:1: cannot be read"),
        (HEAD % '{"baud": "fast"}', "test:1: cannot be read"),
        ((HEAD % "null").replace(": 2", ": 1e999"), "test:1: cannot be read"),
        (HEAD % "null" + '{"at_s": NaN, "came": "00"}', "test:2: cannot be read"),
        (HEAD % "null" + '{"at_s": 1e300, "came": "00"}', "test:2: cannot be read"),
        (
            HEAD % "null"
            + '{"at_s": 1, "due_s": 1, "serial_number": null, "values": {"power_w": Infinity}}',
            "test:2: cannot be read",
        ),
        (HEAD % "null" + '{"at_s": 1' + "0" * 400 + ', "came": "00"}', "test:2: cannot be read"),
    ],
)
def test_what_is_no_recording_is_told_with_its_line(text: str, expected: str) -> None:
    with pytest.raises(RecordingError, match=expected):
        parse(text, "test")


async def test_a_file_that_is_not_there_says_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(
        LineError, match="No such file or directory — read DEVICE --record FILE makes such a file"
    ):
        await open_line(LineUrl.parse(f"replay:{tmp_path}/none.jsonl"), SerialSettings())


# --- played back ----------------------------------------------------------------------------------


def conversation(*rows: tuple[float, str, bytes], **head: object) -> Recording:
    passed = tuple(
        Passed(at_s, "sent" if way == "sent" else "came", data) for at_s, way, data in rows
    )
    plain = Recording(
        profile="eastron/sdm120", address=1, framing="rtu", serial=None, passed=passed, told=()
    )
    return replace(plain, **head)


async def test_each_request_gets_the_reply_it_got_one_after_the_other_and_then_again() -> None:
    recording = conversation(
        (0.0, "sent", b"what?"),
        (0.1, "came", b"this"),
        (1.0, "sent", b"who?"),
        (1.1, "came", b"me"),
        (2.0, "sent", b"what?"),
        (2.1, "came", b"that"),
        (3.0, "sent", b"there?"),
    )
    line = ReplayLine(recording, "replay:test", fast=True)
    now_s = asyncio.get_running_loop().time
    heard = []
    for question in (b"what?", b"what?", b"who?", b"what?"):
        await line.write(question)
        heard.append(await line.read(now_s() + 5))
    assert heard == [b"this", b"that", b"me", b"that"]
    await line.write(b"there?")
    assert await line.read(now_s() + 0.01) == b"", "it said nothing then"
    with pytest.raises(
        LineError,
        match="no answer to 68 6f 77 3f — it was made with another profile, address or version",
    ):
        await line.write(b"how?")
    line.close()
    with pytest.raises(LineError, match="open it again"):
        await line.read(now_s())


async def test_replies_of_modbus_tcp_carry_the_number_of_the_request() -> None:
    recording = conversation((0, "sent", b"\0\1rest"), (0, "came", b"\0\1reply"), framing="tcp")
    line = ReplayLine(recording, "replay:test", fast=True)
    await line.write(b"\x12\x34rest")
    assert await line.read(asyncio.get_running_loop().time() + 5) == b"\x12\x34reply"


def test_a_meter_that_pushes_is_played_at_its_own_pace_and_ends() -> None:
    async def story() -> list[float]:
        line = ReplayLine(
            conversation((1.0, "came", b"one"), (11.0, "came", b"two")), "replay:test"
        )
        loop = asyncio.get_running_loop()
        times = []
        for text in (b"one", b"two"):
            assert await line.read(loop.time() + 60) == text
            times.append(loop.time())
        with pytest.raises(LineError, match="the recording ends here"):
            await line.read(loop.time() + 60)
        return times

    assert virtual(story) == [pytest.approx(1.0, abs=0.01), pytest.approx(11.0, abs=0.01)]


# --- redacted -------------------------------------------------------------------------------------


def by_name(part: str) -> Recording:
    return load(next(path for path in RECORDINGS if part in path.stem))


def test_a_redacted_p1_recording_keeps_its_values_and_its_checksums() -> None:
    number = "E0047000012345617"
    telegram = (
        f"/ISk5\\2MT382-1000\r\n\r\n0-0:96.1.1({number.encode().hex()})\r\n"
        "1-0:1.8.1(000010.500*kWh)\r\n1-0:1.8.2(000001.000*kWh)\r\n"
        "1-0:2.8.1(000000.000*kWh)\r\n1-0:2.8.2(000000.000*kWh)\r\n"
        "1-0:1.7.0(00.500*kW)\r\n1-0:2.7.0(00.000*kW)\r\n"
    )
    telegram += "0-0:96.13.0(48656C6C6F)\r\n0-1:96.1.0(3132333435)\r\n!"
    data = telegram.encode()
    data += b"%04X\r\n" % crc16.arc(data)
    cut = (b"tail of 0-0:96.1.1\r\n", data[:60], data[60:], data)
    told = (Told(3.0, 0.0, {}, number), Told(4.0, 1.0, {}, number))
    recording = conversation(
        *((float(n), "came", part) for n, part in enumerate(cut)),
        profile="dsmr/dsmr5",
        serial=SerialSettings(baud=115200),
        told=told,
    )
    plain = virtual(lambda: play(recording))
    assert [each.serial_number for each in plain] == [number, number]
    shown = redact_p1(recording, load_profile("dsmr/dsmr5").settings)
    text = write(shown)
    for private in (number, number.encode().hex(), "48656C6C6F", "3132333435"):
        assert private not in text
    found = virtual(lambda: play(shown))
    assert [each.values for each in found] == [each.values for each in plain]
    assert (
        [each.serial_number for each in found]
        == [each.serial_number for each in shown.told]
        == ["0" * len(number)] * 2
    )


def test_what_is_encrypted_is_not_redacted() -> None:
    sealed = conversation((0.0, "came", b"\xdb\x08SAGgPq8\x00"), profile="p1/luxembourg")
    with pytest.raises(ValueError, match="what is encrypted cannot be redacted"):
        redact_p1(sealed, load_profile("p1/luxembourg").settings)


@pytest.mark.parametrize("framing", ["rtu", "tcp"])
@pytest.mark.parametrize(
    "sent", ["", "02 03", "02 03 FC 00 00 FF F5 88", "00 01 00 00 00 06 02 03 FC 00 FF FF"]
)
def test_what_was_sent_and_is_no_request_stays_as_it_was(
    framing: Literal["rtu", "tcp"], sent: str
) -> None:
    passed = (Passed(0.0, "sent", bytes.fromhex(sent)), Passed(0.1, "came", bytes.fromhex(sent)))
    recording = Recording(
        profile="eastron/sdm120", address=2, framing=framing, serial=None, passed=passed, told=()
    )
    assert redact_modbus(recording, load_profile("eastron/sdm120").settings).passed == passed


def test_a_redacted_modbus_recording_keeps_its_values_and_its_checksums() -> None:
    recording = by_name("eastron-sdm120")
    settings = load_profile(recording.profile).settings
    plain = virtual(lambda: play(recording))
    found = virtual(lambda: play(redact_modbus(recording, settings)))
    assert [each.values for each in found] == [each.values for each in plain]
    assert {each.serial_number for each in found} == {"1"}
