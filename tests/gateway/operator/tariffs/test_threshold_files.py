"""Files of thresholds, as the exchange's templates have them, and what is wrong with others."""

import json
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.model import TariffError
from gateway.operator.tariffs.reading import Tariffs

TEMPLATE = """{
  "Grid": [
    {"Import / Export threshold": 10, "Grid fee": 0.9},
    {"Import / Export threshold": 20.5, "Grid fee": "1,2"},
    {"Import / Export threshold": "30", "Grid fee": 6}
  ],
  "House 1": [
    {"Import / Export threshold": 0, "Grid fee": 0}
  ]
}
"""


def written(folder: Path, content: str, name: str = "aziiz.json") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def read(path: Path) -> dict[str, list[tuple[float, float]]]:
    tariff = Tariffs(path.parent, "constant").thresholds(path.name)
    return {
        name: [(step.kwh, step.fee.number) for step in steps]
        for name, steps in tariff.thresholds.items()
    }


def mistakes(path: Path) -> list[str]:
    with pytest.raises(TariffError) as caught:
        read(path)
    return [str(problem).removeprefix(f"{path}") for problem in caught.value.problems]


@pytest.mark.parametrize(
    "content",
    [
        TEMPLATE,
        "\ufeff" + TEMPLATE,
        TEMPLATE.replace("\n", "\r\n"),
        TEMPLATE.replace("  ", "\t"),
        json.dumps(json.loads(TEMPLATE)),
        TEMPLATE.replace("Import / Export threshold", "import /  export Threshold"),
    ],
)
def test_the_exchanges_template_is_read(tmp_path: Path, content: str) -> None:
    assert read(written(tmp_path, content)) == {
        "Grid": [(10, 0.9), (20.5, 1.2), (30, 6)],
        "House 1": [(0, 0)],
    }


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("20.5", "10"), ":4: Grid[1].Import / Export threshold: 10 kWh is not more than the one"),
        (("20.5", "5"), ":4: Grid[1].Import / Export threshold: 5 kWh is not more than the one"),
        (("20.5", "-3"), ":4: Grid[1].Import / Export threshold: a threshold of -3 kWh"),
        (("20.5", "NaN"), ":4: Grid[1].Import / Export threshold: nan is not a finite number"),
        (("20.5", "true"), ":4: Grid[1].Import / Export threshold: expected a number"),
        (("20.5", "null"), ":4: Grid[1].Import / Export threshold: there is no threshold"),
        (('"1,2"', '"a lot"'), ":4: Grid[1].Grid fee: 'a lot' is no number"),
        (('"1,2"', "-0.5"), ":4: Grid[1].Grid fee: -0.5 is negative"),
        (('"1,2"', "1e999"), ":4: Grid[1].Grid fee: inf is not a finite number"),
        (('"1,2"', "null"), ":4: Grid[1].Grid fee: there is no fee"),
        (('"1,2"', "[1]"), ":4: Grid[1].Grid fee: expected a number"),
        ((', "Grid fee": "1,2"', ""), ":4: Grid[1]: key 'Grid fee' is missing"),
        (('20.5, "Grid fee"', '20.5, "Fee"'), ":4: Grid[1].Fee: unknown key"),
        (('20.5, "Grid fee": "1,2"', '20.5, "Grid fee": 1, "Grid fee": 2'), "is there twice"),
        (('"House 1"', '"Grid"'), "the market 'Grid' is there twice"),
        (('{"Import / Export threshold": 0, "Grid fee": 0}', ""), "'House 1' has no threshold"),
        (('{"Import / Export threshold": 0, "Grid fee": 0}', "3"), "a threshold and a fee, found"),
        (("},\n", "}\n"), ":4: not valid JSON: Expecting ',' delimiter"),
        ((TEMPLATE, ""), ": the file is empty"),
        ((TEMPLATE, "[]"), ":1: there is no market"),
        ((TEMPLATE, '{"Grid": {"a": 1}}'), ":1: Grid: expected a list of thresholds"),
        ((TEMPLATE, "[" * 100_000), "not valid JSON"),
        ((TEMPLATE, '{"Grid": ' + "9" * 5000 + "}"), "not valid JSON"),
    ],
)
def test_every_mistake_is_named_with_its_line(
    tmp_path: Path, changed: tuple[str, str], told: str
) -> None:
    found = mistakes(written(tmp_path, TEMPLATE.replace(*changed, 1)))
    assert any(told in each for each in found), found


@given(text=st.text(max_size=60) | st.from_regex(r"[\[\]{}\":,0-9A-Z \n]{0,40}"))
def test_no_text_breaks_the_reading(text: str, example_folder: Callable[[], Path]) -> None:
    try:
        read(written(example_folder(), text))
    except TariffError as error:
        assert error.problems


def book(path: Path, **cells: object) -> Path:
    """As the exchange's first template: fees that are text, notes, and a placeholder."""
    workbook = openpyxl.Workbook()
    grid = workbook.active
    grid.title = "Grid"
    for row in (["Threshold", "Grid fee", None, None, "kWh"], [10, "0.9"], [20.5, 1.2, None, None]):
        grid.append(row)
    second = workbook.create_sheet("House 1")
    for row in (["Threshold", "Grid fee"], ["5", "3,5"], [None, None], ["8", 4]):
        second.append(row)
    workbook.create_sheet("Market 3").append(["Threshold", "Grid fee"])
    workbook.create_sheet("Market 4")
    for name, value in cells.items():
        grid[name] = value
    workbook.save(path)
    return path


def test_the_old_spreadsheet_is_read_with_its_fees_in_text(tmp_path: Path) -> None:
    assert read(book(tmp_path / "Aziiz.xlsx")) == {
        "Grid": [(10, 0.9), (20.5, 1.2)],
        "House 1": [(5, 3.5), (8, 4)],
    }


def test_every_mistake_in_a_spreadsheet_is_named_with_its_cell(tmp_path: Path) -> None:
    path = book(tmp_path / "Aziiz.xlsx", A4=3, B4=1, A5=30, B5="cheap", A6=40, B7=7, A8=-1, B8=1)
    assert [each.partition(" — ")[0] for each in mistakes(path)] == [
        ": Grid!A4: 3 kWh is not more than the one before it, 20.5 kWh",
        ": Grid!B5: 'cheap' is no number",
        ": Grid!B6: there is no fee",
        ": Grid!A7: there is no threshold",
        ": Grid!A8: a threshold of -1 kWh",
    ]


def test_a_sheet_with_other_columns_is_told(tmp_path: Path) -> None:
    path = book(tmp_path / "Aziiz.xlsx", B1="Price")
    assert mistakes(path)[0].startswith(": Grid!A1: the sheet 'Grid' has no such columns")


def test_a_spreadsheet_of_placeholders_is_no_tariff(tmp_path: Path) -> None:
    path = tmp_path / "Aziiz.xlsx"
    openpyxl.Workbook().save(path)
    assert "no sheet has a number" in mistakes(path)[0]
