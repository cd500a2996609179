"""Which meters are asleep: their silence is no fault. Pure.

An inverter has no power without sun, and does not answer at night. Where it stands and when the sun
goes down there, nobody has to tell: it says so itself.

- It fell asleep if it was *quiet* when it was last heard: it showed hardly any power, or where it
  shows none, its register stood still. One that falls silent while it produces is not asleep, and
  not well as soon as any other meter would not be.
- It sleeps until the time of day at which it was awake the day before: once it had been producing
  for an hour by then, its silence is a fault. It sleeps for a day at most.

While a meter sleeps, the assets that it is a part of are settled by nobody, and what is owed to no
destination is late for none (`excused`).

A meter with `seasonal: true` may sleep for as long as it likes, a winter or a summer, and need not
have been heard at all. Nobody asks whether it was quiet when it was last heard: a pool's heat pump
is switched off for the season while it runs, and whoever wrote that word has said that its silence
is no alarm.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from gateway.energy.counter import UWH_PER_WH
from gateway.energy.slot import KNOWN, MeterState, Slot
from gateway.monitoring.report import DestinationReport, MeterReport

QUIET_W = 50.0
QUIET_FRACTION = 0.01
"""Of what the meter can carry."""
MOST_QUIET_W = 200.0
"""A meter is quiet that shows no more than this part of what it can carry; within these two bounds.

Inverters switch off at some 10 to 50 W, and some are read only every few minutes.
"""

DAY_S = 86_400
AWAKE_S = 3600
"""The day before it must have produced for so long by now. Days grow shorter by less."""


class Sleeper(msgspec.Struct, frozen=True):
    """What must be known of a meter that may sleep."""

    name: str
    seasonal: bool
    max_power_w: float

    @property
    def quiet_w(self) -> float:
        """As much power is none."""
        return min(max(QUIET_W, QUIET_FRACTION * self.max_power_w), MOST_QUIET_W)


def asleep(
    sleeper: Sleeper,
    state: MeterState | None,
    now_s: float,
    slot_s: int,
    slots_at: Callable[[int], Sequence[Slot]],
) -> str:
    """Why the silence of a meter is no fault, in words; empty where it is one.

    `state` is its fold, as of its last sample, and `slots_at` says what is in the books of the slot
    that begins then. Times are Unix seconds.
    """
    if state is None:
        return "asleep (seasonal, never heard)" if sleeper.seasonal else ""
    if sleeper.seasonal:
        return "asleep (seasonal)"
    if now_s - state.at_ms / 1000 > DAY_S or not _was_quiet(state, sleeper.quiet_w):
        return ""

    ago_s = (DAY_S, DAY_S + AWAKE_S)
    if all(_produced(sleeper, now_s - each, slot_s, slots_at) for each in ago_s):
        return ""
    return "asleep"


def excused(destination: DestinationReport, meters: Sequence[MeterReport]) -> DestinationReport:
    """A destination, whose silence is no fault where nothing is owed to it, nothing fails, and
    meters are asleep.
    """
    sleeping = [meter.name for meter in meters if meter.asleep]
    is_idle = not destination.backlog and not destination.sent
    was_heard = destination.last_success_s is not None
    if sleeping and is_idle and was_heard and destination.state == "ok":
        return replace(destination, asleep=f"ok; nothing is owed, {sleeping[0]} sleeps")
    return destination


def _was_quiet(state: MeterState, quiet_w: float) -> bool:
    """Whether it showed hardly any power when it was last heard."""
    for direction in state.directions.values():
        counter = direction.counter
        power_w = counter.pace_w if counter.power_w is None else counter.power_w
        if power_w > quiet_w:
            return False
    return bool(state.directions)


def _produced(
    sleeper: Sleeper, at_s: float, slot_s: int, slots_at: Callable[[int], Sequence[Slot]]
) -> bool:
    """Whether it was awake and not quiet in the slot around this time."""
    start_s = int(at_s // slot_s) * slot_s
    energy_uwh = sum(
        slot.energy_uwh or 0
        for slot in slots_at(start_s)
        if slot.device == sleeper.name and slot.quality in KNOWN
    )
    return energy_uwh * 3600 / slot_s > sleeper.quiet_w * UWH_PER_WH
