"""The laws of a grid operator's fees: what arrived at the engine, and what the gateway has kept of
it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.simulation.books import Books
from tests.simulation.markets import HIGHEST, LOWEST, MODELS, Arrived, street_fee

MILLION = 1_000_000
RECENT_SLOTS = 3
"""At the end of a run, with an hour and a half without a fault, every fee is taken."""

Rows = Mapping[tuple[str, int], Any]
"""By the market's name and the slot."""


def broken_by_fees(books: Books) -> Iterator[str]:
    """No fee outside its bounds or for a slot that has begun; each slot taken or explained; what
    counts as taken was charged; all is well again in the end.
    """
    markets = books.run.faults.markets
    if not books.run.scenario.grid_operator:
        return
    rows = {(markets.names[row["market_text"]], row["slot_s"]): row for row in books.fees}
    for each in markets.arrived:
        yield from _unlawful(each, rows, books)
    yield from _untrue(rows, books)
    yield from _unexplained(rows, books)


def _unlawful(each: Arrived, rows: Rows, books: Books) -> Iterator[str]:
    what = f"{each.market}: {each.fee} arrived in the slot {each.slot_s}"
    if not LOWEST <= each.fee <= HIGHEST:
        yield f"{what}, and is out of bounds"
    next_s = each.slot_s + books.slot_s
    if each.market == "Street":
        if each.fee != street_fee(next_s):
            yield f"{what}, and is not the fee of the next one, {street_fee(next_s)}"
        return
    row = rows.get((each.market, next_s))
    is_kept = row is not None and row["fee"] == round(each.fee * MILLION)
    if not is_kept and each.at_s > books.fees_lost_s:
        yield f"{what}, and of the next one is kept {row and dict(row)}"


def _untrue(rows: Rows, books: Books) -> Iterator[str]:
    told = books.run.exchange.engine.fees.charged
    names = books.run.faults.markets.names
    charged = {
        (names[str(uuid)], slot_s): fee
        for slot_s, of in told
        for uuid, fee in of.items()
        if str(uuid) in names
    }
    for key, row in rows.items():
        is_taken = row["state"] == "taken" and not row["reason"]
        if is_taken and key in charged and round(charged[key] * MILLION) != row["fee"]:
            yield f"{key}: taken was {row['fee']}, and charged {charged[key]}"


def _unexplained(rows: Rows, books: Books) -> Iterator[str]:
    end_s = int(books.run.end_ms / 1000) // books.slot_s * books.slot_s
    decided = [slot_s for (_, slot_s), row in rows.items() if row["state"] != "observed"]
    first_s = max(min(decided, default=end_s), int(books.fees_lost_s) + 2 * books.slot_s)
    first_s = -(-first_s // books.slot_s) * books.slot_s
    if end_s - first_s < RECENT_SLOTS * books.slot_s and books.fees_lost_s < 0:
        yield f"no fee was decided before {first_s}"
    for name in MODELS:
        for slot_s in range(first_s, end_s, books.slot_s):
            row = rows.get((name, slot_s))
            if row is None or not (row["state"] == "taken" or row["reason"]):
                yield f"{name}: {slot_s} is neither taken nor explained: {row and dict(row)}"
            elif slot_s >= end_s - RECENT_SLOTS * books.slot_s and row["state"] != "taken":
                yield f"{name}: {slot_s}, in the end, is {row['state']}: {row['reason']}"
