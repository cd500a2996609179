"""What is taken of a message, and what is refused; and how it is said."""

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.checking import MAX_UWH, acks, check
from gateway.fleet.collector import without_nul
from gateway.outbox.fleet.messages import (
    MAX_ACK_BYTES,
    AssetRow,
    AssetRows,
    BadMessage,
    MeterRow,
    MeterRows,
    Slots,
    Status,
    decode_ack,
    decode_slots,
    encode,
)
from tests.draws import draws
from tests.gateway.fleet.homes import SLOT_S, Home, asset_of

NOW_S = 1_796_000_400


def a_message(**changes: Any) -> Slots:
    home = Home("home-1")
    home.close(NOW_S)
    return home.slots([1], NOW_S, **changes)


def with_row(**changes: Any) -> Slots:
    row = msgspec.structs.replace(AssetRow(NOW_S, 0, 5, "measured", 1), **changes)
    good = AssetRow(NOW_S - SLOT_S, 0, 6, "measured", 1)
    return a_message(items=[AssetRows(asset_of("home-1"), "measurement", SLOT_S, [good, row])])


def with_meter(name: str = "grid", serial: str = "1", length_s: int = 900, **row: Any) -> Slots:
    plain = MeterRow(NOW_S, 0, 5, "measured", "counter", 1000, 90, 10, 1, 6, "kernel", 1)
    rows = [msgspec.structs.replace(plain, **row)]
    return a_message(meters=[MeterRows(name, "import", serial, length_s, rows)])


def test_a_good_message_is_taken_whole() -> None:
    message = a_message()
    checked = check(message, NOW_S)
    assert checked.newest == (NOW_S, SLOT_S)
    assert (checked.items, checked.meters, checked.refusals) == (
        message.items,
        message.meters,
        [],
    )


def test_a_forecast_is_not_the_newest_slot() -> None:
    row = AssetRow(NOW_S + 2 * SLOT_S, 0, 5, "measured")
    forecast = AssetRows(asset_of("home-1"), "forecast", SLOT_S, [row])
    message = a_message()
    both = msgspec.structs.replace(message, items=[*message.items, forecast])
    assert check(both, NOW_S).newest == (NOW_S, SLOT_S)
    assert check(a_message(items=[forecast], meters=[]), NOW_S).newest is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"slot_s": 0}, "more than 400 days ago"),
        ({"slot_s": -(1 << 70)}, "more than 400 days ago"),
        ({"slot_s": NOW_S + 90_000}, "more than a day ahead"),
        ({"slot_s": 1 << 80}, "more than a day ahead"),
        ({"slot_s": NOW_S + 1}, "does not begin where slots do"),
        ({"revision": -1}, "revision"),
        ({"revision": 40_000}, "revision"),
        ({"energy_uwh": MAX_UWH + 1}, "energy"),
        ({"uncertainty_uwh": -1}, "uncertainty"),
    ],
)
def test_a_row_that_cannot_be_is_refused_alone(changes: dict[str, Any], why: str) -> None:
    checked = check(with_row(**changes), NOW_S)
    (refusal,) = checked.refusals
    assert why in refusal.why
    assert asset_of("home-1") in refusal.why
    assert [row.energy_uwh for row in checked.items[0].rows] == [6]
    assert len(refusal.rows.rows) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"coverage_permille": 1001}, "coverage"),
        ({"samples": -1}, "samples"),
        ({"largest_gap_ms": 1 << 40}, "gap"),
        ({"end_register_uwh": 1 << 62}, "register"),
        ({"name": "a\0b"}, "name or serial"),
        ({"serial": "x" * 201}, "name or serial"),
        ({"length_s": 0}, "do not divide a day"),
        ({"length_s": 700}, "do not divide a day"),
    ],
)
def test_a_meter_that_cannot_be_is_refused(changes: dict[str, Any], why: str) -> None:
    checked = check(with_meter(**changes), NOW_S)
    assert [why in each.why for each in checked.refusals] == [True]
    assert checked.meters == []
    assert len(checked.items) == 2, "the assets are taken"


def test_what_is_no_uuid_is_refused() -> None:
    items = [AssetRows("house" * 100, "measurement", 900, [AssetRow(NOW_S, 0, 1, "measured")])]
    (refusal,) = check(a_message(items=items), NOW_S).refusals
    assert "is no UUID" in refusal.why
    assert len(refusal.why) < 100


@pytest.mark.parametrize("changes", [{"method": "psychic"}, {"clock": "sundial"}])
def test_a_word_of_a_later_version_waits_for_the_collector(changes: dict[str, Any]) -> None:
    with pytest.raises(BadMessage, match="bring the collector up to date"):
        check(with_meter(**changes), NOW_S)


SPANS = st.lists(
    st.tuples(st.integers(1, 1 << 53), st.integers(0, 1 << 40)).map(lambda t: (t[0], sum(t))),
    max_size=200,
)


@given(SPANS, st.sampled_from(["", "why " * 200]), SPANS, st.sampled_from(["", "look " * 200]))
@draws(60)
def test_a_word_is_never_longer_than_a_gateway_takes_and_nothing_of_it_is_lost(
    seq: list[tuple[int, int]], why: str, ask: list[tuple[int, int]], warning: str
) -> None:
    said = acks("a" * 36, seq, why=why, ask=ask, warning=warning)
    for each in said:
        assert len(encode(each)) <= MAX_ACK_BYTES
        assert decode_ack(encode(each)) == each
    assert [span for each in said for span in each.ask] == ask
    decided = [s for each in said for s in (*each.stored, *(r.seq for r in each.refused))]
    assert decided == seq
    assert all(not each.stored for each in said) or not why


def test_checking_a_week_takes_little_of_the_processor() -> None:
    """100 µs a message of 96 slots would be enough for 10,000 homes; ten times that is a bug."""
    home = Home("home-1")
    for n in range(96):
        home.close(NOW_S - n * SLOT_S)
    message = home.slots(home.changes, NOW_S)
    begin_s = time.process_time()
    for _ in range(20):
        check(message, NOW_S)
    assert (time.process_time() - begin_s) / 20 < 0.05


@pytest.mark.parametrize(
    "changes", [{"sent": 10**400}, {"sent": -1}, {"seq": [(1, 1 << 63)]}, {"store": ""}]
)
def test_a_head_that_cannot_be_is_no_message(changes: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        check(a_message(**changes), NOW_S)


@pytest.mark.parametrize("text", ["a\0b", "a\\u0000b", "\\", '"'])
def test_a_status_is_stored_whatever_its_texts_are(text: str) -> None:
    status = Status(1, "home-1", "store", True, 0, text, problems=[text], meters={text: text})
    told = without_nul(status)
    assert told["meters"] == {text.replace("\0", ""): text.replace("\0", "")}
    assert told["version"] == text.replace("\0", "")
    assert told["problems"] == [text.replace("\0", "")]


NUMBERS = st.one_of(st.integers(), st.integers(-(10**30), 10**30), st.sampled_from([10**400, -1]))


@given(st.data())
@draws(150)
def test_whatever_numbers_and_words_come_it_is_a_message_or_none(data: st.DataObject) -> None:
    """Any one value of a good message is another one."""
    plain = msgspec.json.decode(encode(a_message()))
    places = [
        (holder, key)
        for holder in _holders(plain)
        for key in (range(len(holder)) if isinstance(holder, list) else list(holder))
    ]
    holder, key = data.draw(st.sampled_from(places))
    value = st.one_of(NUMBERS, st.text(), st.none(), st.booleans(), st.floats(), st.just([]))
    holder[key] = data.draw(value)
    try:
        message = decode_slots(msgspec.json.encode(plain), "home-1")
        checked = check(message, NOW_S)
    except BadMessage:
        return
    rows = sum(len(each.rows) for each in (*checked.items, *checked.meters))
    refused = sum(len(each.rows.rows) for each in checked.refusals)
    assert rows + refused == message.rows, "every row is taken or refused"
    for refusal in checked.refusals:
        assert msgspec.json.encode(refusal.rows)


def _holders(value: Any) -> list[Any]:
    if not isinstance(value, list | dict):
        return []
    inside = value.values() if isinstance(value, dict) else value
    return [value, *(holder for each in inside for holder in _holders(each))]
