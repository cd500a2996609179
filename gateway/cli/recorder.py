"""Records a meter that is read by a person: the bytes of its line and what became of them, into a
new file.
"""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from drivers.foreign import HEARD_BYTES, Kind, foreign
from drivers.line import MeterError
from drivers.recording import MAX_BYTES, Recording, Told, write
from drivers.replay import Tap
from gateway.cli.terminal import Refused

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.sample import Reading
    from gateway.site.devices import Device


class Recorder:
    """One recording. The file is made when the line is open, and written at the end."""

    def __init__(self, path: Path, device: "Device", *, redacts: bool) -> None:
        """Raises Refused where the file is there already, or where this protocol's recordings
        cannot be redacted.
        """
        if device.line.kind != "bytes":
            raise Refused(
                f"{device.name}: what passes on {device.line.scheme}: cannot be recorded — only "
                "lines of bytes can"
            )
        if path.exists():
            raise Refused(f"{path} is there already — give the recording a name of its own")
        self._path = path
        self._device = device
        self._redact = _redaction(device.profile.protocol) if redacts else None
        self._told: list[Told] = []
        self._tap: Tap | None = None
        self._file: IO[str] | None = None

    def begin(self, line: "Line") -> Tap:
        """The line to read from. Raises Refused where the file cannot be made."""
        try:
            self._file = self._path.open("x", encoding="utf-8")
        except OSError as error:
            line.close()
            raise Refused(
                f"{self._path} cannot be made: {error.strerror} — choose a folder that is there "
                "and that you may write to"
            ) from error
        self._tap = Tap(line)
        return self._tap

    def go_on(self, line: "Line") -> Tap:
        """The line to read from, which was opened anew."""
        assert self._tap is not None
        self._tap.go_on(line)
        return self._tap

    def told(self, due_s: float, what: "Reading | MeterError") -> None:
        """Note what the driver made of the bytes, for the reading that was due then (event loop
        time).
        """
        assert self._tap is not None
        due_s -= asyncio.get_running_loop().time() - self._tap.now_s
        if isinstance(what, MeterError):
            self._told.append(Told(self._tap.now_s, due_s, {}, None, str(what)))
        else:
            self._told.append(Told(self._tap.now_s, due_s, dict(what.values), what.serial_number))

    def end(self) -> str:
        """Write the file; says what is in it. Raises Refused where it cannot be redacted; there is
        no file then.
        """
        assert self._tap is not None and self._file is not None
        device = self._device
        recording = Recording(
            profile=device.profile.id,
            address=device.address,
            framing=self._tap.framing,
            serial=self._tap.settings,
            passed=tuple(self._tap.passed),
            told=tuple(self._told),
        )
        with self._file as file:
            if self._redact:
                try:
                    _refuse_strangers(recording, device.profile.protocol)
                    recording = self._redact(recording, device.profile.settings)
                except ValueError as error:
                    self._path.unlink()
                    raise Refused(f"{self._path}: {error}") from error
                # An error quotes what came.
                recording = replace(
                    recording,
                    told=tuple(replace(e, error=e.error and "an error") for e in recording.told),
                )
            file.write(write(recording))
        count = sum(len(each.data) for each in recording.passed)
        full = f"; only the first {MAX_BYTES >> 20} MiB are in it" if self._tap.full else ""
        kind = "readings" if len(self._told) != 1 else "reading"
        return (
            f"{self._path}: {count:,} bytes, {len(self._told)} "
            f"{kind}{', redacted' if recording.redacted else ''}{full}"
        )


_KNOWN: Mapping[str, frozenset[Kind]] = {
    "p1": frozenset({"p1", "d0"}),
    "iec62056": frozenset({"p1", "d0"}),
    "sml": frozenset({"sml"}),
}
"""In which protocols each protocol's `redact` finds the meter's numbers."""


def _refuse_strangers(recording: Recording, protocol: str) -> None:
    """Raises ValueError where another protocol came, in which nobody finds the meter's numbers."""
    if protocol not in _KNOWN:
        return
    came = b"".join(each.data for each in recording.passed if each.way == "came")
    for at in range(0, len(came), HEARD_BYTES // 2):
        stranger = foreign(came[at : at + HEARD_BYTES], _KNOWN[protocol])
        if stranger is not None:
            raise ValueError(
                f"{stranger.text} — nobody knows here where the meter's number stands in it: "
                "record without --redact, and mind whom you give the file"
            )


def _redaction(protocol: str) -> Callable[[Recording, Any], Recording]:
    """What takes private things out of that protocol's recordings: `redact` of its module of that
    name.
    """
    name = f"drivers.{protocol}.redact"
    if importlib.util.find_spec(name) is None:
        raise Refused(
            f"recordings of {protocol} cannot be redacted — record without --redact, and mind "
            "whom you give the file"
        )
    found: Callable[[Recording, Any], Recording] = importlib.import_module(name).redact
    return found
