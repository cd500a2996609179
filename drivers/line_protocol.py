"""What a line is to those who use one, and the errors drivers raise. How one is opened is in
`line`.

Errors:

    MeterError            this meter did not answer properly; the line is fine
      ├─ NoReply          nothing came in time
      └─ BadReply         something came that is not a proper answer
    LineError             the line itself is gone (unplugged, refused, closed): reopen it
"""

from dataclasses import dataclass
from typing import Protocol

from drivers.line_url import Framing, SerialSettings

CONNECT_TIMEOUT_S = 5.0
"""How long a TCP connection may take to come about, name look-up included."""

READ_BYTES = 4096
"""The most one `read` returns."""


class MeterError(Exception):
    """This meter did not answer properly. The text is for a person: what came, what was
    expected.
    """


class NoReply(MeterError):
    """Nothing, or only part of an answer, came in time."""


class BadReply(MeterError):
    """What came is not a proper answer: checksum, wrong address, exception, nonsense."""


class LineError(Exception):
    """The line itself is gone. The text says which, why and what to do."""


@dataclass(slots=True)
class Turns:
    """What meters that take turns on a line must know of each other's frames. Times are the event
    loop's, in seconds.
    """

    asked_s: float = -1e9
    last_frame_s: float = -1e9
    quiet_until_s: float = -1e9
    requests: int = 0
    unread: bytes = b""


class Line(Protocol):
    """Bytes to and from one open line. One task at a time uses it."""

    @property
    def name(self) -> str:
        """Its URL, for messages."""

    @property
    def settings(self) -> SerialSettings | None:
        """How the serial port is set now; None on a network."""

    @property
    def char_s(self) -> float:
        """Seconds one character takes on the wire; 0 on a network."""

    @property
    def framing(self) -> Framing:
        """How Modbus frames travel on it; nothing to other protocols."""

    @property
    def turns(self) -> Turns:
        """Kept by the protocol for as long as the line is open."""

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises LineError."""

    async def read(self, deadline_s: float) -> bytes:
        """Whatever has arrived, at least one byte; waits for it until `deadline_s` (event loop
        time), then returns b"".

        Raises LineError where the line is closed or gone.
        """

    def drain(self) -> int:
        """Throw away everything that has arrived, and say how many bytes that was. Raises
        LineError.
        """

    async def configure(self, settings: SerialSettings) -> None:
        """Set the serial port anew, once all that was written has had the time to leave; what has
        arrived stays.

        On a network it does nothing: the adapter there has settings of its own. Raises LineError
        where the port does not take them.
        """

    async def ready(self) -> None:
        """Connect again where `rest` or `renew` has let go; `write` does so, too. Raises
        LineError.
        """

    def rest(self) -> None:
        """Nobody will ask for a while: a line that is connected for each round of questions lets
        go. What has arrived is lost.
        """

    def renew(self) -> None:
        """Let a network connection go, so that late answers to what was asked on it stay behind; a
        serial port stays as it is.
        """

    def close(self) -> None:
        """Give the line back. May be called twice."""
