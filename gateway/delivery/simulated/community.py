"""The simulated exchange's network: a tree of markets with assets as leaves. Pure.

community = Community(
    Node(grid, "Grid", "Area", children=[
        Node(house, "House 1", "Area", children=[
            Node(load, "House load"),
            Node(pv, "PV", "PV"),
            Node(battery, "Battery", "Storage"),        the engine takes no energy of it
            Node(other, "Neighbour", is_ours=False),    another account's
        ])
    ])
)
community.find(pv).is_live = False                      its live-data switch is off
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

AREA = "Area"

TAKEN = ("Load", "PV")
"""Types of assets whose forecasts and measurements the engine takes."""


@dataclass(slots=True)
class Node:
    """A market, or an asset."""

    uuid: UUID
    name: str
    kind: str = "Load"
    """`Area` is a market; assets are `Load`, `PV`, `Storage`, `Smart Meter`, `Heat Pump` …"""
    is_ours: bool = True
    """Whether it is registered for the account that logs in."""
    is_live: bool = True
    """The live-data switch: where it is off, the exchange goes by uploaded profiles, and whoever
    sends to the asset hears nothing.
    """
    children: list["Node"] = field(default_factory=list)
    refuses: set[int] = field(default_factory=set)
    """Starts of slots (Unix time) whose numbers are taken for bad ones, whatever they are."""
    fee: float = 0
    """A market's grid fee when the simulation begins: cents/kWh, or percent."""

    @property
    def is_market(self) -> bool:
        """Whether it is a market."""
        return self.kind == AREA

    @property
    def takes_energy(self) -> bool:
        """Whether the engine hears forecasts and measurements of it."""
        return self.kind in TAKEN and self.is_live


class Community:
    """The tree, and who acts for what in it."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.aggregators: dict[UUID, str] = {}
        """Their names."""
        self.controlled: dict[UUID, UUID] = {}
        """The aggregator that acts for an asset or market."""

    @classmethod
    def flat(cls, network: UUID, assets: Mapping[UUID, str]) -> "Community":
        """One market with these assets, which are loads unless their name is that of another
        type.
        """
        leaves = [
            Node(uuid, name, "PV" if name == "PV" else "Load") for uuid, name in assets.items()
        ]
        return cls(Node(network, "Grid", AREA, children=leaves))

    def nodes(self) -> Iterator[Node]:
        """All of them, each market before what is in it."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def assets(self) -> Iterator[Node]:
        """The leaves."""
        return (node for node in self.nodes() if not node.is_market)

    def markets_acted_for(self) -> list[Node]:
        """The markets that an aggregator acts for."""
        return [node for node in self.nodes() if node.is_market and node.uuid in self.controlled]

    def find(self, uuid: UUID) -> Node | None:
        """The asset or market of that UUID."""
        return next((node for node in self.nodes() if node.uuid == uuid), None)

    def add(self, node: Node) -> None:
        """One more asset of the uppermost market."""
        self.root.children.append(node)

    def remove(self, uuid: UUID) -> None:
        """It is not there any more."""
        for node in self.nodes():
            node.children = [child for child in node.children if child.uuid != uuid]

    def aggregator_of(self, node: Node) -> str | None:
        """The name of who acts for it."""
        uuid = self.controlled.get(node.uuid)
        return None if uuid is None else self.aggregators.get(uuid, str(uuid))


def registry(community: Community) -> dict[str, object]:
    """The tree as the exchange's registry tells it. What is not ours is `registered: null`."""

    def told(node: Node) -> dict[str, object]:
        return {
            "name": node.name,
            "type": node.kind,
            "uuid": str(node.uuid),
            "registered": True if node.is_ours else None,
            "aggregator_name": community.aggregator_of(node),
            "attributes": {},
            "children": [told(child) for child in node.children],
        }

    return told(community.root)


def scenario(community: Community) -> dict[str, object]:
    """The tree as it was configured, which also tells the live-data switches."""

    def told(node: Node) -> dict[str, object]:
        said: dict[str, object] = {
            "name": node.name,
            "type": node.kind,
            "uuid": str(node.uuid),
            "allow_external_connection": node.is_live,
        }
        if node.children:
            said["children"] = [told(child) for child in node.children]
        return said

    return told(community.root)
