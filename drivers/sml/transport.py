"""SML files out of a stream of bytes: pure, bounded, the same whatever chunks the bytes come in.

SML transport protocol version 1 (BSI TR-03109-1, annex IV, "SML 1.04", section 8):

    1B1B1B1B 01010101  data, filled up with 00 to a multiple of four  1B1B1B1B 1A pp cc cc

pp is the number of bytes filled up (0–3 by the standard; DZG meters whose PIN has not been entered
send 4). 1B1B1B1B inside the data is sent twice. cc cc is a CRC-16/X-25 of everything before it, low
byte first; some Holley meters send a CRC-16/KERMIT, high byte first.
"""

from dataclasses import dataclass

from drivers import crc16
from drivers.foreign import foreign

MAX_FRAME_BYTES = 8192
"""A longer frame is damaged. Meters send 200 to 800 bytes."""

EXCERPT_BYTES = 24
SAMPLE_BYTES = 512

_ESCAPE = b"\x1b" * 4
_VERSION_1 = b"\x01" * 4
_VERSION_2 = b"\x02" * 4
_START = _ESCAPE + _VERSION_1
_END = 0x1A
_MAX_FILL = 4
_PIECE_BYTES = 4096  # what is scanned in one go, so that a huge chunk does not grow the buffer


@dataclass(frozen=True, slots=True)
class Frame:
    """One SML file whose checksum is right, without escapes (fill bytes are left in). `start`
    counts the stream's bytes before it.
    """

    start: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that began as a frame and cannot be one: why, and how it begins (in hex, short)."""

    start: int
    reason: str
    text: str


def checksums(data: bytes) -> tuple[bytes, bytes]:
    """The checksums that meters send for these bytes, as they stand on the wire: the standard's
    X-25, and Holley's KERMIT.
    """
    return crc16.ibm_sdlc(data).to_bytes(2, "little"), crc16.kermit(data).to_bytes(2, "big")


def excerpt(raw: bytes) -> str:
    """The beginning of some bytes in hex."""
    return raw[:EXCERPT_BYTES].hex(" ") + (" …" if len(raw) > EXCERPT_BYTES else "")


def diagnose(noise: bytes) -> str:
    """What bytes that hold no SML look like, in words that help at the meter."""
    if not noise.strip(b"\0"):
        return (
            "they are all zero: light falls into the optical head, or it sits beside the "
            "meter's diode; seat it anew"
        )
    if (stranger := foreign(noise, frozenset({"sml"}))) is not None:
        return stranger.text
    text = bytes(byte & 0x7F for byte in noise)
    readable = sum(0x20 <= byte < 0x7F or byte in b"\r\n" for byte in text)
    if readable >= 0.95 * len(text) and b"(" in text:
        return "they are text, as of an IEC 62056-21 meter: try the profile iec62056/mode_d"
    if _ESCAPE in noise:
        return (
            "there are SML frames in them, but damaged ones: seat the optical head anew, and "
            "check the cable"
        )
    return (
        "no SML starts in them: is the line at 9600 baud 8N1, and the optical head seated on "
        "the meter's diode?"
    )


class Framer:
    """Cuts a stream into frames. It keeps at most one frame's bytes, and looks at each byte a
    bounded number of times.

    `offset` is the number of bytes fed so far; `noise_bytes` the number of those outside frames,
    and `noise_sample` the last of them.
    """

    awaits_silence = False
    """The end of a frame is always seen."""
    silence_s = 0.0

    def __init__(self) -> None:
        self.offset = 0
        self.noise_bytes = 0
        self.noise_sample = b""
        self._buffer = bytearray()
        self._open = False  # the buffer begins with a frame's start
        self._scan = 0  # no escape begins before this index of the buffer

    @property
    def open_start(self) -> int | None:
        """Where in the stream the frame begins whose end has not come yet."""
        return self.offset - len(self._buffer) if self._open else None

    @property
    def open_bytes(self) -> int:
        """How much has come of that frame."""
        return len(self._buffer) if self._open else 0

    def feed(self, data: bytes) -> list[Frame | Damaged]:
        """Take bytes in, and give out what they complete, in order."""
        events: list[Frame | Damaged] = []
        for at in range(0, len(data), _PIECE_BYTES):
            piece = data[at : at + _PIECE_BYTES]
            self._buffer += piece
            self.offset += len(piece)
            while self._advance(events):
                pass
        return events

    def silence(self) -> list[Frame | Damaged]:
        """Silence completes nothing."""
        return []

    def forget(self) -> None:
        """Bytes of the stream were thrown away unseen: what is here is not continued by what comes
        next.
        """
        self._buffer.clear()
        self._open = False
        self._scan = 0

    def _advance(self, events: list[Frame | Damaged]) -> bool:
        """One step on; False where more bytes are needed."""
        if not self._open:
            return self._begin()
        limit = min(len(self._buffer), MAX_FRAME_BYTES)
        at = self._buffer.find(_ESCAPE, self._scan, limit)
        if at >= 0 and at + 8 <= limit:
            return self._escape(at, limit, events)
        self._scan = at if at >= 0 else max(self._scan, limit - 3)
        if limit < MAX_FRAME_BYTES:
            return False
        self._damage(f"no end within {MAX_FRAME_BYTES} bytes", limit - 7, events)
        return True

    def _begin(self) -> bool:
        at = self._buffer.find(_START)
        if at < 0:
            self._drop_noise(
                max(0, len(self._buffer) - len(_START) + 1)
            )  # a start that is cut off is kept
            return False
        self._drop_noise(at)
        self._open = True
        self._scan = len(_START)
        return True

    def _escape(self, at: int, limit: int, events: list[Frame | Damaged]) -> bool:
        """What an escape inside a frame means (section 8.3)."""
        after = bytes(self._buffer[at + 4 : at + 8])
        if after[0] == _END and after[1] <= _MAX_FILL:
            self._complete(at, events)
        elif after == _ESCAPE:
            # Data. Only where a start follows, the first escape is what lost bytes have left of an
            # end: no data holds eight such bytes.
            following = bytes(self._buffer[at + 8 : at + 12])
            if following == _VERSION_1:
                self._damage("its end is broken: bytes were lost on the way", at + 4, events)
            elif _VERSION_1.startswith(following) and at + 12 > limit < MAX_FRAME_BYTES:
                self._scan = at
                return False
            else:
                self._scan = at + 8
        elif after == _VERSION_1:
            self._damage("cut off: the next one begins inside it", at, events)
        elif after == _VERSION_2:
            self._damage("SML transport version 2, which this driver does not read", at + 8, events)
        else:
            self._damage(
                f"an unknown escape ({after.hex(' ')}): bytes were lost or changed on the way",
                at + 1,
                events,
            )
        return True

    def _complete(self, at: int, events: list[Frame | Damaged]) -> None:
        checked, found = bytes(self._buffer[: at + 6]), bytes(self._buffer[at + 6 : at + 8])
        right = checksums(checked)
        if found not in right:
            # What follows the end's mark is looked at again: where bytes were lost, the next start
            # may be in it.
            reason = (
                f"wrong checksum: it says {found.hex().upper()}, its bytes give "
                f"{right[0].hex().upper()}; the reception is poor"
            )
            self._damage(reason, at + 4, events)
            return
        payload = checked[len(_START) : at]
        if _ESCAPE in payload:
            payload = payload.replace(_ESCAPE * 2, _ESCAPE)
        events.append(Frame(self.offset - len(self._buffer), payload))
        del self._buffer[: at + 8]
        self._open = False

    def _damage(self, reason: str, length: int, events: list[Frame | Damaged]) -> None:
        events.append(
            Damaged(self.offset - len(self._buffer), reason, excerpt(bytes(self._buffer[:length])))
        )
        del self._buffer[:length]
        self._open = False

    def _drop_noise(self, length: int) -> None:
        if length:
            self.noise_bytes += length
            self.noise_sample = (self.noise_sample + bytes(self._buffer[:length]))[-SAMPLE_BYTES:]
            del self._buffer[:length]
