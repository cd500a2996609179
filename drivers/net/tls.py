"""TLS: whom a connection trusts, and a line of bytes inside it (Modbus Security: MODBUS/TCP
Security Protocol Specification, 2018). The other end's certificate is always verified.
"""

import asyncio
import ssl

from drivers.line_protocol import (
    CONNECT_TIMEOUT_S,
    READ_BYTES,
    SETTLE_S,
    Line,
    LineClosed,
    LineError,
    Turns,
    closed_by_peer,
)
from drivers.line_url import Framing, LineUrl, SerialSettings
from drivers.net.environment import UnusableSetting, authorities, refuse_no_file
from drivers.net.tls_words import no_tls_there


async def over_tls(url: LineUrl, line: Line) -> "TlsLine":
    """The open connection with TLS on top. Raises LineError, and closes the connection then."""
    try:
        secure = TlsLine(url, line)
        await secure.ready()
    except BaseException:
        line.close()
        raise
    return secure


class CertificateError(OSError):
    """A file of certificates cannot be used. The text names it, and says what it has to be."""


def client_context(
    ca_file: str | None = None, cert_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """What a connection of ours trusts: the authorities in `ca_file`, or else the system's.

    `cert_file` and `key_file` are our own certificate, where the other end asks for one; all are
    PEM files. Raises CertificateError. It costs some 20 ms: make one for each destination, not for
    each connection.
    """
    try:
        context = authorities(ca_file)
    except UnusableSetting as error:
        raise CertificateError(str(error)) from error
    except OSError as error:
        raise CertificateError(
            f"{ca_file} cannot be used: {error.strerror or error} — it has to be a PEM file of "
            "certificates"
        ) from error

    if cert_file:
        try:
            for file in filter(None, (cert_file, key_file)):
                refuse_no_file(file)
            context.load_cert_chain(cert_file, key_file)
        except OSError as error:
            hint = (
                "cert has to be a PEM file with our certificate, and key one with its key, "
                "without a password"
            )
            raise CertificateError(
                f"{cert_file} cannot be used: {error.strerror or error} — {hint}"
            ) from error

    return context


def line_context(url: LineUrl) -> ssl.SSLContext:
    """What a line trusts, as its URL says. Raises LineError."""
    try:
        return client_context(url.ca_file, url.cert_file, url.key_file)
    except CertificateError as error:
        raise LineError(f"{url}: {error}") from error


class TlsLine:
    """A line whose bytes are encrypted on their way. Each connection has TLS of its own."""

    def __init__(self, url: LineUrl, line: Line) -> None:
        """Raises LineError where a certificate's file cannot be used."""
        self._line = line
        self._host = url.target
        self._per_round = url.connect == "cycle"
        self._trusts = line_context(url)
        self._begin()

    def _begin(self) -> None:
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._trusts.wrap_bio(self._came, self._goes, server_hostname=self._host)
        self._is_secure = False

    @property
    def name(self) -> str:
        return self._line.name

    @property
    def settings(self) -> SerialSettings | None:
        return None

    @property
    def char_s(self) -> float:
        return 0.0

    @property
    def framing(self) -> Framing:
        return self._line.framing

    @property
    def turns(self) -> Turns:
        return self._line.turns

    async def ready(self) -> None:
        """Connected, and inside TLS. A device may need time (`settle`) after each of both. Raises
        LineError where the other end does not speak TLS, or is not who it should be.
        """
        await self._line.ready()
        if self._is_secure:
            return

        try:
            await self._shake_hands()
        except LineClosed:
            if self.turns.settle_s:
                raise
            await self._shake_hands_later()
        self._is_secure = True
        self.turns.connected_s = asyncio.get_running_loop().time()
        await self._line.ready()

    async def _shake_hands_later(self) -> None:
        """Where the other end has closed the connection, maybe because we spoke too early."""
        self.renew()
        self.turns.settle_s = SETTLE_S
        try:
            await self._line.ready()
            await self._shake_hands()
        except LineError:
            self.turns.settle_s = 0.0
            raise

    async def _shake_hands(self) -> None:
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + CONNECT_TIMEOUT_S
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send()
                data = await self._line.read(deadline_s)
                if not data or now_s() >= deadline_s:
                    raise LineError(
                        f"{self.name}: no answer to TLS within {CONNECT_TIMEOUT_S:g} s — is it "
                        "tcp: without TLS?"
                    ) from None
                self._came.write(data)
            except ssl.SSLCertVerificationError as error:
                hint = (
                    "ca=FILE names the authority that signed the device's certificate; the "
                    "host is written as the certificate has it"
                )
                raise LineError(
                    f"{self.name}: the device's certificate is not trusted: "
                    f"{error.verify_message} — {hint}"
                ) from error
            except ssl.SSLError as error:
                raise self._failed(error) from error
        await self._send()

    async def write(self, data: bytes) -> None:
        await self.ready()
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise self._failed(error) from error
        await self._send()

    async def read(self, deadline_s: float) -> bytes:
        while True:
            if not self._is_secure:  # it has let go: nobody says anything
                return await self._line.read(deadline_s)
            try:
                data = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                await self._send()  # what TLS itself has to say
                cipher = await self._line.read(deadline_s)
                if not cipher:
                    return b""
                self._came.write(cipher)
                continue
            except ssl.SSLError as error:
                raise self._failed(error) from error
            if not data:
                raise closed_by_peer(self.name)
            return data

    def drain(self) -> int:
        """Nothing: what is inside TLS cannot be skipped, and the frames of Modbus TCP are told
        apart by their numbers.
        """
        return 0

    async def configure(self, settings: SerialSettings) -> None:
        """There is no port to set."""

    def rest(self) -> None:
        if self._per_round:
            self.renew()

    def renew(self) -> None:
        self._line.renew()
        self._begin()

    def close(self) -> None:
        self._line.close()

    async def _send(self) -> None:
        if data := self._goes.read():
            await self._line.write(data)

    def _failed(self, error: ssl.SSLError) -> LineError:
        if words := no_tls_there(error):
            hint = "does the device speak Modbus Security there? Write tcp: if it is not encrypted"
            return LineError(f"{self.name}: TLS failed: {words} — {hint}, or give the port for TLS")
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return LineError(
            f"{self.name}: TLS failed: {reason} — does the device speak Modbus Security there, "
            "and want a certificate of ours?"
        )
