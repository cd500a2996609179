"""Opens encrypted P1 frames: DLMS general-glo-ciphering, security suite 0 (IEC 62056-5-3; Smarty P1
1.1.3, 3.2.5). Pure.

    DB  08 system title (8)  length  security control  frame counter (4)  ciphertext  tag (12)

AES-128-GCM with the initialisation vector system title || frame counter. What is authenticated
besides is the security control and the authentication key. Security control 2x means encrypted
only, without a tag; 3x encrypted and authenticated. Without the authentication key the text can be
read all the same: then the checksum inside must confirm it.

This file brings 10 MB of `cryptography` with it: the driver imports it when the first encrypted
frame comes.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.p1.keys import Keys
from drivers.text_telegram import excerpt

_TAG_BYTES = 12
_AUTHENTICATED = 0x10


class CipherError(Exception):
    """A frame cannot be opened. The text is for a person: why, and what to do."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was inside: text that begins with `/`. `proven` where its tag was right."""

    text: bytes
    system_title: bytes
    proven: bool

    @property
    def serial_number(self) -> str:
        """The system title, which is the meter's own."""
        return title_text(self.system_title)


def decrypt(frame: bytes, keys: Keys, authentication: bytes | None = None) -> Opened:
    """The text of a frame as `Framer` gives it out. `authentication` is the key for meters whose
    owner was given none.

    Raises CipherError, which tells a wrong encryption key, a wrong authentication key and damage
    apart: under the right encryption key the text is one, whatever the tag says.
    """
    title, security, counter, body = _parts(frame)
    title = title or keys.system_title or b""
    if len(title) != 8:
        raise CipherError(
            "this meter does not send its system title: write `system_title: '…'` (16 hex "
            "digits) into the key file"
        )
    tagged = bool(security & _AUTHENTICATED)
    if len(body) <= _TAG_BYTES * tagged:
        raise CipherError("an encrypted frame without content; check the cable")
    ciphertext, tag = (body[:-_TAG_BYTES], body[-_TAG_BYTES:]) if tagged else (body, b"")
    authentication = keys.authentication or authentication
    decryptor = Cipher(
        algorithms.AES(keys.encryption), modes.GCM(title + counter, None, _TAG_BYTES)
    ).decryptor()
    decryptor.authenticate_additional_data(bytes([security]) + (authentication or b""))
    text = decryptor.update(ciphertext)
    if text[:1] == b"\x0f":
        raise CipherError(
            "inside are DLMS objects, not P1 text: ask the network operator whether the port can "
            "be switched to P1"
        )
    if text[:1] != b"/" or not text[1:4].isalpha():
        raise CipherError(
            f"the encryption key does not fit meter {title_text(title)}: compare encryption_key "
            "in the key file with the network operator's"
        )
    if not tagged or authentication is None:
        return Opened(text, title, proven=False)
    try:
        decryptor.finalize_with_tag(tag)
    except InvalidTag:
        raise CipherError(
            "the frame was damaged, or the authentication key is wrong: if this stays so, "
            "correct authentication_key in the key file "
            f"or leave it out (inside it begins {excerpt(text)!r})"
        ) from None
    return Opened(text, title, proven=True)


def title_text(title: bytes) -> str:
    """A system title as people write it: the maker's three letters, then the meter's number in
    hex.
    """
    maker = title[:3].decode("latin-1")
    return (
        maker + title[3:].hex().upper()
        if maker.isascii() and maker.isalpha()
        else title.hex().upper()
    )


def system_title(frame: bytes) -> bytes:
    """The frame's own system title; empty where it sends none."""
    return frame[2:10] if frame[0] == 0xDB else b""


def _parts(frame: bytes) -> tuple[bytes, int, bytes, bytes]:
    """(system title, security control, frame counter, what follows). Raises CipherError."""
    title = system_title(frame)
    at = 2 + len(title) if title else 1
    at += 1 if frame[at : at + 1] < b"\x80" else 1 + (frame[at] & 0x7F)
    if len(frame) < at + 5:
        raise CipherError("an encrypted frame that ends before its content; check the cable")
    return title, frame[at], frame[at + 1 : at + 5], frame[at + 5 :]
