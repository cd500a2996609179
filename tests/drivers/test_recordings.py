"""What real meters answer, byte for byte, and the values it must give: from the socket through the
profile to the reading.

A recording holds images of a meter's registers and whole frames. The images are served to the
unmodified driver, whatever blocks it asks for; each frame's request must leave the line exactly so,
and its reply must be understood. The values were worked out by hand from the makers' papers, not by
this program.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from drivers.line import Line, LineUrl, SerialSettings, open_line
from drivers.modbus.bus import Refused, request
from drivers.modbus.codec import Decoder
from drivers.modbus.identify import matches
from drivers.modbus.plan import Block, Row, plan
from drivers.profile import (
    DeviceAddress,
    ProfileError,
    profile_ids,
    shipped_folder,
)
from drivers.strict_yaml import decode, parse
from tests.drivers.modbus.frames import sealed
from tests.drivers.shipped import shipped_profile
from tests.serving import serving

FOLDER = Path(__file__).parent.parent / "recordings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What the registers held at one time: function → address → words. `unlisted` is what all
    others read; without it they are refused.
    """

    name: str
    registers: dict[Literal["3", "4"], dict[str, str]]
    values: dict[str, float]
    missing: tuple[str, ...] = ()
    unlisted: str = ""

    def read(self, function: int, address: int, count: int) -> bytes | None:
        words: dict[int, str] = {}
        for start, text in self.registers.get(str(function), {}).items():  # type: ignore[call-overload]
            words |= dict(enumerate(text.split(), int(start, 0)))
        filler = self.unlisted.split()
        if not filler and not set(range(address, address + count)) <= words.keys():
            return None
        # A filler of two words is a float; on the meters that have it, floats begin at odd
        # addresses.
        return bytes.fromhex(
            "".join(
                words.get(at) or filler[(at + 1) % len(filler)]
                for at in range(address, address + count)
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One request and its reply. `values` are those of the profile's quantities that lie in it as a
    whole.
    """

    request: str
    reply: str
    source: str
    framing: Literal["rtu", "tcp"] = "rtu"
    refused: int | None = None
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    profile: str
    address: int
    serial_number: str | None = None
    readings: list[Image]
    frames: list[Frame]


def load(path: Path) -> Recording:
    document = parse(path.read_bytes(), str(path))
    recording = decode(Recording, document)
    assert recording is not None, "\n".join(map(str, document.problems))
    return recording


def is_modbus(profile_id: str) -> bool:
    """As it is written: a profile that does not load fails its own test."""
    text = (shipped_folder() / f"{profile_id}.yaml").read_text(encoding="utf-8")
    return "\nprotocol: modbus\n" in text


def sound(paths: Iterable[Path]) -> Iterator[Recording]:
    """The recordings that can be read, of profiles that can: others fail their own tests."""
    for path in paths:
        with contextlib.suppress(AssertionError, ProfileError):
            recording = load(path)
            shipped_profile(recording.profile)
            yield recording


PROFILES = list(filter(is_modbus, profile_ids()))
PATHS = sorted(FOLDER.glob("*.yaml"))
RECORDINGS = list(sound(PATHS))
READINGS = [
    pytest.param(each, image, id=f"{each.profile}: {image.name}")
    for each in RECORDINGS
    for image in each.readings
]
FRAMES = [
    pytest.param(each, frame, id=f"{each.profile}: {frame.request[:23]}")
    for each in RECORDINGS
    for frame in each.frames
]


@asynccontextmanager
async def line_to(
    answer: Callable[[bytes], bytes], framing: str = "rtu", size: int = 8
) -> AsyncIterator[Line]:
    """An open network line to a peer that takes requests of `size` bytes and sends what `answer`
    makes of each.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(answer(await reader.readexactly(size)))

    async with serving(serve) as port:
        line = await open_line(
            LineUrl.parse(f"{'rtu+tcp' if framing == 'rtu' else 'tcp'}:127.0.0.1:{port}"),
            SerialSettings(),
        )
        try:
            yield line
        finally:
            line.close()


@pytest.mark.parametrize("profile_id", PROFILES)
def test_every_modbus_profile_has_a_recording(profile_id: str) -> None:
    path = FOLDER / f"{profile_id.replace('/', '-')}.yaml"
    if not path.exists():
        pytest.fail(missing(profile_id, path), pytrace=False)
    assert load(path).profile == profile_id


def missing(profile_id: str, path: Path) -> str:
    """What to do where a profile has no recording."""
    command = f"meter-gateway profiles record {profile_id}"
    return (
        f"there is no {path.relative_to(FOLDER.parents[1])}, by which the profile is proved. Of a "
        f"meter it is made by: {command} --line URL --address N. Without one: {command} > "
        f"values.yaml, fill that in, and: {command} --values values.yaml"
    )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem.replace("-", "/", 1))
def test_every_recording_can_be_read(path: Path) -> None:
    recording = load(path)
    assert recording.profile in profile_ids(), "there is no such profile"
    assert path.stem == recording.profile.replace("/", "-")


@pytest.mark.parametrize(("recording", "image"), READINGS)
def test_a_recording_tells_every_quantity_of_its_profile(
    recording: Recording, image: Image
) -> None:
    assert not image.values.keys() & set(image.missing)
    assert image.values.keys() | set(image.missing) == shipped_profile(recording.profile).quantities


@pytest.mark.parametrize(("recording", "image"), READINGS)
async def test_the_driver_reads_the_recorded_values(recording: Recording, image: Image) -> None:
    refusals = 0

    def answer(frame: bytes) -> bytes:
        nonlocal refusals
        unit, function = frame[0], frame[1]
        address, count = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        assert sealed(frame[:6]) == frame
        assert unit == recording.address
        data = image.read(function, address, count)
        if data is None:
            refusals += 1
            body = bytes((unit, function | 0x80, 2))
        else:
            body = bytes((unit, function, len(data))) + data
        return sealed(body)

    profile = shipped_profile(recording.profile)
    async with line_to(answer) as line:
        driver = profile.open_driver(DeviceAddress(name="meter", address=recording.address), line)
        reading = await driver.read(0.0)
    assert refusals == 0
    assert reading.serial_number == recording.serial_number
    # Recorded numbers have seven digits or more, as 32-bit floats do; scaled integers are exact.
    assert reading.values == pytest.approx(
        image.values, rel=3e-7 if profile.settings.type == "float32" else 0, abs=0
    )


@pytest.mark.parametrize(("recording", "frame"), FRAMES)
async def test_a_recorded_frame_is_sent_and_understood_byte_for_byte(
    recording: Recording, frame: Frame
) -> None:
    sent, reply = bytes.fromhex(frame.request), bytes.fromhex(frame.reply)
    if frame.framing == "rtu":
        assert sealed(sent[:-2]) == sent
        assert sealed(reply[:-2]) == reply
    unit, function = sent[:2] if frame.framing == "rtu" else sent[6:8]
    address, count = (
        int.from_bytes(sent[at : at + 2], "big")
        for at in ((2, 4) if frame.framing == "rtu" else (8, 10))
    )
    received = b""

    def answer(data: bytes) -> bytes:
        nonlocal received
        received += data
        return reply

    async with line_to(answer, frame.framing, len(sent)) as line:
        if frame.framing == "tcp":
            line.turns.requests = (
                int.from_bytes(sent[:2], "big") - 1
            )  # the recorded transaction's number is the next one's
        if frame.refused is not None:
            with pytest.raises(Refused) as caught:
                await request(line, unit, function, address, count, timeout_s=5)
            assert (received, caught.value.code) == (sent, frame.refused)
            return
        data = await request(line, unit, function, address, count, timeout_s=5)
    assert received == sent
    rows = rows_within(recording.profile, function, address, count)
    if rows:
        block = Block(function, rows[0].address, rows[-1].end - rows[0].address, rows)
        start = 2 * (block.address - address)
        values = Decoder(block).decode(data[start : start + 2 * block.count])
        assert values == pytest.approx(frame.values, rel=3e-7, abs=0)
    else:
        assert frame.values == {}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda each: each.profile)
def test_what_identifies_the_model_is_recorded_and_matches(recording: Recording) -> None:
    replies = {
        bytes.fromhex(frame.request)[1:6]: bytes.fromhex(frame.reply)[3:-2]
        for frame in recording.frames
        if frame.framing == "rtu"
    }
    for identity in shipped_profile(recording.profile).settings.identify:
        if identity.asks_who:
            continue  # test_scan shows what a device says it is
        asked = (
            bytes((identity.function,))
            + identity.address.to_bytes(2, "big")
            + identity.count.to_bytes(2, "big")
        )
        if asked in replies or not identity.is_plausibility:
            assert asked in replies, (
                f"add a frame that reads {identity.count} register(s) from "
                f"0x{identity.address:04X}, which identify it: meter-gateway profiles record "
                f"{recording.profile} makes it, with its checksums"
            )
            assert matches(identity, replies[asked])


def rows_within(profile_id: str, function: int, address: int, count: int) -> tuple[Row, ...]:
    """The rows of a profile that lie in a block as a whole, by address."""
    rows = [
        row
        for block in plan(shipped_profile(profile_id).settings, 0.0)
        if block.function == function
        for row in block.rows
        if address <= row.address and row.end <= address + count
    ]
    return tuple(sorted(rows, key=lambda row: row.address))


def test_the_checksum_of_these_tests_is_the_standard_s() -> None:
    assert sealed(bytes.fromhex("01 04 00 00 00 02"))[-2:] == bytes.fromhex("71 CB")


def test_a_recording_that_is_missing_says_how_one_is_made() -> None:
    told = missing("acme/em1", FOLDER / "acme-em1.yaml")
    assert "there is no tests/recordings/acme-em1.yaml" in told
    assert "meter-gateway profiles record acme/em1 --line URL --address N" in told
    assert "meter-gateway profiles record acme/em1 --values values.yaml" in told


def test_a_recording_or_profile_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("profile: [")
    (tmp_path / "stranger.yaml").write_text(
        PATHS[0].read_text().replace("profile: ", "profile: no/such_")
    )
    assert [*sound([*tmp_path.iterdir(), PATHS[0]])] == [load(PATHS[0])]
