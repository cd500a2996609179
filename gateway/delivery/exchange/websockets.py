"""Websockets of an exchange, by the login of the deliveries. Shell.

Everything here has a connection of its own, the new login, too, where the old one is not taken any
more: a delivery never waits for it.

    ExchangeError
    ├── NoWebsocket       it has none at that path, or what answers there speaks otherwise
    └── LoginError
        └── NobodyLoggedIn   not yet, that is: whoever delivers logs in
"""

import asyncio
from typing import TYPE_CHECKING

from drivers.net.http import HttpError, Unspoken
from gateway.delivery.http_session import (
    ExchangeError,
    LoginError,
    NotAllowed,
    Session,
    Unreachable,
)

if TYPE_CHECKING:
    from drivers.net.websocket import WebSocket

_BUSY = {408, 425, 429, 500, 502, 503, 504}
"""A server that may have a websocket, at another time."""


class NoWebsocket(ExchangeError):
    """The handshake came to nothing. `is_plain`: the exchange says that there is none."""

    def __init__(self, message: str, *, is_plain: bool) -> None:
        super().__init__(message)
        self.is_plain = is_plain


class NobodyLoggedIn(LoginError):
    """There is no token yet, and it is not for this request to get one."""


class Websockets:
    """Of one exchange."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._client = session.client.another()
        self._renewal = asyncio.Lock()

    async def aclose(self) -> None:
        """Close what logins went over."""
        await self._client.aclose()

    async def open(self, path: str, max_bytes: int) -> "WebSocket":
        """A websocket at a path below the URL. Where the token is not taken, there is at most one
        new login. Raises ExchangeError.
        """
        token = self._session.token
        if not token:
            raise NobodyLoggedIn("nobody is logged in yet")
        status, found = await self._shake_hands(path, max_bytes)
        if status in (401, 403):
            async with self._renewal:
                if token == self._session.token:
                    await self._session.renew(path, self._client)
            status, found = await self._shake_hands(path, max_bytes)
        if found is not None:
            self._session.took_token(path)
            return found
        said = f"{self._session.url}/{path} answered {status}"
        if status in (401, 403):
            raise NotAllowed(said)
        if status in _BUSY:
            raise Unreachable(said)
        raise NoWebsocket(f"{said}: there is no websocket", is_plain=True)

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
        except Unspoken as error:
            raise NoWebsocket(str(error), is_plain=False) from error
        except HttpError as error:
            raise Unreachable(str(error)) from error
        return 101, found
