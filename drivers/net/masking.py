"""Keeps secrets out of messages. Pure.

A server may send back what it was sent, and a library may put it into the text of an error. Both
end up in logs and on the status page, so they pass through here first.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "(secret)"


class Secrets(dict[str, str]):
    """The entries of a credentials file. Its text form names them, and shows none."""

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self)})"


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with `MASK` for every secret in it, as it is and as it travels in URLs, JSON and
    HTTP's basic authentication. Empty secrets hide nothing.
    """
    for form in _forms(secrets):
        text = text.replace(form, MASK)
    return text


def masked_bytes(data: bytes, secrets: Iterable[str]) -> bytes:
    """The same for bytes that hold UTF-8 text, or something else altogether."""
    for form in _forms(secrets):
        data = data.replace(form.encode(), MASK.encode())
    return data


def basic(username: str, password: str) -> str:
    """The two as HTTP's basic authentication sends them (RFC 7617, section 2): a secret, too."""
    return b64encode(f"{username}:{password}".encode()).decode()


def _forms(secrets: Iterable[str]) -> list[str]:
    """How the secrets may be written, the longest first: one may be a part of another."""
    found = {form for secret in secrets for form in _forms_of(secret) if form}
    return sorted(found, key=len, reverse=True)


def _forms_of(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
