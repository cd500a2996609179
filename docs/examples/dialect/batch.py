"""Dialect `batch`: an exchange that does not exist, for CONTRIBUTING.md. It takes many assets in
one request. Pure.

    POST markets/{canary network}/readings/
         {"batch": "<uuid4>", "readings": [{"asset": "<uuid>", "start": "2026-03-29T01:00:00Z",
         "energy_wh": 137.25}, …]}
    200  {"stored": 42}   or   {"busy_s": 30}: nothing was stored, come again in 30 s
    4xx  {"error": "why"}: nothing was stored

A later reading of the same asset and start replaces the earlier one, so sending again is harmless.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.outbox.dialect import Reply
from gateway.outbox.format import Batch, Margins, Outcome, Retry, Window
from gateway.outbox.http_replies import http_outcome, parsed
from gateway.outbox.item import Item, Kind

MAX_READINGS = 500
"""Of one request: about 60 kB of JSON."""


class Dialect:
    """Measurements of closed slots, at any later time."""

    kinds: frozenset[Kind] = frozenset({"measurement"})
    dated = True

    def __init__(self, canary_network: str, slot_s: int) -> None:
        self._path = f"markets/{canary_network}/readings/"
        self._slot_s = slot_s

    def window(self, kind: Kind, slot_s: int, kept: Margins) -> Window:
        """From a margin after the slot's end on, for ever: readings carry their time."""
        self._check(kind)
        return Window(slot_s + self._slot_s + kept.margin_s, None)

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Batch]:
        """As few requests as the limit allows. Revisions of one slot ride in different requests,
        because the later one must win.
        """
        batches: list[dict[tuple[object, int], Item]] = []
        for item in items:
            self._check(item.kind)
            slot = (item.subject, item.slot_s)
            if not batches or slot in batches[-1] or len(batches[-1]) >= MAX_READINGS:
                batches.append({})
            batches[-1][slot] = item
        return [self._batch(tuple(batch.values()), transaction_id) for batch in batches]

    def judge(self, reply: Reply) -> Outcome:
        """This exchange has one word of its own, "busy_s"; for all else HTTP's are enough."""
        said = parsed(reply.body) if reply.status == 200 else None
        busy_s = said.get("busy_s") if isinstance(said, dict) else None
        if isinstance(busy_s, int) and busy_s > 0:
            return Retry(f"is busy and asks for {busy_s} s", float(busy_s))
        return http_outcome(reply)

    def _batch(self, items: tuple[Item, ...], transaction_id: str) -> Batch:
        readings = [
            {
                "asset": str(i.subject),
                "start": _utc_text(i.slot_s),
                "energy_wh": i.energy_uwh / 10**6,
            }
            for i in items
        ]
        return Batch(items, self._path, {"batch": transaction_id, "readings": readings})

    def _check(self, kind: Kind) -> None:
        if kind not in self.kinds:
            raise ValueError(f"the batch dialect has no way to say a {kind}")


def _utc_text(slot_s: int) -> str:
    return datetime.fromtimestamp(slot_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
