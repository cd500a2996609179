"""What an exchange says that it holds: the question, the forms of the answer, and the comparison to
the µWh.
"""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.net.http_connection import MAX_REPLY_BYTES
from gateway.outbox.dialect import ReadsBack, Reply
from gateway.outbox.dialects import load_dialect
from gateway.outbox.dialects.sdk import MAX_SLOTS_PER_QUESTION
from gateway.outbox.held import held_uwh
from gateway.outbox.item import Item

NETWORK = "8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10"
ASSET = UUID("26090dea-0000-4000-8000-000000000001")
SLOT_S = 1_774_746_000
"""2026-03-29T01:00Z."""


def said(data: object, status: int = 200) -> Reply:
    return Reply(status, {}, data if isinstance(data, bytes) else json.dumps(data).encode())


def item(n: int) -> Item:
    return Item("exchange", ASSET, SLOT_S + 900 * n, "measurement", 0, 1)


def test_sdk_asks_for_the_slots_around_the_first_item() -> None:
    question = load_dialect("sdk", NETWORK, 900).ask([item(2), item(0), item(-200), item(1)])
    assert question is not None
    assert (
        question.path
        == f"historical-data/assets/{NETWORK}/{ASSET}/2026-03-29T01:00/2026-03-29T01:45"
    )
    assert question.items == (item(2), item(0), item(1))


@given(st.lists(st.integers(-500, 500), min_size=1, max_size=200, unique=True))
def test_what_sdk_asks_for_fits_one_answer_and_always_makes_progress(slots: list[int]) -> None:
    question = load_dialect("sdk", NETWORK, 900).ask([item(n) for n in slots])
    assert question is not None
    assert question.items[0] == item(slots[0])
    starts = [asked.slot_s for asked in question.items]
    assert (max(starts) - min(starts)) // 900 < MAX_SLOTS_PER_QUESTION
    row = {"time": "2026-03-29T01:00:00+00:00", "energy_kWh": 123.123456789}
    assert len(json.dumps([row] * MAX_SLOTS_PER_QUESTION)) < MAX_REPLY_BYTES / 4


def test_other_dialects_need_not_be_able_to_ask() -> None:
    assert isinstance(load_dialect("sdk", NETWORK, 900), ReadsBack)
    assert not isinstance(load_dialect("rest", NETWORK, 900), ReadsBack)


@pytest.mark.parametrize(
    "data",
    [
        [{"time": "2026-03-29T01:00", "energy_kWh": 0.125}],
        [{"Market_Slot": "2026-03-29 01:00", "energy_wh": 125.0, "fee": 3}],
        [{"time_slot": "2026-03-29T03:00:00+02:00", "energy_measurement_kWh": "0.125"}],
        {"2026-03-29T01:00": 0.125},
        {"2026-03-29T01:00:00Z": {"energy": 0.125, "trades": []}},
        {"results": {"data": [{"time": "2026-03-29T01:00", "energy_kWh": 0.125}]}, "count": 1},
        {"status": "ok", "energy_measurement": {"2026-03-29T01:00": 0.125}},
        [{"time": "2026-03-29T01:00", "energy_kWh": 0.125}, {"time": "later"}, 7, None],
    ],
)
def test_every_form_of_the_answer_means_the_same(data: object) -> None:
    assert held_uwh(said(data)) == {SLOT_S: 125_000_000}


@pytest.mark.parametrize(
    "data", [[], {}, {"results": []}, [{"time": "2026-03-29T01:00", "energy_kWh": None}]]
)
def test_an_exchange_may_say_that_it_holds_nothing(data: object) -> None:
    assert held_uwh(said(data)) == {}


@pytest.mark.parametrize(
    "answer",
    [
        said(b"<html>please log in</html>"),
        said(b""),
        said(b"[" * 60_000),
        said(b'[{"time": "2026-03-29T01:00", "energy_kWh": 0.1'),
        said(7),
        said("2026-03-29T01:00"),
        said([1, 2, 3]),
        said([{"when": "2026-03-29T01:00", "energy_kWh": 1}]),
        said([{"time": "2026-13-29T01:00", "energy_kWh": 1}]),
        said({"detail": "not found"}),
        said({"data": {"data": {"data": {"data": {"data": []}}}}}),
        said([], status=404),
    ],
)
def test_what_does_not_say_what_is_held_says_nothing(answer: Reply) -> None:
    assert held_uwh(answer) is None


@pytest.mark.parametrize(
    "value", [True, [1], {}, "much", "NaN", "Infinity", 1e300, 10**40, "1" * 50, "1e999999999"]
)
def test_what_is_no_number_is_not_held(value: object) -> None:
    assert held_uwh(said([{"time": "2026-03-29T01:00", "energy_kWh": value}])) == {}


@given(st.dictionaries(st.integers(0, 3000), st.integers(0, 10**15), max_size=40))
def test_what_sdk_sends_is_recognised_to_the_microwatthour(energy_uwh: dict[int, int]) -> None:
    dialect = load_dialect("sdk", NETWORK, 900)
    items = [
        Item("exchange", ASSET, SLOT_S + 900 * n, "measurement", 0, uwh)
        for n, uwh in energy_uwh.items()
    ]
    sent = [request.payload["energy_measurement"] for request in dialect.encode(items, "x")]
    assert isinstance(dialect, ReadsBack)
    told = dialect.held(said({"data": sent[0]})) if sent else {}
    assert told == {one.slot_s: one.energy_uwh for one in items}


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["2026-03-29T01:00", "0.1"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["time", "energy_kWh", "data", "2026-03-29T01:00", "2026-02-30T00:00", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(
    json_data.map(lambda data: json.dumps(data).encode()) | st.binary(max_size=300),
    st.integers(100, 599),
)
def test_any_answer_is_understood_or_not_and_raises_nothing(body: bytes, status: int) -> None:
    found = held_uwh(Reply(status, {}, body))
    for slot_s, uwh in (found or {}).items():
        assert isinstance(slot_s, int)
        assert isinstance(uwh, int)
        assert datetime.fromtimestamp(slot_s, UTC)
