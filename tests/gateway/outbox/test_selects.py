"""What a destination is owed of all that is settled: without a buffer."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from msgspec.structs import replace

from gateway.energy.asset_slots import asset_slot, once_written, parts_of
from gateway.energy.assets import Formula
from gateway.energy.slot import Slot
from gateway.outbox.foreseen import Foreseen, Said, Wish
from gateway.outbox.format import Closed, Number
from gateway.outbox.item import SeriesKey
from gateway.outbox.selects import AssetsByFormula, EverySeries

START_S = 1_800_000_000
NOW_S = START_S + 905.0
HOUSE, SUN = UUID(int=1), UUID(int=2)
FORMULAS = {HOUSE: Formula.parse("grid.import + pv.export"), SUN: Formula.parse("pv.export")}
GRID = Slot(
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
PV = replace(GRID, device="pv", direction="export", energy_uwh=1000)


def closed(new: Sequence[Slot], booked: Sequence[Slot] = ()) -> Closed:
    """As the ledger has it: all assets that are complete once `new` is written."""
    known = once_written(new, booked)
    found = {asset: parts_of(formula, known) for asset, formula in FORMULAS.items()}
    return Closed(new, [asset_slot(a, FORMULAS[a], parts) for a, parts in found.items() if parts])


def assets(
    new: Sequence[Slot],
    booked: Sequence[Slot] = (),
    *,
    provisional: bool = True,
    foreseen: Sequence[Foreseen] = (),
    now_s: float = NOW_S,
) -> list[Number]:
    asked = AssetsByFormula(
        FORMULAS,
        lambda start_s: [slot for slot in booked if slot.start_s == start_s],
        slot_s=900,
        provisional=provisional,
        wishes={SUN: Wish("auto", 0.3)},
    )
    return list(asked.numbers(replace(closed(new, booked), foreseen=foreseen), now_s))


def series(
    new: Sequence[Slot], booked: Sequence[Slot] = (), *, provisional: bool = True
) -> list[Number]:
    asked = EverySeries(lambda _: booked, slot_s=900, provisional=provisional)
    return list(asked.numbers(closed(new, booked), NOW_S))


def test_assets_are_owed_in_their_order_once_all_their_meters_have_closed_the_slot() -> None:
    assert assets([GRID]) == []
    assert assets([PV], [GRID]) == [
        Number(HOUSE, START_S, "measurement", 1400, "measured"),
        Number(SUN, START_S, "measurement", 1000, "measured"),
    ]
    assert [number.subject for number in assets([GRID], [PV])] == [HOUSE], "its own meter's only"


def test_what_was_not_wholly_metered_has_a_reason_instead_of_a_number() -> None:
    partial = replace(GRID, quality="partial", coverage_permille=671)
    [house] = assets([partial], [PV])
    assert house == Number(
        HOUSE,
        START_S,
        "measurement",
        0,
        "partial",
        undeliverable="grid was metered for 67 % of the slot: it started mid-slot",
    )


def test_a_later_slot_s_reason_does_not_speak_of_the_start() -> None:
    partial = replace(GRID, quality="partial", coverage_permille=671)
    before = replace(GRID, start_s=START_S - 900)
    [house] = assets([partial], [PV, before])
    assert house.undeliverable == "grid was metered for 67 % of the slot"


def test_the_reason_names_the_meter_that_was_metered_least() -> None:
    partial = replace(GRID, quality="partial", coverage_permille=671)
    worse = replace(PV, quality="partial", coverage_permille=120)
    house, _ = assets([partial, worse], [replace(PV, start_s=START_S - 900)])
    assert house.undeliverable == "pv was metered for 12 % of the slot"


def test_slots_of_another_length_are_owed_to_nobody() -> None:
    longer = replace(PV, length_s=1800)
    assert assets([longer]) == []
    assert series([longer]) == []


def test_provisional_slots_are_owed_only_where_numbers_can_be_replaced() -> None:
    provisional = replace(PV, method="power", quality="estimated", energy_uwh=990)
    assert [number.energy_uwh for number in assets([provisional])] == [990]
    assert assets([provisional], provisional=False) == []
    assert assets([GRID], [provisional], provisional=False) == []
    assert [number.energy_uwh for number in series([provisional])] == [990]
    assert series([provisional], provisional=False) == []


def test_what_is_written_anew_says_so() -> None:
    revised = replace(PV, energy_uwh=1100, revision=1)
    numbers = assets([revised], [GRID, PV])
    assert [(n.subject, n.kind, n.energy_uwh, n.revised) for n in numbers] == [
        (HOUSE, "measurement", 1500, True),
        (SUN, "measurement", 1100, True),
    ]


def foreseen(asset: UUID = SUN, *, is_better: bool = False) -> Foreseen:
    """What is expected of the slot after the next one, less for a higher quantile."""

    def said(wish: Wish) -> Said | None:
        if wish.method != "auto":
            return None
        energy_uwh = round(1000 - 200 * float(wish.share))
        return Said(energy_uwh, energy_uwh - 30, energy_uwh + 50, "auto")

    return Foreseen(asset, START_S + 1800, said, is_better)


def test_what_is_expected_is_owed_as_the_destination_wishes_it() -> None:
    [foretold] = assets([], foreseen=[foreseen()])
    assert foretold == Number(SUN, START_S + 1800, "forecast", 940, "estimated")


def test_an_asset_of_which_no_forecast_is_wanted_has_none() -> None:
    assert assets([], foreseen=[foreseen(HOUSE)]) == []


def test_a_better_forecast_says_by_how_much_it_has_to_differ() -> None:
    [foretold] = assets([], foreseen=[foreseen(is_better=True)])
    assert foretold.beyond_uwh == 40, "half of its band"


@pytest.mark.parametrize(("late_s", "kinds"), [(1799, ["forecast"]), (1800, [])])
def test_nothing_is_forecast_for_a_slot_that_has_begun(late_s: float, kinds: list[str]) -> None:
    numbers = assets([], foreseen=[foreseen()], now_s=START_S + late_s)
    assert [number.kind for number in numbers] == kinds


def test_every_series_is_owed_by_itself_in_order() -> None:
    later = replace(PV, start_s=START_S + 900, energy_uwh=5)
    assert series([later, PV, GRID]) == [
        Number(SeriesKey("grid", "import"), START_S, "measurement", 400, "measured"),
        Number(SeriesKey("pv", "export"), START_S, "measurement", 1000, "measured"),
        Number(SeriesKey("pv", "export"), START_S + 900, "measurement", 5, "measured"),
    ]


def test_the_two_series_of_a_meter_that_was_swapped_are_one_number() -> None:
    old = replace(PV, serial_number="OLD", quality="partial", coverage_permille=400)
    new = replace(PV, quality="partial", coverage_permille=300)
    [number] = series([new], [old])
    assert number.undeliverable == "pv was metered for 70 % of the slot"
