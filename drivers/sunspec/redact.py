"""Takes the device's serial number out of a recorded conversation. Pure."""

from dataclasses import replace

from drivers.modbus.redact import change_replies
from drivers.recording import Recording
from drivers.sunspec.settings import Settings


def redact(recording: Recording, settings: Settings) -> Recording:  # noqa: ARG001 — where the number stands, only the device says
    """The recording with zeros for the letters of every serial number that the driver found in
    it.
    """
    numbers = {each.serial_number for each in recording.told if each.serial_number}

    def without(function: int, address: int, data: bytes) -> bytes:  # noqa: ARG001 — wherever it stands
        for number in numbers:
            data = data.replace(number.encode("ascii", "replace"), b"0" * len(number))
        return data

    told = tuple(
        replace(each, serial_number=each.serial_number and "0" * len(each.serial_number))
        for each in recording.told
    )
    return replace(change_replies(recording, without), told=told, redacted=True)
