"""All languages of the manager's page say the same, and everything that is asked of them."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from gateway.fleet import page
from gateway.fleet.page.states import KINDS
from gateway.page.words import LANGUAGES, catalogue

ROOM = Path(page.__path__[0])
WORDS = {each: import_module(f"gateway.fleet.page.languages.{each}").WORDS for each in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_facts_and_forms(language: str) -> None:
    words, english = WORDS[language], WORDS["en"]
    assert words.keys() == english.keys()
    for key, text in words.items():
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", english[key]))
        assert text.count("|") == english[key].count("|"), key
    same = [key for key, text in words.items() if len(text) > 24 and text == english[key]]
    assert language == "en" or same == []


def test_every_key_is_there_and_is_asked_for() -> None:
    code = "".join(
        file.read_text(encoding="utf-8")
        for file in ROOM.rglob("*.py")
        if file.parent.name != "languages"
    )
    english = WORDS["en"]
    named = set(re.findall(r"[\"']((?:fleet|nav)\.[a-z_.]+)[\"']", code))
    assert sorted(named - english.keys() - catalogue("en").keys()) == []
    kinds = set(re.findall(r"f[\"']([a-z_.]+\.)\{", code))
    unused = [
        key
        for key in english
        if key not in named and not any(key.startswith(kind) for kind in kinds | {"nav."})
    ]
    assert unused == []
    for kind in KINDS:
        assert {f"fleet.state.{kind}", f"fleet.state.{kind}.do"} <= english.keys()
