"""What the slots of several meters add up to."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from gateway.energy.asset_slots import (
    asset_slot,
    energy_of,
    once_written,
    parts_of,
    uncertainty_of,
    worst_of,
)
from gateway.energy.assets import Formula
from gateway.energy.slot import AssetSlot, Slot

SLOT = Slot(
    device="grid",
    serial_number="S",
    direction="import",
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
PV = replace(SLOT, device="pv", direction="export", energy_uwh=1000)
FORMULA = Formula.parse("grid.import - pv.export")


def test_new_slots_are_written_over_those_of_the_same_series_only() -> None:
    new = replace(SLOT, energy_uwh=500, revision=1)
    old_series = replace(SLOT, serial_number="OLD")
    assert once_written([new], [SLOT, old_series, PV]) == [old_series, PV, new]


def test_a_formula_has_its_parts_once_every_meter_has_closed_its_slot() -> None:
    assert parts_of(FORMULA, [SLOT]) == []
    assert parts_of(FORMULA, [replace(PV, direction="import"), SLOT]) == []
    assert parts_of(FORMULA, [PV, replace(PV, direction="import"), SLOT]) == [PV, SLOT]


def test_energies_are_added_and_subtracted_as_the_formula_says() -> None:
    assert energy_of(FORMULA, [SLOT, PV]) == -600


@pytest.mark.parametrize("quality", ["partial", "missing"])
def test_nothing_is_known_where_a_part_was_not_wholly_metered(quality: str) -> None:
    parts = [SLOT, replace(PV, quality=quality)]  # type: ignore[arg-type]
    assert energy_of(FORMULA, parts) is None
    assert worst_of(parts) == parts[1]


def test_an_assets_slot_is_as_good_as_the_worst_of_its_parts() -> None:
    asset = UUID(int=7)
    made = asset_slot(asset, FORMULA, [replace(SLOT, quality="estimated"), PV])
    assert made == AssetSlot(asset, SLOT.start_s, 900, -600, None, "estimated", 0)


def test_uncertainties_add_whatever_the_sign_of_the_term() -> None:
    """What makes one meter wrong mostly makes the other wrong: they are not independent."""
    parts = [replace(SLOT, uncertainty_uwh=30), replace(PV, uncertainty_uwh=40)]
    made = asset_slot(UUID(int=7), FORMULA, parts)
    assert (made.energy_uwh, made.uncertainty_uwh) == (-600, 70)


@pytest.mark.parametrize("other", [
    replace(PV, uncertainty_uwh=None),
    replace(PV, uncertainty_uwh=40, quality="partial"),
])  # fmt: skip
def test_an_uncertainty_is_unknown_where_that_of_a_part_or_the_sum_is(other: Slot) -> None:
    assert uncertainty_of(FORMULA, [replace(SLOT, uncertainty_uwh=30), other]) is None
