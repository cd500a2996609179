"""Dialect `sdk`: what the exchange's own SDK speaks. Dated numbers in kWh, many slots of one asset
in one request. Pure.

    POST external-connection/api/{canary network}/{asset}/set-energy-measurement/
         {"energy_measurement": {"2026-03-29T01:00": 0.125, …}, "transaction_id": "<uuid4>"}
    POST …/set-energy-forecast/
         {"energy_forecast": {"2026-03-29T01:15": 0.137, …}, "transaction_id": "<uuid4>"}

Keys are starts of slots, UTC. A later value for the same slot replaces the earlier one, so sending
again is harmless.

    GET historical-data/assets/{canary network}/{asset}/{start}/{end}

tells what the exchange holds; `held.py` has the forms of the answer. (The engine's verdict over a
websocket says what came of each request: gateway/outbox/exchange/.)
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.outbox.dialect import Question, Reply
from gateway.outbox.format import Batch, Margins, Outcome, Window
from gateway.outbox.held import held_uwh
from gateway.outbox.http_replies import http_outcome
from gateway.outbox.item import Item, Kind

MAX_SLOTS_PER_REQUEST = 2000
"""About 60 kB of JSON."""
MAX_SLOTS_PER_QUESTION = 96
"""A day of quarter hours: 680 bytes for each in an answer of 64 KiB."""

_AT_ONCE = 0.0


class Dialect:
    """Measurements of closed slots at any later time; forecasts until their slot begins."""

    kinds: frozenset[Kind] = frozenset({"measurement", "forecast"})
    dated = True

    def __init__(self, canary_network: str, slot_s: int) -> None:
        self.canary_network = canary_network
        self._slot_s = slot_s
        # The exchange names slots to the minute. Only slots that are not whole minutes (the demo's)
        # need their seconds.
        self._time_format = "%Y-%m-%dT%H:%M" if slot_s % 60 == 0 else "%Y-%m-%dT%H:%M:%S"

    def window(self, kind: Kind, slot_s: int, kept: Margins) -> Window:
        """A measurement opens a margin after its slot's end: its energy is known then, and the
        exchange silently drops one whose slot has not begun by its own clock. A forecast must
        arrive before its slot begins by the exchange's clock, which runs ahead.
        """
        if kind == "measurement":
            return Window(slot_s + self._slot_s + kept.margin_s, None)
        return Window(_AT_ONCE, slot_s - kept.lead_s)

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Batch]:
        """One request per asset and kind, or more where there are too many slots. A slot's second
        revision rides in a later request than its first, because a request has one number per slot.
        """
        batches: list[dict[int, Item]] = []
        filling: dict[tuple[object, Kind], dict[int, Item]] = {}
        for item in items:
            batch = filling.get((item.subject, item.kind))
            if batch is None or item.slot_s in batch or len(batch) >= MAX_SLOTS_PER_REQUEST:
                batch = filling[item.subject, item.kind] = {}
                batches.append(batch)
            batch[item.slot_s] = item
        return [self._batch(tuple(batch.values()), transaction_id) for batch in batches]

    def judge(self, reply: Reply) -> Outcome:
        """2xx means that the exchange has queued the numbers."""
        return http_outcome(reply)

    def ask(self, items: Sequence[Item]) -> Question:
        """For the slots around the first item that one answer has room for."""
        first_s, room_s = items[0].slot_s, MAX_SLOTS_PER_QUESTION * self._slot_s
        start_s = end_s = first_s
        asked = []
        for item in items:
            since_s, until_s = min(start_s, item.slot_s), max(end_s, item.slot_s)
            if until_s - since_s < room_s:
                start_s, end_s = since_s, until_s
                asked.append(item)
        # The end lies behind the last slot, so that it does not matter whether the exchange counts
        # the end in.
        path = self.history_path(str(items[0].subject), start_s, end_s + self._slot_s)
        return Question(path, tuple(asked))

    def history_path(self, asset: str, start_s: int, end_s: int) -> str:
        """Where the exchange tells what it holds of an asset (its UUID there) over a time."""
        period = f"{self.slot_text(start_s)}/{self.slot_text(end_s)}"
        return f"historical-data/assets/{self.canary_network}/{asset}/{period}"

    def held(self, reply: Reply) -> dict[int, int] | None:
        """As `held.py` understands it."""
        return held_uwh(reply)

    def _batch(self, items: tuple[Item, ...], transaction_id: str) -> Batch:
        asset, kind = items[0].subject, items[0].kind
        # µWh / 10⁹ is the double nearest to the exact decimal, and JSON writes the shortest text of
        # it: the same nine digits.
        energy_kwh = {self.slot_text(item.slot_s): item.energy_uwh / 10**9 for item in items}
        return Batch(
            items,
            f"external-connection/api/{self.canary_network}/{asset}/set-energy-{kind}/",
            {f"energy_{kind}": energy_kwh, "transaction_id": transaction_id},
        )

    def slot_text(self, slot_s: int) -> str:
        """A slot by its start, UTC."""
        return datetime.fromtimestamp(slot_s, UTC).strftime(self._time_format)
