"""What happens to a grid operator's agent, as a file in tests/scenarios/grid_operator, and what
must come out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drivers.strict_yaml import decode, parse
from gateway.delivery.simulated.market_statistics import Flow
from tests.gateway.operator.street import HOUSE, Operator
from tests.gateway.operator.world import SLOT_S, Counting, World

End = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that goes wrong. Times are in slots since the begin."""

    at: float
    fault: str
    lasts: float = 0.0
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What must come of the fees of one market."""

    states: dict[str, int]
    """How many there are of each; what is not named is not there."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Words of the reason, by the number of the slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One file."""

    about: str
    slots: float
    needs_statistics: bool = True
    happens: list[Happening]
    must: Outcome


def read(path: Path) -> Scenario:
    """Raises AssertionError with what is wrong with the file."""
    document = parse(path.read_bytes(), str(path))
    found = decode(Scenario, document)
    assert found is not None and not document.problems, "\n".join(map(str, document.problems))
    unknown = {each.fault for each in found.happens} - FAULTS.keys()
    assert not unknown, f"{path}: there is no fault {unknown}"
    return found


def play(scenario: Scenario, folder: Path) -> list[str]:
    """What came out otherwise than it must."""
    operator = Operator(lambda _: Counting(needs_statistics=scenario.needs_statistics))

    async def run(world: World) -> list[str]:
        happening = [asyncio.create_task(_happen(world, each)) for each in scenario.happens]
        await world.slots(scenario.slots)
        await asyncio.gather(*happening)
        return [*world.judge(), *_differences(world, scenario.must)]

    return World(operator, folder).run(run)


def _differences(world: World, must: Outcome) -> list[str]:
    rows = world.by_slot(HOUSE)
    states = Counter(row.state for row in rows.values() if row.state != "observed")
    found = [] if states == must.states else [f"the states are {dict(sorted(states.items()))}"]
    return found + [
        f"slot {n}: {rows[int(n)].reason!r} does not say {words!r}"
        for n, words in must.reasons.items()
        if words not in rows[int(n)].reason
    ]


async def _happen(world: World, what: Happening) -> None:
    await asyncio.sleep(what.at * SLOT_S)
    if what.fault == "restart":
        await world.restart(max(what.lasts * SLOT_S, 1.0))
        return
    end = FAULTS[what.fault](world, what.amount)
    await asyncio.sleep(what.lasts * SLOT_S)
    end()


# --- the faults -----------------------------------------------------------------------------------


def _outage(kind: str) -> Callable[[World, float], End]:
    def begin(world: World, amount: float) -> End:
        world.network.suffer(kind)  # type: ignore[arg-type]
        return lambda: world.network.suffer("")

    return begin


def _mode(mode: str, where: str) -> Callable[[World, float], End]:
    def begin(world: World, amount: float) -> End:
        world.exchange.mode(mode, where=where, seconds=amount or 30.0)  # type: ignore[arg-type]
        return lambda: world.exchange.mode("ok")

    return begin


def _set(
    name: str, value: Callable[[float], object], usual: object
) -> Callable[[World, float], End]:
    """Something of the world's faults."""

    def begin(world: World, amount: float) -> End:
        setattr(world.faults, name, value(amount))
        return lambda: setattr(world.faults, name, usual)

    return begin


def _mute(world: World, amount: float) -> End:
    world.exchange.engine.is_mute = True
    return lambda: setattr(world.exchange.engine, "is_mute", False)


def _no_trades(world: World, amount: float) -> End:
    statistics = world.exchange.engine.statistics
    statistics.flows = lambda *_: Flow()
    return lambda: setattr(statistics, "flows", lambda *_: Flow(0.5))


def _aggregator_gone(world: World, amount: float) -> End:
    world.community.controlled.clear()
    world.community.aggregators.clear()
    return lambda: None


def _logged_out(world: World, amount: float) -> End:
    world.exchange.revoke_tokens()
    return lambda: None


def _finished(world: World, amount: float) -> End:
    world.exchange.engine.finish()
    return lambda: setattr(world.exchange.engine, "ended", "")


def _of_long_past(world: World, amount: float) -> End:
    event = {"event": "market", "market_slot": "2026-11-27T00:15", "grid_tree": {}}
    for aggregator in world.community.aggregators:
        world.exchange.engine.tell(aggregator, event)
    return lambda: None


def _silent(_: bool) -> float:
    return 0.0


FAULTS: Mapping[str, Callable[[World, float], End]] = {
    "refused": _outage("refused"),
    "no_answer": _outage("no_answer"),
    "batches_down": _mode("down", "batch-commands"),
    "batches_slow": _mode("slow", "batch-commands"),
    "batches_unanswered": _mode("drop_after_accept", "batch-commands"),
    "registry_down": _mode("down", "registry"),
    "mute": _mute,
    "answers_lost": _set("late_s", lambda _: lambda is_event: 0.0 if is_event else 1e7, _silent),
    "late": _set("late_s", lambda amount: lambda _: amount, _silent),
    "doubled": _set("copies", int, 1),
    "events_lost": _set("swallows_events", lambda _: True, False),
    "clock_off": _set("clock_off_s", float, 0.0),
    "event_of_long_past": _of_long_past,
    "no_trades": _no_trades,
    "aggregator_gone": _aggregator_gone,
    "logged_out": _logged_out,
    "simulation_over": _finished,
    "restart": _logged_out,
}
"""By name; `restart` is one of the agent's process and not of the exchange."""
