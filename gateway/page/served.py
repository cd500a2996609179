"""The pages over HTTP: which page an address means, in which language, and what is shown where
something cannot be.
"""

import base64
import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, tzinfo
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from gateway.history.answers import (
    Day,
    Events,
    ExchangeNow,
    MeterNow,
    MeterStory,
    Month,
    Now,
    Problem,
    SlotStory,
)
from gateway.history.home import day_from, month_from
from gateway.history.refusals import NotThere, Refusal
from gateway.monitoring.asked import Answer, Keeping, Question
from gateway.monitoring.door import Door, TurnedAway
from gateway.monitoring.report import Report
from gateway.page.frame import WITH_SLASH, Reader
from gateway.page.login import let_in, let_out, token_in
from gateway.page.markup import Markup
from gateway.page.style import with_plain_colours
from gateway.page.words import spoken, words_for

_HERE = Path(__file__).parent


class Questions(Protocol):
    """What is asked of the history (`gateway.history.history`). Answers may be Refusals, raised."""

    def problems(self, report: Report) -> Sequence[Problem]:
        """What is wrong, the worst first."""

    def today(self) -> date:
        """The local day that it is."""

    async def now(self) -> Now:
        """How it is."""

    async def day(self, day: date) -> Day:
        """A local day."""

    async def month(self, month: date) -> Month:
        """The local month that a day lies in."""

    async def slot(self, asset: str, start_s: int) -> SlotStory:
        """Why a slot is what it is."""

    async def meters(self) -> Sequence[MeterNow]:
        """All meters."""

    async def meter(self, name: str) -> MeterStory:
        """One of them."""

    async def exchange(self) -> ExchangeNow:
        """All destinations."""

    async def events(self, before: int | None = None, meter: str | None = None) -> Events:
        """What happened."""


class About(Struct, frozen=True, kw_only=True):
    """What pages are told of the site."""

    title: str
    zone: tzinfo
    language: str | None = None
    """None: each reader's own."""
    contact: str = ""


class _Static(Struct, frozen=True):
    """A file that never changes below its address, as that has the file's hash in it."""

    path: str
    body: bytes
    content_type: str


class ServedPages:
    """Brings all pages (`gateway.monitoring.asked.Pages`)."""

    posts = frozenset(("/login",))

    def __init__(
        self, questions: Questions, report: Callable[[], Report], about: About, door: Door
    ) -> None:
        self._questions = questions
        self._report = report
        self._about = about
        self._door = door
        self._style = _static("style.css", "text/css; charset=utf-8", with_plain_colours)
        self._script = _static("script.js", "text/javascript; charset=utf-8")
        self._policy = _policy()

    async def answer(self, question: Question) -> Answer | None:
        """The page of that address; None where others may have one."""
        if static := self._static(question.path):
            return static
        if question.path.startswith("/api/"):
            return None
        if question.path == "/login":
            return self._login(question)
        if question.path == "/logout":
            return let_out()
        try:
            page = await self._page(question)
        except Refusal as refusal:
            return self._refused(question, refusal)
        if page is None:
            return self._refused(question, NotThere()) if question.wants_html else None
        return self._html(page)

    async def outside(self, question: Question, away: TurnedAway) -> Answer | None:
        """The login, for a browser."""
        if static := self._static(question.path):
            return static
        if question.path == "/login" and question.method == "POST":
            return self._login(question)
        if not question.wants_html or away.status not in (401, 429):
            return None
        return self._asks_for_token(question, away if away.status == 429 else None)

    # --- what there is ----------------------------------------------------------------------------

    async def _page(self, question: Question) -> Markup | None:
        """The page of that address, or None. Raises Refusal."""
        first, *rest = [part for part in question.path.split("/") if part] or [""]
        make = _PAGES.get(first)
        if make is None or len(rest) > make.parts:
            return None
        return await make.render(self, question, rest)

    def _reader(self, question: Question) -> Reader:
        language = spoken(question.languages, self._about.language)
        report = self._report()
        return Reader(
            words=words_for(language, self._about.zone, report.now_s, report.slot_length_s),
            root=question.to_root,
            site=self._about.title,
            version=report.version,
            style=self._style.path,
            script=self._script.path,
            problems=self._questions.problems(report),
            contact=self._about.contact,
            can_log_out=self._door.knows_cookie(question.cookie),
        )

    async def now(self, question: Question, _: list[str]) -> Markup:
        """The first page, without its chart where the store cannot be read."""
        now = await self._questions.now()
        today: Day | None = None
        with contextlib.suppress(Refusal):  # it is one of the problems of now
            today = await self._questions.day(self._questions.today())
        return _render("now")(self._reader(question), now, today)

    async def days(self, question: Question, rest: list[str]) -> Markup:
        """One day."""
        when = day_from(rest[0]) if rest else self._questions.today()
        day = await self._questions.day(when)
        until = _number(question.query.get("until", ""))
        asset = question.query.get("asset", "")
        return _render("days")(self._reader(question), day, asset, until)

    async def months(self, question: Question, rest: list[str]) -> Markup:
        """One month."""
        when = month_from(rest[0]) if rest else self._questions.today()
        return _render("months")(self._reader(question), await self._questions.month(when))

    async def slots(self, question: Question, rest: list[str]) -> Markup | None:
        """One slot."""
        if len(rest) != _ASSET_AND_START or (start_s := _number(rest[1])) is None:
            return None
        story = await self._questions.slot(rest[0], start_s)
        return _render("slot")(self._reader(question), story)

    async def meters(self, question: Question, rest: list[str]) -> Markup:
        """All meters, or one."""
        if rest:
            return _render("meter")(self._reader(question), await self._questions.meter(rest[0]))
        return _render("meters")(self._reader(question), await self._questions.meters())

    async def exchange(self, question: Question, _: list[str]) -> Markup:
        """All destinations."""
        return _render("exchange")(self._reader(question), await self._questions.exchange())

    async def events(self, question: Question, _: list[str]) -> Markup:
        """What happened."""
        meter = question.query.get("meter", "")
        before = _number(question.query.get("before", ""))
        found = await self._questions.events(before, meter or None)
        return _render("events")(self._reader(question), found, meter)

    async def help(self, question: Question, rest: list[str]) -> Markup | None:
        """The pages of help."""
        page: Markup | None = _render("help")(self._reader(question), *rest)
        return page

    async def technical(self, question: Question, _: list[str]) -> Markup:
        """The gateway itself."""
        return _render("technical")(self._reader(question), self._report())

    # --- what is shown otherwise ------------------------------------------------------------------

    def _refused(self, question: Question, refusal: Refusal) -> Answer:
        """Why something cannot be shown."""
        reader = self._reader(question)
        words = reader.words
        if refusal.status < 500:
            told = (words("notice.missing"), words("notice.missing_what"))
        else:
            told = (words("notice.unreadable"), words("notice.unreadable_do"))
        page = _notice().render(reader, *told, *(text for text in refusal.args if text))
        return self._html(page, refusal.status)

    def _login(self, question: Question) -> Answer:
        if question.method != "POST":
            return Answer(303, b"", more={"Location": "./"})
        got = self._door.cookie_for(question.client, token_in(question.body))
        return let_in(got) if isinstance(got, str) else self._asks_for_token(question, got)

    def _asks_for_token(self, question: Question, away: TurnedAway | None) -> Answer:
        """The login. It tells nothing of the home but its name's absence."""
        language = spoken(question.languages, self._about.language)
        words = words_for(language, self._about.zone, self._report().now_s)
        reader = Reader(
            words=words,
            root=question.to_root,
            site="meter-gateway",
            version="",
            style=self._style.path,
            script=self._script.path,
        )
        status, problem = 401, ""
        if away is not None:
            status = away.status
            problem = words("login.wait" if status == 429 else "login.wrong")
        page = _notice().login(reader, problem=problem)
        return self._html(page, status, away.headers if away else {})

    def _html(
        self, page: Markup, status: int = 200, more: Mapping[str, str] | None = None
    ) -> Answer:
        keep: Keeping = "ask" if status == 200 else "never"
        return Answer(
            status,
            page.encode(errors="replace"),
            "text/html; charset=utf-8",
            self._policy,
            dict(more or {}),
            keep,
        )

    def _static(self, path: str) -> Answer | None:
        for each in (self._style, self._script):
            if path == f"/{each.path}":
                return Answer(200, each.body, each.content_type, keep="always")
        return None


class _Page(Struct, frozen=True):
    """How a page is made, and how many parts may follow its name."""

    render: Callable[[ServedPages, Question, list[str]], Awaitable[Markup | None]]
    parts: int = 0


_PAGES: Mapping[str, _Page] = {
    "": _Page(ServedPages.now),
    "days": _Page(ServedPages.days, 1),
    "months": _Page(ServedPages.months, 1),
    "slots": _Page(ServedPages.slots, 2),
    "meters": _Page(ServedPages.meters, 1),
    "exchange": _Page(ServedPages.exchange),
    "events": _Page(ServedPages.events),
    "help": _Page(ServedPages.help, 1),
    "technical": _Page(ServedPages.technical),
}


def _render(name: str) -> Callable[..., Markup]:
    """How that page is made. It is imported when somebody asks for it: most boxes are looked at
    seldom, and are small.
    """
    render: Callable[..., Markup] = import_module(f"gateway.page.pages.{name}").render
    return render


_ASSET_AND_START = 2


def _number(text: str) -> int | None:
    """A whole number that somebody wrote; None where it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def _notice() -> Any:
    return import_module("gateway.page.pages.notice")


def _static(name: str, content_type: str, made: Callable[[str], str] = str) -> _Static:
    body = made((_HERE / name).read_text(encoding="utf-8")).encode()
    digest = hashlib.sha256(body).hexdigest()[:16]
    return _Static(f"static/{digest}{Path(name).suffix}", body, content_type)


def _policy() -> str:
    """A Content-Security-Policy for our script and style, and for nothing else."""
    slash = base64.b64encode(hashlib.sha256(WITH_SLASH.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{slash}'; style-src 'self'; "
        "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
