"""What is wrong, in words: what it is, what mends itself, what a person can do. Pure.

The words of each kind of problem are in `languages/`, as `problem.<id>.what`, `.itself` and `.do`.
The page, `doctor` and the help pages say the same. One that has no words there is told as it was
named.
"""

from collections.abc import Sequence

from msgspec import Struct, to_builtins

from gateway.history.answers import Mood, Now, Problem
from gateway.outbox.item import EXCHANGE
from gateway.page.markup import Child, Markup, tag
from gateway.page.pictures.icons import icon
from gateway.page.words import NOTHING, Words

PROBLEMS = (
    *("meter_silent", "meter_silent_long", "line_away", "line_away_long", "meter_unbelieved"),
    *("line_too_slow", "exchange_away", "exchange_away_losing", "login_refused", "refuses_all"),
    *("refused", "too_late", "not_metered", "disputed", "verdicts_not_heard", "asset_not_heard"),
    *("registry_differs", "clock_unknown", "disk", "buffer_damaged", "broker_away"),
    *("certificate_ends", "certificate_ended", "certificate_not_yet"),
    *("broker_refused", "fees_away", "fees_not_set", "fees_not_taken", "configuration"),
    "store_unread",
)
"""Every kind that there are words for, in the order of the page of help."""


class Told(Struct, frozen=True):
    """One problem in words. Empty where there is nothing to say."""

    what: str
    itself: str
    """What mends itself, or is not lost."""
    do: str
    """What a person can do."""

    @property
    def text(self) -> str:
        """All of it, in one paragraph."""
        return " ".join(part for part in (self.what, self.itself, self.do) if part)


def told(problem: Problem, words: Words) -> Told:
    """What is said of it."""
    if not words.has(f"problem.{problem.id}.what"):
        reason = problem.facts.get("reason")
        text = f"{problem.subject}: {reason or problem.id}" if problem.subject else problem.id
        return Told(text, "", "")
    shown = _facts(problem, words)
    return Told(
        *(
            words.filled(key, shown) if words.has(key) else ""
            for part in ("what", "itself", "do")
            for key in (_key(problem, part, words),)
        )
    )


def spoken(problems: Sequence[Problem], words: Words) -> list[dict[str, object]]:
    """The same for programs: each problem as it is, with its words beside it."""
    return [
        {**to_builtins(problem), "what": said.what, "itself": said.itself, "do": said.do}
        for problem in problems
        for said in (told(problem, words),)
    ]


def _key(problem: Problem, part: str, words: Words) -> str:
    """Where nothing is known of when it was well, it may be said otherwise."""
    key = f"problem.{problem.id}.{part}"
    is_new = problem.since_s is None or problem.facts.get("ever") == 0.0
    return f"{key}.never" if is_new and words.has(f"{key}.never") else key


def _facts(problem: Problem, words: Words) -> dict[str, str]:
    """The facts as they stand in a sentence: times as times, numbers as numbers."""
    subject = words("exchange.it") if problem.subject == EXCHANGE else problem.subject
    shown = {"subject": subject, "since": words.moment(problem.since_s)}
    for name, value in problem.facts.items():
        if value is None:
            shown[name] = NOTHING
        elif isinstance(value, str):
            shown[name] = value or NOTHING
        elif name.endswith("_s"):
            shown[name.removesuffix("_s")] = words.moment(value)
        elif name in ("waiting", "count"):
            shown[name] = words("slots", n=round(value))
        else:
            shown[name] = words.number(value)
    return shown


def banner(problem: Problem, words: Words, root: str, *, level: str = "h2") -> Markup:
    """One problem, above a page."""
    said = told(problem, words)
    key = f"p.{problem.id}.{problem.subject}"
    parts: list[Child] = [tag(level, said.what, data_k=f"{key}.what")]
    rest = " ".join(part for part in (said.itself, said.do) if part)
    link = None
    if problem.id in PROBLEMS:
        link = tag("a", words("help.link"), href=f"{root}help/{problem.id}", class_="tap")
    parts += [tag("p", rest, data_k=f"{key}.rest"), tag("p", link) if link else None]
    mood = problem.severity
    return tag("div", icon(mood), tag("div", *parts), class_=f"mood {mood}")


def headline(now: Now, words: Words, root: str) -> Child:
    """How it all is: one sentence of trust, or what is wrong."""
    if loud := banners(now.problems, words, root):
        return live_region(loud)
    if now.mood == "starting":
        return live_region(_quiet("starting", words("mood.starting"), _starting(now, words)))
    return live_region(_quiet("well", words("mood.well"), _well(now, words)))


def banners(problems: Sequence[Problem], words: Words, root: str) -> list[Markup]:
    """Those of which a reader must know whatever the page, the worst first."""
    loud = [each for each in problems if each.severity in ("warn", "bad")]
    return [banner(each, words, root) for each in ranked(loud)]


def live_region(*inside: Child) -> Markup:
    """What is read out when it changes: there is one on a page."""
    return tag("div", *inside, role="status", aria_live="polite", id="mood")


def ranked(problems: Sequence[Problem]) -> list[Problem]:
    """The worst first."""
    order: tuple[Mood, ...] = ("bad", "warn", "starting", "well")
    return sorted(problems, key=lambda each: order.index(each.severity))


def _quiet(mood: Mood, what: str, rest: str) -> Markup:
    inside = tag(
        "div",
        tag("p", what, class_="say", data_k="mood.what"),
        tag("p", rest, class_="soft", data_k="mood.rest"),
    )
    return tag("div", icon(mood), inside, class_=f"mood {mood}")


def _well(now: Now, words: Words) -> str:
    parts = []
    if now.accepted_until_s is not None:
        parts.append(words("mood.accepted", clock=words.moment(now.accepted_until_s)))
        if now.behind:
            parts.append(words("mood.behind", titles=words.listed(now.behind)))
    if now.meters:
        parts.append(words("mood.meters", n=now.meters, heard=now.meters_heard))
    else:
        parts.append(words("mood.no_meters"))
    return " ".join(parts)


def _starting(now: Now, words: Words) -> str:
    parts = [words("mood.heard", n=now.meters, heard=now.meters_heard)] if now.meters else []
    if now.first_slot_s is not None:
        parts.append(words("mood.first_slot", clock=words.moment(now.first_slot_s)))
    parts += [said.text for each in now.problems if (said := told(each, words)).text]
    return " ".join(parts)
