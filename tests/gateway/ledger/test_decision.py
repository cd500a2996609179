"""What becomes of a slot, case by case."""

import pytest
from msgspec.structs import replace

from gateway.energy.slot import Slot
from gateway.ledger.decision import Book, Clash, Decision, Revise, Same, decide

SLOT = Slot(
    device="pv",
    serial_number="S",
    direction="export",
    start_s=1_800_000_000,
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
LATER = replace(SLOT, begin_uwh=1400, end_uwh=1700, energy_uwh=300)
"""The same time again, with the energy that came after."""
UNKNOWN = replace(SLOT, energy_uwh=None, quality="missing", end_uwh=1000)
PROVISIONAL = replace(SLOT, method="power", quality="estimated", energy_uwh=390, end_uwh=1390)


def clash_uwh(decision: Decision) -> int:
    assert isinstance(decision, Clash)
    assert decision.unallocated.kind == "clash"
    return decision.unallocated.energy_uwh


def test_a_slot_is_booked_where_nothing_is_there() -> None:
    assert decide(SLOT, []) == Book(SLOT)


def test_slots_of_other_meters_and_directions_are_no_hindrance() -> None:
    booked = [replace(SLOT, device="grid"), replace(SLOT, direction="import")]
    assert decide(SLOT, booked) == Book(SLOT)


def test_the_very_same_slot_is_booked_again_so_that_what_is_owed_for_it_is_looked_at() -> None:
    assert decide(SLOT, [SLOT]) == Book(SLOT)


def test_a_whole_slot_clashes_with_a_whole_one_of_the_meters_other_series() -> None:
    decision = decide(SLOT, [replace(SLOT, serial_number="OLD", quality="estimated")])
    assert isinstance(decision, Clash)
    assert clash_uwh(decision) == 400
    told = decision.unallocated
    assert (told.device, told.serial_number, told.direction) == ("pv", "S", "export")
    assert (told.from_ms, told.to_ms) == (1_800_000_000_000, 1_800_000_900_000)


def test_it_clashes_also_where_its_own_series_has_something_there() -> None:
    booked = [PROVISIONAL, replace(SLOT, serial_number="OLD")]
    assert clash_uwh(decide(replace(SLOT, revision=1), booked)) == 400


def test_the_very_same_slot_stays_booked_beside_another_series() -> None:
    assert decide(SLOT, [replace(SLOT, serial_number="OLD"), SLOT]) == Book(SLOT)


@pytest.mark.parametrize(
    ("mine", "other"),
    [("partial", "measured"), ("measured", "partial"), ("measured", "missing")],
)
def test_two_series_share_a_slot_where_one_of_them_has_only_a_part_of_it(
    mine: str, other: str
) -> None:
    slot = replace(SLOT, quality=mine)  # type: ignore[arg-type]
    old = replace(SLOT, serial_number="OLD", quality=other)  # type: ignore[arg-type]
    assert decide(slot, [old]) == Book(slot)


def test_a_slot_of_which_nothing_is_known_revises_what_power_had_claimed() -> None:
    unknown = replace(UNKNOWN, revision=1)
    assert decide(unknown, [PROVISIONAL]) == Revise(unknown)


def test_a_slot_of_which_nothing_is_known_changes_nothing_else() -> None:
    assert decide(replace(UNKNOWN, revision=1), [SLOT]) == Same()


def test_energy_revises_a_slot_of_which_nothing_was_known() -> None:
    assert decide(SLOT, [UNKNOWN]) == Revise(replace(SLOT, revision=1))
    assert decide(SLOT, [replace(UNKNOWN, revision=4)]) == Revise(replace(SLOT, revision=5))
    ahead = replace(SLOT, revision=7)
    assert decide(ahead, [replace(UNKNOWN, revision=4)]) == Revise(ahead)


def test_an_unknown_slot_of_another_length_is_not_filled() -> None:
    longer = replace(UNKNOWN, length_s=1800)
    assert clash_uwh(decide(SLOT, [longer])) == 400


def test_energy_that_came_later_clashes_with_what_has_the_time() -> None:
    assert clash_uwh(decide(LATER, [SLOT])) == 300
    assert clash_uwh(decide(replace(LATER, revision=1), [SLOT])) == 300


def test_a_later_slot_without_energy_loses_nothing() -> None:
    assert decide(replace(LATER, energy_uwh=0, end_uwh=1400), [SLOT]) == Same()


def test_a_provisional_slot_has_no_claim_on_the_time() -> None:
    revision = replace(LATER, revision=1)
    assert decide(revision, [PROVISIONAL]) == Revise(revision)


def test_an_empty_beginning_has_no_claim_on_the_time_against_a_revision() -> None:
    empty = replace(SLOT, energy_uwh=0, quality="partial", end_uwh=1000)
    revision = replace(SLOT, begin_uwh=1000, revision=1)
    assert decide(revision, [empty]) == Revise(revision)
    assert clash_uwh(decide(SLOT, [empty])) == 400


def test_a_partial_slot_with_energy_keeps_its_time() -> None:
    partial = replace(SLOT, quality="partial")
    assert clash_uwh(decide(replace(LATER, revision=1), [partial])) == 300


def test_a_slot_is_revised_by_its_own_revision() -> None:
    revision = replace(SLOT, energy_uwh=410, end_uwh=1410, revision=1)
    assert decide(revision, [PROVISIONAL]) == Revise(revision)
    assert decide(revision, [SLOT]) == Revise(revision)


def test_the_same_energy_again_changes_nothing() -> None:
    again = replace(SLOT, samples=3, quality="estimated")
    assert decide(again, [SLOT]) == Same()
    assert decide(again, [replace(SLOT, revision=2)]) == Same()
