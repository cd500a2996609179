"""Recording what passes on a line, and playing it back as a line."""

import asyncio
from collections import deque
from pathlib import Path

from drivers.line_protocol import Line, LineError, Turns
from drivers.line_url import Framing, LineUrl, SerialSettings
from drivers.recording import MAX_BYTES, MAX_FILE_BYTES, Passed, Recording, RecordingError, parse

TRANSACTION_BYTES = 2
"""At the beginning of a Modbus TCP frame; the reply repeats them."""


class Tap:
    """A line that notes what passes on it, up to `MAX_BYTES`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._noted_bytes = 0
        self._began_s = asyncio.get_running_loop().time()
        self.passed: list[Passed] = []

    def go_on(self, line: Line) -> None:
        """The line was opened anew."""
        self._line = line

    @property
    def full(self) -> bool:
        """Whether bytes have passed that are not noted."""
        return self._noted_bytes > MAX_BYTES

    @property
    def now_s(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self._began_s

    @property
    def name(self) -> str:
        return self._line.name

    @property
    def settings(self) -> SerialSettings | None:
        return self._line.settings

    @property
    def char_s(self) -> float:
        return self._line.char_s

    @property
    def framing(self) -> Framing:
        return self._line.framing

    @property
    def turns(self) -> Turns:
        return self._line.turns

    async def write(self, data: bytes) -> None:
        self._note("sent", data)
        await self._line.write(data)

    async def read(self, deadline_s: float) -> bytes:
        data = await self._line.read(deadline_s)
        if data:
            self._note("came", data)
        return data

    def _note(self, way: str, data: bytes) -> None:
        self._noted_bytes += len(data)
        if not self.full:
            self.passed.append(Passed(self.now_s, "sent" if way == "sent" else "came", data))

    def drain(self) -> int:
        """What is thrown away is no part of a conversation, and not noted."""
        return self._line.drain()

    async def configure(self, settings: SerialSettings) -> None:
        await self._line.configure(settings)

    async def ready(self) -> None:
        await self._line.ready()

    def rest(self) -> None:
        self._line.rest()

    def renew(self) -> None:
        self._line.renew()

    def close(self) -> None:
        self._line.close()


def open_replay(url: LineUrl) -> "ReplayLine":
    """The recording in the file, as a line. Raises LineError."""
    path = Path(url.target)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise LineError(
            f"{url}: cannot be read: {error.strerror} — read DEVICE --record FILE makes such a file"
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise LineError(
            f"{url}: is larger than {MAX_FILE_BYTES >> 20} MiB — record for a shorter time"
        )
    try:
        return ReplayLine(
            parse(data.decode("utf-8", "replace"), str(path)), str(url), fast=url.pace == "fast"
        )
    except RecordingError as error:
        raise LineError(f"{url}: {error}") from error


class ReplayLine:
    """A line on which a recorded meter speaks.

    One that pushes sends again what it sent, at its own pace; after the end the line is gone. One
    that is asked answers each request as it answered the same one, as late as then: the next time
    it was asked that, and after the last time the first. `fast` leaves out the waits.
    """

    framing: Framing

    def __init__(self, recording: Recording, name: str, *, fast: bool = False) -> None:
        self.name = name
        self.settings = recording.serial
        self.framing = recording.framing
        self.turns = Turns()
        self._fast = fast
        self._passed = recording.passed
        self._pushes = recording.pushes
        self._asked = -1
        """Which of `passed` was asked last."""
        self._closed = False
        self._due: deque[tuple[float, bytes]] = deque()
        """What comes next, and when (event loop time)."""
        if self._pushes:
            self._send(recording.passed, 0.0)

    @property
    def char_s(self) -> float:
        return self.settings.char_s if self.settings else 0.0

    async def write(self, data: bytes) -> None:
        self._check_open()
        if self._pushes:
            return  # a meter that pushes is not impressed
        skip = TRANSACTION_BYTES if self.framing == "tcp" else 0
        count = len(self._passed)
        order = [(self._asked + 1 + n) % count for n in range(count)]
        found = (
            at
            for at in order
            if self._passed[at].way == "sent" and self._passed[at].data[skip:] == data[skip:]
        )
        at = next(found, None)
        if at is None:
            hint = "it was made with another profile, address or version: record anew"
            raise LineError(f"{self.name}: the recording has no answer to {data.hex(' ')} — {hint}")
        self._asked = at
        end = next((n for n in range(at + 1, count) if self._passed[n].way == "sent"), count)
        reply = self._passed[at + 1 : end]
        if reply and skip and len(reply[0].data) >= skip:
            reply = (Passed(reply[0].at_s, "came", data[:skip] + reply[0].data[skip:]), *reply[1:])
        self._send(reply, self._passed[at].at_s)

    def _send(self, passed: tuple[Passed, ...], since_s: float) -> None:
        now_s = asyncio.get_running_loop().time()
        self._due.extend(
            (now_s if self._fast else now_s + each.at_s - since_s, each.data) for each in passed
        )

    async def read(self, deadline_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        self._check_open()
        if not self._due and self._pushes:
            raise LineError(f"{self.name}: the recording ends here")
        at_s = self._due[0][0] if self._due else deadline_s
        if at_s > loop.time():
            await asyncio.sleep(min(at_s, deadline_s) - loop.time())
            self._check_open()
        return self._due.popleft()[1] if self._due and self._due[0][0] <= loop.time() else b""

    def drain(self) -> int:
        self._check_open()
        count = 0
        now_s = asyncio.get_running_loop().time()
        while self._due and self._due[0][0] <= now_s and not (self._pushes and self._fast):
            count += len(self._due.popleft()[1])
        return count

    def _check_open(self) -> None:
        if self._closed:
            raise LineError(f"{self.name}: the line has been closed — open it again")

    async def configure(self, settings: SerialSettings) -> None:
        """What was recorded was recorded as it was."""

    async def ready(self) -> None:
        """It always is."""

    def rest(self) -> None:
        """There is no connection."""

    def renew(self) -> None:
        """There is no connection."""

    def close(self) -> None:
        self._closed = True
