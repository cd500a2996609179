"""The manager's pages over HTTP: who is let in, which page an address means, in which language, and
what is shown where the database is away.
"""

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from drivers.net.addresses import place_of
from gateway import __version__, page
from gateway.fleet import users
from gateway.fleet.database import DatabaseError
from gateway.fleet.page.days import day_from
from gateway.fleet.page.login import (
    Signing,
    client_of,
    let_in,
    let_out,
    login_in,
)
from gateway.fleet.page.metrics import CONTENT_TYPE, exposition
from gateway.fleet.page.pages import coverage, days, home, homes, notice, server
from gateway.fleet.page.questions import Questions
from gateway.fleet.page.settings import PageSettings
from gateway.fleet.page.telling import Telling
from gateway.monitoring.asked import Answer, Keeping, Question
from gateway.monitoring.door import TurnedAway, WrongTries
from gateway.monitoring.login_headers import basic_in
from gateway.page.frame import WITH_SLASH, Reader
from gateway.page.markup import Markup
from gateway.page.words import Words, catalogue, spoken
from gateway.site.credentials import ConfigError

MAX_HASHING = 2
"""So many passwords are looked at at once: each takes 32 MB and a while."""
MAX_KNOWN = 64
"""Programs that have shown their password, which are not asked to wait for that again."""
MAX_SEARCH = 64

_PARTS = (("homes", ""), ("days", "days"), ("coverage", "coverage"), ("server", "server"))


@dataclass(frozen=True, slots=True)
class _Known:
    """A password that was right for a user as the user was then."""

    digest: bytes
    generation: str


class FleetPages:
    """Brings all pages and `/metrics` (`gateway.monitoring.asked.Pages`)."""

    posts = frozenset(("/login",))

    def __init__(
        self,
        settings: PageSettings,
        questions: Questions,
        signing: Signing,
        telling: Telling,
        now: Callable[[], float],
    ) -> None:
        """`now` is Unix time."""
        self._settings = settings
        self._questions = questions
        self._signing = signing
        self._telling = telling
        self._now = now
        self._tries = WrongTries(now, "manager's page: %d wrong passwords")
        self._hashing = asyncio.Semaphore(MAX_HASHING)
        self._known: dict[str, _Known] = {}
        self._style = _style()
        self._policy = _policy()

    # --- who is let in ----------------------------------------------------------------------------

    async def answer(self, question: Question) -> Answer | None:
        """The page of that address, for somebody whose cookie is signed."""
        if static := self._static(question.path):
            return static
        if question.path == "/login":
            return await self._login(question)
        if question.path == "/logout":
            return let_out()
        try:
            claim = self._signing.claim(question.cookie)
            user = None if claim is None else await self._questions.user(claim.name)
            if claim is None or user is None or user.generation != claim.generation:
                return self._asks(question, 401, "")
            return await self._page(question)
        except (DatabaseError, ConfigError) as error:
            return self._away(question, error)

    async def outside(self, question: Question, away: TurnedAway) -> Answer | None:
        """The login, for a browser; for a program what it asks for, where it has brought a name and
        a password.
        """
        del away
        if static := self._static(question.path):
            return static
        try:
            if self._signing.secret is None:
                self._signing.secret = await self._questions.secret()
                if self._signing.claim(question.cookie) is not None:
                    return await self.answer(question)
            if question.path == "/login" and question.method == "POST":
                return await self._login(question)
            if question.authorization:
                return await self._for_program(question)
        except (DatabaseError, ConfigError) as error:
            return self._away(question, error)
        return self._asks(question, 401, "") if question.wants_html else None

    async def _login(self, question: Question) -> Answer:
        if question.method != "POST":
            return Answer(303, b"", more={"Location": "./"})
        name, password = login_in(question.body)
        try:
            user = await self._user(question, name, password)
        except (DatabaseError, ConfigError) as error:
            return self._away(question, error)
        if isinstance(user, TurnedAway):
            key = "fleet.login.wait" if user.status == 429 else "fleet.login.wrong"
            return self._asks(question, user.status, key, user.headers)
        cookie = self._signing.cookie(user.name, user.generation)
        secure = self._settings.proxy or self._settings.certificate is not None
        return let_in(cookie, secure=secure)

    async def _user(self, question: Question, name: str, password: str) -> users.User | TurnedAway:
        """The user of that name and password. Raises DatabaseError, ConfigError."""
        proxy = self._settings.proxy
        client = place_of(client_of(question.client, question.forwarded_for, proxy=proxy))
        if (wait_s := self._tries.blocked_s(client)) > 0:
            after = {"Retry-After": str(int(wait_s) + 1)}
            return TurnedAway(429, "too many wrong passwords; wait a minute", after)
        user = await self._questions.user(name) if not users.why_not_name(name) else None
        if user is not None and self._is_known(user, password):
            return user
        async with self._hashing:
            kept = user.hash if user is not None else users.NOBODY
            is_right = await asyncio.to_thread(users.matches, password, kept)
        if user is None or not is_right:
            if name or password:
                self._tries.note(client, f"{name}\0{password}")
            return TurnedAway(401, "that is not the name and password of anybody")
        self._known[user.name] = _Known(self._digest(password), user.generation)
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return user

    def _is_known(self, user: users.User, password: str) -> bool:
        known = self._known.get(user.name)
        return known == _Known(self._digest(password), user.generation)

    def _digest(self, password: str) -> bytes:
        secret = self._signing.secret or b""
        return hashlib.blake2b(password.encode(errors="replace"), key=secret[:64]).digest()

    async def _for_program(self, question: Question) -> Answer | None:
        """For Prometheus and the like. Raises DatabaseError, ConfigError."""
        user = await self._user(question, *basic_in(question.authorization))
        if isinstance(user, TurnedAway):
            return Answer(user.status, user.text.encode() + b"\n", more=user.headers)
        return await self._page(question)

    def _asks(
        self, question: Question, status: int, problem: str, more: Mapping[str, str] | None = None
    ) -> Answer:
        """The login. It tells nothing of the fleet."""
        reader = self._reader(question, title="meter-gateway", version="")
        problem = reader.words(problem) if problem else ""
        return self._html(notice.login(reader, problem=problem), status, more)

    # --- pages ------------------------------------------------------------------------------------

    async def _page(self, question: Question) -> Answer:
        """Raises DatabaseError, ConfigError."""
        if question.path == "/metrics":
            fleet = await self._questions.fleet()
            body = exposition(fleet, self._telling.told(), self._now()).encode()
            return Answer(200, body, CONTENT_TYPE)
        first, *rest = [part for part in question.path.split("/") if part] or [""]
        make = _PAGES.get(first)
        found = None
        if make is not None and len(rest) <= make.parts:
            found = await make.render(self, question, rest)
        if found is None:
            reader = self._reader(question)
            missing = reader.words("notice.missing"), reader.words("fleet.missing")
            return self._html(notice.render(reader, *missing), 404)
        return self._html(found)

    async def homes(self, question: Question, _: list[str]) -> Markup:
        """The first page; without the day where that is not added up yet."""
        fleet = await self._questions.fleet()
        today = self._questions.today()
        return homes.render(
            self._reader(question),
            fleet,
            self._questions.community_there(today),
            await self._questions.worst(),
            state=question.query.get("state", "")[:MAX_SEARCH],
            search=question.query.get("q", "").strip()[:MAX_SEARCH],
            page=_number(question.query.get("page", "")) or 1,
        )

    async def days(self, question: Question, rest: list[str]) -> Markup | None:
        """The community's day."""
        today = self._questions.today()
        day = day_from(rest[0]) if rest else today
        if day is None:
            return None
        return days.render(self._reader(question), await self._questions.community(day), today)

    async def coverage(self, question: Question, _: list[str]) -> Markup:
        """What is not complete."""
        fleet = await self._questions.fleet()
        worst = await self._questions.worst()
        return coverage.render(self._reader(question), fleet, worst)

    async def server(self, question: Question, _: list[str]) -> Markup:
        """What runs."""
        fleet = await self._questions.fleet()
        refused = await self._questions.refused()
        clashes = await self._questions.clashes()
        return server.render(self._reader(question), fleet, refused, clashes)

    async def sites(self, question: Question, rest: list[str]) -> Markup | None:
        """One home."""
        if not rest:
            return None
        day = day_from(rest[1]) if len(rest) > 1 else self._questions.today()
        told = None if day is None else await self._questions.home_day(rest[0], day)
        if told is None:
            return None
        return home.render(self._reader(question), told, question.query.get("asset", ""))

    # --- what all have in common ------------------------------------------------------------------

    def _reader(
        self, question: Question, title: str | None = None, version: str = __version__
    ) -> Reader:
        language = spoken(question.languages)
        zone = self._questions.zone
        return Reader(
            words=Words(language, zone, self._now(), _words(language)),
            root=question.to_root,
            site=self._settings.title if title is None else title,
            version=version,
            style=self._style.path,
            script="",
            can_log_out=title is None,
            parts=_PARTS if title is None else (),
            more=(),
        )

    def _away(self, question: Question, error: Exception) -> Answer:
        if not question.wants_html:
            return Answer(503, f"the database: {error}\n".encode())
        reader = self._reader(question, title="meter-gateway")
        told = reader.words("fleet.away"), reader.words("fleet.away.do")
        return self._html(notice.render(reader, *told), 503)

    def _html(
        self, made: Markup, status: int = 200, more: Mapping[str, str] | None = None
    ) -> Answer:
        keep: Keeping = "ask" if status == 200 else "never"
        return Answer(
            status,
            made.encode(errors="replace"),
            "text/html; charset=utf-8",
            self._policy,
            dict(more or {}),
            keep,
        )

    def _static(self, path: str) -> Answer | None:
        if path != f"/{self._style.path}":
            return None
        return Answer(200, self._style.body, "text/css; charset=utf-8", keep="always")


@dataclass(frozen=True, slots=True)
class _Page:
    """How a page is made, and how many parts may follow its name."""

    render: Callable[[FleetPages, Question, list[str]], Awaitable[Markup | None]]
    parts: int = 0


_PAGES: Mapping[str, _Page] = {
    "": _Page(FleetPages.homes),
    "days": _Page(FleetPages.days, 1),
    "coverage": _Page(FleetPages.coverage),
    "server": _Page(FleetPages.server),
    "sites": _Page(FleetPages.sites, 2),
}


@dataclass(frozen=True, slots=True)
class _Style:
    """Of all pages. Its address has its hash in it: it may be kept for ever."""

    path: str
    body: bytes


def _style() -> _Style:
    """A home's page's, and what is more here."""
    files = (Path(page.__file__).parent / "style.css", Path(__file__).parent / "more.css")
    body = b"".join(file.read_bytes() for file in files)
    return _Style(f"static/{hashlib.sha256(body).hexdigest()[:16]}.css", body)


def _policy() -> str:
    """A Content-Security-Policy for our style, and the script of a line that adds a slash."""
    slash = base64.b64encode(hashlib.sha256(WITH_SLASH.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{slash}'; style-src 'self'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


@cache
def _words(language: str) -> Mapping[str, str]:
    """Those of a home's page, and the manager's own."""
    own: Mapping[str, str] = import_module(f"gateway.fleet.page.languages.{language}").WORDS
    return {**catalogue(language, quarters=False), **own}


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None
