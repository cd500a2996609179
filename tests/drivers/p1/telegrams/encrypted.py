"""Encrypted frames, made with the one-shot AES-GCM of `cryptography`, which the driver does not
use.
"""

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.p1.keys import Keys

TITLE = b"SAG\x01\x02\x03\x04\x05"
AUTHENTICATION = bytes.fromhex("00112233445566778899AABBCCDDEEFF")  # of Luxembourg, public
KEYS = Keys(encryption=b"key of the meter")
CREDENTIALS = {"encryption_key": KEYS.encryption.hex()}
"""The same, as a device's credentials file has it."""


def length_of(number: int, form: int) -> bytes:
    """A BER length: the short form, or 81 to 84 and that many bytes."""
    return bytes([number]) if form < 0x81 else bytes([form]) + number.to_bytes(form & 0x7F, "big")


def envelope(
    text: bytes,
    *,
    key: bytes = KEYS.encryption,
    ak: bytes = AUTHENTICATION,
    security: int = 0x30,
    counter: int = 7,
    form: int = 0x82,
) -> bytes:
    """A whole general-glo-ciphering frame."""
    return b"\xdb\x08" + TITLE + _secured(text, key, ak, security, counter, form)


def headed(text: bytes, header: bytes = b"/KFM5KAIFA-METER") -> bytes:
    """The same as in Poland: a plain first line and no system title."""
    return header + b"\r\n\r\n\0" + _secured(text, KEYS.encryption, AUTHENTICATION, 0x30, 7, 0x82)


def _secured(text: bytes, key: bytes, ak: bytes, security: int, counter: int, form: int) -> bytes:
    count = counter.to_bytes(4, "big")
    sealed = AESGCM(key).encrypt(TITLE + count, text, bytes([security]) + ak)
    body = sealed[:-4] if security & 0x10 else sealed[:-16]
    return length_of(1 + 4 + len(body), form) + bytes([security]) + count + body
