"""Dates in HTTP's headers, beside Python's own reader of such forms."""

import re
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.outbox.http_replies import http_date

FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


@given(
    st.integers(-365 * 86400, 3_124_223_999).map(lambda s: datetime.fromtimestamp(s, UTC)),
    st.sampled_from(FORMS),
)
def test_all_three_forms_are_read(when: datetime, form: str) -> None:
    assert http_date(f" {when.strftime(form)}\t") == when


def test_the_form_of_old_puts_a_blank_before_a_day_of_one_digit() -> None:
    assert http_date("Sun Nov  6 08:49:37 1994") == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


_DAMAGED = st.builds(
    lambda text, at, other, cut: text[:at] + other + text[at + cut :],
    st.sampled_from(
        [datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC).strftime(form) for form in FORMS]
    ),
    st.integers(0, 33),
    st.text(alphabet="0123456789 :,-+_.abJanGMTZ٣é\n", max_size=3),
    st.integers(0, 3),
)


@given(_DAMAGED)
@example("Thu, 31 Feb 2026 10:00:00 GMT")
@example("Thu, 26 Feb 2026 23:59:60 GMT")
def test_what_python_reads_is_read_as_the_same(text: str) -> None:
    """Python takes a time's numbers of one digit, and those of other scripts; else it asks more."""
    read = {_read(text, form) for form in FORMS} - {None}
    found = http_date(text)
    if found is not None and read:
        assert read == {found}
    if read and text.isascii() and re.search(r"\b\d:|:\d\b", text) is None:
        assert found is not None


def _read(text: str, form: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
    return None


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "GMT", "Thu, 26 Nov 2026 10:00 GMT", "Thu, 26 Nov 2026 10:00:00 CET",
     "Thu, 26 Nov 0000 10:00:00 GMT", "Thu, 26 Nov 202 10:00:00 GMT",
     "Thu, ٢٦ Nov 2026 10:00:00 GMT",
     "Thu, +6 Nov 2026 1_0:00:00 GMT", "Thu, 26 Bad 2026 10:00:00 GMT", "9" * 400],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert http_date(text) is None
