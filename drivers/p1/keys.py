"""The secrets of an encrypted P1 meter, from the entries of its credentials file. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

ENTRIES: Mapping[str, str] = {
    "encryption_key": "32 hex digits, from the network operator",
    "authentication_key": "32 hex digits, where the network operator gave one",
    "system_title": "16 hex digits, where the meter does not send its own",
}
"""What a credentials file may hold. Of a meter that encrypts, only the first is needed."""

_DIGITS: Mapping[str, int] = {"encryption_key": 32, "authentication_key": 32, "system_title": 16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The secrets of a meter that encrypts (DLMS security suite 0: 16 bytes each; system title: 8
    bytes). Shown nowhere.
    """

    encryption: bytes = field(repr=False)
    authentication: bytes | None = field(default=None, repr=False)
    system_title: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, credentials: Mapping[str, str]) -> Self | None:
        """The keys in entries that have been checked; None where there are none."""
        if not credentials:
            return None
        title = bytes.fromhex(credentials.get("system_title", ""))
        authentication = bytes.fromhex(credentials.get("authentication_key", ""))

        return cls(
            encryption=bytes.fromhex(credentials["encryption_key"]),
            authentication=authentication or None,
            system_title=title or None,
        )


def check(credentials: Mapping[str, str]) -> Iterator[str]:
    """The names of entries that are missing, or not what `ENTRIES` says. Their text is not
    quoted.
    """
    if not credentials.get("encryption_key"):
        yield "encryption_key"
    for name, text in credentials.items():
        digits = _DIGITS.get(name)
        if text and digits is not None and not _is_hex(text, digits):
            yield name


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and all(each in "0123456789abcdefABCDEF" for each in text)
