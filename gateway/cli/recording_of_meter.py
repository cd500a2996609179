"""What a real meter answers, as the recording that proves its profile: without its own number."""

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.terminal import Refused

if TYPE_CHECKING:
    from drivers.line import LineUrl
    from drivers.modbus.answers import Answers
    from drivers.modbus.settings import Settings
    from drivers.profile import DeviceAddress, Profile

WHO = "meter-gateway profiles record"
"""What it is to those who want the line meanwhile."""


def of_meter(
    profile: "Profile", config: Path, name: str | None, line: "LineUrl | None", address: int
) -> "Answers":
    """What a real one answers now, without its serial number. Raises LineError, MeterError,
    ConfigError, Refused.
    """
    import asyncio

    from drivers.line import LineError, LineHeld
    from drivers.profile import DeviceAddress
    from gateway.site.config import load_device

    if line is None:
        found = load_device(config, name or "")
        line, device = found.line, found.on_line
    else:
        device = DeviceAddress(name=str(line), address=address)
    if unfit := profile.unfit(line):
        raise Refused(f"{line}: {' — '.join(unfit)}")
    try:
        return asyncio.run(_asked(profile, line, device))
    except LineHeld as error:
        raise LineError(f"{error} — stop it (systemctl stop meter-gateway) meanwhile") from error


async def _asked(profile: "Profile", line_url: "LineUrl", device: "DeviceAddress") -> "Answers":
    import asyncio

    from drivers.line import open_line
    from drivers.modbus.answers import Answer, Answers, questions
    from drivers.modbus.asking import ask
    from drivers.modbus.bus import Refused as RefusedByMeter
    from drivers.modbus.redact import change_replies, redact
    from drivers.recording import Recording, Told
    from drivers.replay import Tap

    settings: Settings = profile.settings
    line = await open_line(line_url, profile.serial, says=WHO)
    tap = Tap(line)
    try:
        timeout_s = settings.timeout_s if device.timeout_s is None else device.timeout_s
        pause_s = settings.turnaround_ms / 1000
        for question in questions(settings):
            with contextlib.suppress(RefusedByMeter):  # which is told with what is missing
                await ask(tap, device.address, *question, timeout_s, pause_s)
        reading = await profile.open_driver(device, tap).read(asyncio.get_running_loop().time())
    finally:
        line.close()

    recording = redact(
        Recording(
            profile=profile.id,
            address=device.address,
            framing=tap.framing,
            serial=tap.settings,
            passed=tuple(tap.passed),
            told=(Told(0.0, 0.0, reading.values, reading.serial_number),),
        ),
        settings,
    )
    answers: list[Answer] = []

    def note(function: int, address: int, data: bytes) -> bytes:
        answers.append(Answer(function, address, data))
        return data

    change_replies(recording, note)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return Answers(
        profile=profile,
        address=device.address,
        serial_number=recording.told[0].serial_number,
        answers=tuple(answers),
        values=reading.values,
        source=f"read from a meter on {day}, without its serial number",
    )
