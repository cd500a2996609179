"""How a browser is let in to the manager's page: a name and a password once, and a cookie from then
on.

The cookie says who it is and until when, signed with a secret that is in the database: any instance
knows it, also after a restart. It ends early where the user is taken away or gets another password.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from gateway.monitoring.asked import Answer
from gateway.monitoring.door import TurnedAway, Visit
from gateway.monitoring.login_headers import cookie_in, kept_cookie

COOKIE = "meter-gateway-fleet"
KEPT_S = 30 * 86_400
"""So long a browser keeps a login."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed cookie says."""

    name: str
    generation: str


class Signing:
    """Makes and reads cookies. `now` is Unix time. The secret is set once it is known; until then
    no cookie is right.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.secret: bytes | None = None

    def cookie(self, name: str, generation: str) -> str:
        """For somebody who has logged in."""
        assert self.secret is not None
        said = f"{_packed(name)}.{int(self._now()) + KEPT_S}.{generation}"
        return f"{said}.{_mac(self.secret, said)}"

    def claim(self, header: str) -> Claim | None:
        """What the Cookie header says, where it is signed and not too old."""
        said, _, mac = cookie_in(header, COOKIE).rpartition(".")
        parts = said.split(".")
        if self.secret is None or len(parts) != 3:
            return None
        if not hmac.compare_digest(_mac(self.secret, said).encode(), mac.encode(errors="replace")):
            return None
        if not parts[1].isdecimal() or int(parts[1]) < self._now():
            return None
        return Claim(_unpacked(parts[0]), parts[2])


class CookieDoor:
    """Lets in whoever has a signed cookie (`gateway.monitoring.server.Guard`). Whether its user is
    still there is asked when a page is made. It answers to any name: behind a proxy it has one that
    it does not know, and a foreign page that leads here has no login.
    """

    def __init__(self, signing: Signing) -> None:
        self._signing = signing

    def wrong_address(self, visit: Visit) -> TurnedAway | None:
        """Never."""
        del visit
        return None

    def no_token(self, visit: Visit) -> TurnedAway | None:
        """Whether the request lacks a cookie."""
        if self._signing.claim(visit.cookie) is not None:
            return None
        return TurnedAway(401, "this page asks for a login: meter-gateway fleet users add NAME")


def login_in(body: bytes) -> tuple[str, str]:
    """The name and the password that a form has sent; empty where there are none."""
    fields = parse_qs(body.decode(errors="replace"), max_num_fields=8, keep_blank_values=True)
    return fields.get("name", [""])[0].strip(), fields.get("password", [""])[0]


def let_in(cookie: str, *, secure: bool) -> Answer:
    """To the first page, with the cookie."""
    kept = kept_cookie(COOKIE, cookie, KEPT_S, secure=secure)
    return Answer(303, b"", more={"Location": "./", "Set-Cookie": kept})


def let_out() -> Answer:
    """The cookie is taken away."""
    gone = kept_cookie(COOKIE, "", 0)
    return Answer(303, b"", more={"Location": "./", "Set-Cookie": gone})


def client_of(peer: str, forwarded_for: str, *, proxy: bool) -> str:
    """Who asks: the other end, or whom our own proxy has named last."""
    named = forwarded_for.rpartition(",")[2].strip()
    return named[:64] if proxy and named else peer


def _mac(secret: bytes, said: str) -> str:
    return hmac.new(secret, b"login:" + said.encode(), hashlib.sha256).hexdigest()


def _packed(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _unpacked(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        return ""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
