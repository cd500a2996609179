"""Recordings of what passed on a line, played back."""

import asyncio
import functools
import math
from collections.abc import Iterable
from contextlib import suppress

from drivers.iec62056.redact import redact as redact_iec62056
from drivers.line_protocol import LineError
from drivers.modbus.redact import redact as redact_modbus
from drivers.modbus.settings import Settings as ModbusSettings
from drivers.p1.redact import redact as redact_p1
from drivers.profile import load_profile
from drivers.recording import Recording, RecordingError
from drivers.recording import parse as parse_recording
from drivers.replay import ReplayLine
from drivers.sml.redact import redact as redact_sml
from drivers.sunspec.redact import redact as redact_sunspec
from tests.fuzz.meter_drivers import load_profile_once, loop
from tests.fuzz.target import Target, check_message

REDACTING = (
    (redact_p1, "p1/auto"),
    (redact_iec62056, "iec62056/mode_d"),
    (redact_sml, "sml/auto"),
    (redact_sunspec, "sunspec/auto"),
)


def recordings(data: bytes) -> None:
    """A recording, played back as a line."""
    text = data.decode("utf-8", "replace")
    recording = parse_recording(text, "fuzz.jsonl")
    for told in recording.told:
        assert all(map(math.isfinite, (told.at_s, told.due_s, *told.values.values())))
    assert all(math.isfinite(each.at_s) for each in recording.passed)
    redact_modbus(recording, _with_serial_number())
    for redact, profile_id in REDACTING:
        with suppress(ValueError):  # what is encrypted, or holds no whole telegram, is refused
            redact(recording, load_profile_once(profile_id).settings)
    loop().run_until_complete(_play(recording))


@functools.cache
def _with_serial_number() -> ModbusSettings:
    settings = load_profile("eastron/sdm120").settings
    assert isinstance(settings, ModbusSettings)
    return settings


async def _play(recording: Recording) -> None:
    line = ReplayLine(recording, "replay:fuzz.jsonl", fast=len(recording.passed) % 2 == 1)
    assert 0 <= line.char_s < 1
    now_s = asyncio.get_running_loop().time
    asked = [each.data for each in recording.passed if each.way == "sent"][:20]
    try:
        for data in asked or [b""]:
            await line.write(data)
            for _ in range(5):
                before_s = now_s()
                came = await line.read(before_s + 1.0)
                assert (
                    came
                    or asked
                    or now_s() > before_s
                    or any(not each.data for each in recording.passed)
                )
            line.drain()
    except LineError as error:
        check_message(str(error))


def recording_seeds() -> Iterable[bytes]:
    head = (
        '{"recording": 1, "profile": "eastron/sdm120", "address": 2, "framing": "%s", '
        '"serial": {"baud": 9600}, "redacted": false}\n'
    )
    rows = (
        '{"at_s": 0.0004, "sent": "02 03 FC 00 00 02 F5 88"}\n{"at_s": 0.0391, "came": "02 03 04 '
        '01 22 95 F2 D7 01"}\n'
        '{"at_s": 0.04, "due_s": 0.0, "serial_number": "19040002", "values": {"power_w": 12.5}}\n'
        '{"at_s": 1, "due_s": 1, "error": "no answer"}\n'
    )
    yield (head % "rtu" + rows).encode()
    yield (
        head % "tcp"
        + (
            '{"at_s": 0.1, "sent": "00 01 00 00 00 06 02 03 FC 00 00 02"}\n{"at_s": 1, "came": '
            '"0001000000070203040122 95F2"}\n'
        )
    ).encode()
    yield (
        (head % "rtu" + '{"at_s": 0.1, "came_text": "/KFM5\\r\\n\\r\\n!"}\n')
        .encode()
        .replace(b'{"baud": 9600}', b"null")
    )
    yield b"[" * 100


RECORDING_WORDS = (
    b'"sent": "',
    b'"came": "',
    b'"came_text": "',
    b'"at_s": 1e999',
    b"NaN",
    b"Infinity",
    b'"values": {',
    b'"baud": 0',
    b"null",
    b"[" * 300,
    b"9" * 400,
)

TARGETS = (
    Target(
        "recordings",
        "recordings, played back",
        recordings,
        recording_seeds,
        (RecordingError,),
        words=RECORDING_WORDS,
    ),
)
