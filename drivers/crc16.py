"""The checksums of 16 bits that meters write, as the catalogue of CRCs by Greg Cook names them:
ARC, MODBUS, IBM-SDLC (X-25) and KERMIT. Pure.

All four take the lowest bit of a byte first. So the bits of each byte are reversed; then a message
is a polynomial over GF(2), its first bit the highest power, and a Python integer holds it.
"""

from binascii import crc_hqx

_FOLDS = [(step, 15 * step, (1 << 15 * step) - 1) for step in (1 << n for n in range(10, -1, -1))]
"""How far apart the powers are by which a message is folded, its width then, and that many ones."""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def arc(data: bytes) -> int:
    """CRC-16/ARC: x¹⁶ + x¹⁵ + x² + 1, which begins with 0. P1 telegrams end with it."""
    return _mirrored(_remainder(_polynomial(data) << 16))


def modbus(data: bytes) -> int:
    """CRC-16/MODBUS: the same polynomial, which begins with FFFF (Modbus over Serial Line V1.02,
    6.2.2).
    """
    return _mirrored(_remainder(_polynomial(data) << 16 ^ 0xFFFF << 8 * len(data)))


def ibm_sdlc(data: bytes) -> int:
    """CRC-16/IBM-SDLC: x¹⁶ + x¹² + x⁵ + 1, which begins with FFFF and ends inverted (ISO/IEC
    13239). SML and HDLC have it.
    """
    return _mirrored(crc_hqx(data.translate(_REVERSED), 0xFFFF)) ^ 0xFFFF


def kermit(data: bytes) -> int:
    """CRC-16/KERMIT: the same polynomial, which begins with 0. Some meters write it in SML."""
    return _mirrored(crc_hqx(data.translate(_REVERSED), 0))


def _polynomial(data: bytes) -> int:
    return int.from_bytes(data.translate(_REVERSED), "big")


def _mirrored(crc: int) -> int:
    return _REVERSED[crc & 0xFF] << 8 | _REVERSED[crc >> 8]


def _remainder(message: int) -> int:
    """Of the division by x¹⁶ + x¹⁵ + x² + 1 = (x + 1)(x¹⁵ + x + 1).

    Squares over GF(2) are taken term by term. So modulo the second factor, where x¹⁵ = x + 1, it is
    also true that x³⁰ = x² + 1, x⁶⁰ = x⁴ + 1 …: the upper part of a message is folded onto the
    lower one, a thousand bytes in some ten steps. Modulo x + 1 the remainder is the parity, by
    which the two are put together.
    """
    parity = message.bit_count() & 1
    message = _folded(message, _FOLDS[:1])
    for step, width, ones in _FOLDS[1:]:
        # Once is enough: what is left of it is folded in the end.
        if high := message >> width:
            message = message & ones ^ high ^ high << step
    message = _folded(message, _FOLDS[-3:])
    return message if message.bit_count() & 1 == parity else message ^ 0x8003


def _folded(message: int, folds: list[tuple[int, int, int]]) -> int:
    for step, width, ones in folds:
        while high := message >> width:
            message = message & ones ^ high ^ high << step
    return message
