"""A stand-in exchange, as strict as the real one, that can be told to misbehave; by itself, or
behind plain HTTP on loopback.

    exchange = StrictExchange(network, assets, now=clock)    no socket, no task, no clock of its own
    exchange.handle("POST", path, headers, body)             → Answer

    async with StandInExchange(network, assets, slot_s=900) as exchange:    (http_server.py)
        …exchange.url…
        exchange.mode("status", status=429, retry_after_s=7, times=1)
        exchange.books.measurements[asset][slot_s]    µWh

What it is strict about: trailing slashes, methods, `Authorization: JWT`, expiring tokens, exactly
the known keys, real numbers that are not negative, times of its slots' starts in exactly its
format, UUIDs it knows, version 4 transaction ids. What it does silently, as the real one does: a
measurement of a slot that is not over, or a forecast of one that is, is answered with 200 and
dropped; `books.dropped` counts them.
"""

import gzip
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from gateway.delivery.simulated.answers import (
    Answer,
    Refused,
    exactly,
    is_uuid4,
    json_answer,
    number,
    object_in,
)
from gateway.delivery.simulated.books import MAX_HISTORY, Books, slot_at, slot_text
from gateway.delivery.simulated.tokens import Tokens

Mode = Literal[
    "ok",
    "down",
    "slow",
    "status",
    "unauthorized",
    "html",
    "error_body",
    "drop_after_accept",
    "partial",
    "packs",
]
LOGIN = "/api-token-auth/"
_POST = re.compile(
    r"/external-connection/api/([^/]+)/([^/]+)/"
    r"(set_energy_forecast|set-energy-forecast|set-energy-measurement)/"
)
_REGISTRY = re.compile(r"/external-connection/configurations/([^/]+)/registry")
_HISTORY = re.compile(r"/historical-data/assets/([^/]+)/([^/]+)/([^/]+)/([^/]+)")
_HTML = (
    b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please accept our terms "
    b"of use.</body></html>"
)


@dataclass(slots=True)
class _Fault:
    mode: Mode
    status: int
    retry_after_s: float | None
    dated_ahead_s: float | None
    seconds: float
    where: str
    times: int | None


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
        self.now = now
        self.books = Books(assets, slot_s, now, max_history)
        self.tokens = Tokens(token_life_s, now)
        self.requests: Counter[int] = Counter()
        """Requests other than logins, by the status they were answered with (0: no whole answer was
        sent).
        """
        self.journal: deque[tuple[float, str, int]] = deque(maxlen=10_000)
        """The newest requests: when each arrived, its path, and the status it was answered with."""
        self._fault: _Fault | None = None

    @property
    def logins(self) -> int:
        """How often somebody has tried to log in."""
        return self.tokens.issued

    def mode(
        self,
        mode: Mode,
        *,
        status: int = 500,
        retry_after_s: float | None = None,
        dated_ahead_s: float | None = None,
        seconds: float = 30.0,
        where: str = "",
        times: int | None = None,
    ) -> None:
        """Misbehave from now on: `times` times, or until `mode("ok")`; only at paths that contain
        `where`.

        down: every connection is dropped without a word. slow: a request is obeyed as it arrives,
        and answered `seconds` later. status: everything is answered with `status`, a reason
        in JSON and `Retry-After`, which is a date where `dated_ahead_s` says how much the
        exchange's clock is ahead. unauthorized: 401, but a login is answered as ever. html:
        everything is answered 200 with a web page. error_body: everything is answered 200
        with an error in JSON. drop_after_accept: the request is obeyed, its answer never
        sent. partial: it is obeyed, and the connection is dropped in the middle of its
        answer. packs: it is obeyed, and the answer packed with gzip.
        """
        self._fault = (
            None
            if mode == "ok"
            else _Fault(mode, status, retry_after_s, dated_ahead_s, seconds, where, times)
        )

    def revoke_tokens(self) -> None:
        """Forget every login, as a server does that got a new secret."""
        self.tokens.revoke()

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
                after = tuple(self._when_again(fault))
                return Answer(fault.status, b'{"detail": "told to say so"}', headers=after)
            case "unauthorized":
                return json_answer(401, {"detail": "this login has expired"})
            case "html":
                return Answer(200, _HTML, "text/html")
            case "error_body":
                return json_answer(200, {"status": "error", "error_message": "told to say so"})
            case "slow":
                return replace(obey(), delay_s=fault.seconds)
            case "drop_after_accept":
                return replace(obey(), sends="nothing")
            case "partial":
                return replace(obey(), sends="half")
            case "packs":
                answer = obey()
                headers = (*answer.headers, ("Content-Encoding", "gzip"))
                return replace(answer, body=gzip.compress(answer.body, mtime=0), headers=headers)
            case _:
                return Answer(0, sends="nothing")

    def _when_again(self, fault: _Fault) -> Iterator[tuple[str, str]]:
        if fault.retry_after_s is None:
            return
        if fault.dated_ahead_s is None:
            yield "Retry-After", f"{fault.retry_after_s:g}"
            return
        now_s = self.now() + fault.dated_ahead_s
        yield "Date", formatdate(now_s, usegmt=True)
        yield "Retry-After", formatdate(now_s + fault.retry_after_s, usegmt=True)

    def _obey(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            if path == LOGIN:
                return self._login(method, headers, body)
            if match := _POST.fullmatch(path):
                self._admit(headers)
                self._expect(method, "POST")
                asset = self._asset(match[1], match[2])
                return self._book(asset, match[3], object_in(headers, body))
            if match := _REGISTRY.fullmatch(path):
                self._admit(headers)
                self._expect(method, "GET")
                self._network(match[1])
                return json_answer(200, self._registry())
            if match := _HISTORY.fullmatch(path):
                self._admit(headers)
                self._expect(method, "GET")
                asset = self._asset(match[1], match[2])
                return json_answer(200, self._told(asset, match[3], match[4]))
        except Refused as refused:
            return refused.answer
        return Answer(404, b"<html><body><h1>Not Found</h1></body></html>", "text/html")

    def _login(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.tokens.issued += 1
        self._expect(method, "POST")
        login = object_in(headers, body)
        exactly(login, {"username", "password"})
        if login != {"username": self.username, "password": self.password}:
            return json_answer(400, {"non_field_errors": ["These credentials are not known here."]})
        return json_answer(200, {self.tokens.key: self.tokens.issue()})

    def _admit(self, headers: Mapping[str, str]) -> None:
        self.tokens.admit(headers.get("authorization", ""))

    def _expect(self, method: str, wanted: str) -> None:
        if method != wanted:
            raise Refused(405, f"{method} is not allowed here")

    def _network(self, text: str) -> None:
        if text != str(self.network):
            raise Refused(404, "there is no such network")

    def _asset(self, network: str, text: str) -> UUID:
        self._network(network)
        asset = next((asset for asset in self.assets if str(asset) == text), None)
        if asset is None:
            raise Refused(404, "there is no such asset")
        return asset

    def _book(self, asset: UUID, command: str, data: dict[str, object]) -> Answer:
        if command == "set_energy_forecast":
            exactly(data, {"energy_Wh"})
            self.books.book_undated(asset, round(number(data["energy_Wh"]) * 10**6))
            return json_answer(200, {"command": command, "status": "queued"})
        kind = command.removeprefix("set-energy-")
        exactly(data, {f"energy_{kind}", "transaction_id"})
        transaction_id = data["transaction_id"]
        if not isinstance(transaction_id, str) or not is_uuid4(transaction_id):
            raise Refused(400, "transaction_id is not a version 4 UUID")
        numbers = data[f"energy_{kind}"]
        if not isinstance(numbers, dict) or not numbers:
            raise Refused(400, f"energy_{kind} has no slots")
        # All of them are looked at before any is kept: one bad number fails the whole request.
        found = [
            (slot_at(text, self.slot_s), round(number(value) * 10**9))
            for text, value in numbers.items()
        ]
        for slot_s, energy_uwh in found:
            self.books.book_dated(kind, asset, slot_s, energy_uwh)
        return json_answer(
            200,
            {
                "command": command.replace("-", "_"),
                "status": "queued",
                "transaction_id": transaction_id,
            },
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

    def _told(self, asset: UUID, start: str, end: str) -> list[dict[str, object]]:
        start_s, end_s = slot_at(start, self.slot_s), slot_at(end, self.slot_s)
        return [
            {"time": slot_text(slot_s, self.slot_s), "energy_kWh": uwh / 10**9}
            for slot_s, uwh in self.books.told(asset, start_s, end_s)
        ]
