"""A history of slots in a file, as the gateway and as spreadsheets write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.past_slots import COLUMNS, Past, past_slots
from gateway.operator.tariffs.cells import Findings

TEXT = """\
slot_utc,market,import_kwh,export_kwh,traded_kwh,revenue_cents,average_rate,load_kwh,fee
2026-11-28T17:00:00Z,Grid,12.5,0,14.1,46.4,31.2,-3.5,3.25
2026-11-28T17:15:00Z,Grid,,,,,,,
2026-11-28T17:45:00Z,Grid,1,2,,,,,
2026-11-28T17:00:00Z,House 1,0.5,0,,,,,
"""
BEGIN_S = 1795885200


def read(text: str) -> Past:
    found = Findings("history.csv")
    past = past_slots(text, found)
    assert past is not None, found.problems
    return past


def mistakes(text: str) -> list[str]:
    found = Findings("history.csv")
    assert past_slots(text, found) is None
    return [str(problem).removeprefix("history.csv") for problem in found.problems]


def test_what_is_known_of_each_slot_is_read() -> None:
    past = read(TEXT)
    assert (past.slot_s, len(past.starts)) == (900, 4)
    first = past.markets["Grid"][BEGIN_S]
    assert (first.statistics.net_import_kwh, first.load_kwh, first.fee) == (12.5, -3.5, 3.25)
    assert first.charged_kwh == 14.1
    assert set(past.markets) == {"Grid", "House 1"}


def test_an_empty_cell_is_not_known_and_not_zero() -> None:
    past = read(TEXT)
    assert past.markets["Grid"][BEGIN_S + 900].charged_kwh is None
    assert past.markets["Grid"][BEGIN_S + 2700].charged_kwh == 3
    assert BEGIN_S + 1800 not in past.markets["Grid"]


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("\n", "\r\n"),
        TEXT.replace(".", "·").replace(",", ";").replace("·", ","),
        TEXT.replace("2026-11-28T17", "2026-11-28 18").replace("Z", "+01:00"),
        TEXT.replace("market", "Market").replace("fee\n", "fee,why\n", 1),
    ],
)
def test_other_spellings_say_the_same(text: str) -> None:
    assert read(text) == read(TEXT)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("slot_utc", "time"), ":1: there is no column slot_utc"),
        ((",fee\n", ",market\n"), ":1: the column market is there twice"),
        (("T17:15:00Z", "T17:61"), ":3: slot_utc: '2026-11-28T17:61' is no time"),
        (("17:15:00Z,Grid", "17:15:00Z, "), ":3: market: there is no market"),
        (("12.5", "-1"), ":2: import_kwh: -1 is negative"),
        (("12.5", "much"), ":2: import_kwh: 'much' is no number"),
        (("12.5", "nan"), ":2: import_kwh: 'nan' is no number"),
        (("17:15:00Z,Grid", "17:00:00Z,Grid"), ":3: market: this slot of 'Grid' is there twice"),
        (("17:15:00Z", "17:07:00Z"), ": 2026-11-28T17:45:00+00:00 begins no slot of 420 s"),
        (("2026-11-28T17:45", "1970-01-01T00:00"), " from the first to the last"),
        ((TEXT, ""), ":1: there is no column slot_utc"),
        ((TEXT, TEXT.partition("\n")[0]), ":1: there is no slot"),
    ],
)
def test_a_mistake_has_its_line(change: tuple[str, str], told: str) -> None:
    found = mistakes(TEXT.replace(*change, 1))
    assert any(told in each for each in found), found


@given(st.text(max_size=80), st.text(max_size=40))
def test_no_text_breaks_the_reading(header: str, row: str) -> None:
    past_slots(header, Findings("a"))
    past_slots(f"{','.join(COLUMNS)}\n{row}\n{header}", Findings("a"))
