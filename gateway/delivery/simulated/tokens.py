"""The simulated exchange's accounts, and the logins that it has given out."""

import base64
import json
from collections.abc import Callable

from gateway.delivery.simulated.answers import Refused


class Tokens:
    """Tokens that live `life_s`, for who knows the name and the password. `now` is Unix time."""

    def __init__(
        self, username: str, password: str, life_s: float, now: Callable[[], float]
    ) -> None:
        self.accounts = {username: password}
        """Password by user."""
        self._life_s = life_s
        self._now = now
        self._expires_s: dict[str, float] = {}
        self.keys: tuple[str, ...] = ("access", "token")
        """The keys under which a login answers its token: current servers `access`, older ones and
        the documentation `token`.
        """
        self.issued = 0

    def knows(self, username: object, password: object) -> bool:
        """Whether that is an account's login."""
        return isinstance(username, str) and self.accounts.get(username) == password

    def issue(self) -> str:
        """A new one."""
        parts = (
            {"alg": "none"},
            {"exp": int(self._now() + self._life_s)},
            f"{self.issued:016x}",
        )
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        )
        now_s = self._now()
        self._expires_s = {t: at_s for t, at_s in self._expires_s.items() if at_s > now_s}
        self._expires_s[token] = now_s + self._life_s
        return token

    def admit(self, authorization: str) -> None:
        """Raises Refused where the header names no token that is taken."""
        scheme, _, token = authorization.partition(" ")
        if scheme != "JWT":
            raise Refused(401, "there is no login in this request")
        if self._expires_s.get(token, 0.0) <= self._now():
            raise Refused(401, "this login has expired")

    def revoke(self) -> None:
        """Forget every one, as a server does that got a new secret."""
        self._expires_s.clear()
