"""What is said to an exchange beside deliveries, by the login of the deliveries: websockets, and
questions to its web API. Shell.

All of it has a connection of its own, the new login, too, where the old one is not taken any more:
a delivery never waits for it.

    ExchangeError
    ├── NoWebsocket       it has none at that path, or what answers there speaks otherwise
    ├── NotTaken          it answered, and with no good
    └── LoginError
        └── NobodyLoggedIn   not yet, that is: whoever delivers logs in
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from drivers.net.http import MAX_WORDS, HttpError, TooLate, Unspoken
from gateway.delivery.http_session import (
    ExchangeError,
    LoginError,
    NotAllowed,
    Session,
    Unreachable,
)
from gateway.outbox.dialect import Reply
from gateway.outbox.exchange.frames import MAX_FRAME_BYTES
from gateway.outbox.exchange.registry import MAX_BYTES
from gateway.outbox.http_replies import asked_to_wait_s, parsed, refusal
from gateway.outbox.receipt import complaint

if TYPE_CHECKING:
    from drivers.net.websocket import WebSocket

T = TypeVar("T")

_NOT_LET_IN = (401, 403)
_BUSY = {408, 425, 429, 500, 502, 503, 504}
"""A server that may have a websocket, at another time."""


class NoWebsocket(ExchangeError):
    """The handshake came to nothing. `is_plain`: the exchange says that there is none."""

    def __init__(self, message: str, *, is_plain: bool) -> None:
        super().__init__(message)
        self.is_plain = is_plain


class NotTaken(ExchangeError):
    """A question was answered with an error, or with what is no answer."""


class NobodyLoggedIn(LoginError):
    """There is no token yet, and it is not for this request to get one."""


class Beside:
    """Of one exchange."""

    def __init__(
        self,
        session: Session,
        max_bytes: int = MAX_BYTES,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        """`max_bytes`: of an answer; `max_frame_bytes`: of a verdict."""
        self._session = session
        self.max_frame_bytes = max_frame_bytes
        self._max_bytes = max_bytes
        self._client = session.client.another(max_bytes)
        self._renewal = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def ask(self, method: str, path: str, body: object = None) -> Reply:
        """One question and its answer, which is JSON and speaks of no error. Raises
        ExchangeError.
        """

        async def send() -> tuple[int, Reply]:
            reply = await self._send(method, path, body)
            return reply.status, reply

        status, reply = await self._logged_in(path, send)
        if status in _NOT_LET_IN:
            words = refusal(reply) or f"answered {status}"
            raise NotAllowed(f"{self._session.url}/{path} {words}")
        if why := refusal(reply):
            raise NotTaken(f"{self._session.url}/{path} {why}", asked_to_wait_s(reply))
        said = f"{self._session.url}/{path} answered with"
        if not reply.complete:
            raise NotTaken(f"{said} more than {self._max_bytes >> 10} KiB")
        # Where something is only asked for, any word may stand in the answer.
        error = complaint(parsed(reply.body)) if method == "POST" else None
        if error is not None:
            raise NotTaken(f"{said} an error: {self._session.masked(str(error))[:MAX_WORDS]}")
        return reply

    async def open_websocket(self, path: str, max_bytes: int) -> "WebSocket":
        """A websocket at a path below the URL. Raises ExchangeError."""
        status, found = await self._logged_in(path, lambda: self._shake_hands(path, max_bytes))
        if found is not None:
            return found
        said = f"{self._session.url}/{path} answered {status}"
        if status in _NOT_LET_IN:
            raise NotAllowed(said)
        if status in _BUSY:
            raise Unreachable(said)
        raise NoWebsocket(f"{said}: there is no websocket", is_plain=True)

    async def _logged_in(
        self, path: str, do: Callable[[], Awaitable[tuple[int, T]]]
    ) -> tuple[int, T]:
        """Do something with a token. Where that is not taken, there is at most one new login, and
        one more try.
        """
        token = self._session.token
        if not token:
            raise NobodyLoggedIn("nobody is logged in yet")
        status, found = await do()
        if status in _NOT_LET_IN:
            async with self._renewal:
                if token == self._session.token:
                    if not self._session.may_renew(path):
                        return status, found
                    await self._session.renew(path, self._client)
            status, found = await do()
        if status not in _NOT_LET_IN:
            self._session.took_token(path)
        return status, found

    async def _send(self, method: str, path: str, body: object) -> Reply:
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"Authorization": f"JWT {self._session.token}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            reply = await self._client.request(
                method, path, self._session.timeout_s, content=content, headers=headers
            )
        except HttpError as error:
            raise Unreachable(str(error)) from error
        return Reply(reply.status, reply.headers, reply.body, reply.complete, self._session.masked)

    async def _shake_hands(self, path: str, max_bytes: int) -> "tuple[int, WebSocket | None]":
        """The status of the reply, and the websocket where there is one."""
        from drivers.net.websocket import HandshakeRefused

        headers = {"Authorization": f"JWT {self._session.token}"}
        try:
            found = await self._client.open_websocket(
                path, self._session.timeout_s, headers=headers, max_bytes=max_bytes
            )
        except HandshakeRefused as error:
            return error.status, None
        except (Unspoken, TooLate) as error:
            raise NoWebsocket(str(error), is_plain=False) from error
        except HttpError as error:
            raise Unreachable(str(error)) from error
        return 101, found
