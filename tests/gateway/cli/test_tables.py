"""Times and energies as text."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.tables import kwh_text, moment_s, utc_text

NOW_S = 1_774_800_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-29", datetime(2026, 3, 29, tzinfo=UTC).timestamp()),
        ("2026-03-29T01:15", datetime(2026, 3, 29, 1, 15, tzinfo=UTC).timestamp()),
        ("2026-03-29T01:15Z", datetime(2026, 3, 29, 1, 15, tzinfo=UTC).timestamp()),
        ("2026-03-29T03:15+02:00", datetime(2026, 3, 29, 1, 15, tzinfo=UTC).timestamp()),
        ("2h", NOW_S - 7200),
        ("90min", NOW_S - 5400),
        ("3d", NOW_S - 3 * 86400),
    ],
)
def test_a_time_is_a_date_an_instant_or_so_long_ago(text, seconds):
    assert moment_s(text, NOW_S) == seconds


@given(st.text(max_size=30))
def test_any_other_text_is_refused_with_what_to_write(text):
    try:
        moment_s(text, NOW_S)
    except ValueError as error:
        assert "write 2026-03-29" in str(error)


@given(st.integers(min_value=0, max_value=7_000_000_000))
def test_the_text_of_a_time_reads_back_as_that_time(at_s):
    assert moment_s(utc_text(at_s), NOW_S) == at_s


@given(st.integers(min_value=0, max_value=10**18))
def test_kwh_are_exact_plain_digits(energy_uwh):
    text = kwh_text(energy_uwh)
    assert Decimal(text) == Decimal(energy_uwh).scaleb(-9)
    assert set(text) <= set("0123456789.")
    assert not text.endswith(".")
