"""The one HTTP session with the exchange: logged in, with a token that is renewed by itself. What
travels, and within which bounds, `drivers.net.http` sees to. Shell.

What can go wrong, by type; none of the texts contains a password or a token:

    ExchangeError
    ├── Unreachable         no connection, no answer in time, connection lost: the request may or
    │                       may not have been received
    ├── NotAllowed          401 or 403 in spite of a new login, or where none is due
    ├── ClocksDiffer        its clock and ours are too far apart, so nothing was sent
    └── LoginError          there is no token, so nothing was sent
        ├── LoginFailed     the login page gave no token; it may next time
        └── LoginRefused    wrong user name or password, or credentials that cannot be read
"""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Self

from drivers.net.http import HttpClient, HttpError
from drivers.net.masking import SecretsInUse, basic
from gateway.outbox.dialect import Reply
from gateway.outbox.http_replies import asked_to_wait_s, parsed, refusal
from gateway.outbox.their_clock import TheirClock
from gateway.site.credentials import ConfigError, Credentials

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

NO_WITNESS = (
    "its replies do not say what time it is there (Date), so nothing here would notice that this "
    "machine's clock is wrong (clock: {trust: assured}): compare it with another one now and then"
)

KEEPALIVE_S = 30.0
"""How long an idle connection stays open."""
RENEW_AFTER_S = 12 * 3600.0
"""A token lives 48 hours."""
REFUSED_FOR_S = (60.0, 600.0, 1500.0)
"""How long a login is not tried again that was refused once, twice, more often, unless the
credentials change. An exchange with a fault may refuse everything for a while, the right password
too; a wrong one is tried four times in the first hour.
"""
NO_NEW_LOGIN_FOR_S = 5 * 60.0
"""How long a path that was refused in spite of a new login is not worth another one: the trouble is
the user's rights.
"""
MAX_CONSECUTIVE_FAILED_LOGINS = 2
"""So many tokens in a row of which none was ever taken: after that, one login in
`NO_NEW_LOGIN_FOR_S`, whatever the path.
"""


class ExchangeError(Exception):
    """A request got no verdict. `retry_after_s` is what the exchange asked for, if it did."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unreachable(ExchangeError):
    """No connection, no answer in time, or a connection lost on the way."""


class NotAllowed(ExchangeError):
    """The exchange knows the user and does not let it do this. Of a delivery, the text is a phrase
    about the exchange.
    """


class ClocksDiffer(ExchangeError):
    """Nothing was sent: it would be booked to another time."""


class LoginError(ExchangeError):
    """There is no token, so the request was not sent."""


class LoginFailed(LoginError):
    """The login gave no token this time."""


class LoginRefused(LoginError):
    """The exchange does not take this user name and password, or there are none."""


def client_for(
    url: str,
    transport: "httpx.AsyncBaseTransport | None" = None,
    masked: Callable[[str], str] = str,
) -> HttpClient:
    """What sends to that exchange."""
    return HttpClient(
        url,
        # Proxies of the environment are for the way out, not for this machine; plain http never
        # leaves it.
        trust_env=url.startswith("https:"),
        keepalive_s=KEEPALIVE_S,
        masked=masked,
        transport=transport,
    )


class Session:
    """Sends requests to one exchange, logged in. One request at a time.

    `credentials` is called at every login, so that a corrected file is used at once; it may raise
    ConfigError. `now` is our Unix time where the exchange's clock is to bear witness to it; None
    where it need not. What the exchange says is shown without the `secrets` in use: some servers
    show what they were sent, in an answer to another request, too. `transport` is the seam where
    a simulation takes the place of the network.
    """

    def __init__(
        self,
        url: str,
        credentials: Callable[[], Credentials],
        timeout_s: float,
        *,
        secrets: SecretsInUse | None = None,
        now: Callable[[], float] | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._credentials = credentials
        self._secrets = secrets or SecretsInUse()
        self.timeout_s = timeout_s
        self._token = ""
        self._token_since_s = 0.0
        self._untaken_logins = 0
        """Logins since a token was last taken."""
        self._refused: tuple[Credentials, float] | None = None
        """What was refused last, and until when it is not tried again."""
        self._refusals = 0
        """Logins that were refused in a row."""
        self._no_login_before_s: dict[str, float] = {}
        self._their_clock = TheirClock(now)
        self._client = client_for(self.url, transport, self._secrets.masked)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def log_in(self, within_s: float | None = None) -> None:
        """Have a token, so that it is known whether the exchange is there and takes this login.
        Gives up after `within_s`. Raises ExchangeError.
        """
        if not self._token:
            deadline_s = None
            if within_s is not None:
                deadline_s = asyncio.get_running_loop().time() + within_s
            await self._login(deadline_s)
        self._compare_clocks()

    async def post(self, path: str, body: object, within_s: float | None = None) -> Reply:
        """POST JSON to a path below the URL, logging in where needed, and give up after `within_s`
        at the latest, login included.

        On 401 or 403 there is at most one new login and one more try. Raises ExchangeError.
        """
        loop = asyncio.get_running_loop()
        deadline_s = None if within_s is None else loop.time() + within_s
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        reply = await self._send_logged_in("POST", path, content, deadline_s)
        if reply.status not in (401, 403):
            self._no_login_before_s.pop(path, None)
            return reply
        if self.may_renew(path):
            await self._login(deadline_s)
            reply = await self._send_logged_in("POST", path, content, deadline_s)
            if reply.status not in (401, 403):
                return reply
            self._no_login_before_s[path] = loop.time() + NO_NEW_LOGIN_FOR_S
        reason = refusal(reply)
        raise NotAllowed(
            f"{reason} — give this user the right to send for the asset, or correct the UUIDs"
        )

    async def get(self, path: str, within_s: float | None = None) -> Reply:
        """GET a path below the URL, and give up after `within_s` at the latest, login included.
        Raises ExchangeError.

        401 and 403 cost no new login: what is only looked at must not take the token from what is
        sent.
        """
        deadline_s = None if within_s is None else asyncio.get_running_loop().time() + within_s
        reply = await self._send_logged_in("GET", path, None, deadline_s)
        if reply.status in (401, 403):
            raise NotAllowed(
                f"{self.url}/{path} {refusal(reply)} — give this user the right to read the asset"
            )
        return reply

    @property
    def token(self) -> str:
        """What the exchange gave at the last login; empty: nobody is logged in."""
        return self._token

    @property
    def client(self) -> HttpClient:
        """What sends; whoever has more to send beside it asks for `another()`."""
        return self._client

    def may_renew(self, path: str) -> bool:
        """Whether another token may be worth more at that path."""
        loop_s = asyncio.get_running_loop().time()
        return loop_s >= self._no_login_before_s.get(path, 0.0) and self._may_log_in()

    @property
    def masked(self) -> Callable[[str], str]:
        """Takes the secrets in use out of a text."""
        return self._secrets.masked

    async def renew(self, path: str, client: HttpClient) -> None:
        """Have another token, since this one is not taken at that path. It is asked for by way of
        `client`, so that no delivery waits for it. Raises ExchangeError.
        """
        loop_s = asyncio.get_running_loop().time()
        self._no_login_before_s[path] = loop_s + NO_NEW_LOGIN_FOR_S
        await self._login(loop_s + self.timeout_s, client)

    def took_token(self, path: str) -> None:
        """It was taken at that path."""
        self._untaken_logins = 0
        self._no_login_before_s.pop(path, None)

    def _may_log_in(self) -> bool:
        """Whether another token may be worth more than this one."""
        return (
            self._untaken_logins < MAX_CONSECUTIVE_FAILED_LOGINS
            or asyncio.get_running_loop().time() - self._token_since_s >= NO_NEW_LOGIN_FOR_S
        )

    async def _send_logged_in(
        self, method: str, path: str, content: bytes | None, deadline_s: float | None
    ) -> Reply:
        """One request with a token. Raises LoginError, ClocksDiffer or Unreachable."""
        loop = asyncio.get_running_loop()
        if not self._token or loop.time() - self._token_since_s >= RENEW_AFTER_S:
            await self._login(deadline_s)
        if method == "POST":
            if self._their_clock.doubt(loop.time()) and self._their_clock.is_old(loop.time()):
                await self._login(deadline_s)  # its reply says what time it is there now
            self._compare_clocks()
        reply = await self._send(method, path, content, deadline_s, with_token=True)
        if reply.status not in (401, 403):
            self._untaken_logins = 0
        return reply

    @property
    def lacks_witness(self) -> bool:
        """Whether nothing bears witness to our clock, though it needs that."""
        return self._their_clock.is_missed

    def _hear_their_clock(self, headers: Mapping[str, str]) -> None:
        was_told = self.lacks_witness
        self._their_clock.hear(headers, asyncio.get_running_loop().time())
        if self.lacks_witness and not was_told:
            log.warning("%s: %s", self.url, NO_WITNESS)

    def _compare_clocks(self) -> None:
        """Raises ClocksDiffer."""
        if doubt := self._their_clock.doubt(asyncio.get_running_loop().time()):
            raise ClocksDiffer(doubt)

    async def _login(self, deadline_s: float | None, client: HttpClient | None = None) -> None:
        """Get a token. Raises LoginError or Unreachable."""
        loop = asyncio.get_running_loop()
        try:
            credentials = self._credentials()
        except ConfigError as error:
            # What is told of a line may quote the password.
            problem = error.problems[0]
            if problem.line == 0:
                raise LoginRefused(str(problem)) from None
            raise LoginRefused(
                f"{problem.file} cannot be used as credentials — run `meter-gateway check`"
            ) from None
        refused = (
            "the exchange does not take this user name and password — correct the "
            "credentials file; it is tried again as soon as it changes"
        )
        if (
            self._refused is not None
            and self._refused[0] == credentials
            and loop.time() < self._refused[1]
        ):
            raise LoginRefused(refused)
        login = json.dumps(
            {"username": credentials.username, "password": credentials.password}
        ).encode()
        shown_by_none = credentials.password, basic(credentials.username, credentials.password)
        self._secrets.use(f"login at {self.url}", *shown_by_none)
        reply = await self._send(
            "POST", "api-token-auth/", login, deadline_s, with_token=False, client=client
        )
        if reply.status in (400, 401, 403):
            is_another = self._refused is None or self._refused[0] != credentials
            self._refusals = 1 if is_another else self._refusals + 1
            wait_s = REFUSED_FOR_S[min(self._refusals, len(REFUSED_FOR_S)) - 1]
            self._token, self._refused = "", (credentials, loop.time() + wait_s)
            raise LoginRefused(f"login answered {reply.status}: {refused}")
        data = parsed(reply.body) if 200 <= reply.status < 300 else None
        # Older servers and the public documentation say "token", current servers "access".
        token = (data.get("token") or data.get("access")) if isinstance(data, dict) else None
        if not isinstance(token, str) or not re.fullmatch(r"[\w.~+/=-]{1,8192}", token, re.ASCII):
            raise LoginFailed(
                f"login at {self.url} {refusal(reply) or 'answered without a token'}",
                asked_to_wait_s(reply),
            )
        self._token, self._token_since_s, self._refused = token, loop.time(), None
        self._secrets.use(f"token of {self.url}", token)
        self._untaken_logins += 1

    async def _send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        deadline_s: float | None,
        *,
        with_token: bool,
        client: HttpClient | None = None,
    ) -> Reply:
        """One request, one reply. Raises Unreachable."""
        now_s = asyncio.get_running_loop().time()
        limit_s = self.timeout_s if deadline_s is None else min(self.timeout_s, deadline_s - now_s)
        if limit_s <= 0:
            raise Unreachable(f"no time left to send to {self.url}")
        headers = {"Content-Type": "application/json"} if content is not None else {}
        if with_token:
            headers["Authorization"] = f"JWT {self._token}"
        try:
            reply = await (client or self._client).request(
                method, path, limit_s, content=content, headers=headers
            )
        except HttpError as error:
            raise Unreachable(str(error)) from error
        if 200 <= reply.status < 300:
            self._hear_their_clock(reply.headers)
        masked = self._secrets.masked
        return Reply(reply.status, reply.headers, reply.body, reply.complete, masked)
