"""A recording: the bytes of a line both ways, when they came, and what the driver made of them.
Pure.

A text file of JSON, one object in each line:

    {"recording": 1, "profile": "eastron/sdm120", "address": 2, "framing": "rtu", "serial": {"baud":
    9600, …} or null, "redacted": false} {"at_s": 0.0004, "sent": "02 04 00 48 00 04 71 EC"}
    bytes to the meter, in hexadecimal {"at_s": 0.0391, "came": "02 04 08 …"}
    bytes from it; "came_text" where they are text {"at_s": 0.0392, "due_s": 0.0, "serial_number":
    "…", "values": {…}}     a reading that was due then {"at_s": 0.5, "due_s": 0.0, "error":
    "address 2: no answer …"}           or why there is none

Times are seconds since the line was opened. Names of meters, hosts and paths are not in it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

import msgspec

from drivers.line_url import Framing, SerialSettings

MAX_BYTES = 4 << 20
"""Of bytes from and to the meter; what comes after is not recorded. A P1 meter sends as much in an
hour or two.
"""

MAX_FILE_BYTES = 4 * MAX_BYTES
"""Of a file that is played back."""

MAX_SECONDS = 1e9
"""Of a recording's times: thirty years."""

VERSION = 1


class RecordingError(Exception):
    """This is no recording, or not one of this version. The text says where and what is wrong."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Bytes that passed on the line."""

    at_s: float
    way: Literal["sent", "came"]
    data: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """What the driver made of it: a reading, or an error."""

    at_s: float
    due_s: float
    values: Mapping[str, float]
    serial_number: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One meter's."""

    profile: str
    address: int
    framing: Framing
    serial: SerialSettings | None
    passed: tuple[Passed, ...]
    told: tuple[Told, ...]
    redacted: bool = False

    @property
    def pushes(self) -> bool:
        """Whether the meter speaks without being asked."""
        return not any(each.way == "sent" for each in self.passed)


def write(recording: Recording) -> str:
    """The text of the file."""
    head = {
        "recording": VERSION,
        "profile": recording.profile,
        "address": recording.address,
        "framing": recording.framing,
        "serial": asdict(recording.serial) if recording.serial else None,
        "redacted": recording.redacted,
    }
    rows: Iterable[Passed | Told] = sorted(
        (*recording.passed, *recording.told), key=lambda row: row.at_s
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (head, *map(_row, rows)))


def _row(row: Passed | Told) -> dict[str, Any]:
    at_s = round(row.at_s, 6)
    if isinstance(row, Passed):
        text = row.data.decode("ascii", "replace")
        if (
            row.way == "came"
            and all(c.isprintable() or c in "\r\n" for c in text)
            and "\ufffd" not in text
        ):
            return {"at_s": at_s, "came_text": text}
        return {"at_s": at_s, row.way: row.data.hex(" ").upper()}
    due_s = round(row.due_s, 6)
    if row.error:
        return {"at_s": at_s, "due_s": due_s, "error": row.error}
    return {
        "at_s": at_s,
        "due_s": due_s,
        "serial_number": row.serial_number,
        "values": dict(row.values),
    }


def parse(text: str, name: str) -> Recording:
    """The recording in the text of a file of that name. Raises RecordingError with the line."""
    rows = list(_rows(text, name))
    if not rows or rows[0].get("recording") != VERSION:
        raise RecordingError(
            f"{name}:1: no recording of version {VERSION} — it begins with a line that has "
            f'"recording": {VERSION}'
        )
    passed: list[Passed] = []
    told: list[Told] = []
    number = 1
    try:
        head = rows[0]
        serial = msgspec.convert(head["serial"], SerialSettings) if head["serial"] else None
        found = Recording(
            profile=str(head["profile"]),
            address=int(head["address"]),
            framing="tcp" if head["framing"] == "tcp" else "rtu",
            serial=serial,
            passed=(),
            told=(),
            redacted=bool(head.get("redacted")),
        )
        for row in rows[1:]:
            number += 1
            _take(row, passed, told)
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        msgspec.ValidationError,
    ) as error:
        raise RecordingError(
            f"{name}:{number}: cannot be read ({error!r}) — drivers/recording.py says what a "
            "line may hold"
        ) from error
    return Recording(
        profile=found.profile,
        address=found.address,
        framing=found.framing,
        serial=found.serial,
        passed=tuple(passed),
        told=tuple(told),
        redacted=found.redacted,
    )


def _rows(text: str, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RecordingError(
                f"{name}:{number}: not JSON ({error}) — a recording has one object in each line"
            ) from error
        if not isinstance(row, dict):
            raise RecordingError(
                f"{name}:{number}: not an object — a recording has one object in each line"
            )
        yield row


def _take(row: dict[str, Any], passed: list[Passed], told: list[Told]) -> None:
    at_s = _seconds(row["at_s"])
    if "sent" in row:
        passed.append(Passed(at_s, "sent", bytes.fromhex(row["sent"])))
    elif "came" in row:
        passed.append(Passed(at_s, "came", bytes.fromhex(row["came"])))
    elif "came_text" in row:
        passed.append(Passed(at_s, "came", row["came_text"].encode("ascii")))
    elif "error" in row:
        told.append(Told(at_s, _seconds(row["due_s"]), {}, None, str(row["error"])))
    else:
        values = {str(quantity): _finite(value) for quantity, value in row["values"].items()}
        told.append(
            Told(
                at_s,
                _seconds(row["due_s"]),
                values,
                None if row["serial_number"] is None else str(row["serial_number"]),
            )
        )


def _finite(number: Any) -> float:
    """JSON of Python's has NaN and Infinity, which no meter sends and no clock shows."""
    if not isfinite(value := float(number)):
        raise ValueError(f"{number} is no number")
    return value


def _seconds(number: Any) -> float:
    if abs(seconds := _finite(number)) > MAX_SECONDS:
        raise ValueError(f"{number} s is no time of a recording")
    return seconds
