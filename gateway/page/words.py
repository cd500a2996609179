"""What a page says, in its reader's language: words, numbers, dates and times.

Nothing here depends on the machine's locale. Times are the site's own, with 24 hours. A language is
one file in `languages/`, read when somebody asks for it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from importlib import import_module
from typing import Final

from msgspec import Struct

LANGUAGES: Final = ("en", "de", "nl")
"""The first is spoken where a reader's own is not among them."""

QUARTER_S = 900

NBSP = "\xa0"
MINUS = "\u2212"
NOTHING = "–"
"""Where a number would be, and nobody knows it. Missing is not zero."""

Fact = str | int | float

_UTC = re.compile(r"\b(?:(?P<day>\d{4}-\d\d-\d\d)[ T])?(?P<clock>\d\d:\d\d(?::\d\d)?)Z\b")


class _Facts(dict[str, str]):
    """What a sentence needs."""

    def __missing__(self, key: str) -> str:
        return NOTHING


class Words(Struct, frozen=True):
    """One language, in the time zone of a site, at one instant."""

    language: str
    zone: tzinfo
    at_s: float
    """Now: what was today is told without its date."""
    catalogue: Mapping[str, str]
    slot_s: int = QUARTER_S
    """Length of a slot. Where it is no whole minutes, times are told with their seconds."""

    def __call__(self, key: str, /, **facts: Fact) -> str:
        """The words of that key with those facts in them. Where there are two forms, with a | in
        between, the fact `n` says which: the first of one, the second of more or none.
        """
        text = self.catalogue[key]
        if "n" in facts and "|" in text:
            one, _, more = text.partition("|")
            text = one if facts["n"] == 1 else more
        return text.format_map(
            {
                name: fact if isinstance(fact, str) else self.number(fact)
                for name, fact in facts.items()
            }
        )

    def filled(self, key: str, facts: Mapping[str, str]) -> str:
        """The words of that key with those facts; what nobody has said is shown as not known."""
        return self.catalogue[key].format_map(_Facts(facts))

    def has(self, key: str) -> bool:
        """Whether there are words of that key."""
        return key in self.catalogue

    # --- numbers ----------------------------------------------------------------------------------

    def number(self, value: float, digits: int = 0) -> str:
        """With this language's marks, and a real minus sign."""
        text = f"{abs(value):,.{digits}f}"
        marks = self.catalogue["number.marks"]
        text = text.translate({ord(","): marks[0], ord("."): marks[1]})
        is_negative = value < 0 and any(each in "123456789" for each in text)
        return f"{MINUS}{text}" if is_negative else text

    def wh(self, energy_wh: float | None) -> str:
        """The energy of a slot."""
        if energy_wh is None:
            return NOTHING
        digits = 1 if abs(energy_wh) < 10 and energy_wh != round(energy_wh) else 0
        return f"{self.number(energy_wh, digits)}{NBSP}Wh"

    def kwh(self, energy_wh: float | None, digits: int | None = None) -> str:
        """Energy of a day or a month: whole Wh below 1 kWh. A register has three digits, as on its
        face.
        """
        if energy_wh is None:
            return NOTHING
        if digits is None:
            if abs(energy_wh) < 999.5:
                return f"{self.number(energy_wh)}{NBSP}Wh"
            digits = 1 if abs(energy_wh) >= 10_000 else 2
        return f"{self.number(energy_wh / 1000, digits)}{NBSP}kWh"

    def power(self, power_w: float | None) -> str:
        """Of now: whole watts below 1 kW."""
        if power_w is None:
            return NOTHING
        if abs(power_w) < 999.5:
            return f"{self.number(power_w)}{NBSP}W"
        digits = 2 if abs(power_w) < 9995 else 1
        return f"{self.number(power_w / 1000, digits)}{NBSP}kW"

    def percent(self, share: float | None) -> str:
        """A share from 0 to 1. What is not all is never called 100 %."""
        if share is None:
            return NOTHING
        percent = round(share * 100)
        if percent == 100 and share < 1:
            percent = 99
        return f"{self.number(percent)}{NBSP}%"

    def duration(self, seconds: float) -> str:
        """Roughly, in its largest unit."""
        for unit, length_s, most in (
            ("second", 1, 90),
            ("minute", 60, 90),
            ("hour", 3600, 48),
        ):
            n = round(seconds / length_s)
            if n < most:
                return self(f"duration.{unit}", n=n)
        return self("duration.day", n=round(seconds / 86400))

    # --- dates ------------------------------------------------------------------------------------

    def local(self, at_s: float) -> datetime:
        """That time where the meters are."""
        return datetime.fromtimestamp(at_s, UTC).astimezone(self.zone)

    def clock(self, at_s: float | None, *, seconds: bool | None = None) -> str:
        """14:15; where an hour comes twice, with what tells which."""
        if at_s is None:
            return NOTHING
        local = self.local(at_s)
        seconds = self.slot_s % 60 != 0 if seconds is None else seconds
        text = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
        if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
            text += f"{NBSP}({local.tzname() or f'{local:%z}'})"
        return text

    def moment(self, at_s: float | None, *, seconds: bool | None = None) -> str:
        """14:15 of today, or 27 Nov, 14:15."""
        if at_s is None:
            return NOTHING
        day = self.local(at_s).date()
        clock = self.clock(at_s, seconds=seconds)
        if day == self.local(self.at_s).date():
            return clock
        return self("date.moment", date=self.short_day(day), clock=clock)

    def told(self, text: str, at_s: float) -> str:
        """What the daemon noted then, with the times in it (`12:57:50Z`, `2026-11-28 12:57:50Z`) as
        those of the site.
        """

        def local(found: re.Match[str]) -> str:
            day = found["day"] or datetime.fromtimestamp(at_s, UTC).date().isoformat()
            try:
                instant_s = datetime.fromisoformat(f"{day}T{found['clock']}+00:00").timestamp()
            except ValueError:
                return found[0]
            if not found["day"]:  # it was noted afterwards
                instant_s += (at_s + 3600 - instant_s) // 86_400 * 86_400
            seconds = found["clock"].count(":") > 1
            return self.moment(instant_s, seconds=seconds)

        return _UTC.sub(local, text)

    def span(self, start_s: float, end_s: float) -> str:
        """14:15–14:30."""
        return f"{self.clock(start_s)}–{self.clock(end_s)}"

    def short_day(self, day: date) -> str:
        """27 Nov; of another year, with it."""
        key = "date.short" if day.year == self.local(self.at_s).year else "date.short_year"
        month = self.catalogue["date.months_short"].split()[day.month - 1]
        return self(key, day=str(day.day), month=month, year=str(day.year)).replace(" ", NBSP)

    def long_day(self, day: date) -> str:
        """Friday, 27 November 2026."""
        return self(
            "date.long",
            weekday=self.catalogue["date.weekdays"].split()[day.weekday()],
            day=str(day.day),
            month=self.catalogue["date.months"].split()[day.month - 1],
            year=str(day.year),
        )

    def weekday(self, day: date) -> str:
        """Fri."""
        return self.catalogue["date.weekdays_short"].split()[day.weekday()]

    def month(self, year: int, month: int) -> str:
        """November 2026."""
        name = self.catalogue["date.months"].split()[month - 1]
        return self("date.month", month=name, year=str(year))

    def listed(self, texts: Sequence[str]) -> str:
        """A, B and C."""
        if len(texts) < 2:
            return "".join(texts)
        return self("list.and", first=", ".join(texts[:-1]), last=texts[-1])


def spoken(accept_language: str, setting: str | None = None) -> str:
    """The language for a reader: the setting, or the best of `Accept-Language` (RFC 9110, section
    12.5.4) that there is, or English.
    """
    if setting in LANGUAGES:
        return setting
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language.split(",")[:32]):
        name, _, parameters = part.partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", parameters)
        quality = float(weight[1]) if weight else 0.0 if parameters.strip() else 1.0
        wanted.append((-quality, place, name.strip().lower().partition("-")[0]))
    for quality, _, name in sorted(wanted):
        if quality < 0 and name in LANGUAGES:
            return name
    return LANGUAGES[0]


@cache
def catalogue(language: str, *, quarters: bool = True) -> Mapping[str, str]:
    """All words of a language, by their keys. Where slots are no quarter-hours (`quarters`), they
    are called otherwise. Raises ModuleNotFoundError where there is no such language.
    """
    words: Mapping[str, str] = import_module(f"gateway.page.languages.{language}").WORDS
    if quarters:
        return words
    names = dict(pair.split("=") for pair in words["slot.names"].split())
    quarter = re.compile("|".join(sorted(names, key=len, reverse=True)))
    return {key: quarter.sub(lambda found: names[found[0]], text) for key, text in words.items()}


def words_for(language: str, zone: tzinfo, at_s: float, slot_s: int = QUARTER_S) -> Words:
    """A language of `LANGUAGES`, there and then, where slots are that long."""
    said = catalogue(language, quarters=slot_s == QUARTER_S)
    return Words(language, zone, at_s, said, slot_s)
