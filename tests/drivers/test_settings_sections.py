"""Sections of settings files: a bare value that stands for one key, and what a section finds wrong
by itself.
"""

from dataclasses import dataclass
from typing import Annotated

import pytest
from msgspec import Meta

from drivers.settings_schema import json_schema
from drivers.strict_yaml import (
    Mistake,
    decode,
    parse,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    SHORTHAND = "name"

    name: Annotated[str, Meta(min_length=2, description="its name")]
    floor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    place: Place


def test_a_bare_value_stands_for_the_key_that_the_section_names() -> None:
    for text in ("place: attic\n", "place: {name: attic}\n"):
        assert decode(Plan, parse(text, "f.yaml")) == Plan(place=Place(name="attic"))
    assert decode(Plan, parse("place: {name: attic, floor: 3}\n", "f.yaml")) == Plan(
        place=Place(name="attic", floor=3)
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nplace: a\n", "f.yaml:2: place: "),
        ("place: 3\n", "f.yaml:1: place: expected text, found 3 — put it in quotes"),
        ("place: {floor: 3}\n", "f.yaml:1: place: key 'name' is missing — it is its name"),
        ("place: {nam: attic}\n", "f.yaml:1: place.nam: unknown key — did you mean 'name'?"),
        ('place: "a\\0b"\n', "holds a control character"),
    ],
)
def test_a_bare_value_that_is_wrong_is_a_mistake_at_the_section(text: str, says: str) -> None:
    document = parse(text, "f.yaml")
    assert decode(Plan, document) is None
    assert any(says in str(problem) for problem in document.problems)


def test_the_json_schema_takes_a_section_and_the_bare_value() -> None:
    place = json_schema(Plan, "Plan")["$defs"]["Place"]
    bare, section = place["anyOf"]
    assert bare["type"] == "string"
    assert section["additionalProperties"] is False
    assert section["required"] == ["name"]


# What a section finds wrong with itself


def test_the_mistakes_of_a_section_are_told_with_their_lines() -> None:
    document = parse("a:\n  b:\n    - c: 1\n    - c: 2\n", "f.yaml")
    document.report_all(("a", "b"), [Mistake((1, "c"), "is two", "write 1"), Mistake((), "is odd")])
    assert [str(problem) for problem in document.problems] == [
        "f.yaml:4: a.b[1].c: is two — write 1",
        "f.yaml:2: a.b: is odd",
    ]
