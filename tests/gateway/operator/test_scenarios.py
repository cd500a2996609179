"""Every scenario of the grid operator's agent in tests/scenarios/grid_operator."""

from pathlib import Path

import pytest

from tests.gateway.operator.scenario import FAULTS, play, read

FOLDER = Path(__file__).parents[2] / "scenarios" / "grid_operator"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_scenario_comes_out_as_it_must(file: Path, tmp_path: Path) -> None:
    assert play(read(file), tmp_path) == []


def test_every_fault_has_a_scenario_and_every_scenario_is_in_the_docs() -> None:
    used = {each.fault for file in FILES for each in read(file).happens}
    page = (FOLDER.parents[2] / "docs" / "what-it-survives.md").read_text(encoding="utf-8")
    assert set(FAULTS) - used == set()
    assert {file.stem for file in FILES if f"`{file.stem}`" not in page} == set()
