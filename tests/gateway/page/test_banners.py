"""Each banner says what is wrong, what mends itself, and what to do."""

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from gateway.history import problems
from gateway.history.answers import Now, Problem
from gateway.page.banners import PROBLEMS, headline, spoken, told
from gateway.page.markup import join
from gateway.page.words import LANGUAGES, Words, words_for
from tests.gateway.page import sample_answers as sample
from tests.gateway.page.html import Shown

ZONE = ZoneInfo(sample.ZONE)


def words(language: str = "en") -> Words:
    return words_for(language, ZONE, sample.NOW_S)


def shown(now: Now, language: str = "en") -> str:
    return Shown(join(headline(now, words(language), ""))).text


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (
            sample.PV_SILENT,
            "The meter PV has not answered since 13:50. Its energy is counted by the meter itself "
            "and will be filled in when it answers. If this lasts beyond 15:50: check its fuse "
            "and cable.",
        ),
        (
            replace(sample.PV_SILENT, id="meter_silent_long", severity="bad"),
            "The meter PV has not answered since 13:50. What passed since then cannot be placed "
            "into quarter-hours by itself. Check its fuse and cable.",
        ),
        (
            replace(sample.PV_SILENT, since_s=None, facts={"reason": "no reply", "ever": 0.0}),
            "The meter PV has not answered yet (no reply). Its energy is counted by the meter "
            "itself and will be filled in when it answers. If this lasts beyond –: check its fuse "
            "and cable.",
        ),
        (
            sample.EXCHANGE_AWAY,
            "The exchange does not answer (since 09:30). 60 quarter-hours wait here and will be "
            "sent by themselves; none is lost.",
        ),
        (
            sample.EXCHANGE_AWAY_LOSING,
            "The exchange does not answer (since 09:30). Quarter-hours that pass now are lost for "
            "it; they are kept here for upload by hand. Is there internet at home? If so, tell "
            "your community.",
        ),
        (
            replace(sample.EXCHANGE_AWAY, id="login_refused", severity="bad"),
            "The exchange does not accept our login. Everything is kept here meanwhile. Ask your "
            "community for a new one; then: sudo meter-gateway init",
        ),
        (
            sample.CLOCK,
            "The box does not know the time yet (it believes 12\xa0Jun, 14:00). Meters are read; "
            "quarter-hours are made as soon as the time is right. Is there internet?",
        ),
        (
            sample.DISK,
            "The memory card cannot be written (database or disk is full). Readings are kept in "
            "memory for a while; so far 1,204. Make room on it, or replace it.",
        ),
        (
            sample.REFUSED,
            "The exchange refused 2 quarter-hours (House load, PV): “asset is not part of the "
            "market”. They are kept here. If this happens again, show your community what it says.",
        ),
    ],
    ids=lambda value: value.id if isinstance(value, Problem) else "",
)
def test_a_problem_is_told_in_three_sentences(problem: Problem, expected: str) -> None:
    assert told(problem, words()).text == expected
    said = told(problem, words())
    rest = " ".join(part for part in (said.itself, said.do) if part)
    banner = shown(sample.now(mood=problem.severity, problems=[problem]))
    assert banner == f"{said.what}{rest}What this means"


def test_all_is_well_in_one_sentence() -> None:
    expected = "All is wellThe exchange has accepted everything up to 14:30. 3 of 3 meters answer."
    assert shown(sample.now()) == expected


def test_who_is_behind_is_named() -> None:
    state = sample.now(accepted_until_s=sample.START_S + 55 * 900, behind=["PV"])
    assert "up to 13:45. Not yet as far as others: PV. 3 of 3" in shown(state)
    assert "others" not in shown(sample.now())


def test_a_start_is_no_alarm() -> None:
    assert shown(sample.starting()) == (
        "Just started2 of 3 meters have answered. The first whole quarter-hour begins at 14:45."
    )


def test_a_site_without_meters_says_what_to_do() -> None:
    assert "sudo meter-gateway init" in shown(sample.empty())


def test_the_worst_comes_first_and_each_is_told_once() -> None:
    text = shown(sample.now(mood="bad", problems=[sample.EXCHANGE_AWAY, sample.DISK]))
    assert text.index("memory card") < text.index("The exchange does not answer")
    assert text.count("memory card") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_problem_that_nobody_has_words_for_is_named_all_the_same(language: str) -> None:
    odd = Problem(
        id="new_kind", subject="pv", severity="bad", since_s=None, facts={"reason": "why"}
    )
    assert told(odd, words(language)).text == "pv: why"


@pytest.mark.parametrize("language", LANGUAGES)
def test_markup_in_a_reason_stays_text(language: str) -> None:
    evil = "<img src=x onerror=alert(1)> {subject} {0}"
    problem = replace(sample.DISK, subject=evil, facts={"reason": evil})
    html = join(headline(sample.now(mood="bad", problems=[problem]), words(language), ""))
    assert "<img" not in html
    assert evil in Shown(html).text


def test_for_programs_a_problem_has_its_facts_and_its_words() -> None:
    problem = Problem(
        id="meter_silent",
        subject="pv",
        severity="warn",
        since_s=sample.NOW_S - 600.0,
        facts={"reason": "no reply in 1 s", "until_s": sample.NOW_S + 6600.0},
    )
    [said] = spoken([problem], words())
    assert (said["id"], said["severity"], said["since_s"]) == (
        "meter_silent",
        "warn",
        problem.since_s,
    )
    assert said["facts"] == problem.facts
    assert (said["what"], said["itself"], said["do"]) == (
        told(problem, words()).what,
        told(problem, words()).itself,
        told(problem, words()).do,
    )


def test_there_are_words_for_every_problem_that_there_is() -> None:
    source = Path(str(problems.__file__)).read_text(encoding="utf-8")
    told_ids = set(re.findall(r'id="(\w+)"', source))
    told_ids |= set(re.findall(r'_of\(\w+, "(\w+)"', source))
    assert len(told_ids) > 10
    assert told_ids <= set(PROBLEMS)
