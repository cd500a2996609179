"""Why a slot is what it is, what a meter did in its last day, and what happened. Each function asks
the store within one look, and may raise StoreError.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from gateway.energy.counter import UWH_PER_WH
from gateway.energy.slot import AssetSlot, Slot
from gateway.history.answers import (
    Delivery,
    EventLine,
    Events,
    Gap,
    PowerLine,
    SlotStory,
    Term,
)
from gateway.history.balance import wh
from gateway.history.days import destinations_of, of_meters, span_sums
from gateway.history.home import Home
from gateway.history.refusals import NotThere
from gateway.ledger.rules import STALE_INTERVALS
from gateway.outbox.owed import Owed
from gateway.site.devices import Device
from gateway.site.settings import Asset
from gateway.store.archive import Look
from gateway.store.event_table import KeptEvent

MAX_POINTS = 300
"""Of a line of power, more of them are no finer on any screen."""
MAX_SAMPLES = 30_000
"""So many samples of all meters are looked at for one line."""
MAX_EVENTS = 200
MOST_S = 1 << 33
"""Later than any slot: the year 2242."""
MAX_DAY_SAMPLES = 6_000
"""The same for a day: of three meters each ten seconds that is every fifth."""
DAY_S = 86_400
DAY_MEAN_S = 300
"""A meter's day is a line of means over so long."""


def slot_story(look: Look, home: Home, asset: Asset, start_s: int) -> SlotStory:
    """All that is known of one slot of an asset. Raises NotThere where no slot starts then."""
    if not 0 <= start_s < MOST_S:
        raise NotThere("nothing is kept of that time")
    if start_s % home.slot_s:
        raise NotThere(
            f"no slot starts then: they are {home.slot_s} s long, and the one around that time "
            f"starts at {home.spoken(start_s - start_s % home.slot_s)}"
        )
    until_s = start_s + home.slot_s
    slots = list(look.slots.at(start_s))
    kept = look.asset_slots.at(asset.uuid, start_s)
    settled = kept or of_meters(asset, slots)
    deliveries = [
        owed
        for destination in destinations_of(look, home)
        for kind in ("measurement", "forecast")
        for owed in look.outbox.revisions(destination, asset.uuid, start_s, kind)
    ]
    if settled is None and not deliveries and not _concerns(asset, slots):
        raise NotThere(
            f"nothing is kept of {asset.name} in the slot that starts at {home.spoken(start_s)}"
        )
    meters = [home.devices[name] for name in sorted(asset.energy.devices) if name in home.devices]
    said = {device.name: list(_said(look, device, start_s, until_s)) for device in meters}
    settled = settled or AssetSlot(asset.uuid, start_s, home.slot_s, None, None, "missing")
    return SlotStory(
        asset=str(asset.uuid),
        title=asset.name,
        role=home.roles.assets[asset.uuid],
        zone=home.zone,
        start_s=start_s,
        length_s=settled.length_s,
        energy_wh=wh(settled.energy_uwh),
        uncertainty_wh=wh(settled.uncertainty_uwh),
        quality=settled.quality,
        imported=settled.imported,
        revision=settled.revision,
        formula=str(asset.energy),
        forecast_wh=wh(settled.forecast_uwh),
        terms=list(_terms(home, asset, slots, said)),
        power=[_power_line(device, said[device.name], start_s, until_s) for device in meters],
        beside=span_sums(look, home, start_s, until_s),
        deliveries=[_delivery(owed, look.masked) for owed in deliveries],
        events=[
            event_line(home, event, look.masked)
            for event in look.events.between(start_s, until_s)
            if event[2] in asset.energy.devices or not event[2]
        ],
        earlier_s=look.slots.start_before(start_s),
        later_s=look.slots.start_from(start_s + 1),
    )


def _concerns(asset: Asset, slots: Iterable[Slot]) -> bool:
    return any(slot.device in asset.energy.devices for slot in slots)


# --- its terms ------------------------------------------------------------------------------------

Said = tuple[int, Mapping[str, float]]
"""When (UTC in ms), and the values."""


def _said(look: Look, device: Device, since_s: int, until_s: int) -> Iterator[Said]:
    """What a meter said in a slot, with the reading before it and the one at its end."""
    # Samples of several meters are not quite in the order of time: the search may miss some.
    around_ms = int((STALE_INTERVALS * device.interval_s + 2) * 1000)
    return look.samples.values_of(
        device.name, since_s * 1000 - around_ms, until_s * 1000 + around_ms, MAX_SAMPLES
    )


def _terms(
    home: Home, asset: Asset, slots: Sequence[Slot], said: Mapping[str, Sequence[Said]]
) -> Iterator[Term]:
    for term in asset.energy.terms:
        device = home.devices.get(term.device)
        for slot in slots:
            if (slot.device, slot.direction) != (term.device, term.direction):
                continue
            begin, end = _faces(device, slot, said.get(term.device, ()))
            moved_uwh = slot.end_register_uwh - slot.begin_register_uwh
            energy_uwh = slot.energy_uwh
            yield Term(
                meter=slot.device,
                serial_number=slot.serial_number,
                direction=slot.direction,
                sign=term.sign,
                begin_register_wh=begin,
                end_register_wh=end,
                energy_wh=wh(energy_uwh),
                beyond_register_wh=None if energy_uwh is None else wh(energy_uwh - moved_uwh),
                uncertainty_wh=wh(slot.uncertainty_uwh),
                quality=slot.quality,
                method=slot.method,
                doubts=slot.doubts,
                coverage=slot.coverage_permille / 1000,
                samples=slot.samples,
                expected_samples=round(slot.length_s / device.interval_s) if device else None,
                largest_gap_s=slot.largest_gap_ms / 1000,
                clock=slot.clock,
                revision=slot.revision,
            )


def _faces(
    device: Device | None, slot: Slot, said: Sequence[Said]
) -> tuple[float | None, float | None]:
    """The register at both ends as the meter's face had it. What slots keep of it goes on where a
    register rolls over or is reset; samples, while they are kept, have the face itself.
    """
    if slot.imported:
        return None, None
    if device is None:
        return wh(slot.begin_register_uwh), wh(slot.end_register_uwh)
    quantity = device.quantity(slot.direction)
    faces = []
    for at_s, kept_uwh in (
        (slot.start_s, slot.begin_register_uwh),
        (slot.start_s + slot.length_s, slot.end_register_uwh),
    ):
        told = [v[quantity] for at_ms, v in said if at_ms <= at_s * 1000 and quantity in v]
        faces.append(told[-1] if told else wh(kept_uwh))
    return faces[0], faces[1]


# --- power ----------------------------------------------------------------------------------------


def power_of(values: Mapping[str, float], device: Device) -> float | None:
    """Import less export in W, of a meter that may be wired the other way round; None: not told."""
    power_w = values.get("power_w")
    if power_w is None:
        ways = values.get("power_import_w"), values.get("power_export_w")
        if ways == (None, None):
            return None
        power_w = (ways[0] or 0.0) - (ways[1] or 0.0)
    return -power_w if device.invert else power_w


def _power_line(device: Device, said: Sequence[Said], since_s: int, until_s: int) -> PowerLine:
    inside = [each for each in said if since_s * 1000 <= each[0] <= until_s * 1000]
    points = [
        (at_ms / 1000, power_w)
        for at_ms, values in inside
        if (power_w := power_of(values, device)) is not None
    ]
    registers = ("energy_import_wh", "energy_export_wh")
    return PowerLine(
        meter=device.name,
        points=thinned(points),
        register_steps_s=[
            after[0] / 1000
            for before, after in pairwise(inside)
            if any(_differ(before[1].get(r), after[1].get(r)) for r in registers)
        ][:MAX_POINTS],
        gaps=_gaps([at_ms / 1000 for at_ms, _ in said], since_s, until_s, device.interval_s),
    )


def _differ(before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and before != after


def _gaps(at_s: Sequence[float], since_s: int, until_s: int, interval_s: float) -> list[Gap]:
    """The times in a slot that lie between samples further apart than the fold takes as one run."""
    before_s = max((at for at in at_s if at <= since_s), default=since_s - interval_s)
    after_s = min((at for at in at_s if at >= until_s), default=until_s + interval_s)
    edges = [before_s, *(at for at in at_s if since_s < at < until_s), after_s]
    return [
        Gap(since_s=max(before, since_s), until_s=min(after, until_s))
        for before, after in pairwise(edges)
        if after - before > STALE_INTERVALS * interval_s and after > since_s and before < until_s
    ]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """No more than `MAX_POINTS`: of more, the means of as many as are taken together."""
    if len(points) <= MAX_POINTS:
        return list(points)
    each = -(-len(points) // MAX_POINTS)
    groups = [points[n : n + each] for n in range(0, len(points), each)]
    return [(group[0][0], sum(w for _, w in group) / len(group)) for group in groups]


def day_line(look: Look, device: Device, now_s: float) -> list[tuple[float, float]]:
    """The power of a meter over the last 24 hours: means of five minutes."""
    sums: dict[int, tuple[float, int]] = {}
    until_ms = int(now_s * 1000)
    for at_ms, values in look.samples.values_of(
        device.name, until_ms - DAY_S * 1000, until_ms, MAX_DAY_SAMPLES
    ):
        power_w = power_of(values, device)
        if power_w is not None:
            bucket = at_ms // 1000 // DAY_MEAN_S
            total_w, count = sums.get(bucket, (0.0, 0))
            sums[bucket] = total_w + power_w, count + 1
    return [
        (float(bucket * DAY_MEAN_S), total_w / count) for bucket, (total_w, count) in sums.items()
    ]


def availability(look: Look, home: Home, now_s: float) -> dict[str, list[float | None]]:
    """Of each meter the share of each of the last 24 hours that samples cover, by the slots that
    have closed; None: none has.
    """
    hour = int(now_s // 3600)
    covered: dict[tuple[str, int, int], dict[str, int]] = {}
    for slot in look.slots.brief_between((hour - 23) * 3600, (hour + 1) * 3600):
        mine = covered.setdefault((slot.device, slot.start_s // 3600, slot.start_s), {})
        mine[slot.direction] = mine.get(slot.direction, 0) + slot.coverage_permille
    shares: dict[tuple[str, int], list[float]] = {}
    for (device, of_hour, _), by_direction in covered.items():
        share = min(1.0, max(by_direction.values()) / 1000)
        shares.setdefault((device, of_hour), []).append(share)
    return {
        name: [_mean(shares.get((name, each), ())) for each in range(hour - 23, hour + 1)]
        for name in home.devices
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


# --- deliveries and events ------------------------------------------------------------------------


def _delivery(owed: Owed, masked: Callable[[str], str]) -> Delivery:
    return Delivery(
        destination=owed.item.destination,
        kind=owed.item.kind,
        revision=owed.item.revision,
        energy_wh=owed.item.energy_uwh / UWH_PER_WH,
        state=owed.state,
        attempts=owed.attempts,
        first_sent_s=owed.first_sent_s,
        decided_s=owed.decided_s,
        answer=masked(owed.answer or ""),
        reason=masked(owed.reason),
        confirmed_s=owed.confirmed_s,
        held_wh=wh(owed.held_uwh),
    )


def events_before(look: Look, home: Home, number: int | None, meter: str | None) -> Events:
    """The newest events, or those before one; of one meter, where one is named."""
    found = look.events.before(number, meter, MAX_EVENTS + 1)
    shown = found[:MAX_EVENTS]
    return Events(
        zone=home.zone,
        events=[event_line(home, event, look.masked) for event in shown],
        meters=list(home.devices),
        older=shown[-1][0] if len(found) > MAX_EVENTS else None,
    )


def event_line(home: Home, event: KeptEvent, masked: Callable[[str], str]) -> EventLine:
    """One event, with the slot and the day in which it was."""
    number, at_s, device, kind, energy_uwh, text = event
    return EventLine(
        id=number,
        at_s=at_s,
        meter=device,
        kind=kind,
        text=masked(text),
        energy_wh=wh(energy_uwh),
        slot_s=int(at_s // home.slot_s) * home.slot_s,
        day=home.day_of(at_s).isoformat(),
    )
