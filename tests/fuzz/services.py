"""What comes over the network: the exchange's replies, requests to the status page, and what an
MQTT broker says.
"""

import asyncio
import functools
import itertools
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC
from typing import Any

from drivers.net.http_connection import MAX_REPLY_BYTES
from drivers.strict_yaml import Seconds
from gateway.delivery.http_session import ExchangeError, Session
from gateway.delivery.mqtt_publisher import MqttPublisher
from gateway.monitoring.report import BufferReport, ClockReport, Report
from gateway.monitoring.seats import Seat
from gateway.monitoring.server import MAX_REQUEST_BYTES, StatusServer
from gateway.outbox.dialect import Dialect, ReadsBack, Reply
from gateway.outbox.dialects import dialect_names, load_dialect
from gateway.outbox.format import Accepted, Outcome, Rejected, Retry
from gateway.outbox.http_replies import (
    MAX_REASON_CHARS,
    MAX_RETRY_AFTER_S,
    http_outcome,
    parsed,
    reason_of,
)
from gateway.page.served import About, ServedPages
from gateway.site.credentials import Credentials
from gateway.site.settings import MqttSettings, StatusSettings
from tests.browser.told import Told
from tests.fuzz.meter_drivers import loop
from tests.fuzz.target import Target, check_message, pieces, split

NETWORK = "8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10"
PASSWORD = "hunter2-secret"
TOKEN = "eyJ0eXAi.eyJ1c2Vy.c2lnbmF0dXJl"

# Replies of the exchange


def check_outcome(outcome: Outcome, reply: Reply) -> None:
    """What it may say, and that no web page is ever believed."""
    match outcome:
        case Accepted():
            assert 200 <= reply.status < 300
            return
        case Rejected():
            assert 200 <= reply.status < 300 or 400 <= reply.status < 500
        case Retry():
            assert outcome.after_s is None or 0 <= outcome.after_s <= MAX_RETRY_AFTER_S
        case _:
            raise AssertionError(f"{outcome} does not come from a reply")
    if reply.body.lstrip().startswith(b"<") and reply.status != 413:
        assert isinstance(outcome, Retry), "a web page is never a verdict"
    check_message(outcome.reason)
    assert len(outcome.reason) <= MAX_REASON_CHARS + 200


@functools.cache
def _dialects() -> tuple[Dialect, ...]:
    return tuple(load_dialect(name, NETWORK, 900) for name in dialect_names())


def exchange_replies(data: bytes) -> None:
    """Two bytes of status, then Retry-After and Location up to line ends, then the body. Every
    dialect judges it.
    """
    status = 100 + int.from_bytes(data[:2], "big") % 500
    retry, _, rest = data[2:].partition(b"\n")
    location, _, body = rest.partition(b"\n")
    headers = {"retry-after": retry.decode("latin-1"), "location": location.decode("latin-1")}
    reply = Reply(status, {name: text for name, text in headers.items() if text}, body)
    check_outcome(http_outcome(reply), reply)
    check_message(reason_of(body))
    parsed(body)
    for dialect in _dialects():
        check_outcome(dialect.judge(reply), reply)
        held = dialect.held(reply) if isinstance(dialect, ReadsBack) else None
        for slot_s, energy_uwh in (held or {}).items():
            assert -62135683200 <= slot_s < 253402387200
            assert abs(energy_uwh) <= 10**18


def _status(number: int) -> bytes:
    return (number - 100).to_bytes(2, "big")


def reply_seeds() -> Iterable[bytes]:
    bodies = (
        b"", b"{}", b"null", b'{"detail": "Not found."}', b'{"error": "no such asset", "code": 7}',
        b"<html><body>Bad "
        b"gateway</body></html>", b"plain \xff "
                                  b"text\x1b[31m", b'["a", {"b": [1.5e400, '
                                                   b'123456789012345678901234567890]}]',
        b'"\\ud800"', b"[" * 900, b'{"a":' * 500,
    )  # fmt: skip
    for status, body in itertools.product((200, 202, 302, 400, 404, 413, 429, 503), bodies):
        yield _status(status) + b"30\nhttps://elsewhere/\n" + body
    for body in (
        b'[{"time": "2026-03-29T01:00", "energy_kWh": 0.125}, {"time_slot": "2026-03-29 01:15Z", '
        b'"energy_Wh": "12.5"}]',
        b'{"results": {"data": {"2026-03-29T01:00:30.5+01:30": {"energy": 1e3}, '
        b'"0001-01-01T00:00+23:59": -1}}}',
        b'{"9999-12-31T23:59-23:59": 0.125, "2026-03-29T01:15": "sNaN", "2026-03-29T01:30": '
        b'"1E99999999"}',
    ):
        yield _status(200) + b"\n\n" + body


JSON_WORDS = (
    b'{"detail": '
    b'"', b'"error": ', b"[[[[[[[[", b'{"a":{"a":', b"\\ud800", b"\\u001b", b"1e999", b"NaN",
    b"Infinity", b"<html>",
    b"\xef\xbb\xbf", b"[" * 400,
    b'"2026-03-29T01:00', b'"results": ', b'"energy_kWh": ', b'"time": ',
    b"+23:59", b"0001-01-01T00:00",
    b"9999-12-31T23:59", b'"1E9999999',
)  # fmt: skip


class _Peer(asyncio.Transport):
    """A connection whose other end answers each thing that is written with the next of `turns`, and
    closes after the last.
    """

    def __init__(self, protocol: asyncio.Protocol, turns: Iterable[list[bytes]]) -> None:
        super().__init__()
        self._protocol: asyncio.Protocol | None = protocol
        self._turns = list(turns)
        self.written_bytes = 0
        protocol.connection_made(self)

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written_bytes += len(data)
        if not self._turns:
            return
        come = self._turns.pop(0)
        here = asyncio.get_running_loop()
        for n, piece in enumerate(come):
            here.call_later(0.01 * n, self._say, piece)
        if not self._turns:
            here.call_later(0.01 * len(come) + 1, self.close)

    def _say(self, piece: bytes) -> None:
        if self._protocol is not None:
            self._protocol.data_received(piece)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        if self._protocol is not None:
            protocol, self._protocol = self._protocol, None
            asyncio.get_running_loop().call_soon(
                protocol.connection_lost, None
            )  # as asyncio's own do

    abort = close


def _connections_that_say(turns: list[list[bytes]]) -> Callable[..., Awaitable[Any]]:
    """In place of the loop's `create_connection`: the input comes on each."""

    async def create_connection(
        make: Callable[[], asyncio.Protocol], *_: object, **__: object
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        protocol = make()
        return _Peer(protocol, turns), protocol

    return create_connection


LOGIN_REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    b'%d\r\n\r\n{"token": "%s"}'
)


def exchange_session(data: bytes) -> None:
    """What an exchange sends on the wire, where the login goes well before it or (bit 3) is what is
    fuzzed; bit 4: it is asked.
    """
    options, stream = split(data)
    login = [] if options & 8 else [[LOGIN_REPLY % (13 + len(TOKEN), TOKEN.encode())]]
    turns = [*login, [*pieces(stream, options)]]
    loop().run_until_complete(_talk(turns, asks=bool(options & 16)))


async def _talk(turns: list[list[bytes]], *, asks: bool) -> None:
    here = asyncio.get_running_loop()
    here.create_connection = _connections_that_say(turns)  # type: ignore[method-assign]
    session = Session("http://127.0.0.1", lambda: Credentials("me", PASSWORD), 5.0)
    try:
        reply = await (
            session.get("api/", 3.0)
            if asks
            else session.post("external-connection/api/", {"energy_Wh": 1.5})
        )
    except ExchangeError as error:
        check_message(str(error))
        assert PASSWORD not in str(error)
        assert TOKEN not in str(error)
    else:
        assert len(reply.body) <= MAX_REPLY_BYTES
        check_outcome(http_outcome(reply), reply)
    finally:
        await session.aclose()
        del here.create_connection


def session_seeds() -> Iterable[bytes]:
    for options in (0, 8, 3, 12, 16):
        yield bytes([options]) + LOGIN_REPLY % (13 + len(TOKEN), TOKEN.encode())
        yield (
            bytes([options])
            + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnull\r\n0\r\n\r\n"
        )
        yield (
            bytes([options])
            + b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"
            + LOGIN_REPLY % (13 + len(TOKEN), TOKEN.encode())
        )
        yield (
            bytes([options])
            + (
                b"HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\nSet-Cookie: a=b; "
                b"Max-Age=x\r\nContent-Length: 0\r\n\r\n"
            )
        )
        yield (
            bytes([options])
            + b"HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nConnection: close\r\n\r\n<html>"
        )
        yield bytes([options]) + b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 500\r\n\r\n\x1b[2J"


HTTP_WORDS = (
    b"HTTP/1.1 ", b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: "
                                                    b"chunked\r\n", b"Connection: "
                                                                    b"close\r\n", b"Location: ",
    b"Retry-After: ", b"Set-Cookie: ", b"Upgrade: "
                                       b"websocket\r\n", b"Expect: 100-continue\r\n", b"Host: ",
                                       b"GET ", b"HEAD ", b"CONNECT ",
    b"/metrics", b"/status", b"/healthz", b"localhost", b"[::1]", b'{"access": "',
)  # fmt: skip


# Requests to the status page


class _Client(asyncio.Transport):
    """What takes the page's answer."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@functools.cache
def _server() -> StatusServer:
    report = Report(
        version="0.1.0",
        site="home",
        now_s=1_750_000_510.0,
        started_s=1_749_999_510.0,
        slot_length_s=900,
        lines=[],
        meters=[],
        assets=[],
        destinations=[],
        clock=ClockReport(trusted=True, why="", boot_id="b7e1"),
        buffer=BufferReport(
            name="buffer", state="ok", last_success_s=1_750_000_500.0, max_age_s=180, path="/b",
            bytes=1, max_bytes=2, samples=3, slots=4,
            unflushed=5, bytes_written_per_day=6, events=[],
        ),
        mqtt=None,
    )  # fmt: skip
    told, about = Told(), About(title="home", zone=UTC)
    return StatusServer(
        StatusSettings(),
        lambda: report,
        pages=lambda door: [ServedPages(told, told.report, about, door)],
    )


STATUSES = frozenset((200, 303, 304, 400, 401, 404, 405, 413, 421, 429, 431, 501, 503, 505))
"""What the page may answer; 500 is a bug of it."""


def status_page(data: bytes) -> None:
    """What a browser, or something else, sends to the status page."""
    options, stream = split(data)
    loop().run_until_complete(_browse(stream, options))


async def _browse(stream: bytes, options: int) -> None:
    here = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_REQUEST_BYTES, loop=here)
    protocol = asyncio.StreamReaderProtocol(reader, loop=here)
    client = _Client()
    writer = asyncio.StreamWriter(client, protocol, reader, here)
    seat = Seat("127.0.0.1", client.close)
    conversation = asyncio.ensure_future(_server()._converse(reader, writer, seat))
    for piece in pieces(stream, options):
        reader.feed_data(piece)
        await asyncio.sleep(0)
    reader.feed_eof()
    await conversation
    writer.close()
    if client.written:
        head, _, body = client.written.partition(b"\r\n\r\n")
        assert re.match(
            rb"HTTP/1\.1 (200|303|304|400|401|404|405|413|421|429|431|501|503|505) ", head
        ), head[:100]
        assert head.count(b"Content-Length: ") == 1
        answered_whole = b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
        assert answered_whole or not body, head


def status_seeds() -> Iterable[bytes]:
    pages = (
        b"/days/2026-11-28?asset=1",
        b"/slots/a/1",
        b"/events?before=1&meter=pv",
        b"/help/disk",
    )
    for n, path in enumerate((b"/", b"/status", b"/healthz", b"/metrics", b"/x?y#z", *pages)):
        yield (
            bytes([n])
            + b"GET "
            + path
            + b" HTTP/1.1\r\nHost: localhost:8080\r\nAccept: */*\r\n\r\n"
        )
        yield (
            bytes([n])
            + b"HEAD "
            + path
            + b" HTTP/1.0\r\nHost: [::1]\r\nConnection: keep-alive\r\n\r\n"
        )
    yield (
        b"\0POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nExpect: "
        b"100-continue\r\n\r\nbody"
    )
    yield (
        b"\0GET / HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: "
        b"upgrade\r\n\r\n"
    )
    yield (
        b"\0CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        b"chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )


# An MQTT broker


CONNACK = b"\x20\x02\x00\x00"


def mqtt_broker(data: bytes) -> None:
    """What a broker says; bit 3: after a proper welcome."""
    options, stream = split(data)
    loop().run_until_complete(
        _broker_says([*([CONNACK] if options & 8 else []), *pieces(stream, options)])
    )


async def _broker_says(come: list[bytes]) -> None:
    publisher = MqttPublisher(
        MqttSettings(host="broker", tls=False, samples=Seconds(60)),
        "home",
        lambda _: Credentials("me", PASSWORD),
        now=lambda: 1.0,
    )
    for n in range(3):
        publisher._publish(f"sample/{n}", {"power_w": n})
    here = asyncio.get_running_loop()
    here.create_connection = _connections_that_say([come])  # type: ignore[method-assign]
    try:
        await publisher._session()
    except OSError as error:
        check_message(str(error))
    else:
        raise AssertionError("a session ends with an error, for the connection is lost")
    finally:
        del here.create_connection
    assert len(publisher._queue._waiting) + len(publisher._queue._retained) <= 4
    assert not publisher._queue._unacknowledged


def mqtt_seeds() -> Iterable[bytes]:
    for options in (0, 8, 9, 11):
        yield bytes([options]) + CONNACK + b"\x40\x02\x00\x01\x40\x02\x00\x02"
        yield bytes([options]) + b"\x40\x02\x00\x01\x40\x02\x00\x02\xd0\x00"
        yield bytes([options]) + b"\x20\x02\x00\x05"
        yield (
            bytes([options]) + b"\x32\x09\x00\x03a/b\x00\x01hi\x90\x03\x00\x01\x00\xb0\x02\x00\x01"
        )
        yield (
            bytes([options])
            + b"\x50\x02\x00\x01\x62\x02\x00\x01\x70\x02\x00\x01\xe0\x00\xff\xff\xff\x7f"
        )


TARGETS = (
    Target(
        "exchange-replies",
        "HTTP replies of the exchange, judged by every dialect",
        exchange_replies,
        reply_seeds,
        words=JSON_WORDS,
    ),
    Target(
        "exchange-session",
        "the exchange's side of the wire, through the session",
        exchange_session,
        session_seeds,
        words=HTTP_WORDS + JSON_WORDS,
    ),
    Target(
        "status-page",
        "HTTP requests to the status page",
        status_page,
        status_seeds,
        words=HTTP_WORDS,
    ),
    Target("mqtt", "what an MQTT broker says", mqtt_broker, mqtt_seeds, longest=300),
)
