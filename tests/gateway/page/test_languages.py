"""All languages say the same, and everything that is asked of them."""

import ast
import re
from pathlib import Path

import pytest

from gateway import page
from gateway.history import history, problems
from gateway.page.banners import PROBLEMS
from gateway.page.words import LANGUAGES, catalogue

ROOM = Path(page.__file__).parent
ENGLISH = catalogue("en")


def facts(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_facts(language: str) -> None:
    words = catalogue(language)
    assert words.keys() == ENGLISH.keys()
    differ = [key for key, text in words.items() if facts(text) != facts(ENGLISH[key])]
    assert differ == []
    forms = [key for key, text in words.items() if text.count("|") != ENGLISH[key].count("|")]
    assert [key for key in forms if "|" not in words[key] + ENGLISH[key]] == []


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_what_has_sentences_is_translated(language: str) -> None:
    words = catalogue(language)
    same = [key for key, text in words.items() if len(text) > 24 and text == ENGLISH[key]]
    assert same == []


def used_keys() -> set[str]:
    """The keys that the room's own code names in full."""
    found = set()
    for file in ROOM.rglob("*.py"):
        if file.parent.name == "languages":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
                and isinstance(node.func, ast.Name | ast.Attribute)
                and (getattr(node.func, "id", None) or getattr(node.func, "attr", "")) == "words"
            ):
                found.add(node.args[0].value)
    return found


def test_every_key_that_is_asked_for_is_there() -> None:
    used = used_keys()
    assert len(used) > 100
    assert sorted(used - ENGLISH.keys()) == []


def test_every_key_that_is_there_is_asked_for() -> None:
    """In full, or as one of a kind whose beginning is in the code."""
    code = "".join(
        file.read_text(encoding="utf-8")
        for file in ROOM.rglob("*.py")
        if file.parent.name != "languages"
    )
    kinds = {found.split("{")[0] for found in re.findall(r'f"([a-z_.]+\{)', code)}
    listed = set(re.findall(r'"([a-z_]+\.[a-z_.]+)"', code))
    used = used_keys()
    unused = [
        key
        for key in ENGLISH
        if key not in listed and key not in used and not any(key.startswith(kind) for kind in kinds)
    ]
    assert unused == []


def test_every_problem_that_is_found_has_words_and_a_page_of_help() -> None:
    source = Path(problems.__file__).read_text(encoding="utf-8")
    now = Path(history.__file__).read_text(encoding="utf-8")
    named = set(re.findall(r'id="([a-z_]+)"', source + now))
    named |= set(re.findall(r'_(?:of|fate)\(\s*(?:[a-z.]+, )?"([a-z_]+)"', source))
    named |= {f"{kind}{end}" for kind in ("meter_silent", "line_away") for end in ("", "_long")}
    named |= {"exchange_away", "exchange_away_losing", "broker_away", "broker_refused"}
    assert len(named) > 15
    assert sorted(named - set(PROBLEMS)) == []
    for problem in PROBLEMS:
        for part in ("title", "what", "itself", "do", "help"):
            assert f"problem.{problem}.{part}" in ENGLISH
