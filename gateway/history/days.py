"""A day slot by slot, and a month day by day. Each function asks the store within one look, and may
raise StoreError.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby
from uuid import UUID

from gateway.energy.asset_slots import Part, asset_slot, parts_of, worst_of
from gateway.energy.slot import AssetSlot, Quality
from gateway.history.answers import Column, Day, DaySums, Month, Sums
from gateway.history.balance import Account, account_of, flows, wh
from gateway.history.home import Home
from gateway.site.settings import Asset
from gateway.store.archive import Look
from gateway.store.slot_table import BriefSlot

QUALITY_LETTER: Mapping[Quality, str] = {
    "measured": "m",
    "estimated": "e",
    "partial": "p",
    "missing": "x",
}
STATE_LETTER: Mapping[str, str] = {
    "accepted": "a",
    "sent": "s",
    "pending": "w",
    "rejected": "r",
    "missed": "l",
}


def day_of(look: Look, home: Home, day: date, today: date) -> Day:
    """One local day."""
    since_s, until_s = home.span(day)
    starts = range(since_s, until_s, home.slot_s)
    brief = list(look.slots.brief_between(since_s, until_s))
    settled = {
        (slot.asset, slot.start_s): slot for slot in look.asset_slots.between(since_s, until_s)
    }
    states = states_between(look, home, since_s, until_s)
    at = {start_s: list(group) for start_s, group in groupby(brief, key=lambda s: s.start_s)}
    return Day(
        day=day.isoformat(),
        zone=home.zone,
        start_s=since_s,
        slot_s=home.slot_s,
        slots=len(starts),
        assets=[_asset_column(home, uuid, starts, at, settled, states) for uuid in home.assets],
        meters=_meter_columns(home, starts, brief),
        sums=span_sums(look, home, since_s, until_s),
        is_today=day == today,
        earlier=_neighbour(home, look.slots.start_before(since_s), "%Y-%m-%d"),
        later=_neighbour(home, look.slots.start_from(until_s), "%Y-%m-%d"),
    )


def month_of(look: Look, home: Home, month: date, accounts: Mapping[date, Account]) -> Month:
    """One local month, of the accounts of its days."""
    since_s, until_s = home.month_span(month)
    kept = look.slots.starts()
    all_of_it = Account(home.roles, home.slot_s)
    days = []
    for day, account in accounts.items():
        begin_s, end_s = home.span(day)
        all_of_it.add_all(account)
        sums = account.sums(closed(home, kept, begin_s, end_s))
        days.append(DaySums(day=day.isoformat(), sums=sums, peak=account.peak))
    return Month(
        month=f"{month:%Y-%m}",
        zone=home.zone,
        days=days,
        sums=all_of_it.sums(closed(home, kept, since_s, until_s)),
        peak=all_of_it.peak,
        earlier=_neighbour(home, look.slots.start_before(since_s), "%Y-%m"),
        later=_neighbour(home, look.slots.start_from(until_s), "%Y-%m"),
    )


def span_account(look: Look, home: Home, since_s: int, until_s: int) -> Account:
    """The slots that start within a time, added up."""
    rows = look.slots.sums(since_s, until_s, home.roles.parts)
    return account_of(flows(rows, home.roles), home.roles, home.slot_s)


def span_sums(look: Look, home: Home, since_s: int, until_s: int) -> Sums:
    """The sums of the slots that start within a time."""
    count = closed(home, look.slots.starts(), since_s, until_s)
    return span_account(look, home, since_s, until_s).sums(count)


def closed(home: Home, kept: tuple[int, int] | None, since_s: int, until_s: int) -> int:
    """How many slots that start within a time have closed: those from the oldest on that is kept,
    to the newest.
    """
    if kept is None:
        return 0
    oldest_s, newest_s = kept
    return max(0, min(until_s, newest_s + home.slot_s) - max(since_s, oldest_s)) // home.slot_s


def states_between(
    look: Look, home: Home, since_s: int, until_s: int
) -> dict[tuple[object, int], str]:
    """A letter for each asset and start: what became of its newest number at the first destination
    that is owed it.
    """
    found: dict[tuple[object, int], str] = {}
    for destination in reversed(destinations_of(look, home)):
        found.update(
            ((subject, start_s), STATE_LETTER[state])
            for subject, start_s, state in look.outbox.states(destination, since_s, until_s)
        )
    return found


def destinations_of(look: Look, home: Home) -> list[str]:
    """To whom something is owed, the exchange first; then those to whom something was owed once,
    and who are not configured any more.
    """
    known = look.outbox.destinations()
    return [*home.destinations, *(name for name in known if name not in home.destinations)]


def _asset_column(
    home: Home,
    uuid: UUID,
    starts: Iterable[int],
    at: Mapping[int, Sequence[BriefSlot]],
    settled: Mapping[tuple[UUID, int], AssetSlot],
    states: Mapping[tuple[object, int], str],
) -> Column:
    asset = home.assets[uuid]
    slots = [
        settled.get((uuid, start_s)) or of_meters(asset, at.get(start_s, ())) for start_s in starts
    ]
    meters = asset.energy.devices
    return Column(
        id=str(uuid),
        title=asset.name,
        role=home.roles.assets[uuid],
        wh=[wh(slot.energy_uwh) if slot else None for slot in slots],
        uncertainty_wh=[wh(slot.uncertainty_uwh) if slot else None for slot in slots],
        quality="".join(QUALITY_LETTER[slot.quality] if slot else "." for slot in slots),
        delivery="".join(
            states.get((uuid, start_s))
            or ("k" if slot else "o" if _has_begun(meters, at.get(start_s, ())) else ".")
            for start_s, slot in zip(starts, slots, strict=True)
        ),
        forecast_wh=_forecasts(slots),
    )


def _has_begun(meters: frozenset[str], slots: Iterable[BriefSlot]) -> bool:
    """Whether one of the meters has closed the slot."""
    return any(slot.device in meters for slot in slots)


def of_meters(asset: Asset, slots: Iterable[Part]) -> AssetSlot | None:
    """The asset's slot out of its meters' of that time, where it was not kept: a version before
    kept none. None where a meter has not closed its slot.
    """
    parts = parts_of(asset.energy, slots)
    return asset_slot(asset.uuid, asset.energy, parts) if parts else None


def _meter_columns(home: Home, starts: range, brief: Sequence[BriefSlot]) -> list[Column]:
    """One for each direction that something is kept of."""
    by_series: dict[tuple[str, str], dict[int, BriefSlot]] = {}
    for slot in brief:
        mine = by_series.setdefault((slot.device, slot.direction), {})
        mine[slot.start_s] = _whole(mine.get(slot.start_s), slot)
    order = {name: n for n, name in enumerate(home.devices)}
    keys = sorted(
        by_series, key=lambda key: (order.get(key[0], len(order)), key[0], key[1] != "import")
    )
    return [
        _column_of(home, device, direction, [by_series[device, direction].get(s) for s in starts])
        for device, direction in keys
    ]


def _whole(before: BriefSlot | None, slot: BriefSlot) -> BriefSlot:
    """Two series of one meter (a swap) share a slot: what is known of it is what both say."""
    if before is None:
        return slot
    energies = [each.energy_uwh for each in (before, slot) if each.energy_uwh is not None]
    return BriefSlot(
        slot.start_s,
        slot.device,
        slot.direction,
        slot.serial_number,
        slot.length_s,
        sum(energies) if energies else None,
        None,
        worst_of((before, slot)).quality,
        min(1000, before.coverage_permille + slot.coverage_permille),
    )


def _column_of(
    home: Home, device: str, direction: str, slots: Sequence[BriefSlot | None]
) -> Column:
    return Column(
        id=f"{device}.{direction}",
        title=device,
        role=home.roles.meters.get(device, "other"),
        wh=[wh(slot.energy_uwh) if slot else None for slot in slots],
        uncertainty_wh=[wh(slot.uncertainty_uwh) if slot else None for slot in slots],
        quality="".join(QUALITY_LETTER[slot.quality] if slot else "." for slot in slots),
        delivery="k" * len(slots),
    )


def _forecasts(slots: Sequence[AssetSlot | None]) -> list[float | None]:
    """Empty where nothing was expected of any."""
    found = [wh(slot.forecast_uwh) if slot else None for slot in slots]
    return found if any(each is not None for each in found) else []


def _neighbour(home: Home, start_s: int | None, form: str) -> str | None:
    return None if start_s is None else format(home.day_of(start_s), form)
