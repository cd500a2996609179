"""What an exchange tells a grid operator's agent: slots, and answers on statistics and fees."""

import json
from collections.abc import Iterable
from uuid import UUID

from gateway.operator.decision import Decision
from gateway.operator.fee import fee_of
from gateway.operator.frames import Replies, SlotRuns, Strange, said_in
from gateway.operator.markets import Market
from gateway.operator.slot_round import SlotRound
from tests.fuzz.target import Target, check_message

MARKET = UUID("aaaaaaaa-0000-4000-8000-000000000003")
ID = "ce2f0987-9a62-4575-bd7f-61b611afb384"
FEE = fee_of(3.25, "constant")
WORDS = (
    *(b'"market_stats"', b'"market_fee_const"', b'"None"', b'"3.25"', b"NaN", b"1e999", b"null"),
    *(b'"current_market_fee"', b'"children"', b'"status"', b'"ready"', b'"area_throughput"'),
)


def frames(data: bytes) -> None:
    """A frame tells of a slot, answers, or is strange; a fee is taken by its own echo only."""
    said = said_in(data, "constant")
    if isinstance(said, SlotRuns):
        assert 0 <= said.part <= 1
        assert all(fee.micros >= 0 for fee in said.fees.values())
    if not isinstance(said, Replies):
        return
    current = SlotRound.of_markets([Market("House 1", MARKET)], 900, "constant", dry_run=False)
    decision = Decision(
        market="House 1", slot_s=900, model="fixed", fee=FEE, wanted=FEE, is_fallback=False, why=""
    )
    current.decide(MARKET, decision)
    current.note_sent(said.transaction_id, current.next_batch(9, again=False), 0.0)
    current.hear(said, 1.0)
    [row] = current.rows()
    assert row.state != "taken" or b"3.25" in data or b"3250" in data or b"e" in data
    if row.reason:
        check_message(row.reason)


def seeds() -> Iterable[bytes]:
    """One of each kind."""
    tree = {str(MARKET): {"area_name": "House 1", "current_market_fee": 2, "children": {}}}
    slot = {"market_slot": "2026-11-28T00:15", "slot_completion": "53%", "grid_tree": tree}
    yield json.dumps({"event": "market", **slot}).encode()
    yield json.dumps({"event": "tick", **slot}).encode()
    flow = {"area_throughput": {"import": 0.075, "export": 0.0}, "market_fee_revenue": 0.2}
    statistics = {"command": "dso_market_stats", "status": "ready", "market_stats": flow}
    fee = {"command": "grid_fees", "status": "ready", "market_fee_const": "3.25"}
    error = {"command": "grid_fees", "status": "error", "error_message": "conflicting with"}
    for answers in ([statistics, fee], [statistics, error], [{**fee, "market_fee_const": "2"}]):
        responses = {str(MARKET): answers}
        batch = {"command": "batch_commands", "transaction_id": ID, "responses": responses}
        yield json.dumps(batch).encode()


TARGETS = (
    Target(
        "grid-operator",
        "what an exchange tells a grid operator's agent",
        frames,
        seeds,
        (Strange,),
        words=WORDS,
    ),
)
