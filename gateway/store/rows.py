"""What is kept, as objects and as rows of the tables. Pure."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import FieldInfo

from gateway.energy.allocation import SlotBefore
from gateway.energy.slot import (
    KNOWN,
    AssetSlot,
    Event,
    MeterState,
    Slot,
    TakenBack,
    Unallocated,
)
from gateway.outbox.item import Item, Subject, subject_of
from gateway.outbox.owed import Owed


class Closing(msgspec.Struct, frozen=True):
    """What one sample closed; written in one transaction."""

    device: str
    sample_id: int
    state: MeterState
    slots: tuple[Slot, ...]
    owed: tuple[Owed, ...]
    events: tuple[Event, ...]
    unallocated: tuple[Unallocated, ...] = ()
    asset_slots: tuple[AssetSlot, ...] = ()
    """Of the assets whose meters have all closed a slot with this."""
    taken_back: tuple[TakenBack, ...] = ()
    """What was unallocated by this is withdrawn before `unallocated` is written."""
    keeps_state: bool = True
    """Whether the state is written. It need not be where nothing but what is owed is new: a later
    sample's writes it.
    """


class UnallocatedRecord(msgspec.Struct, frozen=True):
    """Unallocated energy on record. `number` is what people call it by."""

    number: int
    what: Unallocated
    placed_s: float | None
    """When a person allocated it to slots, Unix time; None: not yet."""
    placed_by: str
    """How: the name of the profile; or `WITHDRAWN`."""
    before: tuple[SlotBefore, ...] = ()
    """The slots as they were before; empty where the version that allocated it did not keep them.
    """

    @property
    def is_withdrawn(self) -> bool:
        """Whether this energy never was: what stated it has been taken back."""
        return self.placed_by == WITHDRAWN


WITHDRAWN = "withdrawn"
"""What files hold in the place of a profile's name where a record was withdrawn."""


def placed_by_text(by: str, before: Sequence[SlotBefore]) -> str:
    """How something was allocated, as it is kept: the profile, and from the second line on the
    slots as they were.
    """
    return f"{by}\n{msgspec.json.encode(before).decode()}"


def placed_by_of(text: str) -> tuple[str, tuple[SlotBefore, ...]]:
    """What is kept so."""
    by, _, before = text.partition("\n")
    try:
        return by, msgspec.json.decode(before, type=tuple[SlotBefore, ...]) if before else ()
    except msgspec.DecodeError:
        return by, ()


SLOT_COLUMNS = list(Slot.__struct_fields__)
SLOT_LIST = ", ".join(SLOT_COLUMNS)
ASSET_SLOT_COLUMNS = list(AssetSlot.__struct_fields__)
ASSET_SLOT_LIST = ", ".join(ASSET_SLOT_COLUMNS)
OWED_LIST = (
    "destination, subject, slot_s, kind, revision, energy_uwh, length_s, quality, opens_s, "
    "closes_s, state, reason, raw_uwh, attempts, decided_s, confirmed_s, held_uwh, disagreements, "
    "first_sent_s, last_sent_s, answer, transaction_id"
)

THIS_ITEM = "destination = ? AND slot_s = ? AND subject = ? AND kind = ? AND revision = ?"

REPLACED = """EXISTS (SELECT 1 FROM outbox AS newer
    WHERE newer.destination = outbox.destination AND newer.slot_s = outbox.slot_s
    AND newer.subject = outbox.subject AND newer.kind = outbox.kind
    AND newer.revision > outbox.revision AND newer.state IN ('pending', 'sent', 'accepted'))"""
"""A newer number of the same slot is there: the older one must not be sent after it."""


def lean(value: Any) -> Any:
    """A state without what is as it is by default, which reads back as the same: states are written
    with every slot.
    """
    if isinstance(value, tuple):
        return [lean(each) for each in value]
    if isinstance(value, dict):
        return {key: lean(each) for key, each in value.items()}
    if not isinstance(value, msgspec.Struct):
        return value
    found = [(field, getattr(value, field.name)) for field in _fields_of(type(value))]
    if value.__struct_config__.array_like:
        while found and not found[-1][0].required and found[-1][1] == found[-1][0].default:
            found.pop()
        return [lean(each) for _, each in found]
    return {
        field.encode_name: lean(each)
        for field, each in found
        if field.required or each != field.default
    }


@cache
def _fields_of(kind: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def slot_row(slot: Slot) -> list[object]:
    """In the order of `SLOT_COLUMNS`."""
    # NULL is distinct from NULL in a key, so a meter that tells no serial number has an empty one
    # there.
    return [
        getattr(slot, name) if name != "serial_number" else slot.serial_number or ""
        for name in SLOT_COLUMNS
    ]


def slot_of(row: tuple[Any, ...]) -> Slot:
    """Of a row of `SLOT_LIST`."""
    values: Mapping[str, Any] = dict(zip(SLOT_COLUMNS, row, strict=True))
    return Slot(
        **{
            **values,
            "serial_number": values["serial_number"] or None,
            "imported": bool(values["imported"]),
        }
    )


def asset_slot_row(slot: AssetSlot) -> list[object]:
    """In the order of `ASSET_SLOT_COLUMNS`."""
    return [slot.asset.bytes, *(getattr(slot, name) for name in ASSET_SLOT_COLUMNS[1:])]


def asset_slot_of(row: tuple[Any, ...]) -> AssetSlot:
    """Of a row of `ASSET_SLOT_LIST`."""
    values: Mapping[str, Any] = dict(zip(ASSET_SLOT_COLUMNS, row, strict=True))
    return AssetSlot(
        **{**values, "asset": subject_from(values["asset"]), "imported": bool(values["imported"])}
    )


def subject_value(subject: Subject) -> bytes | str:
    """As it is kept: a UUID takes 16 bytes and not 36, in the table and in each index."""
    return subject.bytes if isinstance(subject, UUID) else str(subject)


@lru_cache(maxsize=256)
def subject_from(value: bytes | str) -> Subject:
    """Of what is kept. Few subjects are in very many rows."""
    return UUID(bytes=value) if isinstance(value, bytes) else subject_of(value)


def owed_row(owed: Owed) -> tuple[object, ...]:
    """In the order of `OWED_LIST`."""
    item = owed.item
    # Missing is not zero: what was not wholly metered has no energy.
    known = owed.quality in KNOWN
    return (
        item.destination,
        subject_value(item.subject),
        item.slot_s,
        item.kind,
        item.revision,
        item.energy_uwh if known else None,
        owed.length_s,
        owed.quality,
        owed.opens_s,
        owed.closes_s,
        owed.state,
        owed.reason,
        owed.raw_uwh,
        owed.attempts,
        owed.decided_s,
        owed.confirmed_s,
        owed.held_uwh,
        owed.disagreements,
        owed.first_sent_s,
        owed.last_sent_s,
        owed.answer,
        owed.transaction_id,
    )


def owed_of(row: tuple[Any, ...]) -> Owed:
    """Of a row of `OWED_LIST`."""
    destination, subject, slot_s, kind, revision, energy_uwh, *rest = row
    item = Item(destination, subject_from(subject), slot_s, kind, revision, energy_uwh or 0)
    return Owed(item, *rest)


def key_of(item: Item) -> tuple[object, ...]:
    """The primary key of an item in the outbox."""
    return item.destination, item.slot_s, subject_value(item.subject), item.kind, item.revision
