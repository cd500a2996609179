"""A reader that remembers where a meter's values stand reads each telegram as if it were the
first.
"""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.p1.reader import LAYOUTS, Reader, read_values
from drivers.p1.told import Values
from tests.drivers.p1.telegrams.written import written

TELEGRAMS = [each.data[: each.data.rindex(b"!") + 1] for each in written()]
ALL = (1, 2)

digits = st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from(b"0123456789")), max_size=20)


def with_digits(raw: bytes, changes: list[tuple[int, int]]) -> bytes:
    """The telegram with some of its digits changed, wherever they stand: in numbers, times, ids,
    units, serial numbers.
    """
    changed = bytearray(raw)
    places = [at for at, byte in enumerate(raw) if byte in b"0123456789"]
    for at, digit in changes:
        changed[places[at % len(places)]] = digit
    return bytes(changed)


@given(st.sampled_from(TELEGRAMS), st.lists(digits, max_size=5))
def test_whatever_digits_change_each_telegram_is_read_as_if_it_were_the_first(
    raw: bytes, changes: list[list[tuple[int, int]]]
) -> None:
    reader = Reader(ALL)
    for change in ([], *changes, []):
        telegram = with_digits(raw, change)
        assert reader.read(telegram) == read_values(telegram, ALL)


@given(st.sampled_from(TELEGRAMS), st.randoms(use_true_random=False), digits)
def test_lines_that_come_go_and_change_places_are_read_as_if_they_were_the_first(
    raw: bytes, rng: object, changes: list[tuple[int, int]]
) -> None:
    reader = Reader(ALL)
    lines = raw.split(b"\r\n")
    for count in range(len(lines), 0, -9):
        chosen = [lines[0], *rng.choices(lines[1:-1], k=count), lines[-1]]  # type: ignore[attr-defined]
        for telegram in (
            b"\r\n".join(chosen),
            with_digits(b"\r\n".join(chosen), changes),
            b"\r".join(chosen),
        ):
            assert reader.read(telegram) == read_values(telegram, ALL)


@given(
    st.lists(
        st.sampled_from(
            [
                b"\n1-0:1.8.0",
                b"\n1-0:2.8.0",
                b"(12.5*kWh)",
                b"(-1*V)",
                b"(1",
                b"23",
                b"*kWh)",
                b"\n0-1:24.1.0(3)",
            ]
        ),
        max_size=8,
    )
)
def test_any_fragments_are_read_as_if_they_were_the_first(parts: list[bytes]) -> None:
    reader = Reader()
    for telegram in (b"/A" + b"".join(parts), b"/A" + b"".join(parts).replace(b"2", b"4")):
        assert reader.read(telegram) == read_values(telegram)


def both(reader: Reader, *lines: bytes) -> Values:
    return reader.read(b"/GWY5\r\n\r\n" + b"".join(line + b"\r\n" for line in lines) + b"!")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (b"1-0:1.8.0(000001.000*kWh)", b"1-0:2.8.0(000002.000*kWh)", {"energy_export_wh": 2000.0}),
        (b"1-0:9.8.0(000001.000*kWh)", b"1-0:1.8.0(000002.000*kWh)", {"energy_import_wh": 2000.0}),
        (b"1-0:1.8.0(000001.000*kWh)", b"1-0:1.8.0(00001.0000*kWh)", {"energy_import_wh": 1000.0}),
        (b"1-0:16.7.0(-0.100*kW)", b"1-0:16.7.0(00.100*kW)", {"power_w": 100.0}),
        (b"1-0:1.8.0(000001.000*kWh)", b"1-0:1.8.0(\xb200001.000*kWh)", {}),
        (
            b"0-1:24.1.0(3)\r\n0-1:24.2.1(260101000000W)(1.0*m3)",
            b"0-1:24.1.0(7)\r\n0-1:24.2.1(260101000000W)(2.0*m3)",
            {"water_m3": 2.0},
        ),
        (
            b"0-1:24.1.0(3)\r\n0-1:24.2.1(260101000000W)(1.0*m3)",
            b"0-1:24.1.0(3)\r\n0-2:24.2.1(260101000000W)(1.0*m3)",
            {},
        ),
        (
            b"0-1:24.1.0(3)\r\n0-1:24.2.1(260101000000W)(1.0*m3)",
            b"0-1:24.1.0(3)\r\n0-1:24.2.1(261301000000W)(1.0*m3)",
            {},
        ),
        (b"0-0:96.14.0(0001)", b"0-0:96.13.0(0001)", {}),
        (b"1-0:1.8.0(1*Wh)\r\n1-0:1.8.0(1*Wh)", b"1-0:1.8.0(1*Wh)\r\n1-0:1.8.0(2*Wh)", {}),
        (
            b"1-0:1.8.0(1*Wh)\r\n1-0:1.8.0(2*Wh)",
            b"1-0:1.8.0(2*Wh)\r\n1-0:1.8.0(2*Wh)",
            {"energy_import_wh": 2.0},
        ),
    ],
)
def test_what_looks_alike_and_is_not_is_told_apart(
    first: bytes, second: bytes, expected: dict[str, float]
) -> None:
    reader = Reader()
    for _ in range(2):
        both(reader, first)
        assert both(reader, second).quantities == expected


def test_a_reading_does_not_change_when_the_next_is_read() -> None:
    reader = Reader()
    earlier = both(reader, b"1-0:1.8.0(1*Wh)", b"0-0:96.14.0(1)")
    both(reader, b"1-0:1.8.0(2*Wh)", b"0-0:96.14.0(2)")
    assert earlier.quantities == {"energy_import_wh": 1.0, "tariff": 1.0}


def test_a_meter_whose_telegrams_never_look_alike_takes_bounded_memory() -> None:
    reader = Reader()
    lines = [b"1-0:1.8.0(%07d*Wh)" % n for n in range(100)]
    tracemalloc.start()
    try:
        for n in range(10 * LAYOUTS):
            both(reader, b"0-0:96.13.0(%s)" % (b"A" * n), *lines)
        few = tracemalloc.get_traced_memory()[0]
        for n in range(10 * LAYOUTS):
            both(reader, b"0-0:96.13.0(%s)" % (b"B" * n), *lines)
        assert tracemalloc.get_traced_memory()[0] < few * 1.2
    finally:
        tracemalloc.stop()
