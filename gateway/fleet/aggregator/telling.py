"""What gateways are told of their numbers: the exchange's verdicts, in messages of bounded size.
Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Literal

import msgspec

from gateway.fleet.aggregator.numbers import KIND_OF
from gateway.fleet.aggregator.upkeep import Told
from gateway.outbox.fleet.messages import MAX_ACK_BYTES, Ack, Verdict

_STATE_OF: Mapping[str, Literal["accepted", "rejected", "missed"]] = {
    "a": "accepted",
    "r": "rejected",
    "m": "missed",
}


def acks_of(some: Iterable[Told]) -> Iterator[tuple[str, Ack, list[Told]]]:
    """What each site is told, and of which numbers."""
    for (site, store), told in groupby(
        sorted(some, key=lambda each: (each.site, each.store)),
        key=lambda each: (each.site, each.store),
    ):
        yield from _that_fit(site, store, list(told))


def _that_fit(site: str, store: str, told: list[Told]) -> Iterator[tuple[str, Ack, list[Told]]]:
    ack = Ack(store=store, verdicts=[_verdict(each) for each in told])
    if len(told) == 1 or len(msgspec.json.encode(ack)) <= MAX_ACK_BYTES:
        yield site, ack, told
        return
    middle = len(told) // 2
    yield from _that_fit(site, store, told[:middle])
    yield from _that_fit(site, store, told[middle:])


def _verdict(told: Told) -> Verdict:
    return Verdict(
        asset=told.uuid,
        slot_s=told.slot_s,
        kind=KIND_OF[told.kind],
        revision=told.revision,
        state=_STATE_OF[told.state],
        reason=told.reason,
        at_s=told.at_s,
    )
