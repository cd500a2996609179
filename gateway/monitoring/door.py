"""Who is let in to the status page.

- A request must have been addressed to this machine by a name that nobody else can point at it
  (RFC 9110, section 7.4): a foreign web page whose own name leads here (DNS rebinding) reads
  nothing.
- Beyond this machine it must bring the token: as `Authorization: Bearer` (RFC 6750), or as the
  password of Basic (RFC 7617) with any user name; or the cookie that a browser was given for it.
- Five wrong tokens a minute from one address, then it is not listened to until the first of them is
  a minute old. The same wrong token again is no other try: a page that stayed open when the token
  was changed locks nobody out.
"""

import hmac
import logging
import re
import socket
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec

from drivers.net.addresses import address_of, is_loopback, place_of
from gateway.monitoring.login_headers import basic_in, cookie_in

_log = logging.getLogger(__name__)

MAX_TRIES = 5
TRIES_S = 60.0
MAX_CLIENTS = 256
"""Addresses whose wrong tokens are remembered; then the first of them is forgotten."""

COOKIE = "meter-gateway"
"""The name of the cookie of those who have logged in."""

_CHALLENGE = 'Basic realm="meter-gateway", charset="UTF-8"'
_PRIVATE_DOMAINS = ("local", "lan", "home.arpa", "internal")
"""Nobody can register a name below these (RFC 6762, RFC 8375, and never delegated)."""


class Visit(msgspec.Struct, frozen=True):
    """What is known of a request before it is answered."""

    host: str | None
    """Whom it was addressed to; None where HTTP/1.0 does not say."""
    authorization: str
    client: str
    """The other end's address."""
    by_script: bool = False
    """Whether the page's own script asks. A browser would put up its login window again and again,
    over whatever the person is doing.
    """
    cookie: str = ""
    """The Cookie header."""


class TurnedAway(msgspec.Struct, frozen=True):
    """Why a request is not answered."""

    status: int
    text: str
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Door:
    """Lets in, or not. `now` is a clock that never goes back, in seconds."""

    def __init__(
        self,
        listens_on: str,
        token: Callable[[], str | None],
        now: Callable[[], float],
        *,
        open_to_all: bool = False,
    ) -> None:
        """`token` is what is asked for beyond this machine; where there is none, nobody is let in.
        `open_to_all` lets everybody in, for as long as there is none.
        """
        self._listens_on = listens_on.lower()
        self._is_local = is_loopback(listens_on)
        self._own_names = frozenset() if self._is_local else _own_names()
        self._token = token
        self._open_to_all = open_to_all
        self._tries = WrongTries(now)

    def wrong_address(self, visit: Visit) -> TurnedAway | None:
        """Whether the request was addressed to somebody else."""
        if visit.host is None or self._means_us(visit.host):
            return None
        if self._is_local:
            hint = "to open it to the network, set `status: {host: …}` in gateway.yaml"
            text = f"this page answers to localhost only, not to {visit.host!r}; {hint}"
        else:
            hint = "ask for it by this machine's address or by its own name"
            text = f"this page does not answer to {visit.host!r}; {hint}"
        return TurnedAway(421, text)

    def no_token(self, visit: Visit) -> TurnedAway | None:
        """Whether the request lacks the token that it needs."""
        if self._is_local:
            return None
        token = self._token()
        if token is None and self._open_to_all:
            return None

        # Nobody guesses a cookie: it is not counted among the tries.
        if self.knows_cookie(visit.cookie):
            return None

        client = place_of(visit.client)
        if away := self._blocked(client):
            return away

        brought = _brought(visit.authorization)
        if token is not None and brought and _is_same(brought, token):
            return None
        if brought:
            self._tries.note(client, brought)
        text = (
            "this page needs its token: as the password, with any user name, or as a Bearer token; "
            "`meter-gateway token` on the gateway makes it, and says where it is"
        )
        challenge = {} if visit.by_script else {"WWW-Authenticate": _CHALLENGE}
        return TurnedAway(401, text, challenge)

    def knows_cookie(self, header: str) -> bool:
        """Whether that Cookie header has the cookie of somebody who has logged in."""
        token = self._token()
        return token is not None and _is_same(cookie_in(header, COOKIE), _cookie_of(token))

    def cookie_for(self, client: str, brought: str) -> str | TurnedAway:
        """The cookie for somebody who has brought this token to the login; or why there is none."""
        client = place_of(client)
        if away := self._blocked(client):
            return away
        token = self._token()
        if token is not None and brought and _is_same(brought, token):
            return _cookie_of(token)
        if brought:
            self._tries.note(client, brought)
        return TurnedAway(401, "that is not the token")

    def _blocked(self, client: str) -> TurnedAway | None:
        wait_s = self._tries.blocked_s(client)
        if wait_s <= 0:
            return None
        after = {"Retry-After": str(int(wait_s) + 1)}
        return TurnedAway(429, "too many wrong tokens; wait a minute", after)

    def _means_us(self, host_header: str) -> bool:
        name = re.sub(r":\d*$", "", host_header).lower().removesuffix(".")
        if name == self._listens_on or is_loopback(name):
            return True
        return not self._is_local and (address_of(name) is not None or name in self._own_names)


class WrongTries:
    """Wrong tokens, or passwords, of the last minute, by who brought them. `what` is how the log
    calls them.
    """

    def __init__(
        self, now: Callable[[], float], what: str = "status page: %d wrong tokens"
    ) -> None:
        self._now = now
        self._what = what
        self._by_client: dict[str, dict[bytes, float]] = {}
        self._told_s: float | None = None

    def blocked_s(self, client: str) -> float:
        """How long that client is not listened to any more; 0 where it is."""
        tries = self._recent(client)
        if len(tries) < MAX_TRIES:
            return 0.0
        return max(0.0, min(tries.values()) + TRIES_S - self._now())

    def note(self, client: str, token: str) -> None:
        """One more, unless it is the same as before."""
        tries = self._recent(client)
        tries.setdefault(_digest(token), self._now())
        self._by_client[client] = tries
        if len(self._by_client) > MAX_CLIENTS:
            del self._by_client[next(iter(self._by_client))]
        if len(tries) == MAX_TRIES:
            self._tell(client)

    def _recent(self, client: str) -> dict[bytes, float]:
        tries = self._by_client.get(client, {})
        since_s = self._now() - TRIES_S
        return {digest: at_s for digest, at_s in tries.items() if at_s > since_s}

    def _tell(self, client: str) -> None:
        """At most one line a minute, whoever tries."""
        if self._told_s is None or self._now() - self._told_s >= TRIES_S:
            self._told_s = self._now()
            _log.warning(
                "%s in a minute from %s; it is not listened to for a minute",
                self._what % MAX_TRIES,
                client,
            )


def _brought(authorization: str) -> str:
    """The token in an Authorization header; empty where there is none."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    username, password = basic_in(authorization)
    return password or username


def _cookie_of(token: str) -> str:
    """What a browser keeps for the token: it cannot be turned back, and it ends with the token."""
    key = token.encode(errors="surrogateescape")
    return hmac.new(key, b"the page of meter-gateway", sha256).hexdigest()


def _is_same(brought: str, token: str) -> bool:
    """In a time that tells nothing of either."""
    return hmac.compare_digest(_digest(brought), _digest(token))


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogateescape")).digest()


def _own_names() -> frozenset[str]:
    """What this machine is called in its own network, in small letters."""
    name = socket.gethostname().lower()
    domains = {*_PRIVATE_DOMAINS, *_search_domains()}
    return frozenset({name, *(f"{name}.{domain}" for domain in domains)})


def _search_domains() -> set[str]:
    """The domains in which this machine itself looks names up (resolv.conf(5))."""
    try:
        lines = Path("/etc/resolv.conf").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    words = [line.split() for line in lines if line.startswith(("search", "domain"))]
    return {word.lower().strip(".") for _, *rest in words for word in rest} - {""}
