"""The faults between a gateway and its fleet's database: a part of `faults.APPLY`. Where the
gateway is no fleet's member they do nothing.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.applying import Apply, Undo
from tests.simulation.scenario import FaultEvent

if TYPE_CHECKING:
    from tests.simulation.community import Community
    from tests.simulation.world import World


def _way(name: str) -> Apply:
    """What the broker does to messages, as much as the event says."""

    def apply(world: "World", event: FaultEvent) -> Undo | None:
        if world.community is None:
            return None
        setattr(world.community.way, name, event.amount)
        return partial(setattr, world.community.way, name, 0.0)

    return apply


def _broker_down(world: "World", _: FaultEvent) -> Undo | None:
    community = world.community
    if community is None:
        return None
    community.way.down = True
    community.throw_out()
    return partial(setattr, community.way, "down", False)


def _collector_killed(world: "World", event: FaultEvent) -> None:
    if world.community is not None:
        world.community.server.off_s = event.lasts
        world.community.server.dies = "before its word" if event.amount else "before commit"


def _database_away(world: "World", _: FaultEvent) -> Undo | None:
    if world.community is None:
        return None
    world.community.server.is_database_away = True
    return partial(setattr, world.community.server, "is_database_away", False)


def _database_restored(world: "World", _: FaultEvent) -> Undo | None:
    community: Community | None = world.community
    return None if community is None else partial(community.restore, community.backup())


FLEET_APPLY: Mapping[str, Apply] = {
    "fleet_drops": _way("dropped"),
    "fleet_repeats": _way("repeated"),
    "fleet_reorders": _way("late_s"),
    "broker_down": _broker_down,
    "collector_killed": _collector_killed,
    "database_away": _database_away,
    "database_restored": _database_restored,
}
