"""The web backend in front of the simulated engine: its addresses, and what they answer. Pure.

The real one is closed. What is documented or was observed is played; where nobody knows, the
stricter choice is made: 403 for what is another account's, 404 for what is not there, 400 for
a body that no client of the exchange sends.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID, uuid5

from gateway.delivery.simulated.answers import (
    Answer,
    Refused,
    exactly,
    json_answer,
    number,
    object_in,
    uuid_in,
)
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.books import Books, moment, slot_text
from gateway.delivery.simulated.commands import (
    KIND_OF,
    UWH_PER_KWH,
    Unheard,
    energy_of,
    has_exactly_its_keys,
)
from gateway.delivery.simulated.community import Community, Node, registry, scenario
from gateway.delivery.simulated.engine import Engine

UWH_PER_WH = 10**6
Handler = Callable[[re.Match[str], Mapping[str, str], bytes], object]

_NOT_FOUND = Answer(404, b"<html><body><h1>Not Found</h1></body></html>", "text/html")
_CONFIGURATION = re.compile(r'readConfiguration\(\s*uuid:\s*"([^"]*)"')
_API = r"/external-connection"
_NETWORK = r"(?P<network>[^/]+)"
_THING = r"(?P<uuid>[^/]+)"


class WebBackend:
    """Answers requests for one network, and hands what is for the engine on to it."""

    def __init__(
        self,
        network: UUID,
        community: Community,
        books: Books,
        engine: Engine,
        behaviour: Behaviour,
        slot_s: int,
    ) -> None:
        self._network = network
        self._community = community
        self._books = books
        self._engine = engine
        self._behaviour = behaviour
        self._slot_s = slot_s

        aggregator = rf"{_API}/aggregator-api/{_NETWORK}"
        of_one = rf"{_API}/api/{_NETWORK}/{_THING}"
        history = rf"/historical-data/assets/{_NETWORK}/{_THING}/(?P<start>[^/]+)/(?P<end>[^/]+)"
        post, get = ("POST",), ("GET",)
        self._routes: list[tuple[re.Pattern[str], tuple[str, ...], Handler]] = [
            (re.compile(path), methods, handler)
            for path, methods, handler in (
                (rf"{of_one}/set_energy_forecast/", post, self._undated),
                (rf"{of_one}/set-energy-(?P<kind>forecast|measurement)/", post, self._dated),
                (rf"{of_one}/grid-fee/", post, self._grid_fee),
                (rf"{of_one}/dso-market-stats/?", ("GET", "POST"), self._statistics),
                (rf"{aggregator}/list-aggregators/", get, self._list),
                (rf"{aggregator}/create-aggregator/", post, self._create),
                (rf"{aggregator}/delete-aggregator/", post, self._delete),
                (rf"{aggregator}/select-aggregator/", post, self._select),
                (rf"{aggregator}/unselect-aggregator/", post, self._unselect),
                (rf"{aggregator}/batch-commands/", post, self._batch),
                (rf"{_API}/configurations/{_NETWORK}/registry", get, self._registry),
                (r"/graphql/", post, self._graphql),
                (history, get, self._told),
            )
        ]

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to who has logged in. Raises Refused."""
        for pattern, methods, handler in self._routes:
            if match := pattern.fullmatch(path):
                if method not in methods:
                    raise Refused(405, f"{method} is not allowed here")
                if not self._behaviour.is_permitted:
                    raise Refused(403, "You do not have permission to perform this action.")
                if match.groupdict().get("network", str(self._network)) != str(self._network):
                    raise Refused(404, "there is no such network")
                return json_answer(200, handler(match, headers, body))
        return _NOT_FOUND

    def stream(self, path: str) -> UUID:
        """Whose websocket that is. Raises Refused."""
        match = re.fullmatch(
            rf"/external-ws/{_NETWORK}/(?P<aggregator>aggregator/)?{_THING}/", path
        )
        if match is None or match["network"] != str(self._network):
            raise Refused(404, "there is no such websocket")
        if not self._behaviour.is_permitted:
            raise Refused(403, "You do not have permission to perform this action.")
        if match["aggregator"]:
            return self._aggregator(match["uuid"])
        return self._ours(match["uuid"]).uuid

    # --- assets and markets -----------------------------------------------------------------------

    def _undated(self, match: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        node = self._ours(match["uuid"])
        data = object_in(headers, body)
        exactly(data, {"energy_Wh"})
        energy_uwh = round(number(data["energy_Wh"]) * UWH_PER_WH)
        if node.takes_energy:
            self._books.book_undated(node.uuid, energy_uwh)
        return {"command": "set_energy_forecast", "status": "queued"}

    def _dated(self, match: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        node = self._ours(match["uuid"])
        data = object_in(headers, body)
        command = f"set_energy_{match['kind']}"
        if self._behaviour.refuses_at_once:
            self._look_at(command, data)
        self._engine.energy(node, command, data)
        return _queued(command, data)

    def _look_at(self, command: str, data: Mapping[str, object]) -> None:
        """As a web backend might. Raises Refused."""
        if not has_exactly_its_keys(command, data):
            raise Refused(400, f"the keys must be energy_{KIND_OF[command]}, transaction_id")
        try:
            energy_of(command, data)
        except Unheard as unheard:
            raise Refused(400, str(unheard)) from None
        values = data[f"energy_{KIND_OF[command]}"]
        for value in values.values() if isinstance(values, dict) else ():
            number(value)

    def _look_at_each(self, node: Node | None, commands: Sequence[Mapping[str, object]]) -> None:
        """At the energies of a batch, and only whether one is refused. Raises Refused."""
        for command in commands if node else ():
            name = str(command.get("type"))
            if name in KIND_OF:
                try:
                    slots = energy_of(name, command)
                except Unheard as unheard:
                    raise Refused(400, str(unheard)) from None
                if node and not node.refuses.isdisjoint(slots):
                    raise Refused(400, "one of the numbers is refused")

    def _grid_fee(self, match: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        data = object_in(headers, body)
        self._engine.of_market(self._ours(match["uuid"]), "grid_fees", data)
        return _queued("grid_fees", data)

    def _statistics(self, match: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        data = object_in(headers, body) if body else {}
        self._engine.of_market(self._ours(match["uuid"]), "dso_market_stats", data)
        return _queued("dso_market_stats", data)

    # --- aggregators ------------------------------------------------------------------------------

    def _list(self, *_: object) -> object:
        return [
            {"name": name, "uuid": str(uuid)} for uuid, name in self._community.aggregators.items()
        ]

    def _create(self, _: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        name = object_in(headers, body).get("name")
        if not isinstance(name, str) or not name:
            raise Refused(400, "an aggregator needs a name")
        if name in self._community.aggregators.values():
            raise Refused(400, f"there is an aggregator {name!r} already")
        uuid = uuid5(self._network, name)
        self._community.aggregators[uuid] = name
        return {"name": name, "uuid": str(uuid)}

    def _delete(self, _: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        uuid = self._aggregator(object_in(headers, body).get("aggregator_uuid"))
        del self._community.aggregators[uuid]
        controlled = self._community.controlled
        for of in [of for of, by in controlled.items() if by == uuid]:
            del controlled[of]
        return {"aggregator_uuid": str(uuid)}

    def _select(self, _: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        aggregator, node = self._both(object_in(headers, body))
        if aggregator not in self._community.aggregators:
            self._community.controlled.pop(node.uuid, None)  # it takes it over
        holds = self._community.controlled.setdefault(node.uuid, aggregator)
        if holds != aggregator:
            raise Refused(400, f"Device already have selected aggregator {holds}")
        return self._selection("selected_by_device", aggregator, node)

    def _unselect(self, _: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        aggregator, node = self._both(object_in(headers, body))
        if self._community.controlled.get(node.uuid) == aggregator:
            del self._community.controlled[node.uuid]
        return self._selection("unselected_by_device", aggregator, node)

    def _selection(self, event: str, aggregator: UUID, node: Node) -> object:
        self._engine.tell(aggregator, {"event": event, "device_uuid": str(node.uuid)})
        return {"aggregator_uuid": str(aggregator), "device_uuid": str(node.uuid)}

    def _batch(self, _: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        data = object_in(headers, body)
        aggregator = self._aggregator(data.get("aggregator_uuid"))
        commands = data.get("batch_commands")
        if not isinstance(commands, dict) or not all(
            isinstance(each, list) and all(isinstance(command, dict) for command in each)
            for each in commands.values()
        ):
            raise Refused(400, "batch_commands must be lists of commands by UUID")
        if self._behaviour.refuses_at_once:
            for text, of_one in commands.items():
                uuid = uuid_in(text)
                self._look_at_each(self._community.find(uuid) if uuid else None, of_one)
        transaction_id = data.get("transaction_id")
        if isinstance(transaction_id, str) and transaction_id:
            self._engine.batch(aggregator, transaction_id, commands)
        return _queued("batch_commands", data)

    # --- reading ----------------------------------------------------------------------------------

    def _registry(self, *_: object) -> object:
        return registry(self._community)

    def _graphql(self, _: re.Match[str], headers: Mapping[str, str], body: bytes) -> object:
        query = object_in(headers, body).get("query")
        found = _CONFIGURATION.search(query) if isinstance(query, str) else None
        if found is None:
            return {"errors": [{"message": "only readConfiguration(uuid) is known here"}]}
        if found[1] != str(self._network):
            message = "Configuration matching query does not exist."
            return {"errors": [{"message": message}], "data": {"readConfiguration": None}}
        latest = {"serialized": json.dumps(scenario(self._community))}
        return {"data": {"readConfiguration": {"scenarioData": {"latest": latest}}}}

    def _told(self, match: re.Match[str], *_: object) -> object:
        node = self._ours(match["uuid"])
        try:
            start_s, end_s = moment(match["start"]), moment(match["end"])
        except ValueError as error:
            raise Refused(400, str(error)) from None
        tells = (
            self._books.told if self._behaviour.tells == "measurements" else self._books.forecast
        )
        return [
            {"time": slot_text(slot_s, self._slot_s), "energy_kWh": uwh / UWH_PER_KWH}
            for slot_s, uwh in tells(node.uuid, start_s, end_s)
        ]

    # --- what a request is about ------------------------------------------------------------------

    def _ours(self, text: object) -> Node:
        node = next((each for each in self._community.nodes() if str(each.uuid) == text), None)
        if node is None:
            raise Refused(404, "there is no such asset")
        if not node.is_ours:
            raise Refused(403, "You do not have permission to perform this action.")
        return node

    def _aggregator(self, text: object) -> UUID:
        uuid = uuid_in(text)
        is_known = uuid in self._community.aggregators or not self._behaviour.knows_aggregators
        if uuid is None or not is_known:
            raise Refused(404, "there is no such aggregator")
        return uuid

    def _both(self, data: Mapping[str, object]) -> tuple[UUID, Node]:
        return self._aggregator(data.get("aggregator_uuid")), self._ours(data.get("device_uuid"))


def _queued(command: str, data: Mapping[str, object]) -> dict[str, object]:
    """What it says of a request that went on to the engine: only that it did."""
    return {"command": command, "status": "queued", "transaction_id": data.get("transaction_id")}
