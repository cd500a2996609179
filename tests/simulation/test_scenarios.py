"""Every named scenario: which faults a simulated home meets, and what must come out. The files say
both.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.scenario import FAULTS, read
from tests.simulation.years import try_out

FOLDER = Path(__file__).parents[1] / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))

# What the gateway does not do yet as the scenario says. Strict: a scenario that has come right must
# be taken off.
KNOWN_BROKEN: dict[str, str] = {}


LONG = {"exchange-away-30-days"}
"""Takes minutes: `make test-long` runs it."""


def _scenarios() -> list[object]:
    return [pytest.param(path, id=path.stem, marks=list(_marks(path.stem))) for path in FILES]


def _marks(name: str) -> Iterator[pytest.MarkDecorator]:
    if name in KNOWN_BROKEN:
        yield pytest.mark.xfail(strict=True, reason=KNOWN_BROKEN[name])
    if name in LONG:
        yield pytest.mark.long


@pytest.mark.parametrize("path", _scenarios())
def test_what_must_come_out_of_a_scenario_comes_out(path: Path) -> None:
    scenario = read(path.read_bytes(), path.name)
    verdict = try_out(scenario)
    assert verdict.violations == []


def test_every_fault_is_in_a_named_scenario() -> None:
    there = {each.fault for path in FILES for each in read(path.read_bytes(), path.name).happens}
    assert set(FAULTS) - there == set()


def test_what_is_known_to_be_broken_or_long_is_a_scenario() -> None:
    assert (KNOWN_BROKEN.keys() | LONG) - {path.stem for path in FILES} == set()


def test_the_page_names_every_scenario_and_none_that_is_not_there() -> None:
    page = (FOLDER.parents[1] / "docs" / "what-it-survives.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    named = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[-2])]
    assert sorted(named) == sorted(path.stem for path in FOLDER.rglob("*.yaml"))
