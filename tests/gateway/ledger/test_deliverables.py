"""What follows for assets and destinations: without a buffer."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import pytest
from msgspec.structs import replace

from gateway.energy.assets import Formula
from gateway.energy.slot import AssetSlot, Slot
from gateway.ledger.deliverables import asset_slots_for, deliverables_for
from gateway.outbox.foreseen import Said
from gateway.outbox.format import Batch, Closed, Margins, Number, Terms, Window
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import Owed

START_S = 1_800_000_000
ASSET, OTHER, FORETOLD = UUID(int=1), UUID(int=2), UUID(int=3)
FORMULAS = {ASSET: Formula.parse("grid.import"), OTHER: Formula.parse("grid.import + pv.export")}
SLOT = Slot(
    device="grid",
    serial_number="S",
    direction="import",
    start_s=START_S,
    length_s=900,
    energy_uwh=400,
    quality="measured",
    method="counter",
    coverage_permille=1000,
    samples=90,
    largest_gap_ms=10_000,
    begin_uwh=1000,
    end_uwh=1400,
    begin_register_uwh=1000,
    end_register_uwh=1400,
    clock="kernel",
)
NUMBER = Number(ASSET, START_S, "measurement", 400, "measured")


@dataclass
class Numbers:
    """Selects what a test says."""

    found: Sequence[Number]

    def numbers(self, closed: Closed, now_s: float) -> Iterable[Number]:  # noqa: ARG002
        return self.found


@dataclass
class Format:
    """Windows that tell what they were made of."""

    kinds: frozenset[Kind] = frozenset({"measurement"})
    dated: bool = True

    def window(self, kind: Kind, slot_s: int, kept: Margins) -> Window:  # noqa: ARG002
        return Window(
            slot_s + 900 + kept.margin_s, None if self.dated else slot_s + 1800 - kept.lead_s
        )

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Batch]:  # noqa: ARG002
        raise AssertionError("nothing is sent here")


def owed_for(
    *numbers: Number, before: Owed | None = None, form: Format | None = None
) -> list[Owed]:
    terms = Terms("market", Numbers(numbers), form or Format(), Margins(2.0, 2.0))
    asked: list[tuple[object, ...]] = []

    def newest(*what: object) -> Owed | None:
        asked.append(what)
        return before

    found = list(deliverables_for([terms], Closed([], []), newest, 900, now_s=5.0))
    kinds = {number.kind for number in numbers}
    assert set(asked) <= {("market", ASSET, START_S, kind) for kind in kinds}
    return found


def asset_slots(new: Sequence[Slot], booked: Sequence[Slot] = (), **before: AssetSlot):  # type: ignore[no-untyped-def]
    known = list(before.values())
    return list(
        asset_slots_for(
            new,
            FORMULAS,
            900,
            lambda start_s: [slot for slot in booked if slot.start_s == start_s],
            lambda asset, start_s: next(
                (each for each in known if (each.asset, each.start_s) == (asset, start_s)), None
            ),
            lambda asset, _: Said(500, 450, 560, "auto") if asset == FORETOLD else None,
        )
    )


# --- assets ---------------------------------------------------------------------------------------


def test_an_assets_slot_is_there_once_all_its_meters_have_closed_theirs() -> None:
    pv = replace(SLOT, device="pv", direction="export", energy_uwh=7)
    assert asset_slots([SLOT]) == [AssetSlot(ASSET, START_S, 900, 400, None, "measured")]
    assert asset_slots([pv], [SLOT]) == [AssetSlot(OTHER, START_S, 900, 407, None, "measured")]


def test_slots_of_another_length_make_no_assets_slot() -> None:
    assert asset_slots([replace(SLOT, length_s=1800)]) == []
    longer = replace(SLOT, device="pv", direction="export", length_s=1800)
    assert [each.asset for each in asset_slots([SLOT], [longer])] == [ASSET]


def test_an_assets_slot_that_was_not_wholly_metered_has_no_energy() -> None:
    [made] = asset_slots([replace(SLOT, quality="partial")])
    assert (made.energy_uwh, made.quality) == (None, "partial")


def test_an_assets_slot_counts_how_often_it_was_written_anew() -> None:
    before = AssetSlot(ASSET, START_S, 900, 390, None, "estimated", revision=3)
    assert [each.revision for each in asset_slots([replace(SLOT, revision=1)], a=before)] == [4]


def test_the_same_assets_slot_again_is_no_revision() -> None:
    before = AssetSlot(ASSET, START_S, 900, 400, None, "measured", revision=3)
    assert asset_slots([replace(SLOT, samples=12)], a=before) == [before]


def test_what_was_expected_stands_beside_what_came_and_stays_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FORMULAS, FORETOLD, Formula.parse("grid.import"))
    made = next(each for each in asset_slots([SLOT]) if each.asset == FORETOLD)
    assert (made.forecast_uwh, made.forecast_low_uwh, made.forecast_high_uwh) == (500, 450, 560)
    assert made.forecast_by == "auto"
    before = replace(made, forecast_uwh=480)
    again = replace(SLOT, energy_uwh=390, revision=1)
    anew = next(each for each in asset_slots([again], a=before) if each.asset == FORETOLD)
    assert (anew.energy_uwh, anew.revision, anew.forecast_uwh) == (390, 1, 480)


# --- destinations ---------------------------------------------------------------------------------


def test_a_number_is_owed_by_the_destinations_terms() -> None:
    assert owed_for(NUMBER) == [
        Owed(
            Item("market", ASSET, START_S, "measurement", 0, 400),
            length_s=900,
            quality="measured",
            opens_s=START_S + 902.0,
            closes_s=None,
        )
    ]


def test_each_destination_is_owed_its_own() -> None:
    both = [
        Terms(name, Numbers([NUMBER]), Format(), Margins(0.0, 0.0)) for name in ("market", "fleet")
    ]
    found = deliverables_for(both, Closed([], []), lambda *_: None, 900, 5.0)
    assert [owed.item.destination for owed in found] == ["market", "fleet"]


def test_a_negative_number_is_delivered_as_zero_and_kept_as_it_is() -> None:
    [owed] = owed_for(replace(NUMBER, energy_uwh=-5))
    assert (owed.item.energy_uwh, owed.raw_uwh) == (0, -5)


def test_what_cannot_be_delivered_is_missed_at_once_with_the_reason() -> None:
    [owed] = owed_for(replace(NUMBER, quality="partial", undeliverable="half of it"))
    assert (owed.state, owed.reason, owed.decided_s) == ("missed", "half of it", 5.0)


def test_what_the_format_cannot_say_is_not_owed() -> None:
    assert owed_for(replace(NUMBER, kind="forecast")) == []


def test_what_is_written_anew_before_it_was_owed_is_owed_for_the_first_time() -> None:
    [owed] = owed_for(replace(NUMBER, revised=True))
    assert owed.item.revision == 0


def test_another_number_is_owed_as_the_next_revision() -> None:
    [before] = owed_for(replace(NUMBER, energy_uwh=390))
    [owed] = owed_for(replace(NUMBER, revised=True), before=before.revised(3))
    assert (owed.item.revision, owed.item.energy_uwh) == (4, 400)


@pytest.mark.parametrize("state", ["pending", "sent", "accepted"])
def test_the_same_number_is_not_owed_again(state: str) -> None:
    [before] = owed_for(NUMBER)
    before = replace(before, state=state)  # type: ignore[arg-type]
    assert owed_for(replace(NUMBER, revised=True), before=before) == []


@pytest.mark.parametrize("state", ["rejected", "missed"])
def test_the_same_number_is_owed_again_where_it_never_arrived(state: str) -> None:
    [before] = owed_for(NUMBER)
    before = replace(before, state=state)  # type: ignore[arg-type]
    [owed] = owed_for(replace(NUMBER, revised=True), before=before)
    assert owed.item.revision == 1


def test_two_negative_sums_are_two_numbers_though_both_are_delivered_as_zero() -> None:
    [before] = owed_for(replace(NUMBER, energy_uwh=-5))
    assert owed_for(replace(NUMBER, energy_uwh=-5, revised=True), before=before) == []
    [owed] = owed_for(replace(NUMBER, energy_uwh=-6, revised=True), before=before)
    assert (owed.item.revision, owed.raw_uwh) == (1, -6)


def test_where_numbers_bear_no_date_nothing_is_owed_twice() -> None:
    undated = Format(dated=False)
    [before] = owed_for(NUMBER, form=undated)
    again = replace(NUMBER, energy_uwh=500, revised=True)
    assert owed_for(again, before=before, form=undated) == []


def test_what_turns_out_undeliverable_after_all_leaves_what_is_owed_as_it_is() -> None:
    [before] = owed_for(NUMBER)
    gone = replace(NUMBER, quality="partial", undeliverable="half of it", revised=True)
    assert owed_for(gone, before=before) == []


FORECASTS = Format(kinds=frozenset({"forecast"}))
FORECAST = Number(ASSET, START_S, "forecast", 400, "estimated")


def test_a_forecast_is_owed_once() -> None:
    [before] = owed_for(FORECAST, form=FORECASTS)
    again = replace(FORECAST, energy_uwh=900)
    assert owed_for(again, before=before, form=FORECASTS) == []


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(
    ("energy_uwh", "revisions"), [(450, []), (350, []), (451, [3]), (349, [3])]
)
def test_a_better_one_takes_its_place_where_it_says_something_else(
    energy_uwh: int, revisions: list[int], dated: bool
) -> None:
    form = dataclasses.replace(FORECASTS, dated=dated)
    [before] = owed_for(FORECAST, form=form)
    better = replace(FORECAST, energy_uwh=energy_uwh, beyond_uwh=50)
    found = owed_for(better, before=before.revised(2), form=form)
    assert [owed.item.revision for owed in found] == revisions


def test_a_better_one_that_cannot_be_sent_any_more_is_not_owed() -> None:
    past = replace(FORECAST, slot_s=-3000, beyond_uwh=50)
    form = dataclasses.replace(FORECASTS, dated=False)
    terms = Terms("market", Numbers([past]), form, Margins(2.0, 2.0))
    [before] = owed_for(FORECAST, form=form)
    sent = replace(before, item=replace(before.item, slot_s=-3000, energy_uwh=9000))
    assert list(deliverables_for([terms], Closed([], []), lambda *_: sent, 900, 5.0)) == []
