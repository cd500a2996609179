"""What is kept of a grid operator's fees, as objects and as rows. Pure."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec

FeeState = Literal[
    "observed",
    "decided",
    "dry_run",
    "sent",
    "taken",
    "kept_old",
    "refused",
    "silent",
    "too_late",
    "missed",
]
"""observed: only the exchange's statistics are known. decided: it is about to be sent. dry_run: it
is not to be sent. sent: the answer is awaited. taken: the exchange answered ready, with this very
number. kept_old: it answered ready, and with another number. refused: it answered with an error.
silent: it did not answer before the slot began. too_late: it was decided, and not sent any more.
missed: nothing was decided. The reason says why.
"""


class SlotStatistics(msgspec.Struct, frozen=True):
    """What the exchange tells of a market's slot. None: it did not say."""

    import_kwh: float | None = None
    export_kwh: float | None = None
    traded_kwh: float | None = None
    revenue_cents: float | None = None
    average_rate: float | None = None
    """Cents per kWh, the fee among them."""


STATISTICS = SlotStatistics.__struct_fields__


class GridFee(msgspec.Struct, frozen=True, kw_only=True):
    """The fee of one market for one slot. Fees are in millionths of their unit."""

    slot_s: int
    market: UUID
    name: str
    state: FeeState
    fee_type: Literal["constant", "percent"]
    fee: int | None = None
    wanted: int | None = None
    """What the model wanted; None: it could not say."""
    model: str = ""
    why: str = ""
    inputs: Mapping[str, float] = msgspec.field(default_factory=dict)
    memory: Mapping[str, int] = msgspec.field(default_factory=dict)
    slots_without: int = 0
    reason: str = ""
    sent: int = 0
    """How often."""
    sent_s: float | None = None
    answered_s: float | None = None
    in_force: int | None = None
    """What the exchange's own event says that was charged."""
    import_kwh: float | None = None
    export_kwh: float | None = None
    traded_kwh: float | None = None
    revenue_cents: float | None = None
    average_rate: float | None = None


COLUMNS = GridFee.__struct_fields__


def fee_row(fee: GridFee) -> tuple[object, ...]:
    """In the order of COLUMNS."""
    packed = {
        "market": fee.market.bytes,
        "inputs": msgspec.json.encode(fee.inputs).decode(),
        "memory": msgspec.json.encode(fee.memory).decode(),
    }
    return tuple(packed.get(name, getattr(fee, name)) for name in COLUMNS)


def fee_of_row(row: Any) -> GridFee:
    """Reads what `fee_row` made."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["market"] = UUID(bytes=values["market"])
    values["inputs"] = _numbers(values["inputs"])
    values["memory"] = _numbers(values["memory"])
    return GridFee(**values)


def _numbers(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, int | float])
    except (msgspec.MsgspecError, ValueError):
        return {}
