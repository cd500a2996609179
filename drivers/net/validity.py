"""From when to when a certificate holds, read from its PEM file without a library of certificates:
that takes 10 MB of memory. Pure.

RFC 7468 (PEM), ITU-T X.690 (DER), RFC 5280, 4.1 (where the times stand).
"""

import re
from binascii import a2b_base64
from datetime import UTC, datetime
from typing import NamedTuple

_PEM = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END ", re.ASCII
)
_SEQUENCE, _VERSION = 0x30, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


class Validity(NamedTuple):
    """Unix times; it holds at both, and between them."""

    begins_s: int
    ends_s: int


def validity_of(pem: bytes) -> Validity:
    """Of the first certificate in a PEM file: of a chain that is our own. Raises ValueError where
    there is none that can be read.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("there is no certificate in it (-----BEGIN CERTIFICATE-----)")
    try:
        return _validity(a2b_base64(found[1]))
    except (IndexError, ValueError) as error:
        raise ValueError("the certificate in it is damaged") from error


def _validity(der: bytes) -> Validity:
    _, at, _ = _element(der, 0, _SEQUENCE)
    _, at, _ = _element(der, at, _SEQUENCE)  # what is signed
    if der[at] == _VERSION:
        *_, at = _element(der, at)
    for _ in ("serial number", "algorithm", "issuer"):
        *_, at = _element(der, at)
    _, at, _ = _element(der, at, _SEQUENCE)
    begins_s, at = _time(der, at)
    ends_s, _ = _time(der, at)
    return Validity(begins_s, ends_s)


def _element(der: bytes, at: int, tag: int | None = None) -> tuple[int, int, int]:
    """The tag of what stands there, where its content begins, and where it ends. Raises ValueError
    where it is not of that tag or not whole, and IndexError.
    """
    found, length, begins = der[at], der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        if not 0 < octets <= 4:
            raise ValueError("a length that no certificate has")
        length = int.from_bytes(der[begins : begins + octets], "big")
        begins += octets
    if begins + length > len(der) or tag not in (None, found):
        raise ValueError("not what a certificate has there")
    return found, begins, begins + length


def _time(der: bytes, at: int) -> tuple[int, int]:
    """A time, and where it ends (RFC 5280, 4.1.2.5: to the second, and in UTC)."""
    tag, begins, ends = _element(der, at)
    text = der[begins:ends].decode("ascii")
    if tag == _UTC_TIME and re.fullmatch(r"\d{12}Z", text):
        text = f"{'19' if int(text[:2]) >= 50 else '20'}{text}"
    elif tag != _GENERALIZED_TIME or not re.fullmatch(r"\d{14}Z", text):
        raise ValueError("not a time as a certificate has it")
    when = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return int(when.timestamp()), ends
