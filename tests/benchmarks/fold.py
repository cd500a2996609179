"""What a sample of a meter costs: the time to take it into account, and the room of the state."""

import time
from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.fold import advance
from gateway.energy.slot import MeterRules, MeterState
from gateway.store.fold_states import encoded
from tests.benchmarks.figure import Figure
from tests.benchmarks.proof.homes import home
from tests.benchmarks.proof.meters import Meter, Truth, look
from tests.benchmarks.proof.ours import MIDNIGHT_S, rules_of

TITLE = "what a sample of a meter with two directions costs"

EVERY_S = 10
HOURS = (8, 32)
"""From a morning on: PV, a cooked dinner, a night."""

MOST_US = 60
MOST_BYTES = 4096
RUNS = 5
BETWEEN_STATES = 20


def figures() -> Iterator[Figure]:
    """The time of the fold alone, and the largest state as it is stored."""
    rules, samples = both_ways("prosumer", Meter(1))
    least_s = min(_seconds(samples, rules) for _ in range(RUNS))
    yield Figure(
        "a sample of import and export taken into account",
        least_s / len(samples) * 1e6,
        "µs",
        MOST_US,
        "low",
        f"the least of {RUNS} runs over {len(samples)} samples",
    )

    for name, meter in (("prosumer", Meter(1)), ("prosumer", Meter(100)), ("grid at 0", Meter(1))):
        sizes = sorted(_sizes(*both_ways(name, meter)))
        yield Figure(
            f"largest state as it is stored: {name}, {meter.step_wh:g} Wh",
            sizes[-1],
            "bytes",
            MOST_BYTES,
            "low",
            f"{sum(sizes) / len(sizes):.0f} on average",
        )


def both_ways(name: str, meter: Meter) -> tuple[MeterRules, list[Sample]]:
    """The samples of a home's meter, import and export, and the rules for them."""
    truth = home(name)
    at_s = np.arange(HOURS[0] * 3600, HOURS[1] * 3600, EVERY_S)
    imported, exported = (
        look(meter, truth, Truth(truth, direction, singly=False), at_s)
        for direction in ("import", "export")
    )
    assert imported.power_w is not None
    shown = zip(
        at_s.tolist(),
        imported.register_wh.tolist(),
        exported.register_wh.tolist(),
        imported.power_w.tolist(),
        strict=True,
    )
    samples = [
        _sample(t, {"energy_import_wh": bought, "energy_export_wh": sold, "power_w": power_w})
        for t, bought, sold, power_w in shown
    ]
    rules = rules_of(meter, "import", EVERY_S, revises=True)
    registers = {**rules.registers, "export": rules.registers["import"]}
    return replace(rules, registers=registers), samples


def _sample(t_s: int, values: dict[str, float]) -> Sample:
    at_ms = (MIDNIGHT_S + t_s) * 1000
    return Sample("grid", "1", "boot", at_ms, at_ms, values)


def _seconds(samples: list[Sample], rules: MeterRules) -> float:
    state: MeterState | None = None
    began_s = time.process_time()
    for sample in samples:
        state = advance(state, sample, rules).state
    return time.process_time() - began_s


def _sizes(rules: MeterRules, samples: list[Sample]) -> Iterator[int]:
    state: MeterState | None = None
    for n, sample in enumerate(samples):
        state = advance(state, sample, rules).state
        if n % BETWEEN_STATES == 0:
            yield len(encoded(state))
