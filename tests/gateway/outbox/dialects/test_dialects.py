"""Both dialects: what goes over the wire, and what comes back."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.dialect import Reply
from gateway.outbox.dialects import dialect_names, load_dialect
from gateway.outbox.dialects.sdk import MAX_SLOTS_PER_REQUEST
from gateway.outbox.format import Accepted, Margins, Rejected, Retry
from gateway.outbox.http_replies import MAX_REASON_CHARS
from gateway.outbox.item import Item

NETWORK = "8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10"
ASSET = UUID("26090dea-0000-4000-8000-000000000001")
TRANSACTION = "6f1f2a52-7bb7-4b6f-9f0f-0f1d3c1c2b3a"
KEPT = Margins(1.0, 15.0)
SLOT_S = 1_774_746_000
"""2026-03-29T01:00Z, the hour that local clocks in Europe skip."""

assets = st.sampled_from([UUID(int=n) for n in range(1, 4)])
energies = st.integers(0, 10**14)


def items(*kinds: str) -> st.SearchStrategy[list[Item]]:
    slots = st.integers(0, 60).map(lambda n: SLOT_S + 900 * n)
    one = st.builds(
        Item,
        st.just("exchange"),
        assets,
        slots,
        st.sampled_from(kinds),
        st.integers(0, 2),
        energies,
    )
    return st.lists(one, max_size=60, unique_by=lambda i: (i.subject, i.slot_s, i.kind, i.revision))


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def test_the_dialects_are_the_files_of_the_folder() -> None:
    assert {"rest", "sdk"} <= set(dialect_names())


# --- rest ---


def test_rest_sends_watt_hours_without_a_time() -> None:
    (request,) = load_dialect("rest", NETWORK, 900).encode(
        [Item("exchange", ASSET, SLOT_S, "measurement", 0, 137_250_000)], TRANSACTION
    )
    assert request.address == f"external-connection/api/{NETWORK}/{ASSET}/set_energy_forecast/"
    assert json.dumps(request.payload) == '{"energy_Wh": 137.25}'


def test_rest_sends_only_inside_the_slot_that_follows() -> None:
    window = load_dialect("rest", NETWORK, 900).window("measurement", SLOT_S, Margins(2.0, 15.0))
    assert (window.opens_s, window.closes_s) == (SLOT_S + 902, SLOT_S + 1785)


def test_rest_has_no_forecasts() -> None:
    dialect = load_dialect("rest", NETWORK, 900)
    with pytest.raises(ValueError, match="forecast"):
        dialect.window("forecast", SLOT_S, KEPT)
    with pytest.raises(ValueError, match="forecast"):
        dialect.encode([Item("exchange", ASSET, SLOT_S, "forecast", 0, 1)], TRANSACTION)


@given(items("measurement"))
def test_rest_carries_every_item_once_in_order_and_exactly(owed: list[Item]) -> None:
    requests = load_dialect("rest", NETWORK, 900).encode(owed, TRANSACTION)
    assert [item for request in requests for item in request.items] == owed
    for request in requests:
        (item,) = request.items
        assert str(item.subject) in request.address
        wh = json.loads(json.dumps(request.payload), parse_float=Decimal)["energy_Wh"]
        assert wh * 10**6 == item.energy_uwh


# --- sdk ---


def test_sdk_sends_dated_kilowatt_hours() -> None:
    dialect = load_dialect("sdk", NETWORK, 900)
    owed = [
        Item("exchange", ASSET, SLOT_S, "measurement", 0, 125_000_000),
        Item("exchange", ASSET, SLOT_S + 900, "measurement", 0, 1),
    ]
    forecast = Item("exchange", ASSET, SLOT_S + 1800, "forecast", 0, 137_000_000)
    measurements, forecasts = dialect.encode([*owed, forecast], TRANSACTION)
    assert (
        measurements.address == f"external-connection/api/{NETWORK}/{ASSET}/set-energy-measurement/"
    )
    assert measurements.payload == {
        "energy_measurement": {"2026-03-29T01:00": 0.125, "2026-03-29T01:15": 1e-9},
        "transaction_id": TRANSACTION,
    }
    assert forecasts.address == f"external-connection/api/{NETWORK}/{ASSET}/set-energy-forecast/"
    assert forecasts.payload == {
        "energy_forecast": {"2026-03-29T01:30": 0.137},
        "transaction_id": TRANSACTION,
    }


def test_sdk_names_seconds_only_where_slots_are_not_whole_minutes() -> None:
    (request,) = load_dialect("sdk", NETWORK, 15).encode(
        [Item("exchange", ASSET, SLOT_S + 15, "measurement", 0, 0)], TRANSACTION
    )
    assert request.payload["energy_measurement"] == {"2026-03-29T01:00:15": 0.0}


def test_sdk_windows() -> None:
    dialect = load_dialect("sdk", NETWORK, 900)
    measured, forecast = (
        dialect.window("measurement", SLOT_S, KEPT),
        dialect.window("forecast", SLOT_S, KEPT),
    )
    assert (measured.opens_s, measured.closes_s) == (SLOT_S + 901, None)
    assert forecast.opens_s < SLOT_S - 10 * 86400
    assert forecast.closes_s == SLOT_S - 15


@given(items("measurement", "forecast"))
def test_sdk_carries_every_item_once_and_exactly(owed: list[Item]) -> None:
    requests = load_dialect("sdk", NETWORK, 900).encode(owed, TRANSACTION)
    assert Counter(item for request in requests for item in request.items) == Counter(owed)
    for request in requests:
        (stream,) = {(item.subject, item.kind) for item in request.items}
        numbers = json.loads(json.dumps(request.payload), parse_float=Decimal)[
            f"energy_{stream[1]}"
        ]
        assert [value * 10**9 for value in numbers.values()] == [
            item.energy_uwh for item in request.items
        ]


@given(items("measurement"))
def test_sdk_sends_revisions_of_a_slot_in_their_order(owed: list[Item]) -> None:
    owed.sort(key=lambda item: (item.slot_s, item.revision))
    requests = load_dialect("sdk", NETWORK, 900).encode(owed, TRANSACTION)
    for key in {(item.subject, item.slot_s) for item in owed}:
        sent = [
            item.revision
            for request in requests
            for item in request.items
            if (item.subject, item.slot_s) == key
        ]
        assert sent == sorted(sent)


def test_sdk_bounds_its_requests() -> None:
    owed = [
        Item("exchange", asset, SLOT_S + 900 * n, "measurement", 0, 1)
        for n in range(4500)
        for asset in (UUID(int=1), UUID(int=2))
    ]
    requests = load_dialect("sdk", NETWORK, 900).encode(owed, TRANSACTION)
    assert [len(request.items) for request in requests] == [MAX_SLOTS_PER_REQUEST] * 4 + [500] * 2
    assert sum(len(request.items) for request in requests) == len(owed)


# --- replies ---


@pytest.mark.parametrize("name", dialect_names())
@pytest.mark.parametrize(
    "answer",
    [
        reply(200),
        reply(204),
        reply(200, b'{"status": "queued"}'),
        reply(201, b" \n"),
        reply(200, b"null"),
    ],
)
def test_2xx_with_a_receipt_or_nothing_is_accepted(name: str, answer: Reply) -> None:
    assert load_dialect(name, NETWORK, 900).judge(answer) == Accepted()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(200, b"<html>please log in</html>"), "is the URL right"),
        (reply(200, b"OK then"), "is the URL right"),
        (reply(200, b"[" * 60_000), "is the URL right"),
        (reply(302, location="https://login.example/"), "redirects to https://login.example/"),
        (reply(404, b"<html>not found</html>"), "web page"),
        (reply(403, b"<html>blocked</html>"), "web page"),
        (reply(500, b"<html>oops</html>"), "answered 500"),
        (reply(503, b'{"detail": "maintenance"}'), "maintenance"),
        (reply(408), "answered 408"),
        (reply(429, b'{"detail": "slowly"}'), "slowly"),
    ],
)
def test_what_is_no_verdict_is_tried_again(answer: Reply, words: str) -> None:
    outcome = load_dialect("sdk", NETWORK, 900).judge(answer)
    assert isinstance(outcome, Retry)
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("answer", "reason", "whole"),
    [
        (
            reply(400, b'{"detail": "energy must not be negative"}'),
            "answered 400: energy must not be negative",
            False,
        ),
        (reply(400, b'{"error": "bad"}'), "answered 400: bad", False),
        (
            reply(422, b'{"energy_forecast": ["wrong"]}'),
            'answered 422: {"energy_forecast": ["wrong"]}',
            False,
        ),
        (reply(404, b'{"detail": "no such asset"}'), "answered 404: no such asset", True),
        (reply(400), "answered 400", False),
        (reply(413, b"<html>too large</html>"), "answered 413: a web page", False),
    ],
)
def test_4xx_is_rejected_with_the_reason(answer: Reply, reason: str, whole: bool) -> None:
    outcome = load_dialect("sdk", NETWORK, 900).judge(answer)
    assert outcome == Rejected(reason, whole, cause=str(answer.status))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("99999999", 3600.0),
        ("9" * 5000, 3600.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
    ],
)
def test_retry_after_is_taken_in_seconds_and_bounded(text: str, seconds: float | None) -> None:
    outcome = load_dialect("sdk", NETWORK, 900).judge(reply(429, retry_after=text))
    assert isinstance(outcome, Retry)
    assert outcome.after_s == seconds


_FORMS = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"]


@given(
    st.integers(946_684_800, 2_840_140_800).map(lambda s: datetime.fromtimestamp(s, UTC)),
    st.integers(-100_000, 100_000),
    st.sampled_from(_FORMS),
    st.sampled_from(_FORMS),
)
def test_a_date_of_retry_after_is_measured_by_the_replys_own(
    now: datetime, wait_s: int, form: str, now_form: str
) -> None:
    until = now + timedelta(seconds=wait_s)
    outcome = load_dialect("sdk", NETWORK, 900).judge(
        reply(429, retry_after=until.strftime(form), date=now.strftime(now_form))
    )
    assert isinstance(outcome, Retry)
    assert outcome.after_s == min(max(wait_s, 0), 3600)


@pytest.mark.parametrize(
    ("until", "now"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", ""),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "just now"),
        (
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT",
        ),
        ("Sun, 36 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Sun, 06 Nov 1994 08:49:37 GMT" * 9999, "Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
def test_a_date_that_cannot_be_measured_is_none(until: str, now: str) -> None:
    outcome = load_dialect("sdk", NETWORK, 900).judge(reply(503, retry_after=until, date=now))
    assert isinstance(outcome, Retry)
    assert outcome.after_s is None


@pytest.mark.parametrize("body", [b"{}", b" ", b""])
def test_a_reply_that_was_cut_is_no_receipt(body: bytes) -> None:
    cut = Reply(200, {}, body.ljust(64 * 1024), complete=False)
    outcome = load_dialect("sdk", NETWORK, 900).judge(cut)
    assert isinstance(outcome, Retry)
    assert outcome.reason == "answered 200 with more than 64 KiB; is the URL right?"


@given(
    st.integers(200, 599),
    st.binary(max_size=2000) | st.text(max_size=2000).map(str.encode),
    st.text(max_size=20),
)
def test_any_reply_gets_a_verdict_with_one_bounded_line(
    status: int, body: bytes, header: str
) -> None:
    outcome = load_dialect("rest", NETWORK, 900).judge(
        Reply(status, {"retry-after": header, "location": header}, body)
    )
    if outcome == Accepted():
        return
    assert isinstance(outcome, Rejected | Retry)
    assert outcome.reason
    assert len(outcome.reason) <= MAX_REASON_CHARS + 40
    assert outcome.reason.isprintable()


def test_a_reply_cannot_write_lines_of_our_log() -> None:
    outcome = load_dialect("sdk", NETWORK, 900).judge(
        reply(400, b'{"detail": "a\\nFAKE LINE\\u001b[31m"}')
    )
    assert outcome == Rejected("answered 400: a FAKE LINE [31m", cause="400")
