"""What is asked over HTTP, what is answered, and how others bring their pages to the server. Pure.

The server (`server.py`) lets in, bounds, packs and sends; whoever brings pages answers.
"""

import hashlib
import re
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from typing import Literal, Protocol
from urllib.parse import parse_qsl, unquote

import msgspec

from gateway.monitoring.door import TurnedAway

Keeping = Literal["never", "ask", "always"]
"""How long a browser may keep an answer. ask: it asks each time whether it is still so (ETag, RFC
9110, section 8.8.3). always: another one has another address.
"""

_CACHE_CONTROL: Mapping[Keeping, str] = {
    "never": "no-store",
    "ask": "private, no-cache",
    "always": "public, max-age=31536000, immutable",
}
NOTHING_ALLOWED = "default-src 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of what is not for a browser to show."""

MIN_PACKED_BYTES = 1000
"""What is smaller goes in one packet anyway."""
MAX_FIELDS = 32
"""More fields of a query are not looked at."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was let in, or is to be turned away."""

    path: str
    """Begins with a slash; percent-encoding is undone, and what is no UTF-8 is replaced."""
    query: Mapping[str, str]
    """The fields of the query; the last of a name counts."""
    method: str = "GET"
    """HEAD is answered as GET is."""
    body: bytes = b""
    """Of a POST."""
    languages: str = ""
    """The Accept-Language header."""
    cookie: str = ""
    """The Cookie header."""
    client: str = ""
    """The other end's address."""
    wants_html: bool = False
    """Whether a browser asks that would show a page."""
    authorization: str = ""
    """The Authorization header."""
    forwarded_for: str = ""
    """The X-Forwarded-For header. Anybody can write anything into it: it is for those who know that
    a proxy of their own does.
    """

    @property
    def to_root(self) -> str:
        """What leads from this page to `/`, relative: behind a proxy that is somewhere else.
        `./` or `../../`.
        """
        return "../" * (self.path.count("/") - 1) or "./"


class Answer(msgspec.Struct, frozen=True):
    """What is sent back."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    policy: str = NOTHING_ALLOWED
    """The Content-Security-Policy."""
    more: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Headers of this answer alone."""
    keep: Keeping = "never"
    stream: AsyncGenerator[bytes] | None = None
    """What follows the body as it happens, until it ends or the client leaves. Each part must be
    taken before the next one is asked for.
    """

    @property
    def has_length(self) -> bool:
        """Whether it is known how long it is: what follows is not counted, and 304 has none."""
        return self.stream is None and self.status != 304


class Pages(Protocol):
    """Whoever brings pages. The server asks one after the other, and sends the first answer."""

    @property
    def posts(self) -> Collection[str]:
        """The paths that take a POST; all others can only be read."""

    def answer(self, question: Question) -> Awaitable[Answer | None]:
        """None: there is no such page here. An exception is a bug: it is logged, and answered with
        500.
        """

    def outside(self, question: Question, away: TurnedAway) -> Awaitable[Answer | None]:
        """What is shown, or done, to somebody who has not brought the token: a login. None: they
        are turned away.
        """


class LatePages:
    """Pages that are made when somebody asks for the first time: a daemon that nobody asks needs
    no memory for them.
    """

    def __init__(self, prefix: str, make: Callable[[], Pages], posts: Collection[str] = ()) -> None:
        """They are below `prefix`; `posts` as in `Pages`."""
        self._prefix = prefix
        self._make = make
        self._pages: Pages | None = None
        self.posts = posts

    async def answer(self, question: Question) -> Answer | None:
        """As `Pages.answer`."""
        if not question.path.startswith(self._prefix):
            return None
        return await self._made().answer(question)

    async def outside(self, question: Question, away: TurnedAway) -> Answer | None:
        """As `Pages.outside`."""
        if not question.path.startswith(self._prefix):
            return None
        return await self._made().outside(question, away)

    def _made(self) -> Pages:
        self._pages = self._pages or self._make()
        return self._pages


def refusal(status: int, text: str) -> Answer:
    """Why something is not answered."""
    return Answer(status, text.encode(errors="replace") + b"\n")


def plain_path(raw: str) -> str:
    """A path as people write it, out of a request's target."""
    return unquote(raw) or "/"


def query_of(raw: str) -> Mapping[str, str]:
    """The fields of a query string; the first of them where there are very many."""
    pairs = parse_qsl("&".join(raw.split("&", MAX_FIELDS)[:MAX_FIELDS]), keep_blank_values=True)
    return dict(pairs)


def tagged(answer: Answer, known: str) -> tuple[Answer, Mapping[str, str]]:
    """An answer with its headers of caching; 304 where the client knows it already (`known`: its
    If-None-Match header).
    """
    headers = {"Cache-Control": _CACHE_CONTROL[answer.keep]}
    if answer.keep == "never" or answer.status != 200:
        return answer, {"Cache-Control": "no-store"}
    if answer.keep == "always":
        return answer, headers
    # Weak: the same answer, packed or not.
    tag = f'W/"{hashlib.blake2b(answer.body, digest_size=12).hexdigest()}"'
    headers |= {"ETag": tag, "Vary": "Accept-Encoding, Accept-Language, Cookie"}
    if known.strip() == "*" or tag in re.findall(r'(?:W/)?"[^"]*"', known):
        return Answer(304, b"", answer.content_type, answer.policy, answer.more), headers
    return answer, headers


def packed(answer: Answer, accepts: str) -> tuple[bytes, Mapping[str, str]]:
    """The body as it is sent to somebody with this Accept-Encoding header, and its headers."""
    if not answer.has_length or len(answer.body) < MIN_PACKED_BYTES or not _takes_gzip(accepts):
        return answer.body, {}
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(answer.body) + packer.flush(), {"Content-Encoding": "gzip"}


def _takes_gzip(accepts: str) -> bool:
    """Whether gzip is named there, and not with a weight of nothing (RFC 9110, section 12.5.3)."""
    for each in accepts.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name in ("gzip", "x-gzip"):
            return not any(re.fullmatch(r"q=0(\.0*)?", part) for part in parameters)
    return False
