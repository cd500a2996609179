"""A register that the meter moves only once a minute."""

from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import MeterRules, Slot
from tests.gateway.energy.samples import fold, meter, sample

REFRESH_MS = 60_000


def told(refresh_ms: int = REFRESH_MS) -> MeterRules:
    """A meter with one register, that moves so often."""
    rules = meter()
    register = replace(rules.registers["import"], refresh_ms=refresh_ms)
    return replace(rules, registers={"import": register})


def minutely() -> list[Sample]:
    """600 W in the first slot and 6000 W in the second, by a register that the meter moves half a
    minute after each full one.
    """
    samples, wh, shown_wh = [], 1000.0, 1000.0
    for t in range(0, 1930, 10):
        if t:
            wh += (600 if t <= 900 else 6000) / 360
        if t % 60 == 30:
            shown_wh = wh
        samples.append(sample(t, shown_wh, 600 if t < 900 else 6000))
    return samples


def energies_wh(slots: list[Slot]) -> list[float]:
    return [(slot.energy_uwh or 0) / WH for slot in slots]


def test_a_register_that_moves_once_a_minute_is_waited_for_at_the_end_of_a_slot() -> None:
    _, slots, events = fold(minutely(), told())
    assert not events
    assert [slot.quality for slot in slots] == ["measured", "measured"]
    first_wh, second_wh = energies_wh(slots)
    assert abs(first_wh - 150) < 9
    assert abs(second_wh - 1500) < 9


def test_without_power_what_it_moves_by_goes_to_the_whole_minute_and_not_its_last_seconds() -> None:
    """6000 W are 100 Wh a minute, half of which belong to the slot before."""
    samples, shown_wh = [], 1000.0
    for t in range(0, 1930, 10):
        if t % 60 == 30:
            shown_wh = 1000 + 6000 * t / 3600
        samples.append(sample(t, shown_wh))

    for refresh_ms, first_wh in ((REFRESH_MS, 1500), (0, 1450)):
        _, slots, _ = fold(samples, told(refresh_ms))
        assert abs(energies_wh(slots)[0] - first_wh) < 1, refresh_ms


def test_a_register_that_stands_still_for_longer_than_that_is_believed() -> None:
    state, slots, _ = fold([sample(t, 1000, 0) for t in range(0, 950, 10)], told())
    assert [(slot.quality, slot.energy_uwh) for slot in slots] == [("measured", 0)]
    assert state is not None
    assert state.directions["import"].counter.at_ms > slots[0].start_s * 1000 + 900_000 - REFRESH_MS


def test_a_counter_that_was_zeroed_is_a_reset_and_nothing_is_booked_across() -> None:
    samples = minutely()
    zeroed = [
        replace(each, values={**each.values, "energy_import_wh": 3.0}) for each in samples[60:66]
    ]
    _, _, events = fold([*samples[:60], *zeroed], told())
    assert [event.kind for event in events] == ["reset"]
