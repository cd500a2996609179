"""A stand-in exchange, as strict as the real one, that can be told to misbehave; by itself, or
behind plain HTTP on loopback.

    exchange = StrictExchange(network, assets, now=clock)          no socket, no task, no clock of
    its own exchange.handle("POST", path, headers, body)                   → Answer

    async with StandInExchange(network, assets, slot_s=900) as exchange:
        …exchange.url…
        exchange.mode("status", status=429, retry_after_s=7, times=1)
        exchange.measurements[asset][slot_s]     µWh

What it is strict about: trailing slashes, methods, `Authorization: JWT`, expiring tokens, exactly
the known keys, real numbers that are not negative, times of its slots' starts in exactly its
format, UUIDs it knows, version 4 transaction ids. What it does silently, as the real one does: a
measurement of a slot that is not over, or a forecast of one that is, is answered with 200 and
dropped; `dropped` counts them. What is booked during a slot is applied when the next one begins,
and only then told to who reads back; after 90 days it is forgotten.
"""

import asyncio
import base64
import json
import math
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024

Mode = Literal[
    "ok", "down", "slow", "status", "unauthorized", "html", "drop_after_accept", "partial"
]
Sends = Literal["all", "half", "nothing"]

KEPT_S = 90 * 86_400
"""The exchange forgets its results after 90 days."""
MAX_HISTORY = 100_000

LOGIN = "/api-token-auth/"
_POST = re.compile(
    r"/external-connection/api/([^/]+)/([^/]+)/(set_energy_forecast|set-energy-forecast|set-energy-measurement)/"
)
_REGISTRY = re.compile(r"/external-connection/configurations/([^/]+)/registry")
_HISTORY = re.compile(r"/historical-data/assets/([^/]+)/([^/]+)/([^/]+)/([^/]+)")
_HTML = (
    b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please accept our terms "
    b"of use.</body></html>"
)
_WORDS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP reply, and how it goes out: `delay_s` after the request, and whole, up to the middle
    of its body, or not at all; where it is not whole, the connection ends.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    sends: Sends = "all"


@dataclass(frozen=True, slots=True)
class Booking:
    """One number that was booked."""

    at_s: float
    """When it arrived, Unix time of the exchange."""
    what: str
    """`measurement`, `forecast` or `undated`."""
    asset: UUID
    slot_s: int
    energy_uwh: int
    before_uwh: int | None
    """What it replaced."""


@dataclass(slots=True)
class _Fault:
    mode: Mode
    status: int
    retry_after_s: float | None
    seconds: float
    where: str
    times: int | None


class _Refused(Exception):
    """The request is refused with this answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.answer = _json(status, {"detail": detail})


def _json(status: int, data: object) -> Answer:
    return Answer(status, json.dumps(data).encode())


class StrictExchange:
    """One network with its assets. What was booked is kept in µWh by asset and start of the slot
    (Unix time).

    `now` is its clock. The newest `max_history` bookings are kept in `history`, one by one; None
    keeps all.
    """

    def __init__(
        self,
        network: UUID,
        assets: Mapping[UUID, str],
        *,
        slot_s: int = 900,
        username: str = "gateway",
        password: str = "let-me-in",  # noqa: S107 — of a stand-in
        token_life_s: float = 48 * 3600.0,
        now: Callable[[], float] = time.time,
        max_history: int | None = MAX_HISTORY,
    ) -> None:
        self.network = network
        self.assets = dict(assets)
        self.slot_s = slot_s
        self.username = username
        self.password = password
        self.token_life_s = token_life_s
        self.token_key = "token"  # noqa: S105 — a key, not a token
        """The key under which a login answers its token: older servers `token`, current ones
        `access`.
        """
        self.now = now
        self.measurements: dict[UUID, dict[int, int]] = {asset: {} for asset in assets}
        self.forecasts: dict[UUID, dict[int, int]] = {asset: {} for asset in assets}
        self.undated: dict[UUID, dict[int, int]] = {asset: {} for asset in assets}
        self.held: dict[UUID, dict[int, int]] = {asset: {} for asset in assets}
        """What it has applied and tells who reads back. A test may change it, as a fault of the
        exchange would.
        """
        self.booked: Counter[tuple[str, UUID, int]] = Counter()
        """How often each (what, asset, slot) was booked; what is `measurement`, `forecast` or
        `undated`.
        """
        self.history: deque[Booking] = deque(maxlen=max_history)
        """Everything that was booked, in the order in which it arrived."""
        self.dropped: Counter[str] = Counter()
        """Numbers that were answered with 200 and not booked, by kind."""
        self.logins = 0
        self.requests: Counter[int] = Counter()
        """Requests other than logins, by the status they were answered with (0: no whole answer was
        sent).
        """
        self.journal: deque[tuple[float, str, int]] = deque(maxlen=10_000)
        """The newest requests: when each arrived, its path, and the status it was answered with."""
        self._tokens: dict[str, float] = {}
        self._fault: _Fault | None = None
        self._fresh: deque[tuple[int, UUID, int, int]] = deque()
        """What was booked and is not applied yet: start of the slot that applies it, asset, slot,
        µWh.
        """

    def mode(
        self,
        mode: Mode,
        *,
        status: int = 500,
        retry_after_s: float | None = None,
        seconds: float = 30.0,
        where: str = "",
        times: int | None = None,
    ) -> None:
        """Misbehave from now on: `times` times, or until `mode("ok")`; only at paths that contain
        `where`.

        down: every connection is dropped without a word. slow: a request is obeyed as it arrives,
        and answered `seconds` later. status: everything is answered with `status` and
        `Retry-After`. unauthorized: 401, but a login is answered as ever. html: everything is
        answered 200 with a web page. drop_after_accept: the request is obeyed, its answer never
        sent. partial: it is obeyed, and the connection is dropped in the middle of its answer.
        """
        self._fault = (
            None if mode == "ok" else _Fault(mode, status, retry_after_s, seconds, where, times)
        )

    def revoke_tokens(self) -> None:
        """Forget every login, as a server does that got a new secret."""
        self._tokens.clear()

    # --- what it says -----------------------------------------------------------------------------

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one request. Header names in lower case. Who calls waits `delay_s` and
        sends as much of it as it `sends`.
        """
        path = urlsplit(target).path
        arrived_s = self.now()
        answer = self._misbehave(path, lambda: self._obey(method, path, headers, body))
        status = answer.status if answer.sends == "all" else 0
        self.journal.append((arrived_s, path, status))
        if path != LOGIN:
            self.requests[status] += 1
        return answer

    def _misbehave(self, path: str, obey: Callable[[], Answer]) -> Answer:
        fault = self._fault
        if (
            fault is None
            or fault.where not in path
            or (fault.mode == "unauthorized" and path == LOGIN)
        ):
            return obey()
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._fault = None
        match fault.mode:
            case "status":
                after = (
                    ()
                    if fault.retry_after_s is None
                    else (("Retry-After", f"{fault.retry_after_s:g}"),)
                )
                return Answer(fault.status, b'{"detail": "told to say so"}', headers=after)
            case "unauthorized":
                return _json(401, {"detail": "this login has expired"})
            case "html":
                return Answer(200, _HTML, "text/html")
            case "slow":
                return replace(obey(), delay_s=fault.seconds)
            case "drop_after_accept":
                return replace(obey(), sends="nothing")
            case "partial":
                return replace(obey(), sends="half")
            case _:
                return Answer(0, sends="nothing")

    def _obey(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            if path == LOGIN:
                return self._login(method, headers, body)
            if match := _POST.fullmatch(path):
                self._admit(headers)
                self._expect(method, "POST")
                asset = self._asset(match[1], match[2])
                return self._book(asset, match[3], _object(headers, body))
            if match := _REGISTRY.fullmatch(path):
                self._admit(headers)
                self._expect(method, "GET")
                self._network(match[1])
                return _json(200, self._registry())
            if match := _HISTORY.fullmatch(path):
                self._admit(headers)
                self._expect(method, "GET")
                asset = self._asset(match[1], match[2])
                return _json(200, self._told(asset, self._slot(match[3]), self._slot(match[4])))
        except _Refused as refused:
            return refused.answer
        return Answer(404, b"<html><body><h1>Not Found</h1></body></html>", "text/html")

    def _login(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.logins += 1
        self._expect(method, "POST")
        login = _object(headers, body)
        _exactly(login, {"username", "password"})
        if login != {"username": self.username, "password": self.password}:
            return _json(400, {"non_field_errors": ["These credentials are not known here."]})
        parts = (
            {"alg": "none"},
            {"exp": int(self.now() + self.token_life_s)},
            f"{self.logins:016x}",
        )
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        )
        self._tokens = {
            t: expires_s for t, expires_s in self._tokens.items() if expires_s > self.now()
        }
        self._tokens[token] = self.now() + self.token_life_s
        return _json(200, {self.token_key: token})

    def _admit(self, headers: Mapping[str, str]) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme != "JWT":
            raise _Refused(401, "there is no login in this request")
        if self._tokens.get(token, 0.0) <= self.now():
            raise _Refused(401, "this login has expired")

    def _expect(self, method: str, wanted: str) -> None:
        if method != wanted:
            raise _Refused(405, f"{method} is not allowed here")

    def _network(self, text: str) -> None:
        if text != str(self.network):
            raise _Refused(404, "there is no such network")

    def _asset(self, network: str, text: str) -> UUID:
        self._network(network)
        asset = next((asset for asset in self.assets if str(asset) == text), None)
        if asset is None:
            raise _Refused(404, "there is no such asset")
        return asset

    def _book(self, asset: UUID, command: str, data: dict[str, object]) -> Answer:
        if command == "set_energy_forecast":
            _exactly(data, {"energy_Wh"})
            next_slot_s = math.floor(self.now() / self.slot_s + 1) * self.slot_s
            self._keep("undated", asset, next_slot_s, round(_number(data["energy_Wh"]) * 10**6))
            return _json(200, {"command": command, "status": "queued"})
        kind = command.removeprefix("set-energy-")
        _exactly(data, {f"energy_{kind}", "transaction_id"})
        transaction_id = data["transaction_id"]
        if not isinstance(transaction_id, str) or not _is_uuid4(transaction_id):
            raise _Refused(400, "transaction_id is not a version 4 UUID")
        numbers = data[f"energy_{kind}"]
        if not isinstance(numbers, dict) or not numbers:
            raise _Refused(400, f"energy_{kind} has no slots")
        # All of them are looked at before any is kept: one bad number fails the whole request.
        for slot_s, uwh in [
            (self._slot(text), round(_number(value) * 10**9)) for text, value in numbers.items()
        ]:
            over = slot_s + self.slot_s <= self.now()
            if over == (kind == "measurement"):
                self._keep(kind, asset, slot_s, uwh)
            else:
                self.dropped[kind] += 1
        return _json(
            200,
            {
                "command": command.replace("-", "_"),
                "status": "queued",
                "transaction_id": transaction_id,
            },
        )

    def _keep(self, what: str, asset: UUID, slot_s: int, uwh: int) -> None:
        kept = {
            "measurement": self.measurements,
            "forecast": self.forecasts,
            "undated": self.undated,
        }[what][asset]
        self.history.append(Booking(self.now(), what, asset, slot_s, uwh, kept.get(slot_s)))
        kept[slot_s] = uwh
        self.booked[what, asset, slot_s] += 1
        if what != "forecast":
            self._fresh.append(
                (math.floor(self.now() / self.slot_s + 1) * self.slot_s, asset, slot_s, uwh)
            )

    def _slot(self, text: str) -> int:
        whole_minutes = self.slot_s % 60 == 0
        pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d" + ("" if whole_minutes else r":\d\d")
        if not re.fullmatch(pattern, text, re.ASCII):
            raise _Refused(
                400,
                f"{text!r} is not a time of the form "
                f"YYYY-MM-DDTHH:mm{'' if whole_minutes else ':ss'}",
            )
        try:
            slot_s = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise _Refused(400, f"{text!r} is not a time") from None
        if slot_s % self.slot_s:
            raise _Refused(400, f"{text!r} is not the start of a slot")
        return slot_s

    def _slot_text(self, slot_s: int) -> str:
        return datetime.fromtimestamp(slot_s, UTC).strftime(
            "%Y-%m-%dT%H:%M" if self.slot_s % 60 == 0 else "%Y-%m-%dT%H:%M:%S"
        )

    def _registry(self) -> dict[str, object]:
        def node(
            name: str, kind: str, uuid: UUID, children: list[dict[str, object]]
        ) -> dict[str, object]:
            registered = True if kind != "Area" else None
            common = {
                "name": name,
                "type": kind,
                "uuid": str(uuid),
                "registered": registered,
                "aggregator_name": None,
            }
            return {**common, "attributes": {}, "children": children}

        leaves = [node(name, "Load", asset, []) for asset, name in self.assets.items()]
        return node("Grid", "Area", self.network, leaves)

    def _told(self, asset: UUID, start_s: int, end_s: int) -> list[dict[str, object]]:
        """What it holds of the slots from `start_s` on that begin before `end_s`."""
        while self._fresh and self._fresh[0][0] <= self.now():
            _, of, slot_s, uwh = self._fresh.popleft()
            self.held[of][slot_s] = uwh
        start_s = max(start_s, int(self.now()) - KEPT_S)
        held = sorted(
            (slot_s, uwh) for slot_s, uwh in self.held[asset].items() if start_s <= slot_s < end_s
        )
        return [
            {"time": self._slot_text(slot_s), "energy_kWh": uwh / 10**9} for slot_s, uwh in held
        ]


class StandInExchange(StrictExchange):
    """A strict exchange behind plain HTTP on loopback. `port` 0 takes a free one; `url` tells
    it.
    """

    def __init__(
        self,
        network: UUID,
        assets: Mapping[UUID, str],
        *,
        slot_s: int = 900,
        token_life_s: float = 48 * 3600.0,
        now: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        super().__init__(network, assets, slot_s=slot_s, token_life_s=token_life_s, now=now)
        self.port = port
        self._server: asyncio.Server | None = None
        self._handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=MAX_HEAD_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        handlers = list(self._handlers)
        for task, writer in self._handlers.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def mode(
        self,
        mode: Mode,
        *,
        status: int = 500,
        retry_after_s: float | None = None,
        seconds: float = 30.0,
        where: str = "",
        times: int | None = None,
    ) -> None:
        super().mode(
            mode,
            status=status,
            retry_after_s=retry_after_s,
            seconds=seconds,
            where=where,
            times=times,
        )
        if mode == "down":
            for writer in self._handlers.values():
                writer.transport.abort()

    # --- HTTP/1.1, as much as its clients speak ---------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers[task] = writer
        try:
            while await self._turn(reader, writer):
                pass
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            pass  # the client went away, or does not speak HTTP: its connection ends
        except asyncio.CancelledError:
            pass  # the exchange ends
        finally:
            del self._handlers[task]
            writer.transport.abort()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer. False: the connection ends."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, target, version = first.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", "0"))
        if length > MAX_BODY_BYTES or "transfer-encoding" in headers:
            answer = _json(
                413 if length > MAX_BODY_BYTES else 411, {"detail": "too much, or no length"}
            )
        else:
            answer = self.handle(method, target, headers, await reader.readexactly(length))
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.sends == "nothing":
            return False
        keep = (
            version == "HTTP/1.1"
            and headers.get("connection", "").lower() != "close"
            and answer.status not in (411, 413)
        )
        fields = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            *answer.headers,
        ]
        fields.append(("Connection", "keep-alive" if keep else "close"))
        text = "".join(f"{name}: {value}\r\n" for name, value in fields)
        sent = answer.body if answer.sends == "all" else answer.body[: len(answer.body) // 2]
        keep = keep and answer.sends == "all"
        writer.write(
            f"HTTP/1.1 {answer.status} {_WORDS.get(answer.status, 'Status')}\r\n{text}\r\n".encode()
            + sent
        )
        await writer.drain()
        if not keep:
            writer.close()
            await writer.wait_closed()
        return keep


def _object(headers: Mapping[str, str], body: bytes) -> dict[str, object]:
    """The JSON object in a request: no key twice, and no NaN or Infinity, which JSON does not
    have.
    """
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _Refused(415, "the body must be application/json")

    def refuse(text: str) -> float:
        raise ValueError(f"{text} is not JSON")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key appears twice")
        return dict(pairs)

    try:
        data = json.loads(body, parse_constant=refuse, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, f"the body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise _Refused(400, "the body must be a JSON object")
    return data


def _exactly(data: Mapping[str, object], keys: set[str]) -> None:
    if data.keys() != keys:
        raise _Refused(400, f"the keys must be exactly {', '.join(sorted(keys))}")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise _Refused(400, f"{value!r} is not a number from 0 to 10⁹")
    return value


def _is_uuid4(text: str) -> bool:
    try:
        uuid = UUID(text)
    except ValueError:
        return False
    return uuid.version == 4 and str(uuid) == text
