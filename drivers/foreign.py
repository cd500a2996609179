"""What comes on a line and is not what its profile reads: which protocol it is, and which profile
reads that. Pure.

A protocol is named by what chance does not make: a right checksum (HDLC, IEC 62056-46, 6.4; M-Bus,
EN 13757-2; TIC of the French Linky, Enedis-NOI-CPT_54E), a start of eight bytes (SML), or whole
lines of text with OBIS ids.
"""

import re
from collections.abc import Collection
from typing import Literal

import msgspec

from drivers import crc16

Kind = Literal["hdlc", "mbus", "tic", "sml", "p1", "d0", "inverted"]

BY_SIGHT: frozenset[Kind] = frozenset({"p1", "d0", "inverted"})
"""What is known by how it looks: half a telegram may look like another kind's."""

HEARD_BYTES = 2048
"""So much of what came last is looked at. The longest frame of those named here has 1100 bytes."""


class Foreign(msgspec.Struct, frozen=True):
    """A protocol, and in words what it is and what to do."""

    kind: Kind
    text: str


_HDLC = Foreign(
    "hdlc",
    "they are HDLC frames: this port speaks DLMS, which no profile reads yet, with a key or "
    "without; ask the network operator whether it can be switched to P1 text",
)
_MBUS = Foreign(
    "mbus",
    "they are frames of wired M-Bus, which no profile reads yet, with a key or without; ask the "
    "network operator whether the meter also has a P1 port",
)
_TIC = Foreign(
    "tic",
    "this is TIC (téléinformation client) of a French Linky meter, which no profile reads yet",
)
_SML = Foreign("sml", "they are SML, as of a German meter: use the profile sml/auto")
_P1 = Foreign("p1", "they are P1 telegrams, as of a customer port: use the profile p1/auto")
_D0 = Foreign(
    "d0",
    "they are text, as of the optical port of an IEC 62056-21 meter (D0): use the profile "
    "iec62056/mode_d",
)
_INVERTED = Foreign(
    "inverted",
    "the signal is inverted: read the other way round it is what a meter sends; use a cable that "
    "inverts its data line (P1 ports need one), or set the adapter to do so",
)


def foreign(raw: bytes, own: Collection[Kind] = ()) -> Foreign | None:
    """The protocol of what came, the newest bytes last, unless it is one of `own`; None where it is
    none that is known.
    """
    for found, is_it in (
        (_HDLC, _is_hdlc),
        (_MBUS, _is_mbus),
        (_SML, _is_sml),
        (_TIC, _is_tic),
        (_P1, _is_p1),
        (_D0, _is_d0),
        (_INVERTED, _is_inverted),
    ):
        if found.kind in own or not is_it(raw):
            continue
        if found is _D0 and "p1" in own and not _is_surely_d0(raw):
            continue
        return found
    return None


# Format type 3 of HDLC, after the flag.
_HDLC_START = re.compile(rb"\x7e(?=[\xa0-\xaf])")

# Addresses, control and check sequence, and what stands before every DLMS object (LLC).
_HDLC_PUSH = re.compile(rb"\x7e[\xa0-\xaf](?s:.){5,14}\xe6\xe7\x00")


def _is_hdlc(raw: bytes) -> bool:
    """Whether a frame's header, or all of it, has the right check sequence, or it begins as those
    that meters push.
    """
    if _HDLC_PUSH.search(raw):
        return True
    for match in _HDLC_START.finditer(raw):
        frame = raw[match.end() : match.end() + 2048]
        length = (frame[0] & 0x07) << 8 | frame[1] if len(frame) > 2 else 0
        at = 2
        for _ in range(2):  # destination and source: up to four bytes, of which the last is odd
            end = next((n for n in range(at, min(at + 4, len(frame))) if frame[n] & 1), None)
            at = len(frame) if end is None else end + 1
        if length >= at + 3 and _checked(frame[: at + 3]):
            return True
    return False


def _checked(frame: bytes) -> bool:
    return len(frame) > 2 and crc16.ibm_sdlc(frame[:-2]).to_bytes(2, "little") == frame[-2:]


_MBUS_START = re.compile(rb"\x68(?=(?s:(.)\1)\x68)")


def _is_mbus(raw: bytes) -> bool:
    """Whether a long frame has the right sum, or its beginning is that of encrypted DLMS."""
    for match in _MBUS_START.finditer(raw):
        begin, length = match.end() + 3, raw[match.end()]
        length += 256 if length == 1 else 0  # some write the length of 257 bytes so
        end = begin + length
        if raw[end + 1 : end + 2] == b"\x16" and sum(raw[begin:end]) & 0xFF == raw[end]:
            return True
        if length > 12 and raw[begin + 3 : begin + 8].find(b"\xdb\x08") >= 0:
            return True
    return False


_SML_START = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"


def _is_sml(raw: bytes) -> bool:
    return _SML_START in raw


# Label, value and check character; historic with blanks, standard with tabulators.
_TIC_GROUP = re.compile(
    rb"\n(?:([A-Z][A-Z0-9+-]{1,8}) ([^\r\n\t]{0,98}) ([ -_])"
    rb"|([A-Z][A-Z0-9+-]{1,8}\t(?:[^\r\n]{0,120}\t)?)([ -_]))\r"
)


def _is_tic(raw: bytes) -> bool:
    """Whether two groups of information have the right check character."""
    text = _seven_bits(raw)
    right = 0
    for label, value, check, standard, other in _TIC_GROUP.findall(text):
        summed, stated = (standard, other) if standard else (label + b" " + value, check)
        right += (sum(summed) & 0x3F) + 0x20 == stated[0]
    return right >= 2


_ID = re.compile(rb"(?:\A|[\r\n])\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}(?:\*255)?\(")
# What P1 sends and optical ports do not.
_P1_LINE = re.compile(
    rb"[\r\n](?:0-\d:(?:96\.(?:1\.[0-4]|3\.10|7\.\d+|13\.\d|14\.0)|24\.\d\.\d)"
    rb"|0-0:1\.0\.0|1-3:0\.2\.8)(?:\*255)?\(|[\r\n]![0-9A-F]{4}"
)
_FEW_IDS = 3


def _is_text(raw: bytes) -> bool:
    """Whether lines with OBIS ids came, and hardly anything that is no text."""
    text = _seven_bits(raw)
    strange = len(text.translate(None, _TEXT))
    return strange * 20 <= len(text) and len(_ID.findall(text)) >= _FEW_IDS


def _is_p1(raw: bytes) -> bool:
    return _is_text(raw) and _P1_LINE.search(_seven_bits(raw)) is not None


def _is_d0(raw: bytes) -> bool:
    return _is_text(raw) and _P1_LINE.search(_seven_bits(raw)) is None


# What optical ports send and P1 does not: ids with a field F, and an end without a checksum.
_D0_MARK = re.compile(rb"\*255\(|[\r\n]!(?=[\r\n])")


def _is_surely_d0(raw: bytes) -> bool:
    """Whether it says so itself. Pieces of a P1 telegram whose end never comes look alike
    otherwise.
    """
    return _D0_MARK.search(_seven_bits(raw)) is not None


# A receiver that takes the stop bit for a start bit sees the start bit as its first bit and the
# character after it, all inverted.
_SHIFTED = bytes((~byte >> 1) & 0x7F for byte in range(256))
_INVERSE = bytes(~byte & 0xFF for byte in range(256))

# With seven bits and even parity no two characters are shifted alike: a parity bit that is one
# looks like a stop bit that is missing, and what follows is taken for a start. But whatever stood
# before it, `*kWh)` and a line end come out like this.
_INVERTED_REGISTER = b"\x21\x25\x4e\x3d"
_FEW_REGISTERS = 2


def _is_inverted(raw: bytes) -> bool:
    """Whether what came makes sense when it is turned round."""
    if _is_text(raw):
        return False
    if _seven_bits(raw).count(_INVERTED_REGISTER) >= _FEW_REGISTERS:
        return True
    turned = raw.translate(_INVERSE)
    shifted = raw.translate(_SHIFTED)
    starts = (_SML_START, _SML_START.translate(_SEVEN_BITS))
    return any(
        _is_text(each) or any(start in each for start in starts) for each in (turned, shifted)
    )


_TEXT = bytes([*range(0x20, 0x7F), 0x09, 0x0A, 0x0D])
_SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))


def _seven_bits(raw: bytes) -> bytes:
    """The characters without a parity bit that the line was not set to take off."""
    return raw if raw.isascii() else raw.translate(_SEVEN_BITS)
