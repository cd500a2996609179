"""What the exchange's web API is asked for beside deliveries: the registry, and aggregators. Shell.

    GET  external-connection/configurations/{network}/registry
    GET  external-connection/aggregator-api/{network}/list-aggregators/
    POST …/create-aggregator/        {"name": …}
    POST …/select-aggregator/        {"aggregator_uuid": …, "device_uuid": …}
    POST …/unselect-aggregator/      the same
    POST …/batch-commands/           {"aggregator_uuid": …, "batch_commands": {uuid: [command, …]}}
    POST graphql/                    readConfiguration: the tree, with what is switched on

Every body has a transaction id, too.
"""

from collections.abc import Iterator, Mapping
from uuid import UUID, uuid4

from gateway.delivery.exchange.beside import Beside, NotTaken
from gateway.outbox.exchange.registry import Node, Unreadable, registry_in
from gateway.outbox.http_replies import parsed


class WebApi:
    """Of one network. Each method raises ExchangeError."""

    def __init__(self, beside: Beside, network: str) -> None:
        self._beside = beside
        self._network = network

    async def registry(self) -> list[Node]:
        """Its markets and assets."""
        path = f"external-connection/configurations/{self._network}/registry"
        reply = await self._beside.ask("GET", path)
        try:
            return registry_in(reply.body)
        except Unreadable as error:
            raise NotTaken(f"{path}: {error}") from error

    async def live(self) -> dict[UUID, bool]:
        """Whether each asset's live data is switched on, as far as it says so."""
        query = (
            f'query {{ readConfiguration(uuid: "{self._network}") '
            "{ scenarioData { latest { serialized } } } }"
        )
        reply = await self._beside.ask("POST", "graphql/", {"query": query})
        found = parsed(reply.body)
        for key in ("data", "readConfiguration", "scenarioData", "latest", "serialized"):
            found = found.get(key) if isinstance(found, dict) else None
        try:
            nodes = registry_in(found.encode() if isinstance(found, str) else b"")
        except Unreadable as error:
            raise NotTaken(f"graphql/: {error}") from error
        return {node.uuid: node.live for node in nodes if node.uuid and node.live is not None}

    async def aggregators(self) -> dict[str, str]:
        """The UUIDs of the aggregators that this user has, by their names."""
        reply = await self._beside.ask("GET", self._path("list-aggregators"))
        found = parsed(reply.body)
        return dict(_named(found if isinstance(found, list) else []))

    async def create_aggregator(self, name: str) -> str:
        """Make one. Returns its UUID."""
        body = {"name": name, "transaction_id": str(uuid4())}
        reply = await self._beside.ask("POST", self._path("create-aggregator"), body)
        found = parsed(reply.body)
        uuid = found.get("uuid") if isinstance(found, dict) else None
        if not _is_uuid(uuid):
            raise NotTaken("it made an aggregator, and did not tell its UUID")
        return str(uuid)

    async def find_or_create_aggregator(self, name: str) -> tuple[str, bool]:
        """The UUID of the aggregator of that name, and whether it was made just now."""
        found = (await self.aggregators()).get(name)
        return (found, False) if found else (await self.create_aggregator(name), True)

    async def select_aggregator(self, aggregator: str, thing: UUID) -> None:
        """Have it act for an asset or a market."""
        await self._choose("select-aggregator", aggregator, thing)

    async def unselect_aggregator(self, aggregator: str, thing: UUID) -> None:
        """Have it act for an asset or a market no longer."""
        await self._choose("unselect-aggregator", aggregator, thing)

    async def command(
        self, aggregator: str, transaction_id: str, commands: Mapping[str, object]
    ) -> None:
        """Hand on commands by the UUID of whom they are for. The answer comes over the websocket,
        under that transaction.
        """
        body = {
            "aggregator_uuid": aggregator,
            "batch_commands": commands,
            "transaction_id": transaction_id,
        }
        await self._beside.ask("POST", self._path("batch-commands"), body)

    async def _choose(self, what: str, aggregator: str, thing: UUID) -> None:
        body = {
            "aggregator_uuid": aggregator,
            "device_uuid": str(thing),
            "transaction_id": str(uuid4()),
        }
        await self._beside.ask("POST", self._path(what), body)

    def _path(self, what: str) -> str:
        return f"external-connection/aggregator-api/{self._network}/{what}/"


def _named(found: list[object]) -> Iterator[tuple[str, str]]:
    for each in found:
        if isinstance(each, dict) and _is_uuid(each.get("uuid")):
            yield str(each.get("name")), str(each["uuid"])


def _is_uuid(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(UUID(text))
    except ValueError:
        return False
