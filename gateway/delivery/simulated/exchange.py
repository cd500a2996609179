"""A stand-in exchange: the twin of the real one's engine, as far as it was seen or read. By itself,
or behind HTTP and websockets on loopback.

    exchange = StrictExchange(network, assets, now=clock)    no socket, no task, no clock of its own
    exchange.handle("POST", path, headers, body)             → Answer
    exchange.engine.listen(uuid, sink)                       what its websockets would tell
    exchange.engine.advance()                                its ticks, as time goes by

    async with StandInExchange(network, assets, slot_s=900) as exchange:    (http_server.py)
        …exchange.url…
        exchange.mode("status", status=429, retry_after_s=7, times=1)
        exchange.behaviour.lead_s = 5
        exchange.community.find(asset).is_live = False
        exchange.books.measurements[asset][slot_s]    µWh

By HTTP it is strict about what a web server knows: paths, methods, `Authorization: JWT`, expiring
tokens, JSON, whose an asset is. All else is answered with 200, as the real one does, and the
engine's verdict comes over the websocket a tick later, or never (engine.py has the list).

A measurement of a slot that has not begun, and a forecast of one that has, gets a good verdict and
is dropped; `books.dropped` counts them.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit
from uuid import UUID

from gateway.delivery.simulated.answers import Answer, Refused, exactly, json_answer, object_in
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.books import MAX_HISTORY, Books
from gateway.delivery.simulated.community import Community
from gateway.delivery.simulated.engine import Engine
from gateway.delivery.simulated.engine_clock import EngineClock
from gateway.delivery.simulated.faults import LOGIN, Fault, Mode
from gateway.delivery.simulated.tokens import Tokens
from gateway.delivery.simulated.web_backend import WebBackend

__all__ = ["LOGIN", "Mode", "StrictExchange"]


class StrictExchange:
    """One network with its assets. What was booked is kept in µWh by asset and start of the slot
    (Unix time).

    `assets` are names by UUID, or a whole community. `now` is the right time. The newest
    `max_history` bookings are kept in `history`, one by one; None keeps all.
    """

    def __init__(
        self,
        network: UUID,
        assets: Mapping[UUID, str] | Community,
        *,
        slot_s: int = 900,
        username: str = "gateway",
        password: str = "let-me-in",  # noqa: S107 — of a stand-in
        token_life_s: float = 48 * 3600.0,
        now: Callable[[], float] = time.time,
        max_history: int | None = MAX_HISTORY,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.network = network
        self.community = (
            assets if isinstance(assets, Community) else Community.flat(network, assets)
        )
        self.behaviour = behaviour or Behaviour()
        self.slot_s = slot_s
        self.now = now
        self.tokens = Tokens(username, password, token_life_s, now)
        clock = EngineClock(now, slot_s, self.behaviour)
        leaves = [node.uuid for node in self.community.assets()]
        self.books = Books(leaves, clock, max_history)
        self.engine = Engine(network, self.community, self.books, clock, self.behaviour)
        self._backend = WebBackend(
            network, self.community, self.books, self.engine, self.behaviour, slot_s
        )
        self._fault = Fault("ok")
        self.requests: Counter[int] = Counter()
        """Requests other than logins, by the status they were answered with (0: no whole answer was
        sent).
        """
        self.journal: deque[tuple[float, str, int]] = deque(maxlen=10_000)
        """The newest requests: when each arrived, its path, and the status it was answered with."""

    @property
    def assets(self) -> dict[UUID, str]:
        """The names of all assets."""
        return {node.uuid: node.name for node in self.community.assets()}

    @property
    def username(self) -> str:
        """Whose account it is."""
        return next(iter(self.tokens.accounts))

    @property
    def password(self) -> str:
        """What a login must say; it may be changed."""
        return self.tokens.accounts[self.username]

    @password.setter
    def password(self, password: str) -> None:
        self.tokens.accounts[self.username] = password

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
        `where`. faults.py says what each mode is.
        """
        self._fault = Fault(mode, status, retry_after_s, dated_ahead_s, seconds, where, times)

    def revoke_tokens(self) -> None:
        """Forget every login, as a server does that got a new secret."""
        self.tokens.revoke()

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one request. Header names in lower case. Who calls waits `delay_s` and
        sends as much of it as it `sends`.
        """
        path = urlsplit(target).path
        return self._journaled(path, lambda: self._obey(method, path, headers, body))

    def open_stream(self, target: str, headers: Mapping[str, str]) -> UUID | Answer:
        """Whose websocket is asked for; or the answer that refuses it."""
        path = urlsplit(target).path
        found: list[UUID] = []

        def obey() -> Answer:
            try:
                self.tokens.admit(headers.get("authorization", ""))
                found.append(self._backend.stream(path))
            except Refused as refused:
                # A backend that closes before it has accepted answers 403, whatever the reason.
                status = 403 if refused.answer.status == 401 else refused.answer.status
                return json_answer(status, {"detail": str(refused)})
            return Answer(101)

        answer = self._journaled(path, obey)
        return found[0] if found and answer.status == 101 else answer

    def _journaled(self, path: str, obey: Callable[[], Answer]) -> Answer:
        self.engine.advance()
        arrived_s = self.now()
        answer = self._misbehave(path, obey)
        status = answer.status if answer.sends == "all" else 0
        self.journal.append((arrived_s, path, status))
        if path != LOGIN:
            self.requests[status] += 1
        return answer

    def _misbehave(self, path: str, obey: Callable[[], Answer]) -> Answer:
        fault = self._fault
        if fault.spares(path):
            return obey()
        if fault.spent():
            self._fault = Fault("ok")
        return fault.answer(obey, self.now())

    def _obey(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            if path == LOGIN:
                return self._login(method, headers, body)
            self.tokens.admit(headers.get("authorization", ""))
            return self._backend.answer(method, path, headers, body)
        except Refused as refused:
            return refused.answer

    def _login(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.tokens.issued += 1
        if method != "POST":
            raise Refused(405, f"{method} is not allowed here")
        login = object_in(headers, body)
        exactly(login, {"username", "password"})
        if not self.tokens.knows(login["username"], login["password"]):
            return json_answer(400, {"non_field_errors": ["These credentials are not known here."]})
        token = self.tokens.issue()
        return json_answer(200, dict.fromkeys(self.tokens.keys, token))
