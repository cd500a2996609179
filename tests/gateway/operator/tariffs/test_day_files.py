"""Files of a day's fees, as people and spreadsheets write them, and what is wrong with others."""

from collections.abc import Callable
from datetime import time, timedelta
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.model import TariffError
from gateway.operator.tariffs import xlsx
from gateway.operator.tariffs.cells import Cell, Findings, Sheet
from gateway.operator.tariffs.day import day_tariff
from gateway.operator.tariffs.files import read_csv
from gateway.operator.tariffs.reading import Tariffs

TIMES = [f"{q // 4:02}:{q % 4 * 15:02}" for q in range(96)]

HEADER = "Time;Community;House 1;;"


def row(time_text: str, first: str = "0,42", second: str = "1.68") -> str:
    return f"{time_text};{first};{second};;"


def lines() -> list[str]:
    return [HEADER, *(row(f"{each}:00") for each in TIMES)]


def written(folder: Path, content: str | bytes, name: str = "tou.csv") -> Path:
    path = folder / name
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(raw)
    return path


def read(path: Path) -> dict[str, list[float]]:
    day = Tariffs(path.parent, "constant").day(path.name)
    return {name: [fee.number for fee in fees] for name, fees in day.fees.items()}


def mistakes(path: Path, fee_type: str = "constant") -> list[str]:
    with pytest.raises(TariffError) as caught:
        Tariffs(path.parent, fee_type).day(path.name)  # type: ignore[arg-type]
    return [str(problem).removeprefix(f"{path}") for problem in caught.value.problems]


# --- what is right --------------------------------------------------------------------------------


def test_the_exchanges_template_is_read(tmp_path: Path) -> None:
    found = read(written(tmp_path, "\n".join(lines())))
    assert found == {"Community": [0.42] * 96, "House 1": [1.68] * 96}


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n") + "\r\n\r\n;;;;\r\n",
        lambda text: text.replace("\n", "\r"),
        lambda text: "sep=;\n" + text,
        lambda text: text.replace(":00;", ";").replace("\n0", "\n"),
        lambda text: text.replace("House 1", '"House 1"').replace("0,42", '" 0,420 "'),
        lambda text: "\n".join([HEADER, *reversed(text.splitlines()[1:])]),
        lambda text: text.replace(HEADER, "Time;Community;House 1;;fees in ct/kWh"),
        lambda text: text.replace("00:00:00;0,42;1.68;;", "00:00:00;0,42;1.68;;a note"),
    ],
    ids=[
        *("byte order mark", "Windows", "old Mac", "separator said", "H:mm", "quotes", "reversed"),
        *("named note", "note"),
    ],
)
def test_what_spreadsheets_make_of_it_is_the_same(
    tmp_path: Path, changed: Callable[[str], str]
) -> None:
    found = read(written(tmp_path, changed("\n".join(lines()))))
    assert found == {"Community": [0.42] * 96, "House 1": [1.68] * 96}


@given(st.lists(st.integers(0, 10**8), min_size=96, max_size=96), st.permutations(range(96)))
def test_every_fee_comes_back_in_its_quarter(micros: list[int], order: list[int]) -> None:
    rows = [
        [Cell(TIMES[q], n, "A"), Cell(f"{micros[q] / 1e6:.6f}".replace(".", ","), n, "B")]
        for n, q in enumerate(order, start=2)
    ]
    found = Findings("tou.csv")
    header = [Cell("Time", 1, "A"), Cell("Süd", 1, "B")]
    tariff = day_tariff([Sheet("", [header, *rows])], "constant", found)
    assert not found.problems
    assert tariff is not None
    assert [fee.micros for fee in tariff.fees["Süd"]] == micros


# --- what is wrong --------------------------------------------------------------------------------


def changed_line(number: int, text: str | None) -> str:
    """The template with that line (from 1) another one, or taken away."""
    changed = lines()
    changed[number - 1 : number] = [] if text is None else [text]
    return "\n".join(changed)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            changed_line(31, None),
            ":30: column 1: below this, 1 quarter of an hour missing: 07:15 — ",
        ),
        (changed_line(31, row("07:00")), ":31: column 1: 07:00 is there twice, first in line 30"),
        (changed_line(31, row("07:10")), ":31: column 1: 07:10 begins no quarter of an hour"),
        (changed_line(31, row("24:00")), ":31: column 1: '24:00' is no time of a day"),
        (changed_line(31, row("7.15")), ":31: column 1: '7.15' is no time"),
        (changed_line(31, row("07:15", "")), ":31: column 2: there is no fee"),
        (changed_line(31, row("07:15", "1;2")), ":31: column 4: 1.68 stands under no market's"),
        (changed_line(31, row("07:15", "high")), ":31: column 2: 'high' is no number"),
        (changed_line(31, row("07:15", "1.000,50")), ":31: column 2: '1.000,50' is no number"),
        (changed_line(31, row("07:15", "nan")), ":31: column 2: 'nan' is no number"),
        (changed_line(31, row("07:15", "-0,5")), ":31: column 2: -0.5 is negative"),
        (changed_line(31, row("07:15", "12345")), ":31: column 2: 12345 is too high"),
        (changed_line(31, "07:15;0,42"), ":31: column 3: there is no fee"),
        ("\n".join([*lines(), row("24:15")]), ":98: column 1: '24:15' is no time of a day"),
        ("\n".join([*lines(), row("00:15")]), ":98: column 1: 00:15 is there twice"),
        (changed_line(1, "Time;Grid;Grid;;"), ":1: column 3: the market 'Grid' has two columns"),
        (changed_line(1, "Time;Grid;;;"), ":2: column 3: 1.68 stands under no market's name"),
        (changed_line(1, "Time;Grid;House 1;More"), ":1: column 4: the market 'More' has no fees"),
        (changed_line(1, "Zeit;Grid;House 1"), ":1: column 1: found 'Zeit'"),
        (
            "\n".join(lines()).replace(",", ".").replace(";", ","),
            "columns are separated by a semicolon, not by ','",
        ),
        ("\n".join(lines()).replace(";", "\t"), "by a semicolon, not by '\\t'"),
        ("", ": the file is empty"),
        ("\n \n;;;\n", ": the file is empty"),
        (HEADER, ":1: column 1: below this, 96 quarters of an hour missing: 00:00"),
        ("Time", ":1: column 1: there is no market"),
        (changed_line(31, '07:15;"0,42'), "cannot be read: unexpected end of data"),
        (changed_line(31, row("07:15", "\0")), ":31: column 2: "),
    ],
)
def test_every_mistake_is_named_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    found = mistakes(written(tmp_path, content))
    assert any(told in each for each in found), found


def test_a_line_that_is_wrong_is_not_told_again_as_a_missing_one_of_others(tmp_path: Path) -> None:
    found = mistakes(written(tmp_path, changed_line(31, row("07:15", "x", "y"))))
    assert len(found) == 2


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_are_told_and_not_guessed(tmp_path: Path, encoding: str) -> None:
    text = "\n".join(lines()).replace("House 1", "Süd")
    found = mistakes(written(tmp_path, text.encode(encoding)))
    assert found[0].startswith(":1: ")
    assert "CSV UTF-8" in found[0]


def test_a_percentage_beyond_100_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, changed_line(31, row("07:15", "150")))
    assert read(path)["Community"][29] == 150
    assert mistakes(path, "percent") == [":31: column 2: 150 is too high — at most 100 %"]


@pytest.mark.parametrize("name", ["tou.ods", "tou", "tou.json"])
def test_a_file_of_another_kind_is_told(tmp_path: Path, name: str) -> None:
    assert ".csv or .xlsx" in mistakes(written(tmp_path, "", name))[0]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "No such file" in mistakes(tmp_path / "tou.csv")[0]
    (tmp_path / "folder.csv").mkdir()
    assert "a folder" in mistakes(tmp_path / "folder.csv")[0]


@given(raw=st.binary(max_size=200))
def test_no_file_breaks_the_reading(raw: bytes, example_folder: Callable[[], Path]) -> None:
    path = written(example_folder(), raw)
    try:
        read_csv(path)
        read(path)
    except TariffError as error:
        assert error.problems


def test_a_column_of_mistakes_does_not_fill_the_screen(tmp_path: Path) -> None:
    found = mistakes(written(tmp_path, "\n".join(lines()).replace("0,42", "none")))
    assert len(found) == 21
    assert found[-1] == ":21: 76 more mistakes are not shown — mend these first"


# --- spreadsheets ---------------------------------------------------------------------------------


def book(path: Path, *, sheet: str = "ToU", **cells: object) -> Path:
    """As the exchange's first template: cells of time, fees as numbers and as text, and help."""
    workbook = openpyxl.Workbook()
    table = workbook.active
    table.title = sheet
    table.append(["Time", "Grid", "House 1", None, None, "How to fill this in"])
    for q in range(96):
        second = timedelta(minutes=15 * q)
        at = (time(q // 4, q % 4 * 15), q / 96, second, f"{TIMES[q]}:00")[q % 4]
        table.append([at, 0.9, "1,68", None, None, "one fee a row" if q == 3 else None])
    for name, value in cells.items():
        table[name] = value
    workbook.create_sheet("Notes").append(["nothing", 1])
    workbook.save(path)
    return path


def test_the_old_spreadsheet_is_read(tmp_path: Path) -> None:
    path = book(tmp_path / "ToU.xlsx", F9=12.5)
    assert read(path) == {"Grid": [0.9] * 96, "House 1": [1.68] * 96}


def test_every_mistake_in_a_spreadsheet_is_named_with_its_cell(tmp_path: Path) -> None:
    path = book(
        tmp_path / "ToU.xlsx",
        C31="none",
        B32="=1+1",
        A33="07:30",
        D34=3,
        B35=-1,
        A36=timedelta(days=1),
    )
    assert [each.partition(" — ")[0] for each in mistakes(path)] == [
        ": ToU!D34: 3 stands under no market's name",
        ": ToU!A33: 07:30 is there twice, first in ToU!A32",
        ": ToU!A36: '24:00:00' is no time of a day",
        ": ToU!B32: there is no fee",
        ": ToU!B35: -1 is negative",
        ": ToU!C31: 'none' is no number",
    ]


def test_a_sheet_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = book(tmp_path / "ToU.xlsx", sheet="Tariff")
    assert mistakes(path) == [": there is no sheet 'ToU' — known: Notes, Tariff"]


def test_what_is_no_spreadsheet_is_told(tmp_path: Path) -> None:
    found = mistakes(written(tmp_path, b"Time;Grid", "tou.xlsx"))[0]
    assert "is no spreadsheet that can be read: File is not a zip file — save it" in found


def test_an_archive_that_is_no_spreadsheet_is_told(tmp_path: Path) -> None:
    found = mistakes(written(tmp_path, b"PK\x05\x06" + bytes(18), "tou.xlsx"))[0]
    assert "is no spreadsheet that can be read" in found


def test_a_spreadsheet_of_more_cells_than_any_tariff_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx, "MAX_CELLS", 100)
    with pytest.raises(ValueError, match="more than 100 cells"):
        xlsx.cells(book(tmp_path / "ToU.xlsx"))
