"""What of a gateway's message is fit to be stored. Pure.

What is wrong with single rows is refused with its reason, and kept for a person; the others are
stored. What this version does not know (a word that a later one writes) is no fault of the
gateway's: the message waits until the collector is brought up to date.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from gateway.outbox.fleet.messages import (
    MAX_ACK_BYTES,
    Ack,
    AssetRow,
    AssetRows,
    BadMessage,
    Digest,
    MeterRow,
    MeterRows,
    Refused,
    Slots,
    Span,
)

DAY_S = 86_400
OLDEST_S = 400 * DAY_S
"""Gateways keep slots for 400 days."""
_DIVISORS = frozenset(n for n in range(1, DAY_S + 1) if DAY_S % n == 0)
"""The lengths that slots may have, in seconds."""
AHEAD_S = DAY_S
"""Forecasts are of slots to come; a clock that is wrong must make no partition."""

MAX_UWH = 1 << 50
"""Of a slot, 10⁶ kWh: the sum of a day has room in bigint."""
MAX_UNCERTAINTY_UWH = 1 << 62
"""A register that jumps to its end leaves a slot known to as much, until the jump is taken back."""
MAX_REGISTER_UWH = 1 << 60
MAX_INT = (1 << 31) - 1
MAX_SMALLINT = (1 << 15) - 1
MAX_TIME_S = 1 << 40
MAX_SEQ = (1 << 63) - 1
MAX_NAME = 200
"""Characters of a meter's name or serial number."""

KINDS: Mapping[str, str] = {"measurement": "m", "forecast": "f"}
QUALITIES: Mapping[str, str] = {
    "measured": "m",
    "estimated": "e",
    "partial": "p",
    "missing": "x",
}
METHODS: Mapping[str, str] = {"counter": "c", "register": "r", "power": "p"}
CLOCKS: Mapping[str, str] = {"kernel": "k", "assured": "a", "placed": "p"}
DIRECTIONS: Mapping[str, str] = {"import": "i", "export": "e"}
"""Words as the database has them, in one byte."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Rows that are not taken."""

    why: str
    """The same words for the same fault: one row is kept for each reason."""
    rows: AssetRows | MeterRows


@dataclass(frozen=True, slots=True)
class Checked:
    """A message, taken apart."""

    items: list[AssetRows]
    meters: list[MeterRows]
    """Both have rows, in the order of their slots."""
    refusals: list[Refusal]

    @property
    def newest(self) -> tuple[int, int] | None:
        """Start and length of the newest slot of what was measured: forecasts are of slots to come.
        Seconds.
        """
        newest = [
            (each.rows[-1].slot_s, each.length_s)
            for each in self.items
            if each.kind == "measurement"
        ]
        newest += [(each.rows[-1].slot_s, each.length_s) for each in self.meters]
        return max(newest, default=None)

    @property
    def oldest_s(self) -> int:
        """Start of the first slot that has a row. There is one."""
        begins = [each.rows[0].slot_s for each in self.items]
        return min(begins + [each.rows[0].slot_s for each in self.meters])


class _Bounds(NamedTuple):
    from_s: int
    to_s: int


def check(message: Slots, now_s: float) -> Checked:
    """What of it can be stored at that time. Raises BadMessage where a later version wrote it."""
    bounds = _Bounds(int(now_s) - OLDEST_S, int(now_s) + AHEAD_S)
    checked = Checked([], [], [])
    if not message.store or not _is_name(message.store):
        raise BadMessage("its store is empty, or no name")
    if not _is_name(message.version):
        raise BadMessage("its version is no text")
    if not 0 <= message.sent <= MAX_TIME_S or any(end > MAX_SEQ for _, end in message.seq):
        raise BadMessage("the time at which it was sent, or one of its numbers, is out of bounds")
    for item in message.items:
        why = _why_not_item(item)
        if not why and _are_good(item.rows, item.length_s, bounds):
            checked.items.append(item)
        else:
            checked.items.extend(_good(item, why, bounds, _no_more, checked.refusals))
    for meter in message.meters:
        why = _why_not_meter(meter)
        if not why and _are_good(meter.rows, meter.length_s, bounds) and _tell_well(meter.rows):
            checked.meters.append(meter)
        else:
            _require_known(meter.rows)
            checked.meters.extend(_good(meter, why, bounds, _why_not_meter_row, checked.refusals))
    return checked


def _are_good(rows: Sequence[AssetRow | MeterRow], length_s: int, bounds: _Bounds) -> bool:
    """Whether nothing is wrong with any of them, as nearly always. One loop without calls: this is
    done for each row that comes; which one it is, and what is wrong with it, is found out slowly.
    """
    from_s, to_s = bounds
    last_s = from_s - 1
    for row in rows:
        slot_s, energy_uwh, uncertainty_uwh = row.slot_s, row.energy_uwh, row.uncertainty_uwh
        if (
            not last_s <= slot_s <= to_s
            or slot_s % length_s
            or not 0 <= row.revision <= MAX_SMALLINT
            or (energy_uwh is not None and not -MAX_UWH <= energy_uwh <= MAX_UWH)
            or (uncertainty_uwh is not None and not 0 <= uncertainty_uwh <= MAX_UNCERTAINTY_UWH)
        ):
            return False
        last_s = slot_s
    return bool(rows)


def _tell_well(rows: Sequence[MeterRow]) -> bool:
    """The same of what meters tell beside the energy."""
    for row in rows:
        if (
            not 0 <= row.coverage_permille <= 1000
            or not 0 <= row.samples <= MAX_INT
            or not 0 <= row.largest_gap_ms <= MAX_INT
            or not -MAX_REGISTER_UWH <= row.begin_register_uwh <= MAX_REGISTER_UWH
            or not -MAX_REGISTER_UWH <= row.end_register_uwh <= MAX_REGISTER_UWH
            or row.method not in METHODS
            or row.clock not in CLOCKS
        ):
            return False
    return True


_Some = TypeVar("_Some", AssetRows, MeterRows)


def _good(
    rows: _Some,
    why: str,
    bounds: _Bounds,
    judge: Callable[[Any], str],
    refusals: list[Refusal],
) -> list[_Some]:
    """The rows without those that are refused, which are noted; nothing where none are left."""
    if why:
        refusals.append(Refusal(why, rows))
        return []
    rows = _with(rows, sorted(rows.rows, key=attrgetter("slot_s")))
    found = [_why_not_slot(each, rows.length_s, bounds) or judge(each) for each in rows.rows]
    if not any(found):
        return [rows] if rows.rows else []
    for reason in dict.fromkeys(filter(None, found)):
        bad = [row for row, each in zip(rows.rows, found, strict=True) if each == reason]
        refusals.append(Refusal(f"{_name(rows)}: {reason}", _with(rows, bad)))
    good = [row for row, each in zip(rows.rows, found, strict=True) if not each]
    return [_with(rows, good)] if good else []


def _with(rows: _Some, some: list[Any]) -> _Some:
    return msgspec.structs.replace(rows, rows=some)


def _name(rows: AssetRows | MeterRows) -> str:
    if isinstance(rows, AssetRows):
        return f"asset {rows.asset}"
    return f"meter {rows.meter} ({rows.direction})"


def _why_not_item(item: AssetRows) -> str:
    try:
        uuid_of(item.asset)
    except ValueError:
        return f"asset {item.asset[:40]!a} is no UUID"
    return _why_not_length(item)


def _why_not_meter(meter: MeterRows) -> str:
    if not (_is_name(meter.meter) and _is_name(meter.serial)):
        return f"meter {meter.meter[:40]!a}: its name or serial number is no such text"
    return _why_not_length(meter)


def _is_name(text: str) -> bool:
    """PostgreSQL takes no text with a NUL."""
    return len(text) <= MAX_NAME and "\0" not in text


def _why_not_length(rows: AssetRows | MeterRows) -> str:
    if rows.length_s not in _DIVISORS:
        return f"{_name(rows)}: slots of {rows.length_s} s do not divide a day"
    return ""


def _why_not_slot(row: AssetRow | MeterRow, length_s: int, bounds: _Bounds) -> str:
    if row.slot_s < bounds.from_s:
        return "a slot of more than 400 days ago is not taken"
    if row.slot_s > bounds.to_s:
        return "a slot of more than a day ahead is not taken"
    if row.slot_s % length_s:
        return "a slot does not begin where slots do"
    if not 0 <= row.revision <= MAX_SMALLINT:
        return "a revision is out of bounds"
    if row.energy_uwh is not None and abs(row.energy_uwh) > MAX_UWH:
        return "an energy is out of bounds"
    if row.uncertainty_uwh is not None and not 0 <= row.uncertainty_uwh <= MAX_UNCERTAINTY_UWH:
        return "an uncertainty is out of bounds"
    return ""


def _no_more(_row: AssetRow) -> str:
    return ""


def _why_not_meter_row(row: MeterRow) -> str:
    if not 0 <= row.coverage_permille <= 1000:
        return "a coverage is out of bounds"
    if not (0 <= row.samples <= MAX_INT and 0 <= row.largest_gap_ms <= MAX_INT):
        return "a number of samples, or a gap, is out of bounds"
    if abs(row.begin_register_uwh) > MAX_REGISTER_UWH or (
        abs(row.end_register_uwh) > MAX_REGISTER_UWH
    ):
        return "a register is out of bounds"
    return ""


def _require_known(rows: Iterable[MeterRow]) -> None:
    """Raises BadMessage."""
    for row in rows:
        if row.method not in METHODS or row.clock not in CLOCKS:
            raise BadMessage(
                f"the word {(row.method if row.method not in METHODS else row.clock)[:40]!a} is "
                "not known here: bring the collector up to date first"
            )


@lru_cache(maxsize=100_000)
def uuid_of(text: str) -> UUID:
    """The UUID of an asset, as it is written. Raises ValueError."""
    if len(text) > 36:
        raise ValueError("a UUID has 36 characters")
    return UUID(text)


FEW_SPANS = 20
"""Two numbers of 20 digits each: with the longest warning they are short enough by far."""


def span_of(digest: Digest) -> Span:
    """Which slots of its day it is about: all of them, where it says nothing else."""
    first_s = digest.day_s if digest.first_s is None else digest.first_s
    last_s = digest.day_s + DAY_S - 1 if digest.last_s is None else digest.last_s
    return max(first_s, digest.day_s), min(last_s, digest.day_s + DAY_S - 1)


def differs(
    digest: Digest, slots: int, sum_uwh: int, clashes: Set[int], known: Set[int] = frozenset()
) -> bool:
    """Whether that is worth asking for again, where the database has so many known slots of that
    sum, and knows of clashes in these (starts); `known` are its known slots, where there are
    clashes. Sending again is no remedy for a clash; but what is not there at all, it brings.
    """
    if (slots, sum_uwh) == (digest.slots, digest.sum_uwh):
        return False
    return not clashes or len(clashes | known) < digest.slots


def acks(
    store: str,
    seq: Iterable[Span],
    *,
    why: str = "",
    ask: Iterable[Span] = (),
    warning: str = "",
) -> list[Ack]:
    """What the gateway is told: its numbers are stored, or refused for that reason. More than one,
    where it would be longer than a gateway takes.
    """
    why, warning = why[:500], warning[:500]
    spans, asked = list(seq), list(ask)
    ack = Ack(
        store=store,
        stored=[] if why else spans,
        refused=[Refused(each, why) for each in spans] if why else [],
        ask=asked,
        warning=warning,
    )
    if not why and len(spans) + len(asked) <= FEW_SPANS:
        return [ack]
    if len(msgspec.json.encode(ack)) <= MAX_ACK_BYTES or len(spans) + len(asked) <= 1:
        return [ack]
    half, half_asked = len(spans) // 2, len(asked) // 2
    return [
        *acks(store, spans[:half], why=why, ask=asked[:half_asked], warning=warning),
        *acks(store, spans[half:], why=why, ask=asked[half_asked:], warning=warning),
    ]
