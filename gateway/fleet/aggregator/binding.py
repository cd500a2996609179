"""Has the fleet's aggregator act for every asset that the fleet delivers: it is found by its name,
or made, and each asset is given to it. Shell.

Which it acts for already the exchange's registry tells; one that cannot be read costs a request for
each asset. An asset that another aggregator holds, or that is not there, waits, and is tried again.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from uuid import UUID

from gateway.delivery.exchange.beside import NotTaken
from gateway.delivery.exchange.web_api import WebApi
from gateway.delivery.http_session import ExchangeError, NotAllowed
from gateway.delivery.kinds.exchange import TAKEN_KINDS
from gateway.fleet.aggregator import upkeep
from gateway.fleet.aggregator.upkeep import Unbound
from gateway.fleet.database import Connection
from gateway.outbox.exchange.registry import Node

_log = logging.getLogger(__name__)

AT_ONCE = 200
AGAIN_S = 300.0
"""An asset that could not be bound is tried again so much later."""
REGISTRY_KEPT_S = 30.0


class Binding:
    """Of one network. `name` is the aggregator's."""

    def __init__(self, api: WebApi, name: str) -> None:
        self._api = api
        self._name = name
        self.aggregator = ""
        """Its UUID there; empty: not known."""
        self._is_doubted = False
        self._nodes: Mapping[UUID, Node] = {}
        self._read_at_s: float | None = None

    def doubt(self) -> None:
        """Its address was refused: perhaps the network was made anew."""
        self._is_doubted = True

    async def look(self, connection: Connection) -> None:
        """Find the aggregator. Raises ExchangeError, DatabaseError."""
        if self.aggregator and not self._is_doubted:
            return
        try:
            uuid, is_new = await self._api.find_or_create_aggregator(self._name)
        except NotTaken:
            # Another process of this fleet may have made it just now.
            uuid, is_new = (await self._api.aggregators()).get(self._name, ""), False
            if not uuid:
                raise
        if is_new:
            _log.info("made the aggregator %s", self._name)
        await upkeep.know_aggregator(connection, uuid)
        self.aggregator, self._is_doubted = uuid, False

    async def bind(self, connection: Connection) -> int:
        """Have it act for some of the assets for which it does not; how many were looked at. Raises
        ExchangeError, DatabaseError.
        """
        some = await upkeep.unbound(connection, AT_ONCE)
        if not some:
            return 0
        await self._read_registry()
        bound, problems = await self._select(some)
        await upkeep.note_bound(connection, bound, problems, AGAIN_S)
        for each in some:
            if each.asset in problems:
                _log.warning("asset %s: %s", each.uuid, problems[each.asset])
        return len(some)

    async def _read_registry(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._read_at_s is not None and now_s - self._read_at_s < REGISTRY_KEPT_S:
            return
        try:
            nodes = await self._api.registry()
        except (NotTaken, NotAllowed) as error:
            _log.warning("the exchange's registry cannot be read: %s", error)
            nodes = []
        self._nodes = {node.uuid: node for node in nodes if node.uuid is not None}
        self._read_at_s = now_s

    async def _select(self, some: Sequence[Unbound]) -> tuple[list[int], dict[int, str]]:
        bound: list[int] = []
        problems: dict[int, str] = {}
        for asset, uuid in some:
            node = self._nodes.get(uuid)
            if node is None and self._nodes:
                problems[asset] = (
                    "no asset of the network has this UUID: correct uuid in its home's gateway.yaml"
                )
            elif node is not None and node.kind not in TAKEN_KINDS:
                problems[asset] = (
                    f"it is a {node.type} in the exchange, which takes no energy of that: "
                    "delivered_as in its home's gateway.yaml names a Load or PV that stands for it"
                )
            elif node is not None and node.aggregator == self._name:
                bound.append(asset)
            else:
                try:
                    await self._api.select_aggregator(self.aggregator, uuid)
                    bound.append(asset)
                except (NotTaken, NotAllowed) as error:
                    problems[asset] = self._whose(node, error)
        return bound, problems

    def _whose(self, node: Node | None, error: ExchangeError) -> str:
        their = node.aggregator if node is not None else ""
        whose = f", and {their!r} does" if their else ""
        return (
            f"the aggregator {self._name!r} does not act for it{whose}: {error} — have the "
            "exchange's operator, or that aggregator's user, let it go"
        )
