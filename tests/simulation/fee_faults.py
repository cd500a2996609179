"""The faults that only a grid operator's agent meets: a part of `faults.APPLY`."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.applying import Apply, Undo
from tests.simulation.markets import flow, no_flow
from tests.simulation.scenario import FaultEvent

if TYPE_CHECKING:
    from tests.simulation.world import World

COPIES = 3
BATCHES = "batch-commands"


def _events_doubled(world: "World", event: FaultEvent) -> Undo:
    world.fault_log.markets.copies, world.fault_log.markets.apart_s = COPIES, event.amount
    return partial(setattr, world.fault_log.markets, "copies", 1)


def _events_late(world: "World", event: FaultEvent) -> Undo:
    world.fault_log.markets.late_s = event.amount
    return partial(setattr, world.fault_log.markets, "late_s", 0.0)


def _events_lost(world: "World", _: FaultEvent) -> Undo:
    world.fault_log.markets.loses_events = True
    return partial(setattr, world.fault_log.markets, "loses_events", False)


def _statistics_null(world: "World", _: FaultEvent) -> Undo:
    statistics = world.exchange.engine.statistics
    statistics.flows = no_flow
    return partial(setattr, statistics, "flows", flow)


def _batches_slow(world: "World", event: FaultEvent) -> Undo:
    world.exchange.mode("slow", where=BATCHES, seconds=event.amount)
    return partial(world.exchange.mode, "ok")


def _batches_dropped(world: "World", _: FaultEvent) -> Undo:
    world.exchange.mode("drop_after_accept", where=BATCHES)
    return partial(world.exchange.mode, "ok")


FEE_APPLY: Mapping[str, Apply] = {
    "events_doubled": _events_doubled,
    "events_late": _events_late,
    "events_lost": _events_lost,
    "statistics_null": _statistics_null,
    "batches_slow": _batches_slow,
    "batches_dropped": _batches_dropped,
}
