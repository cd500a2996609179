"""What the exchange tells a grid operator's agent over its websocket. Pure.

    {"event": "market", "market_slot": "2026-11-28T00:15", "slot_completion": "0%",
     "grid_tree": {"<uuid>": {"area_name": …, "current_market_fee": 2, "children": {…}}}}
    {"command": "batch_commands", "transaction_id": "…", "responses": {"<uuid>": [
        {"command": "dso_market_stats", "status": "ready", "market_stats": {…}},
        {"command": "grid_fees", "status": "ready", "market_fee_const": "3.25", …},
        {"command": …, "status": "error", "error_message" or "message": "…"}]}}

`market` tells of the slot that has just begun, and what each market charges in it. A `tick` tells
of the slot that runs. What is neither, and what is not as it should be, says nothing.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct, field

from gateway.operator.fee import MILLION, Fee, FeeError, FeeType, fee_of
from gateway.outbox.held import slot_start_s

MAX_FRAME_BYTES = 4 << 20
"""An event has the whole tree: some 500 bytes for each market and each asset of one's own."""
MAX_DEPTH = 32
MAX_REASON_CHARACTERS = 200
MAX_CHARGED = 1e9
"""What is beyond is no number that anybody charges."""


class SlotRuns(Struct, frozen=True):
    """A slot has begun, or runs."""

    slot_s: int
    """Its begin, Unix time."""
    part: float = 0.0
    """How much of it is over, 0 to 1."""
    fees: Mapping[UUID, Fee] = field(default_factory=dict)
    """What each market charges in it, as far as the event says so."""
    odd: Mapping[UUID, int] = field(default_factory=dict)
    """In millionths, where that is no fee that could be set here, such as 150 %: somebody else has
    set it.
    """

    def charged(self, market: UUID) -> int | None:
        """In millionths; None: the event does not say."""
        fee = self.fees.get(market)
        return self.odd.get(market) if fee is None else fee.micros


class Reply(Struct, frozen=True):
    """The engine's word on one command."""

    command: str
    is_ready: bool
    says: str
    """Its own words, where it refuses; else its status."""
    body: Mapping[str, Any] = field(default_factory=dict)


class Replies(Struct, frozen=True):
    """The engine's words on a batch, in the order of each market's commands."""

    transaction_id: str
    of: Mapping[UUID, tuple[Reply, ...]]
    """A market that it does not know is not among them."""


class Finished(Struct, frozen=True):
    """The simulation has come to its end."""


Said = SlotRuns | Replies | Finished


class Strange(ValueError):
    """What came is no JSON object."""


class _Node(Struct):
    current_market_fee: msgspec.Raw = msgspec.Raw()
    children: msgspec.Raw = msgspec.Raw()


class _Frame(Struct):
    event: msgspec.Raw = msgspec.Raw()
    market_slot: msgspec.Raw = msgspec.Raw()
    slot_completion: msgspec.Raw = msgspec.Raw()
    grid_tree: msgspec.Raw = msgspec.Raw()
    command: msgspec.Raw = msgspec.Raw()
    transaction_id: msgspec.Raw = msgspec.Raw()
    responses: msgspec.Raw = msgspec.Raw()


def said_in(frame: bytes, fee_type: FeeType) -> Said | None:
    """What a frame says; None where that is nothing to an agent. Raises Strange."""
    found = _frame(frame)
    event = _text(found.event)
    if event == "finish":
        return Finished()
    if event in ("market", "tick"):
        slot_s = slot_start_s(_text(found.market_slot))
        if slot_s is None:
            return None
        if event == "market":
            return SlotRuns(slot_s, 0.0, *_charged(found.grid_tree, fee_type))
        part = _part(_text(found.slot_completion))
        return None if part is None else SlotRuns(slot_s, part)

    transaction_id = _text(found.transaction_id)
    if transaction_id and _text(found.command) == "batch_commands":
        return Replies(transaction_id, dict(_replies(found.responses)))
    return None


def _frame(data: bytes) -> _Frame:
    """Raises Strange."""
    try:
        return msgspec.json.decode(data, type=_Frame)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        # Python's own JSON, as the engine writes it, has NaN where a mean was made of nothing.
        found = json.loads(data, parse_constant=lambda _: None)
        return msgspec.json.decode(json.dumps(found), type=_Frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Strange("it is no JSON object") from error


def _charged(tree: msgspec.Raw, fee_type: FeeType) -> tuple[Mapping[UUID, Fee], Mapping[UUID, int]]:
    """What markets charge: fees, and in millionths what is none."""
    fees: dict[UUID, Fee] = {}
    odd: dict[UUID, int] = {}
    for uuid, number in _fees(tree, 0):
        try:
            fees[uuid] = fee_of(number, fee_type)
        except FeeError:
            odd[uuid] = round(number * MILLION)
    return fees, odd


def _fees(raw: msgspec.Raw, depth: int) -> Iterator[tuple[UUID, float]]:
    nodes = _decoded(raw, dict[str, _Node])
    if not isinstance(nodes, dict) or depth > MAX_DEPTH:
        return
    for text, node in nodes.items():
        fee = _decoded(node.current_market_fee, float)
        uuid = _uuid(text)
        if uuid is not None and fee is not None and abs(fee) <= MAX_CHARGED:
            yield uuid, fee
        if node.children:
            yield from _fees(node.children, depth + 1)


def _replies(raw: msgspec.Raw) -> Iterator[tuple[UUID, tuple[Reply, ...]]]:
    by_market = _decoded(raw, dict[str, msgspec.Raw])
    for text, each in by_market.items() if isinstance(by_market, dict) else ():
        uuid, words = _uuid(text), _decoded(each, list[Any])
        if uuid is not None and isinstance(words, list):
            yield uuid, tuple(_reply(word) for word in words)


def _reply(word: object) -> Reply:
    if not isinstance(word, dict):
        return Reply("", False, "it is no answer")
    status, error = word.get("status"), word.get("error")
    complaint = word.get("error_message") or error or word.get("message")
    is_ready = status == "ready" and not error
    says = str(status) if is_ready else str(complaint or f"status {status or 'missing'}")
    line = " ".join("".join(c if c.isprintable() else " " for c in says[:1000]).split())
    return Reply(str(word.get("command")), is_ready, line[:MAX_REASON_CHARACTERS], word)


def _decoded(raw: msgspec.Raw, type_: Any) -> Any:
    """None where it is something else."""
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=type_)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _text(raw: msgspec.Raw) -> str:
    found = _decoded(raw, str)
    return found if isinstance(found, str) else ""


def _part(percent: str) -> float | None:
    """`53%` as 0.53; None where it is something else."""
    digits = percent.removesuffix("%")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 3):
        return None
    return min(int(digits) / 100, 1.0)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
