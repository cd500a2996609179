"""IEC 62056-21 messages out of bytes: pure, bounded, the same whatever chunks the bytes come in.

    mode D, pushed:         / XXX Z identification CR LF  CR LF  data lines …  ! CR LF
    modes A–C, on request:  / XXX Z identification CR LF  and, when that has been answered,
                            STX  data lines …  ! CR LF  ETX  BCC

Characters have seven bits and even parity (5.1). Where something on the way reads them as eight
bits, the parity is their eighth: then it is checked and taken off here. BCC is the exclusive or of
everything after STX up to ETX, ETX included (6.3, 6.5). A pushed telegram has no check, but where
it is that of a P1 port, whose checksum stands behind `!`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import xor

from drivers.foreign import foreign
from drivers.text_telegram import LATE_CHECKSUM_S, Damaged, Telegram, excerpt

MAX_TELEGRAM_BYTES = 8192
"""A longer pushed telegram is damaged. They have 100 to 500 bytes."""

MAX_BLOCK_BYTES = 16384
"""A longer readout is damaged. With all its past values a big meter sends nearly 10,000 bytes."""

SAMPLE_BYTES = 512
_PIECE_BYTES = 4096  # what is scanned in one go, so that a huge chunk does not grow the buffer
_LOW_SEVEN = bytes(byte & 0x7F for byte in range(256))
_EVEN = bytes(byte for byte in range(256) if byte.bit_count() % 2 == 0)

_STX, _ETX = 2, 3

# A printable character before the slash means that it stands inside a text.
_START = re.compile(rb"/(?<![ -~]/)[A-Za-z]{3}[!-~]")
_END_OR_START = re.compile(
    rb"[!/](?:(?<=[\r\n]!)(?P<digits>[0-9A-Fa-f]{0,4})|(?<=\)!)(?P<inline>[0-9A-Fa-f]{4})"
    rb"|(?<=/)(?<![ -~]/)[A-Za-z]{3}[!-~])"
)
_WHOLE_END = 5  # bytes of `!` and all digits of a checksum
_LONGEST_PARTIAL = (
    5  # bytes of a match that may still be cut off at the buffer's end, with the byte before it
)

_IDENT = re.compile(rb"/(?P<maker>[A-Za-z]{3})(?P<baud>[!-~])(?P<name>[^\r\n/]{0,64})\r\n")
_MODE_C_BAUDS = {b"0": 300, b"1": 600, b"2": 1200, b"3": 2400, b"4": 4800, b"5": 9600, b"6": 19200}
_MODE_B_BAUDS = {b"A": 600, b"B": 1200, b"C": 2400, b"D": 4800, b"E": 9600, b"F": 19200}


@dataclass(frozen=True, slots=True)
class Identification:
    """What a meter answers to the sign-on. `baud` is what it goes on with: after an acknowledgement
    where it has one, else by itself.
    """

    text: str
    baud_letter: bytes
    baud: int
    acknowledged: bool


def seven_bits(raw: bytes) -> tuple[bytes, bool]:
    """The characters without their parity, and whether it was right where there is one."""
    if raw.isascii():
        return raw, True
    return raw.translate(_LOW_SEVEN), not raw.translate(None, _EVEN)


def find_identification(raw: bytes) -> Identification | None:
    """The identification in what came after a sign-on (whose echo may stand before it); None as
    long as it is not complete (6.2).
    """
    match = _IDENT.search(seven_bits(raw)[0])
    if match is None:
        return None
    letter = match["baud"]
    baud, acknowledged = _MODE_C_BAUDS.get(letter), True
    if baud is None:
        baud, acknowledged = _MODE_B_BAUDS.get(letter, 300), False
    return Identification(excerpt(match[0].strip()), letter, baud, acknowledged)


def find_block(raw: bytes) -> bytes | None:
    """The data block between STX and ETX, in seven bits; None as long as it is not complete.

    Raises ValueError where its parity or block check is wrong, or it is too long.
    """
    text, _ = seven_bits(raw)
    begin = text.find(_STX)
    end = text.find(_ETX, begin + 1) if begin >= 0 else -1
    if len(text) > MAX_BLOCK_BYTES:
        raise ValueError(f"no end of the data within {MAX_BLOCK_BYTES} bytes")
    if end < 0 or end + 1 >= len(text):
        return None
    if not seven_bits(raw[begin : end + 2])[1]:
        raise ValueError(
            "parity errors in the data: the reception is poor, or the line's parity is not even"
        )
    computed, stated = block_check(text[begin + 1 : end + 1]), text[end + 1]
    if computed != stated:
        raise ValueError(
            f"wrong block check: the meter says {stated:02X}, its data give {computed:02X}; the "
            "reception is poor"
        )
    return text[begin + 1 : end]


def block_check(data: Iterable[int]) -> int:
    """BCC: the exclusive or of all bytes."""
    return reduce(xor, data, 0)


def diagnose(noise: bytes) -> str:
    """What bytes that hold no telegram look like, in words that help at the meter."""
    if not noise.strip(b"\0"):
        return (
            "they are all zero: light falls into the optical head, or it sits beside the "
            "meter's diode; seat it anew"
        )
    if (stranger := foreign(noise, frozenset({"d0", "p1"}))) is not None:
        return stranger.text
    text = seven_bits(noise)[0]
    readable = sum(0x20 <= byte < 0x7F or byte in b"\r\n" for byte in text)
    if readable >= 0.95 * len(text):
        return f"they read {excerpt(text)!r}: text, but no telegram"
    return "they look like a wrong baud rate: 9600 7E1 is usual, 2400 7E1 is the norm"


class Framer:
    """Cuts a pushed stream into telegrams. It keeps at most one telegram's bytes, and looks at each
    byte a bounded number of times.

    `offset` is the number of bytes fed so far; `noise_bytes` the number of those outside telegrams
    (line ends apart), and `noise_sample` the last of them. `silence_s` is how long after `!` a
    checksum may still come: what follows it in the norm, a line end, says at once that there is
    none.
    """

    def __init__(self, silence_s: float = LATE_CHECKSUM_S) -> None:
        self.silence_s = silence_s
        self.offset = 0
        self.noise_bytes = 0
        self.noise_sample = b""
        self._raw = bytearray()  # as it came, for its parity
        self._text = bytearray()  # the same in seven bits
        self._open = False  # the buffers begin with a telegram's `/`
        self._scan = 0  # nothing begins before this index of the buffers

    @property
    def open_start(self) -> int | None:
        """Where in the stream the telegram begins whose end has not come yet."""
        return self.offset - len(self._raw) if self._open else None

    @property
    def open_bytes(self) -> int:
        """How much has come of that telegram."""
        return len(self._raw) if self._open else 0

    def feed(self, data: bytes) -> list[Telegram | Damaged]:
        """Take bytes in, and give out what they complete, in order."""
        events: list[Telegram | Damaged] = []
        for at in range(0, len(data), _PIECE_BYTES):
            piece = data[at : at + _PIECE_BYTES]
            self._raw += piece
            self._text += piece.translate(_LOW_SEVEN)
            self.offset += len(piece)
            while self._advance(events):
                pass
        return events

    @property
    def awaits_silence(self) -> bool:
        """A `!` has come, and only silence can tell that no (further) checksum digits follow: call
        `silence` then.
        """
        return self._open and self._partial_end() is not None

    def silence(self) -> list[Telegram | Damaged]:
        """The line has been quiet for `silence_s`: a telegram that has its `!` is complete as it
        is.
        """
        events: list[Telegram | Damaged] = []
        if self._open and (end := self._partial_end()) is not None:
            self._complete(end, events)
        return events

    def forget(self) -> None:
        """Bytes of the stream were thrown away unseen: what is here is not continued by what comes
        next.
        """
        self._drop(len(self._raw))
        self._open = False
        self._scan = 0

    def _advance(self, events: list[Telegram | Damaged]) -> bool:
        """One step on; False where more bytes are needed."""
        if not self._open:
            return self._begin()
        limit = min(len(self._text), MAX_TELEGRAM_BYTES)
        match = _END_OR_START.search(self._text, self._scan, limit)
        if match is None or self._is_open_ended(match, limit):
            self._scan = match.start() if match else max(1, limit - _LONGEST_PARTIAL)
            if limit < MAX_TELEGRAM_BYTES:
                return False
            self._damage(
                f"no end ('!') within {MAX_TELEGRAM_BYTES} bytes", limit - _LONGEST_PARTIAL, events
            )
        elif match.lastgroup is None:
            self._damage("cut off: the next telegram begins inside it", match.start(), events)
            self._scan = 0
        else:
            self._complete(match, events)
        return True

    def _begin(self) -> bool:
        match = _START.search(self._text, self._scan)
        if match is None:
            # Kept: a start that is cut off, and the byte before it, by which it is judged.
            excess = len(self._text) - _LONGEST_PARTIAL
            if excess > 0:
                self._drop_noise(excess)
                self._scan = 1
            return False
        self._drop_noise(match.start())
        self._open = True
        self._scan = 1
        return True

    def _is_open_ended(self, match: "re.Match[bytes]", limit: int) -> bool:
        """Whether digits of the checksum may still be on their way."""
        size = match.end() - match.start()
        return match["digits"] is not None and match.end() == limit and size < _WHOLE_END

    def _partial_end(self) -> "re.Match[bytes] | None":
        match = _END_OR_START.search(self._text, self._scan)
        return match if match is not None and match["digits"] is not None else None

    def _complete(self, end: "re.Match[bytes]", events: list[Telegram | Damaged]) -> None:
        length, digits = end.end(), end[0][1:]
        if not seven_bits(bytes(self._raw[:length]))[1]:
            self._damage("parity errors: the reception is poor", length, events)
        else:
            text = bytes(self._text[: end.start() + 1])
            checksum = int(digits, 16) if digits else None
            events.append(Telegram(self.offset - len(self._raw), text, checksum))
            self._drop(length)
        self._open = False
        self._scan = 0

    def _damage(self, reason: str, length: int, events: list[Telegram | Damaged]) -> None:
        events.append(
            Damaged(self.offset - len(self._raw), reason, excerpt(bytes(self._text[:length])))
        )
        self._drop(length)
        self._open = False
        self._scan = 1

    def _drop_noise(self, length: int) -> None:
        noise = bytes(self._raw[:length]).replace(b"\r", b"").replace(b"\n", b"")
        if noise:
            self.noise_bytes += len(noise)
            self.noise_sample = (self.noise_sample + noise)[-SAMPLE_BYTES:]
        self._drop(length)

    def _drop(self, length: int) -> None:
        del self._raw[:length]
        del self._text[:length]
