"""The numbers of all assets of an aggregator in one request. Pure.

    POST external-connection/aggregator-api/{canary network}/batch-commands/
         {"aggregator_uuid": …, "transaction_id": "<uuid4>", "batch_commands": {"<asset>": [
            {"type": "set_energy_measurement", "energy_measurement": {"2026-03-29T01:00": 0.125}},
            {"type": "set_energy_forecast", "energy_forecast": {…}}], …}}

Each asset has at most one command of a kind, measurements first: the answer has theirs in the same
order. A slot's second revision rides in a later request than its first.
"""

from collections.abc import Iterable, Sequence

from gateway.outbox.dialects import sdk
from gateway.outbox.exchange.answers import KINDS
from gateway.outbox.format import Batch
from gateway.outbox.item import Item, Kind, Subject

MAX_ITEMS = 5_400
"""Of one request: some 170 kB of JSON. A look at the backlog is three of them."""


class Dialect(sdk.Dialect):
    """As `sdk`, in one request for all. The payload lacks the aggregator's UUID, which may change:
    whoever sends it adds that.
    """

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Batch]:
        """As few requests as there may be. Without a transaction id, which is how a backlog is
        divided, they have no payload: it would be made for nothing.
        """
        batches: list[dict[tuple[Subject, Kind, int], Item]] = [{}]
        for item in items:
            key = item.subject, item.kind, item.slot_s
            if key in batches[-1] or len(batches[-1]) >= MAX_ITEMS:
                batches.append({})
            batches[-1][key] = item
        path = f"external-connection/aggregator-api/{self.canary_network}/batch-commands/"
        return [
            Batch(
                tuple(batch.values()),
                path,
                self._payload(batch.values(), transaction_id) if transaction_id else None,
            )
            for batch in batches
            if batch
        ]

    def _payload(self, items: Iterable[Item], transaction_id: str) -> dict[str, object]:
        numbers: dict[Subject, dict[Kind, dict[str, float]]] = {}
        for item in items:
            of_kind = numbers.setdefault(item.subject, {}).setdefault(item.kind, {})
            of_kind[self.slot_text(item.slot_s)] = item.energy_uwh / 10**9
        commands = {
            str(subject): [
                {"type": f"set_energy_{kind}", f"energy_{kind}": of_asset[kind]}
                for kind in KINDS
                if kind in of_asset
            ]
            for subject, of_asset in numbers.items()
        }
        return {"batch_commands": commands, "transaction_id": transaction_id}
