"""P1 telegrams out of a stream of bytes: pure, bounded, the same whatever chunks the bytes come in.

A telegram (DSMR 5.0.2 P1 companion standard, 6.2; the frame of IEC 62056-21 mode D) is

    / XXX Z identification CR LF  CR LF  data lines …  ! HHHH CR LF

`/` counts only at the start of a line and before three letters, `!` only at the start of a line (or
as `)!HHHH`): both characters also occur inside identifications and texts. HHHH is a CRC-16/ARC in
up to four hex digits, over all bytes from `/` to `!`, both included. DSMR 2.2 and 3.0 send `!`
alone.

Some countries encrypt: the telegram then travels inside a general-glo-ciphering APDU of DLMS (IEC
62056-5-3), which holds any byte

    DB 08 system title (8)  length  security control  frame counter (4)  ciphertext  tag (12)

or, in Poland, after a plain `/…` line and a blank one as `00 length …`. The length is in BER: one
byte, or 81 to 84 and that many bytes.
"""

import re

import msgspec

from drivers import crc16
from drivers.foreign import foreign
from drivers.text_telegram import EXCERPT_BYTES, LATE_CHECKSUM_S, Damaged, Telegram, excerpt

MAX_TELEGRAM_BYTES = 8192
"""A longer telegram is damaged. The longest seen in the field has 2405 bytes; standards allow a
little over 3 KiB.
"""

SAMPLE_BYTES = 512
_PIECE_BYTES = 4096  # what is scanned in one go, so that a huge chunk does not grow the buffer

# A printable character before the slash means that it stands inside a text. Anything else does not:
# noise of a line that was switched on or cut in the middle comes without line ends. (At the start
# of the buffer nothing stands before it.) Of an encrypted frame the length and the security control
# are looked at too: what they say must be possible.
_SECURED = (
    rb"(?:[\x05-\x7f]|\x81(?s:.)|\x82(?s:..)|\x83\x00(?s:..)|\x84\x00\x00(?s:..))[\x20\x21\x30\x31]"
)
_START = re.compile(rb"/(?<![ -~]/)[A-Za-z]{3}|(?P<sealed>\xdb\x08(?s:.{8})" + _SECURED + rb")")
# The character itself first, what must stand before it after: so `re` can skip to the next
# candidate.
_END_OR_START = re.compile(
    rb"[!/\x00\xdb](?:(?<=[\r\n]!)(?P<digits>[0-9A-Fa-f]{0,4})|(?<=\)!)(?P<inline>[0-9A-Fa-f]{4})"
    rb"|(?<![ -~]/)(?<=/)[A-Za-z]{3}"
    rb"|(?<=\r\n\r\n\x00)(?P<headed>" + _SECURED + rb")|(?<=\xdb)\x08(?s:.{8})" + _SECURED + rb")"
)
_HEADER_BYTES = 5  # of a header that tell it from others: / XXX Z
_SHORTEST_START = 4
_LONGEST_START = (
    16  # bytes of DB 08 title length security, which may still be cut off at the buffer's end
)
_LONGEST_PARTIAL = 1 + _LONGEST_START  # with the byte before it


class Sealed(msgspec.Struct, frozen=True):
    """One encrypted frame as it came, from its tag (DB, or 00 after a plain header) on:
    `cipher.decrypt` opens it.
    """

    start: int
    raw: bytes


def diagnose(noise: bytes) -> str:
    """What bytes that hold no telegram look like, in words that help at the meter."""
    if not noise.strip(b"\0"):
        return "they are all zero: the data line is stuck; check the cable and its inverter"
    strange = len(noise.translate(None, _TEXT))
    if not strange:
        return f"they read {excerpt(noise)!r}: text, but no telegram"
    even = sum(byte.bit_count() % 2 == 0 for byte in noise)
    masked = bytes(byte & 0x7F for byte in noise)
    if (
        max(noise) >= 0x80
        and even * 10 >= len(noise) * 9
        and len(masked.translate(None, _TEXT)) * 10 <= len(masked)
    ):
        return (
            "they look like 7 data bits with even parity (7E1) read as 8N1: set the line to 7 "
            "data bits and even parity"
        )
    if (stranger := foreign(noise, frozenset({"p1"}))) is not None:
        return stranger.text
    if garbled(noise):
        return (
            "they look like a wrong baud rate or parity: try 115200 8N1 (DSMR 4, 5), 9600 7E1 "
            "(DSMR 2.2, 3) and 2400 8E1"
        )
    return f"they read {excerpt(noise)!r}: a telegram with many errors; check cable and connectors"


def garbled(noise: bytes) -> bool:
    """Whether bytes are too many and too strange to be part of a telegram in plain text."""
    return len(noise) >= _FEW_BYTES and len(noise.translate(None, _TEXT)) * 4 > len(noise)


_FEW_BYTES = 16
_TEXT = bytes([*range(0x20, 0x7F), 0x0D, 0x0A])


Event = Telegram | Sealed | Damaged


def _length(secured: bytes) -> int:
    """What the BER length before a security control says: the bytes from the security control
    on.
    """
    return secured[0] if secured[0] < 0x80 else int.from_bytes(secured[1:-1], "big")


class Framer:
    """Cuts a stream into telegrams. It keeps at most one telegram's bytes, and looks at each byte a
    bounded number of times.

    `offset` is the number of bytes fed so far; `noise_bytes` the number of those outside telegrams
    (line ends apart), and `noise_sample` the last of them. `silence_s` is how long after `!` a
    checksum may still come.
    """

    def __init__(self, silence_s: float = LATE_CHECKSUM_S) -> None:
        self.silence_s = silence_s
        self.offset = 0
        self.noise_bytes = 0
        self.noise_sample = b""
        self._buffer = bytearray()
        self._open = False  # the buffer begins with a telegram's `/`, or with an encrypted frame
        self._sealed: tuple[int, int] | None = (
            None  # of an encrypted frame: where in the buffer its tag stands, and where it ends
        )
        self._scan = 0  # nothing begins before this index of the buffer

    @property
    def open_start(self) -> int | None:
        """Where in the stream the telegram begins whose end has not come yet."""
        return self.offset - len(self._buffer) if self._open else None

    @property
    def open_bytes(self) -> int:
        """How much has come of that telegram."""
        return len(self._buffer) if self._open else 0

    @property
    def open_sample(self) -> bytes:
        """How that telegram begins, where it is not encrypted. (Texts in it may hold any byte.)"""
        return bytes(self._buffer[:EXCERPT_BYTES]) if self._open and not self._sealed else b""

    @property
    def awaits_silence(self) -> bool:
        """A `!` has come, and only silence can tell that no (further) checksum digits follow: call
        `silence` then.
        """
        return (
            self._open
            and not self._sealed
            and self._scan < len(self._buffer)
            and self._partial_end() is not None
        )

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes in, and give out what they complete, in order."""
        events: list[Event] = []
        for at in range(0, len(data), _PIECE_BYTES):
            piece = data[at : at + _PIECE_BYTES]
            self._buffer += piece
            self.offset += len(piece)
            while self._buffer and self._advance(events):
                pass
        return events

    def silence(self) -> list[Event]:
        """The line has been quiet for `silence_s`: a telegram that has its `!` is complete as it
        is.
        """
        events: list[Event] = []
        while self.awaits_silence and (end := self._partial_end()) is not None:
            self._complete(end, events)
            while self._advance(events):
                pass
        return events

    def forget(self) -> None:
        """Bytes of the stream were thrown away unseen: what is here is not continued by what comes
        next.
        """
        self._buffer.clear()
        self._open = False
        self._sealed = None
        self._scan = 0

    def _advance(self, events: list[Event]) -> bool:
        """One step on; False where more bytes are needed."""
        if not self._open and not self._begin():
            return False
        if self._sealed:
            return self._complete_sealed(*self._sealed, events)
        limit = min(len(self._buffer), MAX_TELEGRAM_BYTES)
        begin = self._skip(limit)
        match = _END_OR_START.search(self._buffer, begin, limit)
        if match is None:
            self._scan = max(1, limit - _LONGEST_PARTIAL)
        elif (
            match.start() > begin and limit < MAX_TELEGRAM_BYTES and self._undecided(match.start())
        ):
            return False
        elif match.lastgroup == "headed":
            self._sealed = (match.start(), match.end() - 1 + _length(match["headed"]))
            return True
        elif match.lastgroup is None:
            self._cut_off(match.start(), events)
            return True
        elif (
            match.lastgroup == "digits" and match.end() == limit and match.end() - match.start() < 5
        ):
            self._scan = match.start()  # its digits may still be on their way
        else:
            self._complete(match, events)
            return True
        if len(self._buffer) < MAX_TELEGRAM_BYTES:
            return False
        self._damage(
            f"no end ('!') within {MAX_TELEGRAM_BYTES} bytes", MAX_TELEGRAM_BYTES - 4, events
        )
        self._scan = 1
        return True

    def _begin(self) -> bool:
        if len(self._buffer) < _SHORTEST_START:
            return False
        match = _START.search(self._buffer, self._scan)
        if match is None or (match.start() and self._undecided(match.start())):
            # Kept: a start that is cut off, and the byte before it, by which it is judged.
            partial = self._buffer.find(b"\xdb", max(0, len(self._buffer) - _LONGEST_START + 1))
            keep = min(
                len(self._buffer),
                max(_SHORTEST_START, len(self._buffer) - partial + 1 if partial >= 0 else 0),
            )
            if len(self._buffer) > keep:
                self._drop_noise(len(self._buffer) - keep)
                self._scan = 1
            return False
        sealed = match[
            "sealed"
        ]  # read now: the match looks into the buffer, from which noise is dropped next
        if match.start():
            self._drop_noise(match.start())
        self._open = True
        self._scan = 1
        if sealed is not None:
            self._sealed = (0, len(sealed) - 1 + _length(sealed[10:]))
        return True

    def _skip(self, limit: int) -> int:
        """Where the next end or start can be at the earliest: nearly always at the next `!`, which
        is found quicker alone.
        """
        buffer, scan = self._buffer, self._scan
        end = buffer.find(b"!", scan, limit)
        if (
            end < 0
            or buffer.find(b"/", scan, end) >= 0
            or buffer.find(b"\0", scan, end) >= 0
            or buffer.find(b"\xdb", scan, end) >= 0
        ):
            return scan
        return end

    def _undecided(self, before: int) -> bool:
        """Whether too little has come of what may be an encrypted frame that begins before this
        index.
        """
        recent = max(0, len(self._buffer) - _LONGEST_START + 1)
        if before <= recent:
            return False
        if self._buffer.find(b"\xdb\x08", recent, before) >= 0:
            return True
        return self._open and self._buffer.find(b"\r\n\r\n\0", recent, before) >= 0

    def _drop_noise(self, length: int) -> None:
        noise = bytes(self._buffer[:length].translate(None, b"\r\n"))
        if noise:
            self.noise_bytes += len(noise)
            self.noise_sample = (self.noise_sample + noise)[-SAMPLE_BYTES:]
        del self._buffer[:length]

    def _partial_end(self) -> "re.Match[bytes] | None":
        match = _END_OR_START.search(self._buffer, self._scan)
        return match if match is not None and match["digits"] is not None else None

    def _complete_sealed(self, tag: int, end: int, events: list[Event]) -> bool:
        if end > MAX_TELEGRAM_BYTES:
            self._sealed = None  # no frame: what looked like one was chance
            self._open = tag > 0
            self._scan = tag + 1
            return True
        if len(self._buffer) < end:
            return False
        # Where bytes were lost, the frame reaches into the next one, which begins alike: with the
        # same header or system title.
        prefix = bytes(self._buffer[: tag or 10])
        if (again := self._buffer.find(prefix, 1, end)) > 0:
            self._cut_off(again, events)
        else:
            events.append(Sealed(self.offset - len(self._buffer), bytes(self._buffer[tag:end])))
            self._drop(end)
        return True

    def _complete(self, end: "re.Match[bytes]", events: list[Event]) -> None:
        raw = bytes(self._buffer[: end.start() + 1])
        checksum = int(end[0][1:], 16) if end.end() > end.start() + 1 else None
        # Where bytes were lost, the next telegram may begin within a line: with the same header.
        again = raw.find(raw[:_HEADER_BYTES], 1) if raw.rfind(b"/") > 0 else -1
        if again > 0 and (checksum is None or crc16.arc(raw) != checksum):
            self._cut_off(again, events)
            return
        events.append(Telegram(self.offset - len(self._buffer), raw, checksum))
        line_end = 2 if self._buffer.startswith(b"\r\n", end.end()) else 0
        self._drop(end.end() + line_end)

    def _cut_off(self, length: int, events: list[Event]) -> None:
        self._damage("cut off: the next telegram begins inside it", length, events)

    def _damage(self, reason: str, length: int, events: list[Event]) -> None:
        events.append(
            Damaged(self.offset - len(self._buffer), reason, excerpt(bytes(self._buffer[:length])))
        )
        self._drop(length)

    def _drop(self, length: int) -> None:
        """What is here is done with, up to `length`."""
        del self._buffer[:length]
        self._open = False
        self._sealed = None
        self._scan = 0
