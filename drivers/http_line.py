"""A line whose other end is a web server: a meter that tells its values on pages of its own.

Each request has a connection of its own: such servers are small, and serve few clients at a time.
"""

from collections.abc import Mapping

from drivers.line_protocol import BadReply, LineError, NoReply
from drivers.line_url import LineUrl, SerialSettings
from drivers.net.http import HttpClient, NoConnection, TooLate, authorization
from drivers.net.http_connection import MAX_REPLY_BYTES, HttpReply
from drivers.net.tls import line_context


class WebLine:
    """An `HttpLine`."""

    def __init__(self, url: LineUrl) -> None:
        """Raises LineError where a certificate's file cannot be used."""
        self.name = str(url)
        self._closed = False
        host = f"[{url.target}]" if ":" in url.target else url.target
        tls = line_context(url) if url.scheme == "https" else None
        self._client = HttpClient(f"{url.scheme}://{host}:{url.port}", tls=tls)

    async def get(
        self, path: str, within_s: float, credentials: Mapping[str, str] | None = None
    ) -> HttpReply:
        """As `HttpLine.get`."""
        if self._closed:
            raise LineError(f"{self.name}: the line has been closed — open it again")

        headers, secrets = authorization(credentials or {})
        try:
            reply = await self._client.request(
                "GET", path, within_s, headers=headers, secrets=secrets
            )
        except TooLate:
            raise NoReply(
                f"{path} was not answered within {within_s:g} s: is the meter on, and on this "
                "network?"
            ) from None
        except NoConnection as error:
            words = str(error).partition(" cannot be reached: ")[2]
            raise LineError(
                f"{self.name}: cannot be reached: {words} — check the address, and whether the "
                "meter's local interface is switched on"
            ) from error

        if not reply.complete:
            raise BadReply(
                f"{path} is longer than {MAX_REPLY_BYTES >> 10} KiB: is this the meter, and its "
                "profile the right one?"
            )
        return reply

    async def configure(self, settings: SerialSettings) -> None:
        """There is no port to set."""

    def rest(self) -> None:
        """There is no connection between two requests."""

    def close(self) -> None:
        self._closed = True
