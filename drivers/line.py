"""A line: one serial port or TCP endpoint, opened by URL.

Errors, as drivers raise them:

    MeterError            this meter did not answer properly; the line is fine
      ├─ NoReply          nothing came in time
      └─ BadReply         something came that is not a proper answer
    LineError             the line itself is gone (unplugged, refused, closed): reopen it
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from msgspec import Meta


class MeterError(Exception):
    """This meter did not answer properly. The text is for a person: what came, what was expected."""


class NoReply(MeterError):
    """Nothing, or only part of an answer, came in time."""


class BadReply(MeterError):
    """What came is not a proper answer: checksum, wrong address, exception, nonsense."""


class LineError(Exception):
    """The line itself is gone. The text says which, why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialSettings:
    """How a serial port is set."""

    baud: Annotated[int, Meta(ge=300, le=921600, description="bits per second")] = 9600
    parity: Annotated[Literal["none", "even", "odd"], Meta(description="parity bit")] = "none"
    data_bits: Annotated[Literal[7, 8], Meta(description="data bits")] = 8
    stop_bits: Annotated[Literal[1, 2], Meta(description="stop bits")] = 1

    @property
    def char_s(self) -> float:
        """Seconds one character takes on the wire, with start, parity and stop bits."""
        return (1 + self.data_bits + (self.parity != "none") + self.stop_bits) / self.baud


class Line(Protocol):
    """Bytes to and from one open line. One task at a time uses it."""

    @property
    def char_s(self) -> float:
        """Seconds one character takes on the wire; 0 on a network."""

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises LineError."""

    async def read(self, deadline_s: float) -> bytes:
        """Whatever has arrived, at least one byte; waits for it until `deadline_s` (event loop time), then returns b"".

        Raises LineError where the line is closed or gone.
        """

    def drain(self) -> int:
        """Throw away everything that has arrived, and say how many bytes that was. Raises LineError."""

    def close(self) -> None:
        """Give the line back. May be called twice."""
