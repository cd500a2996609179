"""One slot, worked out by the gateway's own arithmetic. docs/how-energy-is-known.md explains it.

A home draws 200 W. At 12:35 a kettle of 2,000 W is switched on for four minutes. Its meter counts
in steps of 100 Wh, and shows power 1 % too high. It is read every 10 seconds.

    .venv/bin/python docs/examples/slot/one_slot.py
"""

from collections.abc import Iterator

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import MeterRules, MeterState, Slot

NOON_S = 1_774_785_600  # 2026-03-29T12:00:00Z
SLOT_S = 900
STEP_WH = 100
"""What the meter's register counts in."""

METER = MeterRules(
    device="grid",
    registers={
        "import": Rules(
            resolution_uwh=STEP_WH * UWH_PER_WH,
            modulus_uwh=None,
            float32=False,
            max_power_w=17_250.0,
        )
    },
    slot_ms=SLOT_S * 1000,
    stale_ms=30_000,
    max_gap_ms=7_200_000,
)


def true_power_w(at_s: int) -> float:
    """What the home draws."""
    kettle_s = at_s - NOON_S - 35 * 60
    return 2200.0 if 0 <= kettle_s < 240 else 200.0


def samples() -> Iterator[tuple[float, Sample]]:
    """From 06:00 to 13:00: what truly flowed until then in Wh, and what the meter shows of it."""
    true_wh = 40.0

    for at_s in range(NOON_S - 6 * 3600, NOON_S + 3600 + 1, 10):
        register_wh = 1_234_500 + true_wh // STEP_WH * STEP_WH
        shown = {"energy_import_wh": register_wh, "power_w": true_power_w(at_s) * 1.01}
        yield true_wh, Sample("grid", "4711", "boot", at_s * 1000, at_s * 1000, shown)
        true_wh += true_power_w(at_s) * 10 / 3600


def slots() -> tuple[list[Slot], dict[int, float]]:
    """The slots that the fold makes of the samples, and what is true at each slot's start."""
    state: MeterState | None = None
    closed: list[Slot] = []
    true_wh_at: dict[int, float] = {}

    for true_wh, sample in samples():
        assert sample.utc_ms is not None
        true_wh_at[sample.utc_ms // 1000] = true_wh
        step = advance(state, sample, METER)
        state = step.state
        closed += step.slots

    return closed, true_wh_at


def main() -> None:
    """Prints the last six slots: the truth, what the register alone would say, and the gateway."""
    closed, true_wh_at = slots()
    print("slot    true Wh   register alone   gateway   counter at its end")

    for slot in closed[-6:]:
        assert slot.energy_uwh is not None
        minute = (slot.start_s - NOON_S) // 60
        true_wh = true_wh_at[slot.start_s + SLOT_S] - true_wh_at[slot.start_s]
        register_wh = (slot.end_register_uwh - slot.begin_register_uwh) // UWH_PER_WH
        print(
            f"{12 + minute // 60:02}:{minute % 60:02}  {true_wh:8.2f}  {register_wh:15}"
            f"  {slot.energy_uwh / UWH_PER_WH:8.2f}  {slot.end_uwh / UWH_PER_WH:15,.2f}"
            f"  {slot.quality}"
        )


if __name__ == "__main__":
    main()
