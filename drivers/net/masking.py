"""Keeps secrets out of messages. Pure.

A server may send back what it was sent, and a library may put it into the text of an error. Both
end up in logs, on the status page and in the buffer, so they pass through here first: whole, before
anything is cut off.

A secret is found as it is and as it travels: in URLs, JSON, HTML, Python's own notation, base64 and
hexadecimal digits, and where whoever quotes it has cut its end or its begin off. Only texts are
masked. What is read as data stays as it came.
"""

import json
import re
import string
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

MASK = "(secret)"

LEAST_CHARS = 3
"""What is shorter is not looked for: it is in half of all words, and would make nonsense of them.
"""

_LEAST_CUT = 4
"""Characters of the begin or end of a secret that are taken for what was left of it."""

MAX_CHARS = 256
"""Of a longer secret the begin is looked for, and all that follows it up to a quote or a blank."""

_MANY_CHARS = 64
"""Longer ones are tokens: they consist of characters that nothing needs to encode."""

_LEAST_CORE = 6
"""Characters of base64 that cannot be there by chance."""

_RUN = r"[^\s\"'<>&\\…,;]"
"""What goes on until a quotation or a word ends."""

_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")
"""A key."""

_LINE_END = r"(?:[\r\n]|\\[rn]){0,2}"
"""MIME writes base64 in lines (RFC 2045, section 6.8)."""

_BACKSLASH = r"(?:\\|%(?:25){0,4}5[cC])"
"""It stands before other characters, and is itself encoded in URLs."""

_NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


class Secrets(dict[str, str]):
    """The entries of a credentials file. Its text form names them, and shows none."""

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self)})"


class SecretsInUse:
    """All that the daemon logs in with at present, whoever it is for: one place's error page may
    hold what another was told. Its text form shows none.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._all: frozenset[str] = frozenset()

    def use(self, name: str, *secrets: str) -> None:
        """These are used under that name from now on. What was used before is kept for as long: it
        may still come back in an answer.
        """
        now = frozenset(secrets)
        last, before = self._by_name.get(name, (frozenset(), frozenset()))
        if now == last:
            return

        self._by_name[name] = (now, last or before)
        self._all = frozenset().union(*(each for pair in self._by_name.values() for each in pair))

    def masked(self, text: str) -> str:
        """The text without any of them."""
        return masked(text, self._all)

    def __repr__(self) -> str:
        return f"SecretsInUse({', '.join(self._by_name)})"


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with `MASK` for every secret in it. What is masked already stays as it is."""
    for find in _finders(frozenset(secrets), False):
        text = MASK.join(map(find, text.split(MASK)))
    return text


def masked_bytes(data: bytes, secrets: Iterable[str]) -> bytes:
    """The same for bytes that hold UTF-8 text, or something else altogether. They may be data: a
    number of JSON is none of the secrets.
    """
    text = data.decode("utf-8", "surrogateescape")
    for find in _finders(frozenset(secrets), True):
        text = MASK.join(map(find, text.split(MASK)))
    return text.encode("utf-8", "surrogateescape")


def basic(username: str, password: str) -> str:
    """The two as HTTP's basic authentication sends them (RFC 7617, section 2): a secret, too."""
    return b64encode(f"{username}:{password}".encode()).decode()


_Find = Callable[[str], str]


@lru_cache(maxsize=8)
def _finders(secrets: frozenset[str], in_data: bool) -> tuple[_Find, ...]:
    """What takes the secrets out of a text, the longest first: one may be a part of another."""
    known = sorted((s for s in secrets if len(s) >= LEAST_CHARS), key=lambda s: (-len(s), s))
    ways = [_finders_of(secret, in_data) for secret in known]
    return tuple(find for way in zip(*ways, strict=True) for finds in way for find in finds)


@lru_cache(maxsize=32)
def _finders_of(secret: str, in_data: bool) -> tuple[tuple[_Find, ...], ...]:
    """The same of one secret: as a whole, in base64, in part. A token is another one after each
    login, and the others stay.
    """
    whole = tuple(_Replace(pattern) for pattern in _whole(secret, in_data))
    encoded = tuple(_ReplaceRun(core) for core in _in_base64(secret))
    cut = (_ReplaceCut(secret),) if _may_be_cut(secret) else ()
    return whole, encoded, cut


# --- as a whole -----------------------------------------------------------------------------------


class _Replace:
    """Takes out what a pattern finds."""

    def __init__(self, pattern: str) -> None:
        self._find = re.compile(pattern)

    def __call__(self, text: str) -> str:
        return self._find.sub(MASK, text)


def _whole(secret: str, in_data: bool) -> Iterator[str]:
    """Patterns of all of a secret."""
    if _HEXADECIMAL.fullmatch(secret):
        yield "(?i:" + r"(?:\\x|0x|[ :,-]){0,3}".join(re.findall("..", secret)) + ")"

    if secret.isdecimal() and secret.isascii():
        yield _digits(secret, in_data)
    else:
        rest = _RUN + "*" if len(secret) > MAX_CHARS else ""
        yield "".join(map(_character, secret[:MAX_CHARS])) + rest

    if len(secret) <= _MANY_CHARS:
        raw = secret.encode()
        yield "(?i:" + "".join(f"%(?:25){{0,4}}{byte:02x}" for byte in raw) + ")"
        yield "(?i:" + raw.hex() + ")"
        yield from map(re.escape, _in_utf16(secret))


def _digits(secret: str, in_data: bool) -> str:
    """A pattern of a secret of digits that stands by itself, not inside a number or a time; and, in
    data, not for a number of JSON.
    """
    alone = rf"(?:(?<!\d)(?<!\d[.:-])|(?<=%[0-9A-Fa-f][0-9A-Fa-f])){secret}(?!\d)(?![.:-]\d)"
    if in_data:
        return rf"(?:(?<![:,\[])(?<![:,\[] ){alone}|{alone}(?!\s*[,}}\]]))"
    return alone


def _in_utf16(secret: str) -> set[str]:
    """In UTF-16 or UTF-32, as it looks where it was taken for UTF-8."""
    raws = [secret.encode(f"utf-{bits}-{order}") for bits in (16, 32) for order in ("le", "be")]
    ways = {
        raw.decode("utf-8", errors) for raw in raws for errors in ("surrogateescape", "replace")
    }
    return {way.strip("\0") for way in ways}


@lru_cache(maxsize=256)
def _character(char: str) -> str:
    """A pattern of one character, as it is and as it may be written."""
    if char.isascii() and char.isalnum():
        return char

    utf16 = char.encode("utf-16-be").hex()
    units = [utf16[at : at + 4] for at in range(0, len(utf16), 4)]
    number = ord(char)
    ways = [
        rf"{_BACKSLASH}{{0,8}}{re.escape(char)}",
        rf"{_BACKSLASH}{{0,8}}"
        + "".join(f"%(?:25){{0,4}}(?i:{byte:02x})" for byte in char.encode()),
        "".join(rf"{_BACKSLASH}{{1,8}}u(?i:{unit})" for unit in units),
        "".join(rf"{_BACKSLASH}{{1,8}}x(?i:{byte:02x})" for byte in char.encode()),
        rf"\\{{0,8}}&(?:amp;){{0,4}}#0{{0,8}}{number};",
        rf"\\{{0,8}}&(?:amp;){{0,4}}#[xX]0{{0,8}}(?i:{number:x});",
    ]
    if char in _NAMED:
        ways.append(rf"\\{{0,8}}&(?:amp;){{0,4}}{_NAMED[char]};")
    if char == " ":
        ways.append(r"\+")
    if 0x80 <= number <= 0xFF:  # in Latin-1
        ways += [
            chr(0xDC00 + number),
            f"%(?:25){{0,4}}(?i:{number:02x})",
            rf"{_BACKSLASH}{{1,8}}x(?i:{number:02x})",
        ]
    return "(?:" + "|".join(ways) + ")"


# --- in base64 ------------------------------------------------------------------------------------


class _ReplaceRun:
    """Takes out all of the base64 in which a secret's own characters are found."""

    _BASE64 = string.ascii_letters + string.digits + "+/_%\\-"

    def __init__(self, core: str) -> None:
        self._find = re.compile(_LINE_END.join(map(_sextet, core)) + r"[A-Za-z0-9+/_%\\=-]*")

    def __call__(self, text: str) -> str:
        parts, at = [], 0
        for match in self._find.finditer(text):
            parts += [text[at : match.start()].rstrip(self._BASE64), MASK]
            at = match.end()
        return "".join((*parts, text[at:]))


def _in_base64(secret: str) -> Iterator[str]:
    """The characters of base64 that a secret alone decides, for each of the three places where it
    may begin in a group (RFC 4648, section 4).
    """
    shown = secret[:MAX_CHARS]
    texts = {shown, json.dumps(shown)[1:-1], json.dumps(shown, ensure_ascii=False)[1:-1]}
    raws = [text.encode() for text in sorted(texts)]
    if _HEXADECIMAL.fullmatch(secret):
        raws.append(bytes.fromhex(secret))

    for raw in raws:
        for offset in range(3):
            text = b64encode(bytes(offset) + raw).decode()
            begin = (0, 2, 3)[offset]
            end = len(text) - (0, 3, 2)[(offset + len(raw)) % 3]
            if end - begin >= _LEAST_CORE:
                yield text[begin:end]


def _sextet(char: str) -> str:
    """A pattern of one character of base64, also of its form for URLs (section 5)."""
    if char == "+":
        return r"(?:[+-]|%(?:25){0,4}2[bB]|\\+u002[bB])"
    if char == "/":
        return r"(?:\\{0,8}/|_|%(?:25){0,4}2[fF])"
    return char


# --- in part --------------------------------------------------------------------------------------


def _may_be_cut(secret: str) -> bool:
    """Whether a part of it would still tell. The begin of a number is any number."""
    return len(secret) > _LEAST_CUT and not secret.isdecimal()


class _ReplaceCut:
    """Takes out the begin of a secret where a quotation of it was cut, and its end where its begin
    was.
    """

    _TAIL = re.compile(rf"(?:\A|…|\.\.\.)({_RUN}{{{_LEAST_CUT},}})")
    _QUOTES = frozenset("\"'=:>")
    _AFTER = re.compile(r"[\"'<&\\\s]")
    _CUT = re.compile(r"\Z|…|\.\.\.")

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._characters = [re.compile(_character(char)) for char in secret[:_MANY_CHARS]]
        head = "".join(map(_character, secret[:_LEAST_CUT]))
        self._head = re.compile(rf"(?<![A-Za-z0-9]){head}")

    def __call__(self, text: str) -> str:
        parts, at = [], 0
        while found := self._head.search(text, at):
            end = self._end(text, found)
            parts += [text[at : found.start()], found[0] if end is None else MASK]
            at = found.end() if end is None else end
        return self._TAIL.sub(self._tail, "".join((*parts, text[at:])))

    def _end(self, text: str, found: re.Match[str]) -> int | None:
        """Where what is left of the secret ends; None where it is a word like it."""
        end, count = found.end(), _LEAST_CUT
        for character in self._characters[_LEAST_CUT:]:
            more = character.match(text, end)
            if more is None:
                break
            end, count = more.end(), count + 1

        if self._CUT.match(text, end):
            return end
        is_quoted = text[found.start() - 1 : found.start()] in self._QUOTES
        most_of_it = 2 * count >= len(self._secret)
        return end if is_quoted and most_of_it and self._AFTER.match(text, end) else None

    def _tail(self, match: re.Match[str]) -> str:
        if self._secret.endswith(match[1]):
            return match[0].replace(match[1], MASK)
        return match[0]
