"""The faults of what an exchange says beside its replies, and of how it knows us: a part of
`faults.APPLY`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.delivery.simulated.community import Node
from tests.simulation.applying import Apply, Undo
from tests.simulation.home import ASSETS
from tests.simulation.scenario import FaultEvent

if TYPE_CHECKING:
    from tests.simulation.world import World

EVERY_S = 60.0
TEXT, BINARY, PING = 1, 2, 9
"""Kinds of frames (RFC 6455, section 5.2)."""
HUGE_BYTES = 10_000_000

_STRANGE = (
    (BINARY, b"\xff\x00\xfe noise"),
    (BINARY, b"[" * 2000),
    (BINARY, b'{"transaction_id": "00000000-0000-4000-8000-000000000000", "status": "ready"}'),
    (BINARY, b'{"transaction_id": {"a": 1}, "status": ["ready"], "responses": 7}'),
    (BINARY, b'{"event": "tick", "market_slot": null}'),
    (TEXT, '{"status": "ready", "says": "grüß dich"}'.encode()),
    (TEXT, b"hello"),
    (PING, b"are you there?"),
)


def name_of(meter: str) -> str:
    """The meter's own asset."""
    return next(name for name, (_, energy) in ASSETS.items() if energy.startswith(f"{meter}."))


def _switched(name: str, value: object) -> Apply:
    """Something about the meter's own asset at the exchange."""

    def apply(world: "World", event: FaultEvent) -> Undo:
        node = world.nodes[name_of(event.on)]
        before = getattr(node, name)
        unanswered = world.exchange.engine.unanswered
        setattr(node, name, value)

        def undo() -> None:
            setattr(node, name, before)
            world.fault_log.felt[event.fault] += world.exchange.engine.unanswered - unanswered

        return undo

    return apply


def _verdicts_lost(world: "World", _: FaultEvent) -> Undo:
    world.exchange.engine.is_mute = True
    return partial(setattr, world.exchange.engine, "is_mute", False)


def _engine_leads(world: "World", event: FaultEvent) -> Undo:
    behaviour = world.exchange.behaviour
    behaviour.lead_s = event.amount
    return partial(setattr, behaviour, "lead_s", 0.0)


def _role_lost(world: "World", _: FaultEvent) -> Undo:
    world.exchange.behaviour.is_permitted = False
    return partial(setattr, world.exchange.behaviour, "is_permitted", True)


# --- websockets -----------------------------------------------------------------------------------


def _websockets_down(world: "World", event: FaultEvent) -> Undo:
    world.fault_log.felt[event.fault] += len(world.process.network.pipes)
    world.exchange.mode("down", where="/external-ws/")  # which hangs up on all that is open
    return partial(world.exchange.mode, "ok")


def _hostile_frames(world: "World", event: FaultEvent) -> None:
    until_s = world.time.s() + event.lasts
    turn = 0

    def say() -> None:
        nonlocal turn
        pipes = list(world.process.network.pipes.values())
        for there in pipes:
            for opcode, payload in _STRANGE:
                there.write(_frame(opcode, payload))
            if turn == 0:
                there.write(_frame(BINARY, b"7" * HUGE_BYTES))
            if turn % 4 == 3:
                there.write(_frame(BINARY, b'{"transaction_id": "' + b"0" * 500)[:40])
                there.close()
        world.fault_log.felt[event.fault] += len(pipes)
        turn += 1
        if world.time.s() + EVERY_S <= until_s:
            world.later(EVERY_S, say)

    say()


def _frame(opcode: int, payload: bytes) -> bytes:
    """One whole frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


# --- the registry ---------------------------------------------------------------------------------


def _made_anew(world: "World", _: FaultEvent) -> Undo | None:
    before = {name: node.uuid for name, node in world.nodes.items()}
    for name, node in world.nodes.items():
        node.uuid = UUID(int=world.rng.getrandbits(128), version=4)
        world.fault_log.known_there[node.uuid] = name
    world.exchange.community.controlled.clear()
    if world.scenario.by_name:
        return None

    def undo() -> None:
        for name, node in world.nodes.items():
            node.uuid = before[name]

    return undo


def _asset_removed(world: "World", event: FaultEvent) -> Undo:
    name = name_of(event.on)
    node = world.nodes[name]
    root = world.exchange.community.root
    root.children = [child for child in root.children if child is not node]
    begin_ms = world.time.ms()

    def undo() -> None:
        root.children.append(node)
        refused_ms = world.fault_log.refused_ms.setdefault(name, [])
        refused_ms.append((begin_ms, world.time.ms()))

    return undo


def _asset_twice(world: "World", event: FaultEvent) -> Undo:
    node = world.nodes[name_of(event.on)]
    root = world.exchange.community.root
    other = Node(UUID(int=world.rng.getrandbits(128), version=4), node.name, node.kind)
    root.children.append(other)

    def undo() -> None:
        root.children = [child for child in root.children if child is not other]

    return undo


def _registry_gone(world: "World", _: FaultEvent) -> Undo:
    world.exchange.mode("status", status=503, where="/configurations/")
    return partial(world.exchange.mode, "ok")


def _aggregator_lost(world: "World", _: FaultEvent) -> None:
    world.exchange.community.aggregators.clear()
    world.exchange.community.controlled.clear()


def _aggregator_switched(world: "World", _: FaultEvent) -> Undo:
    def switch(aggregator: bool) -> None:
        world.configure(replace(world.scenario, aggregator=aggregator))
        if not world.process.power_off:
            world.process.restart(0)

    switch(not world.scenario.aggregator)
    return partial(switch, world.scenario.aggregator)


WORD_FAULTS: Mapping[str, Apply] = {
    "live_off": _switched("is_live", False),
    "kind_not_taken": _switched("kind", "Storage"),
    "verdicts_lost": _verdicts_lost,
    "websockets_down": _websockets_down,
    "hostile_frames": _hostile_frames,
    "engine_leads": _engine_leads,
    "made_anew": _made_anew,
    "asset_renamed": _switched("name", "Renamed"),
    "asset_removed": _asset_removed,
    "asset_twice": _asset_twice,
    "role_lost": _role_lost,
    "registry_gone": _registry_gone,
    "aggregator_lost": _aggregator_lost,
    "aggregator_switched": _aggregator_switched,
}
