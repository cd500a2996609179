"""The counter: our continuous estimate of a cumulative energy register between its steps. Pure.

    x ← counter + ∫ power dt        counter ← clamp(x, max(register, counter), register + resolution)

All energies are integers in µWh (10⁻⁶ Wh), so that sums are exact and a replay gives the same numbers. The counter lives on an
*unwrapped* scale (register + offset): a rollover or a reset changes the offset, and the counter itself never runs backwards. Times are in
ms of a clock that is never set: how long something lasted decides what can be true.

A reading that cannot follow the last one (backwards, or more than the main fuse can carry) moves nothing. Only when `CONFIRMATIONS`
readings in a row agree with each other is it believed, and then as what it is:

- rollover: it went past the register's modulus by what the fuse allows: the energy is booked;
- reset (backwards): what happened in between cannot be known, and nothing is booked across;
- jump (forwards): the counter goes along, but what the register jumped over is stated as unallocated, to be in no slot.

A sample without a register, or with one that is not believed, moves nothing, not even the time the counter is known at: energy must not
be booked before the register vouches for it, nor no energy where the register was not seen.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

CONFIRMATIONS = 3
"""Readings that must agree before anything but a normal step is believed."""

FUSE_TOLERANCE = 1.25
"""A main fuse carries more than its rating for a while."""

UWH_PER_WH = 1_000_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known of one register. `float32` marks one that travels as a 32-bit float, in kWh or Wh."""

    resolution_uwh: int
    modulus_uwh: int | None
    float32: bool
    max_power_w: float

    def step_uwh(self, register_uwh: int) -> int:
        """The step of the register at this value: its resolution, or the spacing of float32 there, whichever is larger."""
        return max(self.resolution_uwh, self._spacing_uwh(register_uwh))

    def exact_uwh(self, raw_uwh: int) -> int:
        """What the meter counted, where a float32 has rounded it: the multiple of the resolution that it can only have been.

        A value that is no rounded multiple (a meter that counts finer than its papers say) stays as it is.
        """
        spacing_uwh = self._spacing_uwh(raw_uwh)
        if not 0 < spacing_uwh <= self.resolution_uwh:
            return raw_uwh
        multiple_uwh = (raw_uwh + self.resolution_uwh // 2) // self.resolution_uwh * self.resolution_uwh
        return multiple_uwh if abs(raw_uwh - multiple_uwh) <= spacing_uwh // 2 + 1 else raw_uwh

    def _spacing_uwh(self, register_uwh: int) -> int:
        """The distance between two neighbouring float32 numbers in kWh at this value; 0 for a register that is no float.

        In Wh it is 0.51 or 1.02 times as much, near enough for a bound: 1000 is almost 2¹⁰.
        """
        if not self.float32 or register_uwh <= 0:
            return 0
        kwh = register_uwh / (1000 * UWH_PER_WH)
        # IEEE 754 binary32: 24 bits of significand. frexp gives kwh = m·2^e with 0.5 ≤ m < 1.
        return round(math.ldexp(1.0, math.frexp(kwh)[1] - 24) * 1000 * UWH_PER_WH)

    def most_uwh(self, elapsed_ms: int, register_uwh: int) -> int:
        """The most the register can have moved in that time."""
        return round(self.max_power_w * FUSE_TOLERANCE * max(elapsed_ms, 0) / 3.6) + 2 * self.step_uwh(register_uwh)


@dataclass(frozen=True, slots=True)
class Suspects:
    """Readings in a row that do not follow the believed one but do follow each other."""

    first_raw_uwh: int
    last_raw_uwh: int
    last_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Counter:
    """One direction of one meter, as of `at_ms`."""

    at_ms: int
    counter_uwh: int
    register_uwh: int
    """The register as of `at_ms`, unwrapped."""
    offset_uwh: int
    """Unwrapped register = what the meter shows + this."""
    power_w: float | None
    suspects: Suspects | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know about a register."""

    kind: Literal["glitch", "rollover", "reset", "jump"]
    unallocated_uwh: int
    """What the counter has moved by and no slot may have."""
    text: str


def start(at_ms: int, raw_uwh: int, power_w: float | None) -> Counter:
    """The counter at its first sample: what the meter shows, on its own scale."""
    return Counter(at_ms, raw_uwh, raw_uwh, 0, power_w)


def advance(
    counter: Counter, rules: Rules, *, at_ms: int, raw_uwh: int | None, power_w: float | None, held: bool
) -> tuple[Counter, Finding | None]:
    """One sample further. `raw_uwh` is what the meter shows (None: not in this sample), `power_w` the power in this direction, ≥ 0.

    `held` says that the time since `counter.at_ms` is a gap, over which power must not be integrated. `at_ms` must be after
    `counter.at_ms`. The counter that comes back is as of `at_ms`, or still as of before where the register was not believed.
    """
    if power_w is not None and not 0 <= power_w <= rules.max_power_w * FUSE_TOLERANCE:
        power_w = None
    if raw_uwh is None:
        return counter, None
    before_ms = counter.at_ms
    counter, finding = _believe(counter, rules, at_ms, raw_uwh)
    if counter.at_ms == before_ms:
        return counter, None
    low = max(counter.register_uwh, counter.counter_uwh)
    high = max(counter.register_uwh + rules.step_uwh(counter.register_uwh - counter.offset_uwh), low)
    x = low
    if not held and power_w is not None and counter.power_w is not None:
        # W · ms / 3.6 = µWh; the mean of both powers is the trapezoidal rule.
        x = counter.counter_uwh + round((counter.power_w + power_w) / 2 * (at_ms - before_ms) / 3.6)
    return replace(counter, counter_uwh=min(max(x, low), high), power_w=power_w), finding


def _believe(counter: Counter, rules: Rules, at_ms: int, raw_uwh: int) -> tuple[Counter, Finding | None]:
    """Accept a register reading, or keep it as a suspect until others confirm it."""
    delta = raw_uwh + counter.offset_uwh - counter.register_uwh
    if 0 <= delta <= rules.most_uwh(at_ms - counter.at_ms, raw_uwh):
        finding = None
        if counter.suspects:
            finding = Finding("glitch", 0, f"{counter.suspects.count} reading(s) not believed, {_wh(counter.suspects.last_raw_uwh)} shown")
        return replace(counter, at_ms=at_ms, register_uwh=counter.register_uwh + delta, suspects=None), finding
    suspects = counter.suspects
    if suspects and 0 <= raw_uwh - suspects.last_raw_uwh <= rules.most_uwh(at_ms - suspects.last_ms, raw_uwh):
        suspects = Suspects(suspects.first_raw_uwh, raw_uwh, at_ms, suspects.count + 1)
    else:
        suspects = Suspects(raw_uwh, raw_uwh, at_ms, 1)
    if suspects.count < CONFIRMATIONS:
        return replace(counter, suspects=suspects), None
    return _rebase(counter, rules, suspects)


def _rebase(counter: Counter, rules: Rules, suspects: Suspects) -> tuple[Counter, Finding]:
    """The suspects are right: decide what happened, and go on from there."""
    shown = counter.register_uwh - counter.offset_uwh
    elapsed_ms = suspects.last_ms - counter.at_ms
    modulus = rules.modulus_uwh
    text = f"{_wh(shown)} was followed by {_wh(suspects.first_raw_uwh)}, {suspects.count} times"
    counter_uwh, offset, unallocated_uwh = counter.counter_uwh, counter.offset_uwh, 0
    kind: Literal["rollover", "reset", "jump"]
    if modulus and 0 <= suspects.last_raw_uwh + modulus - shown <= rules.most_uwh(elapsed_ms, shown):
        kind, offset = "rollover", offset + modulus
        text = f"the register started again from 0: {text}"
    elif suspects.first_raw_uwh < shown:
        # The new scale begins where the counter stands, so that the rest of the step it was in is neither lost nor booked twice.
        kind, offset = "reset", counter_uwh - suspects.first_raw_uwh
        text = f"the register went back: {text}; nothing is booked across"
    else:
        kind, unallocated_uwh = "jump", max(suspects.first_raw_uwh + offset - counter_uwh, 0)
        counter_uwh += unallocated_uwh
        text = f"more than the main fuse carries: {text}; {_wh(unallocated_uwh)} unallocated"
    counter = replace(
        counter,
        at_ms=suspects.last_ms,
        counter_uwh=counter_uwh,
        register_uwh=suspects.last_raw_uwh + offset,
        offset_uwh=offset,
        suspects=None,
    )
    return counter, Finding(kind, unallocated_uwh, text)


def _wh(uwh: int) -> str:
    return f"{uwh / UWH_PER_WH:.3f} Wh"
