"""An exchange's registry: the tree of a network's markets and assets, and which of them are meant
by what `gateway.yaml` says. Pure.

    {"name": "Grid", "type": "Area", "uuid": "…", "registered": null, "aggregator_name": null,
     "attributes": {…}, "children": [{"name": "House load", "type": "Load", "uuid": "…", …}, …]}
"""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from drivers.strict_yaml import nearest

MAX_BYTES = 1024 * 1024
"""Of a registry: some 5,000 assets."""
MAX_DEPTH = 32
MAX_SHOWN = 100
MAX_NAMES = 12
"""So many are listed where a name is not among them."""

KIND_OF: Mapping[str, str] = {
    "load": "load",
    "pv": "pv",
    "storage": "storage",
    "smartmeter": "smart_meter",
    "heatpump": "heat_pump",
}
"""Our word for a type of asset, as the exchange has it in small letters, without `_`."""


class Unreadable(ValueError):
    """It is not a registry. The text says why."""


class Node(msgspec.Struct, frozen=True):
    """A market, or an asset."""

    name: str
    type: str
    """As the exchange has it: Area, Load, PV, Storage …"""
    uuid: UUID | None
    depth: int
    """How many markets it lies in."""
    is_market: bool
    registered: bool = False
    """Whether somebody is registered to act for it."""
    aggregator: str = ""
    """The name of the aggregator that acts for it, if one does."""
    live: bool | None = None
    """Whether its live data is switched on; None: not known."""

    @property
    def kind(self) -> str:
        """Our word for what it is; the exchange's where we have none. A type may say more than
        the kind, such as LoadProfile or PVUserProfile.
        """
        type_ = self.type.lower().replace("_", "").replace(" ", "")
        if type_.startswith(("load", "pv")):
            return "pv" if type_.startswith("pv") else "load"
        return KIND_OF.get(type_, self.type)


class Wanted(msgspec.Struct, frozen=True):
    """An asset as `gateway.yaml` has it."""

    id: UUID
    """Under which it is kept here: its UUID there, or one made of its name."""
    name: str
    kind: str
    """What it is delivered as."""
    is_by_name: bool
    """Its UUID there is not written down, and is looked up by its name."""


class Difference(msgspec.Struct, frozen=True):
    """Where the registry says otherwise than `gateway.yaml`."""

    asset: str
    """Its name here."""
    key: str
    """Of `gateway.yaml`, in the asset's section."""
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message} — {self.hint}"


class Resolved(msgspec.Struct, frozen=True):
    """What was found."""

    by_asset: dict[UUID, UUID | None] = msgspec.field(default_factory=dict)
    """The UUID there, by the one here; None: it was not found."""
    differences: list[Difference] = msgspec.field(default_factory=list)
    nodes: dict[UUID, Node] = msgspec.field(default_factory=dict)
    """The node of each asset that was found, by its id here."""


class _Node(msgspec.Struct):
    name: str | None = None
    type: str | None = None
    uuid: str | None = None
    registered: bool | None = None
    aggregator_name: str | None = None
    allow_external_connection: bool | None = None
    children: "list[_Node] | None" = None


def registry_in(body: bytes) -> list[Node]:
    """The tree's nodes, each market before what lies in it. Raises Unreadable."""
    try:
        tree = msgspec.json.decode(body, type=_Node)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unreadable(f"it is no registry ({str(error)[:MAX_SHOWN]})") from error
    if not tree.name and not tree.children:
        raise Unreadable("it is no registry: it has neither a name nor children")
    return list(_nodes(tree, 0))


def _nodes(found: _Node, depth: int) -> Iterator[Node]:
    if depth > MAX_DEPTH:
        raise Unreadable(f"it is nested more than {MAX_DEPTH} deep")
    try:
        uuid = UUID(found.uuid or "")
    except ValueError:
        uuid = None
    type_ = _shown(found.type or "")
    yield Node(
        name=_shown(found.name or ""),
        type=type_,
        uuid=uuid,
        depth=depth,
        is_market=bool(found.children) or type_.lower() in ("area", "market"),
        registered=bool(found.registered),
        aggregator=_shown(found.aggregator_name or ""),
        live=found.allow_external_connection,
    )
    for child in found.children or ():
        yield from _nodes(child, depth + 1)


def resolve(nodes: Sequence[Node], wanted: Sequence[Wanted]) -> Resolved:
    """Find what is wanted, and say what is otherwise there."""
    assets = [node for node in nodes if not node.is_market and node.uuid is not None]
    resolved = Resolved()
    for each in wanted:
        named = [node for node in assets if node.name == each.name]
        if each.is_by_name:
            node = named[0] if len(named) == 1 else None
            difference = None if node else _not_one(each, named, assets)
        else:
            node = next((node for node in assets if node.uuid == each.id), None)
            difference = _renamed(each, node) if node else _gone(each, named)
        if difference is None and node is not None:
            difference = _of_another_kind(each, node)
        if difference is not None:
            resolved.differences.append(difference)
        if node is not None:
            resolved.nodes[each.id] = node
        there = node.uuid if node else None
        resolved.by_asset[each.id] = there if each.is_by_name else each.id
    return resolved


def _not_one(wanted: Wanted, named: Sequence[Node], assets: Sequence[Node]) -> Difference:
    if named:
        found = ", ".join(f"{node.uuid} ({node.type})" for node in named[:4])
        message = f"{len(named)} assets of the network are named {wanted.name!r}: {found}"
        return Difference(wanted.name, "name", message, "write the uuid of the one that is meant")
    known = sorted({node.name for node in assets})
    hint = f"its assets are {', '.join(known)}" if known else "it has no assets"
    if len(known) > MAX_NAMES:
        hint = nearest(wanted.name, known)
    message = f"no asset of the network is named {wanted.name!r}"
    return Difference(wanted.name, "name", message, hint)


def _gone(wanted: Wanted, named: Sequence[Node]) -> Difference:
    message = f"no asset of the network has the UUID {wanted.id}"
    if len(named) == 1:
        hint = (
            f"its {wanted.name!r} has {named[0].uuid}: if the network was made anew, write that, "
            "or leave uuid out, and it is found by its name"
        )
    else:
        hint = "see meter-gateway exchange assets"
    return Difference(wanted.name, "uuid", message, hint)


def _renamed(wanted: Wanted, node: Node) -> Difference | None:
    if node.name == wanted.name:
        return None
    message = f"the asset with this UUID is named {node.name!r} in the exchange"
    return Difference(wanted.name, "name", message, "write that name, or correct the UUID")


def _of_another_kind(wanted: Wanted, node: Node) -> Difference | None:
    if node.kind == wanted.kind:
        return None
    message = f"{wanted.name} is a {node.type} in the exchange, and {wanted.kind} here"
    hint = "correct kind or delivered_as, or have the exchange's asset corrected"
    return Difference(wanted.name, "kind", message, hint)


def _shown(text: str) -> str:
    """One printable line of bounded length."""
    return "".join(c if c.isprintable() else "·" for c in text[:MAX_SHOWN])
