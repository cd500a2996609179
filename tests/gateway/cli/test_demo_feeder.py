"""The demo's feeder: its meter counts what flows, and a fee that is another is found."""

import time
from uuid import UUID

import pytest

from gateway.cli.demo_feeder import FeederMeter, possible
from gateway.delivery.simulated.community import AREA, Node
from gateway.delivery.simulated.street import Street
from gateway.store.grid_fee_rows import GridFee

SLOT_S, DAY_S = 5, 120
MARKET = UUID(int=5)


@pytest.fixture
def meter() -> FeederMeter:
    houses = [Node(UUID(int=n), f"House {n}", AREA) for n in range(1, 5)]
    begin_s = int(time.time()) // SLOT_S * SLOT_S - DAY_S
    street = Street(SLOT_S, DAY_S, noon_s=begin_s + DAY_S / 2)
    return FeederMeter(street, Node(MARKET, "Feeder", AREA, children=houses), begin_s)


def fee_of(meter: FeederMeter, slot_s: int, fee: float, more_wh: float = 0) -> GridFee:
    imported, exported = meter.slot_wh(slot_s)
    return GridFee(
        slot_s=slot_s + 2 * SLOT_S,
        market=MARKET,
        name="Feeder",
        state="taken",
        fee_type="constant",
        fee=round(fee * 1_000_000),
        wanted=round(fee * 1_000_000),
        inputs={"load_kwh": (imported - exported + more_wh) / 1000},
    )


def test_its_registers_are_the_sum_of_what_flowed(meter: FeederMeter) -> None:
    slots = range(meter.origin_s, meter.origin_s + DAY_S, SLOT_S)
    imported = sum(meter.slot_wh(slot_s)[0] for slot_s in slots)
    exported = sum(meter.slot_wh(slot_s)[1] for slot_s in slots)
    values = meter.values()
    assert 0 <= values["energy_import_wh"] - int(imported) < 40  # what flowed since
    assert 0 <= values["energy_export_wh"] - int(exported) < 40
    assert imported > 50
    assert exported > 5


def test_a_fee_that_is_not_of_the_load_is_found(meter: FeederMeter) -> None:
    slots = range(meter.origin_s, meter.origin_s + DAY_S, SLOT_S)
    evening = max(slots, key=lambda slot_s: meter.slot_wh(slot_s)[0])
    night = meter.origin_s
    assert meter.wrong(fee_of(meter, evening, 8)) == ""
    assert meter.wrong(fee_of(meter, night, 1)) == ""
    assert "was wanted" in meter.wrong(fee_of(meter, evening, 1))
    assert "was wanted" in meter.wrong(fee_of(meter, night, 8))
    assert "were measured" in meter.wrong(fee_of(meter, evening, 8, more_wh=3))


@pytest.mark.parametrize(
    ("percent", "fees"),
    [(8, [1]), (34, [1]), (36, [1, 3]), (42, [3]), (66, [3, 8]), (88, [8])],
)
def test_a_step_is_left_downwards_by_the_hysteresis_only(percent: float, fees: list[float]) -> None:
    assert possible(percent, 0) == fees
