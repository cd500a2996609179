"""Takes the serial numbers of a device, and of the meters behind it, out of a recorded
conversation. Pure.
"""

from dataclasses import replace

from drivers.modbus.redact import change_replies, conceal
from drivers.recording import Recording
from drivers.sunspec.chain import COMMON_WORDS
from drivers.sunspec.settings import Settings

_NUMBER = slice(96, 128)
"""Where the serial number is in the body of model 1, which alone is asked for with so many
registers.
"""


def redact(recording: Recording, settings: Settings) -> Recording:  # noqa: ARG001 — where the number stands, only the device says
    """The recording with zeros for the letters of every serial number in it: of each model 1, also
    of those that no reading told.
    """
    found = {
        each.serial_number.encode("ascii", "replace")
        for each in recording.told
        if each.serial_number
    }

    def note(_: int, __: int, data: bytes) -> bytes:
        if len(data) == 2 * COMMON_WORDS:
            found.add(data[_NUMBER].partition(b"\0")[0].strip())
        return data

    def without(_: int, __: int, data: bytes) -> bytes:
        if len(data) != 2 * COMMON_WORDS:
            return data
        number = data[_NUMBER].partition(b"\0")[0]
        return data[: _NUMBER.start] + b"0" * len(number) + data[_NUMBER.start + len(number) :]

    change_replies(recording, note)
    told = tuple(
        replace(each, serial_number=each.serial_number and "0" * len(each.serial_number))
        for each in recording.told
    )
    shown = {number: b"0" * len(number) for number in found if number}
    return replace(conceal(recording, without, shown), told=told, redacted=True)
