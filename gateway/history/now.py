"""What is now: the flow of power, the day so far, the meters, the destinations. Each function is
handed the report of the moment; those that ask the store, too, may raise StoreError.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

import msgspec

from gateway.history.answers import (
    DeliveryState,
    DestinationNow,
    ExchangeAsset,
    ExchangeNow,
    MeterNow,
    Mood,
    Node,
    Now,
    Peak,
    Problem,
    RefusedSlot,
    Role,
    Sums,
)
from gateway.history.days import STATE_LETTER, closed, span_account, span_sums
from gateway.history.home import Home
from gateway.history.roles import BATTERY, FROM_GRID, SUN
from gateway.history.stories import power_of
from gateway.monitoring.report import DestinationReport, MeterReport, Report
from gateway.outbox.item import EXCHANGE
from gateway.outbox.owed import Owed
from gateway.site.devices import Device
from gateway.site.settings import Asset
from gateway.store.archive import Look

HOUSE = "house"
"""The id of the node that nobody meters: what meters at grid, sun and battery leave for it."""
MAX_REFUSED = 50
PEAK_S = 3600.0
"""So long the highest slot of the month before today is taken to be the same."""
GRID_DAYS = 7
ACCEPTED_DAYS = 31
"""So far back the newest accepted slot is looked for."""
_GIVES: Mapping[Role, int] = {"sun": -1, "battery": -1, "grid": 1, "house": 1, "other": 1}
"""By the role: how its power follows from a meter's import less export."""


# --- power ----------------------------------------------------------------------------------------


class _Power(msgspec.Struct, frozen=True):
    """One meter's power, import less export."""

    power_w: float | None
    at_s: float | None
    is_current: bool


def nodes_of(home: Home, report: Report) -> list[Node]:
    """The flow of power: grid, sun, house, battery and others. A value is current for as long as
    its meter may be silent.
    """
    powers = _powers(home, report)
    assets = [_asset_node(home, asset, powers) for asset in home.assets.values()]
    of_assets = {name for asset in home.assets.values() for name in asset.energy.devices}
    meters = [
        _node(name, name, role, [(_GIVES[role], powers[name])])
        for name, role in home.roles.meters.items()
        if name in powers and (role == "grid" or name not in of_assets)
        if role != "grid" or "grid" not in home.roles.assets.values()
    ]
    house = [] if "house" in home.roles.assets.values() else list(_house(home, powers))
    return [*meters, *assets, *house]


def _powers(home: Home, report: Report) -> dict[str, _Power]:
    found = {}
    for meter in report.meters:
        device = home.devices.get(meter.name)
        if device is None:
            continue
        age_s = meter.age_s(report.now_s)
        is_current = age_s is not None and age_s <= meter.max_age_s
        found[meter.name] = _Power(power_of(meter.values, device), meter.last_success_s, is_current)
    return found


def _asset_node(home: Home, asset: Asset, powers: Mapping[str, _Power]) -> Node:
    """By its formula: what is imported or exported at the moment. A battery's by its meters, for
    formulas have either sign.
    """
    role = home.roles.assets[asset.uuid]
    if role in ("battery", "grid"):
        names = sorted(asset.energy.devices)
        parts = [(_GIVES[role], powers.get(name, _Power(None, None, False))) for name in names]
        return _node(str(asset.uuid), asset.name, role, parts)
    parts = []
    for term in asset.energy.terms:
        power = powers.get(term.device, _Power(None, None, False))
        way = 1 if term.direction == "import" else -1
        one_way = None if power.power_w is None else max(way * power.power_w, 0.0)
        parts.append((term.sign, _Power(one_way, power.at_s, power.is_current)))
    return _node(str(asset.uuid), asset.name, role, parts)


def _house(home: Home, powers: Mapping[str, _Power]) -> Iterator[Node]:
    """What remains for the house, where no asset says it, and meters do."""
    names = {part[0] for part in home.roles.parts if part[2] in (FROM_GRID, SUN, BATTERY)}
    has_source = any(home.roles.meters[name] != "grid" for name in names)
    if home.roles.size(FROM_GRID) and has_source:
        parts = [
            (_GIVES[home.roles.meters[name]], powers.get(name, _Power(None, None, False)))
            for name in sorted(names)
        ]
        yield _node(HOUSE, "", "house", parts)


def _node(key: str, title: str, role: Role, parts: Sequence[tuple[int, _Power]]) -> Node:
    """The sum of parts with their signs. It is current where all of them are."""
    values = [sign * power.power_w for sign, power in parts if power.power_w is not None]
    power_w = sum(values) if len(values) == len(parts) else None
    if all(power.is_current for _, power in parts):
        return Node(id=key, title=title, role=role, power_w=power_w)
    stale = [power.at_s for _, power in parts if not power.is_current and power.at_s is not None]
    return Node(
        id=key,
        title=title,
        role=role,
        power_w=None,
        stale_since_s=min(stale, default=None),
        stale_power_w=power_w,
    )


# --- now and today --------------------------------------------------------------------------------


class PeakBefore(msgspec.Struct, frozen=True):
    """The highest slot of a month before a day: it hardly changes, and takes a month to look up."""

    day: date
    looked_s: float
    peak: Peak | None

    def is_of(self, day: date, now_s: float) -> bool:
        """Whether it is of this day, and not too old."""
        return self.day == day and 0 <= now_s - self.looked_s < PEAK_S


class Today(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says of today."""

    sums: Sums = Sums()
    yesterday_by_now: Sums = Sums()
    peak: Peak | None = None
    has_slots: bool = True


def highest(peaks: Iterable[Peak | None]) -> Peak | None:
    """The first of the highest; None where none is known."""
    return max(filter(None, peaks), key=lambda peak: peak.power_w, default=None)


def today_of(look: Look, home: Home, now_s: float, before: Peak | None) -> Today:
    """The day so far, the day before until the same time, and the month's highest slot. `before`:
    that of the month before today.
    """
    today = home.day_of(now_s)
    begin_s, end_s = home.span(today)
    before_s, _ = home.span(today - timedelta(days=1))
    by_now_s = int(home.yesterday_s(now_s) // home.slot_s) * home.slot_s
    account = span_account(look, home, begin_s, end_s)
    return Today(
        sums=account.sums(closed(home, look.slots.starts(), begin_s, end_s)),
        yesterday_by_now=span_sums(look, home, before_s, by_now_s),
        peak=highest((before, account.peak)),
        has_slots=look.slots.starts() is not None,
    )


def now_of(home: Home, report: Report, problems: list[Problem], mood: Mood, today: Today) -> Now:
    """All that the first page shows."""
    accepted = {
        asset.name: asset.last_accepted_slot_s + report.slot_length_s
        for asset in report.assets
        if asset.last_accepted_slot_s is not None
    }
    newest_s = max(accepted.values(), default=None)
    heard = [
        meter
        for meter in report.meters
        if (age_s := meter.age_s(report.now_s)) is not None and age_s <= meter.max_age_s
    ]
    first_s = -(-int(report.started_s) // home.slot_s) * home.slot_s
    return Now(
        at_s=report.now_s,
        zone=home.zone,
        mood=mood,
        problems=problems,
        nodes=nodes_of(home, report),
        today=today.sums,
        yesterday_by_now=today.yesterday_by_now,
        peak=today.peak,
        accepted_until_s=min(accepted.values(), default=None),
        behind=[
            asset.name
            for asset in report.assets
            if newest_s is not None and accepted.get(asset.name) != newest_s
        ],
        meters_heard=len(heard),
        meters=len(report.meters),
        first_slot_s=None if today.has_slots else first_s,
    )


# --- meters ---------------------------------------------------------------------------------------


def meters_of(
    home: Home, report: Report, available: Mapping[str, list[float | None]]
) -> list[MeterNow]:
    """Every meter, as the configuration has them."""
    lines = {line.name: line for line in report.lines}
    powers = _powers(home, report)
    return [
        _meter(
            home,
            powers[meter.name],
            meter,
            home.devices[meter.name],
            available.get(meter.name, [None] * 24),
            lines[meter.line].carries if meter.line in lines else "",
        )
        for meter in report.meters
        if meter.name in home.devices
    ]


def _meter(
    home: Home,
    power: _Power,
    meter: MeterReport,
    device: Device,
    available: list[float | None],
    carries: str,
) -> MeterNow:
    role = home.roles.meters[meter.name]
    return MeterNow(
        name=meter.name,
        title=meter.name,
        node=_node(meter.name, meter.name, role, [(_GIVES[role], power)]),
        import_wh=meter.values.get("energy_import_wh"),
        export_wh=meter.values.get("energy_export_wh"),
        serial_number=meter.serial_number,
        profile=meter.profile,
        line=meter.line,
        interval_s=float(device.interval_s),  # JSON knows plain numbers only
        last_success_s=meter.last_success_s,
        asleep=meter.asleep,
        errors_last_hour=meter.errors_last_hour,
        last_error=meter.last_error,
        available=available,
        values=dict(meter.values),
        line_carries=carries,
    )


# --- destinations ---------------------------------------------------------------------------------


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says of one destination."""

    assets: list[ExchangeAsset]
    refused: list[RefusedSlot]


def recorded_of(look: Look, home: Home, now_s: float) -> dict[str, Recorded]:
    """How the slots of the last seven days have gone, at each destination."""
    today = home.day_of(now_s)
    days = [today - timedelta(days=n) for n in reversed(range(GRID_DAYS))]
    return {
        name: Recorded(
            assets=_exchange_assets(look, home, name, days),
            refused=[
                _refused(home, owed)
                for owed in look.outbox.newest_refused(name, home.span(days[0])[0], MAX_REFUSED)
            ],
        )
        for name in home.destinations
    }


def _exchange_assets(
    look: Look, home: Home, destination: str, days: Sequence[date]
) -> list[ExchangeAsset]:
    since_s, until_s = home.span(days[0])[0], home.span(days[-1])[1]
    letters: dict[tuple[object, int], str] = {
        (subject, start_s): STATE_LETTER[state]
        for subject, start_s, state in look.outbox.states(destination, since_s, until_s)
    }
    owed = {subject for subject, _ in letters}
    waiting = dict(look.outbox.waiting(destination))
    return [
        ExchangeAsset(
            asset=str(uuid),
            title=asset.name,
            accepted_until_s=_accepted_until_s(look, home, destination, uuid, letters, since_s),
            waiting=waiting.get(uuid, 0),
            states={
                day.isoformat(): "".join(
                    letters.get((uuid, start_s), ".")
                    for start_s in range(*home.span(day), home.slot_s)
                )
                for day in days
            },
        )
        for uuid, asset in home.assets.items()
        if uuid in owed or uuid in waiting
    ]


def _accepted_until_s(
    look: Look,
    home: Home,
    destination: str,
    uuid: UUID,
    letters: Mapping[tuple[object, int], str],
    since_s: int,
) -> int | None:
    """End of the newest accepted slot: of these days, or else of the month before them."""
    newest_s = max(
        (s for (who, s), letter in letters.items() if who == uuid and letter == "a"), default=None
    )
    if newest_s is None:
        earlier_s = since_s - ACCEPTED_DAYS * 86_400
        newest_s = look.outbox.newest_accepted_s(destination, uuid, earlier_s)
    return None if newest_s is None else newest_s + home.slot_s


def _refused(home: Home, owed: Owed) -> RefusedSlot:
    subject = owed.item.subject
    asset = home.assets.get(subject) if isinstance(subject, UUID) else None
    state: DeliveryState = "rejected" if owed.state == "rejected" else "missed"
    return RefusedSlot(
        destination=owed.item.destination,
        asset=str(subject),
        title=asset.name if asset else str(subject),
        start_s=owed.item.slot_s,
        state=state,
        reason=owed.reason,
    )


def exchange_of(
    home: Home,
    destinations: Iterable[DestinationReport],
    recorded: Mapping[str, Recorded],
    undated: frozenset[str],
) -> ExchangeNow:
    """All destinations, the exchange first. `undated`: those at which a number can be too late."""
    found = sorted(destinations, key=lambda each: each.name != EXCHANGE)
    return ExchangeNow(
        zone=home.zone, destinations=[_destination(each, recorded, undated) for each in found]
    )


def _destination(
    each: DestinationReport, recorded: Mapping[str, Recorded], undated: frozenset[str]
) -> DestinationNow:
    known = recorded.get(each.name, Recorded(assets=[], refused=[]))
    waits = each.backlog + each.sent
    return DestinationNow(
        name=each.name,
        url=each.url,
        dialect=each.dialect,
        state=each.state,
        last_success_s=each.last_success_s,
        last_error=each.last_error,
        next_try_s=each.next_try_s,
        waiting=waits,
        accept_by_s=each.next_deadline_s if waits and each.name in undated else None,
        confirmed=each.confirmed,
        disagreements=each.disagreements,
        disputed=each.disputed,
        read_back=each.read_back,
        verdicts=each.verdicts,
        assets=known.assets,
        refused=known.refused,
    )
