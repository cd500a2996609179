"""What a line is to those who use one, and the errors drivers raise. How one is opened is in
`line`.

A line is of the kind that its URL says (`LineUrl.kind`), and a protocol speaks over lines of one
kind: `Line` (bytes), `HttpLine`, `DatagramLine` or `MqttLine`. `AnyLine` is what all of them are to
the collector. Only lines of bytes can be recorded and played back.

Errors:

    MeterError            this meter did not answer properly; the line is fine
      ├─ NoReply          nothing came in time
      └─ BadReply         something came that is not a proper answer
    LineError             the line itself is gone (unplugged, refused, closed): reopen it
      ├─ LineClosed       the other end has closed the connection: it may take another one
      ├─ LineFlooded      far more comes than any meter says: leave it alone for a while
      └─ LineHeld         another process has it
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from drivers.claim import Holder
from drivers.line_url import Framing, LineUrl, SerialSettings

if TYPE_CHECKING:
    from drivers.net.http_connection import HttpReply

CONNECT_TIMEOUT_S = 5.0
"""How long a TCP connection may take to come about, name look-up included."""

SETTLE_S = 1.0
"""What some devices need after a connection before they answer; a question before that they drop,
or the connection.
"""

LISTEN_S = 0.15
"""How long an RTU line is listened to after a reading, and after each answer where another master
was heard: where an answer to it was taken for ours, ours comes later.
"""

NEVER_S = -1e9
"""A time of the event loop's that has not been."""

DRAINED_BYTES = 512
"""So much of what is thrown away is kept, to tell what it was."""

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


class LineClosed(LineError):
    """The other end has closed the connection. It may take another one."""


def closed_by_peer(name: str, cause: str = "") -> LineClosed:
    """What to say of that; `cause` is the system's word, such as " (Connection reset by peer)"."""
    return LineClosed(
        f"{name}: the other end has closed the connection{cause} — check the meter, its power and "
        "the network; a device that serves one client at a time may have another: end that, or "
        "write ?connect=cycle; one that needs time after connecting: ?settle=1s"
    )


class LineFlooded(LineError):
    """Far more comes on the line than any meter says. To read it would cost the other meters."""


class LineHeld(LineError):
    """Another process has the line, which has one user at a time. The text says who."""

    def __init__(self, url: LineUrl, holder: Holder) -> None:
        what = "port" if url.is_serial else "line"
        remedy = "stop it, or take the line out of its configuration"
        if holder == Holder():
            remedy = "stop it, or another copy of this one (fuser -v names it)"
        super().__init__(f"{url}: {holder.name} has the {what} open{holder.process} — {remedy}")
        self.holder = holder


class Overheard(msgspec.Struct):
    """What others say on an RTU line, and by what an answer of ours is told from that. Times are
    the event loop's, in seconds.
    """

    strangers: int = 0
    """Frames that nobody here has asked for: another master's."""
    stranger_s: float = NEVER_S
    """When one was heard last."""
    given_up: int = -1
    """Address of the meter whose answer may still come late."""
    asked: bytes = b""
    """Our last question, as some adapters hear it."""
    answer: bytes = b""
    """The last answer: some adapters and networks bring it twice."""
    reply_s: float = 0.0
    """How long answers take to begin, at most, lately."""
    early_s: float = 0.0
    """How much earlier than that the last one came, where that is much."""
    listen_s: float = LISTEN_S
    """How long there is time to listen after a reading."""


class Turns(msgspec.Struct):
    """What meters that take turns on a line must know of each other's frames. Times are the event
    loop's, in seconds.
    """

    asked_s: float = NEVER_S
    last_frame_s: float = NEVER_S
    quiet_until_s: float = NEVER_S
    answered_s: float = NEVER_S
    """When a meter answered last, be it with a refusal."""
    connected_s: float = NEVER_S
    """When a connection came about that the other end may close; never on other lines."""
    settle_s: float = 0.0
    """How long a new connection is left alone, as was found out."""
    searched: bool = False
    """Whether other circumstances were tried, as no meter answered."""
    requests: int = 0
    unread: bytes = b""
    drained: bytes = b""
    """The end of what the line threw away last."""
    overheard: Overheard = msgspec.field(default_factory=Overheard)


class AnyLine(Protocol):
    """An open line of any kind. One task at a time uses it."""

    @property
    def name(self) -> str:
        """Its URL, for messages."""

    async def configure(self, settings: SerialSettings) -> None:
        """Set the serial port anew; on other lines it does nothing. Raises LineError where the port
        does not take the settings.
        """

    def rest(self) -> None:
        """Nobody will ask for a while: a line that is connected for each round of questions lets
        go. What has arrived is lost.
        """

    def close(self) -> None:
        """Give the line back. May be called twice."""


class Line(AnyLine, Protocol):
    """Bytes to and from one open line."""

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

    def renew(self) -> None:
        """Let a network connection go, so that late answers to what was asked on it stay behind; a
        serial port stays as it is.
        """


class HttpLine(AnyLine, Protocol):
    """Pages of one server."""

    async def get(
        self, path: str, within_s: float, credentials: Mapping[str, str] | None = None
    ) -> "HttpReply":
        """The reply to GET of that path, whatever its status. `credentials` are the device's, of
        which `token`, or `username` and `password`, are sent.

        Raises NoReply where it does not come in time, BadReply where it is longer than
        `drivers.net.http_connection.MAX_REPLY_BYTES`, LineError where the server cannot be reached.
        """


class DatagramLine(AnyLine, Protocol):
    """What is sent to a multicast group."""

    def drain(self) -> int:
        """Throw away everything that has arrived, and say how many datagrams that was. Raises
        LineError.
        """

    async def receive(self, deadline_s: float) -> bytes | None:
        """The next datagram; waits for it until `deadline_s` (event loop time), then returns None.
        Raises LineError.
        """


class Arrived(msgspec.Struct, frozen=True):
    """What was published, and when it came (event loop time)."""

    payload: bytes
    at_s: float


class MqttLine(AnyLine, Protocol):
    """What is published under one topic."""

    async def receive(
        self, deadline_s: float, credentials: Mapping[str, str] | None = None
    ) -> Arrived | None:
        """The next message; waits for it until `deadline_s` (event loop time), then returns None.
        What the broker had kept from before is left out: nobody knows when that was said.

        The first call connects, with the device's `username` and `password` if there are any. What
        came while nobody listened for 0.3 s is dropped. Raises LineError.
        """
