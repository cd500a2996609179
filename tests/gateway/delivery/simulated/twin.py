"""The network in which the exchange was observed, as a twin with a clock of the test's, and what it
says over its websockets.
"""

import json
from typing import Any
from uuid import UUID

from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.exchange import LOGIN, StrictExchange

SIMULATION = UUID("8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10")
GRID, COMMUNITY, HOUSE = (UUID(f"aaaaaaaa-0000-4000-8000-{n:012d}") for n in (1, 2, 3))
BATTERY = UUID("aaaaaaaa-0000-4000-8000-000000000006")
LOAD = UUID("26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1")
PV = UUID("cf3b262c-1c0e-4d0b-8f0e-6f3f0e4b7a52")
NEIGHBOUR = UUID("bed8ab82-5350-442f-b494-bf3a41f69875")
MARKET_MAKER = UUID("73d07991-999e-4565-a1de-026b7430176c")
AGGREGATOR = UUID("4a42959b-cd22-4729-aa2a-6927edd626f6")
TRANSACTION = "37e07810-5d0e-4c52-9f0e-0c7f2f1d3f11"

START_S = 1_795_824_000
"""2026-11-28T00:00Z."""


def community() -> Community:
    """As it was when the exchange was observed."""
    house = [Node(LOAD, "House load"), Node(PV, "PV", "PV"), Node(BATTERY, "Battery", "Storage")]
    neighbour = Node(NEIGHBOUR, "Neighbour", is_ours=False)
    houses = [Node(HOUSE, "House 1", AREA, children=house, fee=2), neighbour]
    maker = Node(MARKET_MAKER, "Market Maker", "InfiniteBus", is_ours=False)
    inner = Node(COMMUNITY, "Community", AREA, children=houses, fee=2)
    return Community(Node(GRID, "Grid", AREA, children=[inner, maker], fee=2))


class Twin:
    """The exchange with somebody logged in who hears all that it tells. `at_s` is now, in seconds
    from START_S.
    """

    def __init__(self, slot_s: int = 900, **behaviour: Any) -> None:
        self.at_s = 0.0
        self.exchange = StrictExchange(
            SIMULATION,
            community(),
            slot_s=slot_s,
            now=lambda: START_S + self.at_s,
            behaviour=Behaviour(**behaviour),
        )
        self.heard: list[tuple[UUID, Any]] = []
        for address in (GRID, COMMUNITY, HOUSE, BATTERY, LOAD, PV, AGGREGATOR):
            self.exchange.engine.listen(
                address,
                lambda said, address=address: self.heard.append((address, json.loads(said))),
            )
        self.headers = {"content-type": "application/json"}
        account = {"username": "gateway", "password": "let-me-in"}
        self.login = self.ask("POST", LOGIN, account)
        self.headers["authorization"] = f"JWT {self.login['access']}"

    def _hear(self, address: UUID, said: bytes | str) -> None:
        self.heard.append((address, json.loads(said)))

    def ask(self, method: str, path: str, body: object, status: int = 200) -> Any:
        """The answer's body."""
        answer = self.exchange.handle(method, path, self.headers, json.dumps(body).encode())
        assert answer.status == status, answer.body
        return json.loads(answer.body)

    def send(self, asset: UUID, kind: str, energy: object, **body: object) -> None:
        """One asset's own request."""
        path = f"/external-connection/api/{SIMULATION}/{asset}/set-energy-{kind}/"
        self.ask("POST", path, {f"energy_{kind}": energy, "transaction_id": TRANSACTION, **body})

    def act_for(self, *nodes: UUID) -> None:
        """An aggregator that acts for these."""
        self.exchange.community.aggregators[AGGREGATOR] = "dso"
        for node in nodes:
            self.exchange.community.controlled[node] = AGGREGATOR

    def batch(self, commands: dict[UUID, list[object]], transaction_id: str = TRANSACTION) -> None:
        """An aggregator's request."""
        body = {
            "aggregator_uuid": str(AGGREGATOR),
            "batch_commands": {str(uuid): each for uuid, each in commands.items()},
            "transaction_id": transaction_id,
        }
        path = f"/external-connection/aggregator-api/{SIMULATION}/batch-commands/"
        self.ask("POST", path, body)

    def after(self, seconds: float) -> list[tuple[UUID, Any]]:
        """Let time go by; what is told meanwhile."""
        self.heard.clear()
        end_s = self.at_s + seconds
        while (due_s := self.exchange.engine.next_due_s() - START_S) <= end_s:
            self.at_s = due_s
            self.exchange.engine.advance()
        self.at_s = end_s
        self.exchange.engine.advance()
        return list(self.heard)
