"""A meter that is read every few seconds: its rules, its samples, and the fold over them."""

from collections.abc import Sequence

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import Event, MeterRules, MeterState, Slot

BEGIN_S = 1_800_000_000  # on a boundary of 15 minutes
SLOT_MS = 900_000
FUSE_W = 17_250.0


def meter(
    resolution_wh: float = 1,
    *,
    slot_ms: int = SLOT_MS,
    float32: bool = False,
    max_gap_ms: int = 7_200_000,
) -> MeterRules:
    one = Rules(round(resolution_wh * WH), 100_000_000 * WH, float32, FUSE_W)
    return MeterRules("grid", {"import": one, "export": one}, slot_ms, 30_000, max_gap_ms)


def sample(
    t_s: float,
    import_wh: float | None,
    power_w: float | None = None,
    *,
    export_wh: float | None = None,
    serial: str | None = "A",
) -> Sample:
    at_ms = round((BEGIN_S + t_s) * 1000)
    values = {"energy_import_wh": import_wh, "energy_export_wh": export_wh, "power_w": power_w}
    return Sample(
        "grid",
        serial,
        "boot",
        at_ms,
        at_ms,
        {name: value for name, value in values.items() if value is not None},
    )


def fold(
    samples: Sequence[Sample], rules: MeterRules, state: MeterState | None = None
) -> tuple[MeterState | None, list[Slot], list[Event]]:
    slots: list[Slot] = []
    events: list[Event] = []
    for each in samples:
        step = advance(state, each, rules)
        state = step.state
        slots += step.slots
        events += step.events
    return state, slots, events


def steady(power_w: float, seconds: Sequence[float], begin_wh: float = 1000.0) -> list[Sample]:
    """Samples of a constant load, with an exact register."""
    return [sample(t, begin_wh + power_w * (t - seconds[0]) / 3600, power_w) for t in seconds]


def hourly(
    powers_w: Sequence[float], *, hours: int = 1, register_w: Sequence[float] | None = None
) -> list[Sample]:
    """Power every 10 s, one value per slot, and the register every hour, 10 s after it (as
    Norwegian meters send it).
    """
    samples, wh = [], 1000.0
    for n in range(len(powers_w) * 90 + 3):
        i = min(n // 90, len(powers_w) - 1)
        shown = n == 0 or (n - 1) % (360 * hours) == 0
        samples.append(sample(10 * n, float(int(wh)) if shown else None, powers_w[i]))
        wh += (register_w or powers_w)[i] / 360
    return samples
