"""The reference of the API."""

import re
from pathlib import Path

from gateway.cli.api_page import page
from gateway.history.api import PREFIX, ROUTES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"


def test_the_committed_page_is_the_one_the_types_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "write it anew: .venv/bin/python -m gateway.cli.api_page > docs/reference/api.md"
    )


def test_every_address_and_every_type_that_is_named_is_explained() -> None:
    text = page()
    for route in ROUTES:
        assert f"| `{PREFIX}{route.path}` |" in text
    headings = {line.removeprefix("### ").lower() for line in text.splitlines() if "### " in line}
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= headings
    assert len(headings) > 25


def test_types_are_said_as_json_has_them() -> None:
    kinds = {row.split("|")[2].strip() for row in page().splitlines() if row.startswith("| `")}
    assert not [kind for kind in kinds if re.search(r"\b(None|str|int|float|dict|tuple)\b", kind)]
