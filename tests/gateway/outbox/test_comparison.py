"""Why a slot may differ from what the exchange holds, and what may be sent once more."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from gateway.outbox.comparison import Circumstances, Comparison, Ours, Told, shift_s
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed

LOAD, PV = UUID(int=1), UUID(int=2)
T0 = 1_774_746_000
SLOT = 900
NOW_S = T0 + 7 * 86_400 + 100.0
THIS = 125_000_000


def owed(**changes):
    item = Item("exchange", LOAD, T0, "measurement", 0, THIS)
    sent_s = T0 + SLOT + 5.0
    found = Owed(item, SLOT, "measured", T0 + SLOT + 1.0, None, "accepted", attempts=1)
    return replace(found, decided_s=sent_s, first_sent_s=sent_s, **changes)


def compared(mine, held, *, source="history", silent=None, others=None, **ours):
    """One slot of the load, where the exchange holds so much of it."""
    slots = {LOAD: {T0: Ours(mine, **ours)}, PV: others or {}}
    told = {} if held is ... else {T0: held} if held is not None else {}
    sources = {} if held is ... else {source: {LOAD: Told(told, T0, T0 + SLOT)}}
    known = Circumstances(
        now_s=NOW_S,
        slot_s=SLOT,
        settlement_s=3600.0,
        names={PV: "PV"},
        silent=silent or {},
    )
    [found] = Comparison(slots, sources, known).slots([LOAD])
    return found


def test_it_agrees_to_the_micro_watt_hour():
    assert compared(owed(), THIS).agreement == "agrees"
    assert compared(owed(), THIS + 1).agreement == "differs"
    assert compared(owed(state="pending"), THIS).agreement == "agrees", "its answer got lost"


@pytest.mark.parametrize(
    ("mine", "held", "beside", "cause", "mends"),
    [
        (owed(), None, {}, "never heard", True),
        (owed(), 5, {}, "unknown", True),
        (owed(), 5, {"forecast_uwh": 5}, "forecast", False),
        (owed(), 5, {"earlier_uwh": (5,)}, "revised since", True),
        (owed(), 5, {"others": {T0: Ours(owed(item=Item("x", PV, T0, "measurement", 0, 5)))}},
         "another asset's", True),
        (owed(state="rejected", reason="400"), None, {}, "not accepted", True),
        (owed(state="missed", closes_s=T0 + 1800.0), None, {}, "not accepted", False),
        (owed(state="pending", reason="503"), None, {}, "not delivered", False),
        (owed(state="pending", reason="gave no verdict within 30 s"), None, {},
         "never heard", False),
        (owed(attempts=0), 5, {}, "assumed", False),
        (owed(), None, {"silent": {LOAD: "off"}}, "never heard", False),
        (owed(state="pending"), None, {"silent": {LOAD: "off"}}, "never heard", False),
        (owed(quality="partial"), 5, {}, "unknown", False),
        (None, 5, {}, "not in this buffer", False),
        (owed(), 0, {"source": "results"}, "forecast", False),
        (owed(closes_s=T0 + 1800.0), 5, {}, "unknown", False),
    ],
)  # fmt: skip
def test_a_difference_has_a_cause_and_may_be_mended(mine, held, beside, cause, mends):
    found = compared(mine, held, **beside)
    assert (found.agreement, found.cause, found.mends) == ("differs", cause, mends)


def test_what_was_sent_after_its_settlement_is_not_sent_again():
    late = replace(owed(), first_sent_s=T0 + 3 * 3600.0)
    others = {T0: Ours(owed(item=Item("x", PV, T0, "measurement", 0, 7)))}
    found = compared(late, 5, others=others)
    assert (found.cause, found.mends) == ("sent too late", False)
    assert found.detail == "it was sent 2.0 h after the exchange had settled the slot"


def test_a_forecast_is_mended_only_where_measurements_are_told():
    next_s = T0 + SLOT
    other = owed(item=Item("exchange", LOAD, next_s, "measurement", 0, 77))
    ours = {LOAD: {T0: Ours(owed(), (), 5), next_s: Ours(other)}}
    known = Circumstances(now_s=NOW_S, slot_s=SLOT, settlement_s=3600.0, names={})

    def first(told):
        sources = {"history": {LOAD: Told(told, T0, next_s + SLOT)}}
        return next(Comparison(ours, sources, known).slots([LOAD]))

    assert first({T0: 5, next_s: 77}).mends
    assert not first({T0: 5, next_s: 6}).mends


def test_a_history_of_forecasts_is_no_reason_to_send_anything_again():
    starts = [T0 + n * SLOT for n in range(4)]
    ours = {at_s: Ours(owed(), (), 5) for at_s in starts[:3]} | {starts[3]: Ours(owed())}
    sources = {"history": {LOAD: Told(dict.fromkeys(starts[:3], 5), T0, starts[3] + SLOT)}}
    known = Circumstances(now_s=NOW_S, slot_s=SLOT, settlement_s=3600.0, names={})
    found = list(Comparison({LOAD: ours}, sources, known).slots([LOAD]))
    assert [(each.cause, each.mends) for each in found] == [("forecast", False)] * 4


def test_an_asset_at_rest_is_not_called_unheard():
    nothing = owed(item=Item("exchange", LOAD, T0, "measurement", 0, 0))
    assert compared(nothing, None).cause == "unknown"


@pytest.mark.parametrize(
    ("mine", "agreement"),
    [
        (owed(), "untold"),
        (owed(state="rejected", reason="400"), "differs"),
        (owed(disagreements=2, reason="was accepted twice"), "differs"),
        (replace(owed(), decided_s=NOW_S - 1), "waits"),
        (owed(state="missed", quality="partial"), "untold"),
    ],
)
def test_where_nothing_tells_the_verdict_does(mine, agreement):
    assert compared(mine, ...).agreement == agreement


def test_what_is_new_is_no_difference_yet():
    running_s = NOW_S - NOW_S % SLOT
    assert compared(replace(owed(), decided_s=running_s + 1), None).agreement == "waits"
    assert compared(replace(owed(), decided_s=running_s - 60), None).agreement == "differs"


def test_local_times_are_noticed_and_chance_is_not():
    slots = {T0 + n * SLOT: 1000 + n * n for n in range(40)}
    ours = {
        LOAD: {
            at_s: Ours(owed(item=Item("exchange", LOAD, at_s, "measurement", 0, uwh)))
            for at_s, uwh in slots.items()
        }
    }

    def told(by_s):
        return {LOAD: Told({at_s + by_s: uwh for at_s, uwh in slots.items()}, 0, 1 << 40)}

    assert shift_s(ours, told(3600), {3600, 7200}) == 3600
    assert shift_s(ours, told(0), {3600, 7200}) == 0
    flat = {LOAD: Told(dict.fromkeys(slots, 1000), 0, 1 << 40)}
    assert shift_s(ours, flat, {3600, 7200}) == 0
    assert shift_s(ours, {}, set()) == 0
