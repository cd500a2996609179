"""What the manager's page asks the database. All of its SQL is here."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta, tzinfo
from math import inf
from typing import Any, Generic, LiteralString, TypeVar, cast

from gateway.fleet import users
from gateway.fleet.database import NotReady
from gateway.fleet.page.answers import (
    MOST_OWED,
    AggregatorRow,
    AssetRow,
    ClashRow,
    CollectorRow,
    CommunityDay,
    EventRow,
    ExchangeNow,
    Fleet,
    Home,
    HomeDay,
    MeterRow,
    RefusedRow,
    StoreRow,
    Told,
    WorstRow,
)
from gateway.fleet.page.asking import Asking, Row
from gateway.fleet.page.days import bounds_s, day_of, slots_between, spread
from gateway.fleet.page.states import judged, meter_roles
from gateway.fleet.settings import FleetSettings

FLEET_S = 15.0
"""So often it is asked how all homes are, whether somebody looks or not: the first answer, and an
alarm, are there at once."""
DAY_S = 300.0
"""The same of what takes longer: the community's day, and the least complete ones."""
OLD_DAY_S = 3_600.0
"""For so long a community's day that is over for three days is not asked for again."""
SHARE = 0.05
"""Of its time the database is kept busy by this at most: of a large fleet it is asked less often.
"""
MAX_DAYS_KEPT = 40
SLOT_S = 900
"""Of a community that has no home yet."""
QUICK_S, SLOW_S = 5.0, 30.0
"""How long a question may take: those of a page, and those that add up a whole day."""
WORST_DAYS = 7
MOST_WORST = 101
"""A page has a hundred; one more says that there are more."""


_T = TypeVar("_T")


class _Kept(Generic[_T]):
    """An answer, and when it is to be asked for again. Who comes meanwhile waits for the same."""

    def __init__(self, fresh_s: float) -> None:
        self.fresh_s = fresh_s
        self._answer: _T | None = None
        self._asked_s = -inf
        self._turn = asyncio.Lock()

    def there(self) -> _T | None:
        """The answer, where it is not too old to be shown: it is asked for again well before."""
        return self._answer if time.monotonic() - self._asked_s <= 2 * self.fresh_s else None

    async def get(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """The answer, asked for now where there is none to be shown. Raises what `ask` does."""
        there = self.there()
        return there if there is not None else await self.anew(ask)

    async def anew(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """The answer of now."""
        asked_s = self._asked_s
        async with self._turn:
            if self._answer is not None and self._asked_s > asked_s:
                return self._answer  # somebody has just asked
            began_s = time.monotonic()
            self._answer = await ask()
            self._asked_s = time.monotonic()
            self.fresh_s = max(self.fresh_s, (self._asked_s - began_s) / SHARE)
            return self._answer


class Questions:
    """Asks, and keeps what is asked for again and again for a moment. `now` is Unix time."""

    def __init__(self, settings: FleetSettings, now: Callable[[], float] = time.time) -> None:
        self.zone: tzinfo = settings.zone
        self._now = now
        self._quick = Asking(settings, QUICK_S)
        self._slow = Asking(settings, SLOW_S, adds_up=True)
        self._fleet: _Kept[Fleet] = _Kept(FLEET_S)
        self._worst: _Kept[list[WorstRow]] = _Kept(DAY_S)
        self._roles: _Kept[list[int]] = _Kept(DAY_S)
        self._days: dict[date, _Kept[CommunityDay]] = {}

    @property
    def is_well(self) -> bool:
        """Whether the database answered last."""
        return self._quick.is_well

    def today(self) -> date:
        """The community's local day that it is."""
        return day_of(self._now(), self.zone)

    async def close(self) -> None:
        """Leave the database."""
        await self._quick.close()
        await self._slow.close()

    # --- who may look -----------------------------------------------------------------------------

    async def secret(self) -> bytes:
        """With what logins are signed. Raises DatabaseError, ConfigError."""
        rows = await self._quick.rows("SELECT value FROM fleet.settings WHERE name = 'page'")
        if not rows:
            raise NotReady("its page has no secret: run meter-gateway fleet init")
        return str(rows[0][0]).encode()

    async def user(self, name: str) -> users.User | None:
        """The user of that name. Raises DatabaseError, ConfigError."""
        rows = await self._quick.rows(
            "SELECT name, hash, generation, added_at, changed_at FROM fleet.users "
            "WHERE name = %(name)s",
            name=name,
        )
        return users.User(*cast(Any, rows[0])) if rows else None

    # --- all homes --------------------------------------------------------------------------------

    async def keep_fleet(self) -> None:
        """Asks for ever how all homes are. Raises DatabaseError, ConfigError."""
        while True:
            await self._fleet.anew(self._ask_fleet)
            await asyncio.sleep(self._fleet.fresh_s)

    async def keep_days(self) -> None:
        """The same of what takes longer, for ever. Raises DatabaseError, ConfigError."""
        while True:
            await self._worst.anew(self._ask_worst)
            await self._roles.anew(self._ask_roles)
            # The week before is what is looked at most: it is there at once as well.
            for ago in range(WORST_DAYS, 1, -1):
                await self.community(self.today() - timedelta(days=ago))
            for day in (self.today() - timedelta(days=1), self.today()):
                kept = self._day(day)
                await kept.anew(lambda day=day: self._ask_community(day))  # type: ignore[misc]
            await asyncio.sleep(max(self._worst.fresh_s, kept.fresh_s))

    async def fleet(self) -> Fleet:
        """All homes, as they were not long ago. Raises DatabaseError, ConfigError."""
        return await self._fleet.get(self._ask_fleet)

    async def _ask_fleet(self) -> Fleet:
        now_s = self._now()
        yesterday = self.today() - timedelta(days=1)
        homes = [_home(row) for row in await self._quick.rows(_HOMES)]
        days: dict[int, tuple[int, int]] = {}
        for site, known, expected in await self._quick.rows(_SITE_DAYS, day=yesterday):
            days[cast(int, site)] = cast(int, known), cast(int, expected)
        owed = dict(cast("list[tuple[int, float]]", await self._quick.rows(_OWED)))
        homes = [
            replace(
                home,
                known=days.get(home.id, (0, 0))[0],
                expected=days.get(home.id, (0, 0))[1],
                owed_since_s=owed.get(home.id),
            )
            for home in homes
        ]
        collectors = [CollectorRow(*cast(Any, row)) for row in await self._quick.rows(_COLLECTORS)]
        exchange = await self._quick.rows(_EXCHANGE, most=MOST_OWED)
        aggregators = [
            AggregatorRow(*cast(Any, row)) for row in await self._quick.rows(_AGGREGATORS)
        ]
        return Fleet(
            at_s=now_s,
            homes=judged(homes, now_s),
            collectors=collectors,
            exchange=_exchange(exchange[0], aggregators) if exchange else None,
        )

    async def worst(self) -> list[WorstRow]:
        """The days of assets of the last week of which least is known, `MOST_WORST` at most. Raises
        DatabaseError, ConfigError.
        """
        return await self._worst.get(self._ask_worst)

    async def _ask_worst(self) -> list[WorstRow]:
        today = self.today()
        rows = await self._slow.rows(
            _WORST, begin=today - timedelta(days=WORST_DAYS), end=today, most=MOST_WORST
        )
        return [WorstRow(*cast(Any, row)) for row in rows]

    async def refused(self, site: str | None = None, most: int = 100) -> list[RefusedRow]:
        """What was not taken, the newest first; of all homes, or of one. Raises DatabaseError,
        ConfigError.
        """
        rows = await self._quick.rows(_REFUSED, site=site, most=most)
        return [RefusedRow(*cast(Any, row)) for row in rows]

    async def clashes(self, most: int = 100) -> list[ClashRow]:
        """Homes whose numbers came again with another value. Raises DatabaseError, ConfigError."""
        return [ClashRow(*cast(Any, row)) for row in await self._quick.rows(_CLASHES, most=most)]

    # --- the community's day ----------------------------------------------------------------------

    async def community(self, day: date) -> CommunityDay:
        """The sums of all homes on a local day. Raises DatabaseError, ConfigError."""
        return await self._day(day).get(lambda: self._ask_community(day))

    def community_there(self, day: date) -> CommunityDay | None:
        """The same, where it is known already."""
        return self._days[day].there() if day in self._days else None

    def _day(self, day: date) -> _Kept[CommunityDay]:
        is_old = self.today() - day > timedelta(days=3)
        kept = self._days.pop(day, None) or _Kept(OLD_DAY_S if is_old else DAY_S)
        self._days[day] = kept
        while len(self._days) > MAX_DAYS_KEPT:
            del self._days[next(iter(self._days))]
        return kept

    async def _ask_community(self, day: date) -> CommunityDay:
        start_s, end_s = bounds_s(day, self.zone)
        roles = await self._roles.get(self._ask_roles)
        found: dict[tuple[int, int], tuple[int, int, int]] = {}
        rows = await self._slow.rows(_COMMUNITY, begin=start_s, end=end_s, roles=roles)
        for at_s, role, length_s, energy_uwh, count in cast(Any, rows):
            more = length_s, energy_uwh or 0, count
            found[at_s, role] = _added(found.get((at_s, role)), more)
        # Where homes have slots of different lengths, the shorter ones are added up to the longest.
        lengths = [length_s for length_s, _, _ in found.values()]
        if not lengths:
            lengths = [each.home.slot_length_s for each in (await self.fleet()).homes]
        slot_s = max(lengths, default=SLOT_S)
        slots = slots_between(start_s, end_s, slot_s)
        sums: dict[str, list[int | None]] = {name: [None] * slots for name in _SUMS.values()}
        meters = [0] * slots
        for (at_s, role), (_, energy_uwh, count) in found.items():
            name = _ROLES[role - 1]
            n = min((at_s - start_s) // slot_s, slots - 1)
            if count:
                sums[name][n] = (sums[name][n] or 0) + energy_uwh
            if name == "from_grid":
                meters[n] = max(meters[n], count)
        whole = await self._slow.rows(_WHOLE_DAY, day=day)
        known, expected = cast("tuple[int, int]", whole[0]) if whole else (0, 0)
        return CommunityDay(
            day=day,
            start_s=start_s,
            slot_s=slot_s,
            from_grid_uwh=sums["from_grid"],
            to_grid_uwh=sums["to_grid"],
            sun_uwh=sums["sun"],
            meters=meters,
            most_meters=max(meters, default=0),
            known=known,
            expected=expected,
        )

    async def _ask_roles(self) -> list[int]:
        """For each series, from 1 on, to which of `_ROLES` it adds, counted from 1; 0: to none."""
        found: dict[int, int] = {}
        for (_, told), series in _by_site(await self._slow.rows(_SERIES)):
            roles = meter_roles(((meter, way) for _, meter, way in series), told)
            for number, meter, way in series:
                name = _SUMS.get((roles[meter], way))
                found[number] = _ROLES.index(name) + 1 if name is not None else 0
        return [found.get(number, 0) for number in range(1, max(found, default=0) + 1)]

    # --- one home ---------------------------------------------------------------------------------

    async def home_day(self, name: str, day: date) -> HomeDay | None:
        """A home on a local day; None where there is no such home. Raises DatabaseError,
        ConfigError.
        """
        fleet = await self.fleet()
        found = next((each for each in fleet.homes if each.home.name == name), None)
        if found is None:
            return None
        start_s, end_s = bounds_s(day, self.zone)
        at = {"site": found.home.id, "begin": start_s, "end": end_s}
        assets = await self._quick.rows(_HOME_ASSETS, **at)
        meters = await self._quick.rows(_HOME_METERS, day=day, **at)
        lengths = [cast(int, row[3]) for row in (*assets, *meters)]
        slot_s = min(lengths, default=found.home.slot_length_s)
        slots = slots_between(start_s, end_s, slot_s)
        states = await self._quick.rows(_HOME_DELIVERIES, **at)
        first = await self._quick.rows(_FIRST_DAY, site=found.home.id)
        told = await self._quick.rows(_TOLD_METERS, site=found.home.id)
        roles = meter_roles(
            {(str(row[0]), str(row[1])) for row in meters},
            cast("dict[str, str] | None", told[0][0]) if told else None,
        )
        grid = _Grid(start_s, slot_s, slots)
        return HomeDay(
            judged=found,
            day=day,
            start_s=start_s,
            slot_s=slot_s,
            slots=slots,
            assets=grid.assets(assets, states),
            meters=grid.meters(meters, roles),
            stores=[
                StoreRow(*cast(Any, row))
                for row in await self._quick.rows(_STORES, site=found.home.id)
            ],
            events=[
                EventRow(*cast(Any, row))
                for row in await self._quick.rows(_EVENTS, site=found.home.id)
            ],
            refused=await self.refused(name, 20),
            reasons=[
                (cast(int, at_s), _STATES[str(state)], str(reason))
                for _, at_s, _, state, reason in states
                if reason and str(state) in _STATES
            ][:20],
            first_day=cast("date | None", first[0][0]),
            today=self.today(),
        )


class _Grid:
    """The slots of a day, into which rows are laid."""

    def __init__(self, start_s: int, slot_s: int, slots: int) -> None:
        self._place = start_s, slot_s, slots

    def assets(self, rows: Sequence[Row], states: Sequence[Row]) -> list[AssetRow]:
        """Rows of (uuid, slot, kind, length, energy, uncertainty, quality)."""
        by_asset: dict[str, list[Row]] = {}
        for row in rows:
            by_asset.setdefault(str(row[0]), []).append(row)
        letters: dict[str, list[tuple[int, int | None]]] = {}
        for asset, at_s, kind, state, _ in states:
            if kind == "m":
                code = ord(_LETTERS.get(str(state), "."))
                letters.setdefault(str(asset), []).append((cast(int, at_s), code))
        return [
            AssetRow(
                asset,
                self._spread((row[1], row[4]) for row in some if row[2] == "m"),
                self._spread((row[1], row[5]) for row in some if row[2] == "m"),
                self._letters((row[1], row[6]) for row in some if row[2] == "m"),
                self._spread((row[1], row[4]) for row in some if row[2] == "f"),
                "".join(chr(code or 46) for code in self._spread(letters[asset]))
                if asset in letters
                else "",
            )
            for asset, some in sorted(by_asset.items())
        ]

    def meters(self, rows: Sequence[Row], roles: dict[str, str]) -> list[MeterRow]:
        """Rows of (meter, direction, slot, length, energy, uncertainty, quality, serial, coverage,
        end register, largest gap).
        """
        by_series: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            by_series.setdefault((str(row[0]), str(row[1])), []).append(row)
        found = []
        for (meter, way), some in sorted(by_series.items()):
            newest = max(some, key=lambda row: cast(int, row[2]))
            coverage = [cast(int, row[8]) for row in some if row[8] is not None]
            found.append(
                MeterRow(
                    meter,
                    way,
                    str(newest[7]),
                    roles.get(meter, "other"),
                    self._spread((row[2], row[4]) for row in some),
                    self._spread((row[2], row[5]) for row in some),
                    self._letters((row[2], row[6]) for row in some),
                    sum(coverage) // len(coverage) if coverage else None,
                    cast("int | None", newest[9]),
                    max((cast(int, row[10]) for row in some if row[10] is not None), default=None),
                )
            )
        return found

    def _spread(self, pairs: Iterable[tuple[object, object]]) -> list[int | None]:
        return spread(cast("list[tuple[int, int | None]]", list(pairs)), *self._place)

    def _letters(self, pairs: Iterable[tuple[object, object]]) -> str:
        codes = self._spread((at_s, ord(str(letter))) for at_s, letter in pairs)
        return "".join(chr(code) if code else "." for code in codes)


_SUMS = {
    ("grid", "import"): "from_grid",
    ("grid", "export"): "to_grid",
    ("sun", "export"): "sun",
}
"""What the meters of a role and direction add up to."""
_ROLES = tuple(_SUMS.values())

_LETTERS = {"o": "w", "s": "s", "a": "a", "r": "r", "m": "l"}
"""Of `fleet.deliveries`, as the box's pictures have them."""
_STATES = {"r": "rejected", "m": "missed"}


def _added(one: tuple[int, int, int] | None, other: tuple[int, int, int]) -> tuple[int, int, int]:
    """Lengths, energies and counts of the same slot: the longest, and the sums."""
    return other if one is None else (max(one[0], other[0]), one[1] + other[1], one[2] + other[2])


def _by_site(
    rows: Sequence[Row],
) -> Iterable[tuple[tuple[int, dict[str, str] | None], list[tuple[int, str, str]]]]:
    """Rows of (site, what its gateway told of its meters, series, meter, direction)."""
    found: dict[int, list[tuple[int, str, str]]] = {}
    told_of: dict[int, dict[str, str] | None] = {}
    for site, told, number, meter, way in cast("list[tuple[int, Any, int, str, str]]", rows):
        found.setdefault(site, []).append((number, meter, way))
        told_of[site] = told
    return [((site, told_of[site]), some) for site, some in found.items()]


def _home(row: Row) -> Home:
    (id_, name, added_s, warning, last_s, last_slot_s, length_s, lag_s, version, deliver, stores,
     told_s, online, told, clashes, refused, configured_s, ends_s) = cast(Any, row)  # fmt: skip
    return Home(
        id=id_,
        name=name,
        added_s=added_s,
        warning=warning,
        last_message_s=last_s,
        last_slot_s=last_slot_s,
        slot_length_s=length_s,
        lag_s=lag_s,
        version=version or "",
        deliver=deliver or "",
        stores=stores,
        told=_told(told_s, online, told) if told is not None else None,
        clashes=clashes,
        refused=refused,
        configured_s=configured_s,
        certificate_ends_s=ends_s,
    )


_TOLD = (
    *("mood", "rss_bytes", "disk_free_bytes", "disk_written_per_day_bytes", "config"),
    *("clock_trusted", "oldest_owed_s", "owed"),
)


def _told(at_s: float, online: bool, told: dict[str, Any]) -> Told:
    """What a gateway has not said is as the message has it where it is left out."""
    said = {name: told[name] for name in _TOLD if name in told}
    problems = tuple(str(each) for each in told.get("problems", ()))
    return Told(at_s=at_s, online=online, problems=problems, **said)


def _exchange(row: Row, aggregators: Sequence[AggregatorRow]) -> ExchangeNow | None:
    owed, oldest_s, taken_s, rejected, missed, reason = cast(Any, row)
    if not (owed or taken_s or rejected or missed or aggregators):
        return None
    return ExchangeNow(
        owed=owed,
        oldest_owed_s=oldest_s,
        taken_s=taken_s,
        rejected=rejected,
        missed=missed,
        last_reason=reason or "",
        aggregators=aggregators,
    )


_HOMES = """
SELECT s.id, s.name, extract(epoch FROM s.added_at)::float8, s.warning,
    extract(epoch FROM last.last_at)::float8, extract(epoch FROM last.last_slot)::float8,
    l.length_s, last.lag_s, last.version, last.deliver,
    coalesce(many.stores, 0)::int,
    extract(epoch FROM t.received)::float8, t.online, t.told,
    coalesce(c.clashes, 0)::int, coalesce(r.refused, 0)::int,
    extract(epoch FROM e.configured)::float8, extract(epoch FROM k.ends)::float8
FROM fleet.sites s JOIN fleet.slot_lengths l ON l.site = s.id
LEFT JOIN (SELECT DISTINCT ON (site) * FROM fleet.stores ORDER BY site, last_at DESC) last
    ON last.site = s.id
LEFT JOIN (SELECT site, count(*) AS stores FROM fleet.stores GROUP BY site) many
    ON many.site = s.id
LEFT JOIN fleet.status t ON t.site = s.id
LEFT JOIN (SELECT site, count(*) AS clashes FROM fleet.clashes
    WHERE received > now() - interval '7 days' GROUP BY site) c ON c.site = s.id
LEFT JOIN (SELECT site, count(*) AS refused FROM fleet.refused
    WHERE last_at > now() - interval '7 days' GROUP BY site) r ON r.site = s.name
LEFT JOIN (SELECT site, max(at) AS configured FROM fleet.events
    WHERE what = 'config' AND at > now() - interval '7 days' GROUP BY site) e ON e.site = s.id
LEFT JOIN (SELECT site, max(ends_at) AS ends FROM fleet.certificates
    WHERE revoked_at IS NULL GROUP BY site) k ON k.site = s.id
WHERE s.removed_at IS NULL ORDER BY s.name
"""

_COLLECTORS = """
SELECT name, version, extract(epoch FROM started_at)::float8,
    extract(epoch FROM seen_at)::float8, shared FROM fleet.collectors ORDER BY name
"""

_REFUSED = """
SELECT site, why, times::int, extract(epoch FROM last_at)::float8 FROM fleet.refused
WHERE %(site)s::text IS NULL OR site = %(site)s::text ORDER BY last_at DESC LIMIT %(most)s
"""

_CLASHES = """
SELECT s.name, count(*)::int, extract(epoch FROM max(c.received))::float8
FROM fleet.clashes c JOIN fleet.sites s ON s.id = c.site
GROUP BY s.name ORDER BY max(c.received) DESC LIMIT %(most)s
"""

_STORES = """
SELECT name, extract(epoch FROM first_at)::float8, extract(epoch FROM last_at)::float8, version,
    deliver FROM fleet.stores WHERE site = %(site)s ORDER BY last_at DESC LIMIT 20
"""

_EVENTS = """
SELECT extract(epoch FROM at)::float8, what, coalesce(was, ''), coalesce(now_is, '')
FROM fleet.events WHERE site = %(site)s ORDER BY id DESC LIMIT 50
"""

_OWED = """
SELECT a.site, extract(epoch FROM min(d.slot))::float8
FROM fleet.assets a CROSS JOIN LATERAL (SELECT slot FROM fleet.deliveries
    WHERE asset = a.id AND state = 'o' ORDER BY slot LIMIT 1) d
GROUP BY a.site
"""

_EXCHANGE = """
SELECT (SELECT count(*) FROM (SELECT FROM fleet.deliveries WHERE state = 'o'
        LIMIT %(most)s) counted)::int,
    (SELECT extract(epoch FROM min(slot))::float8 FROM fleet.deliveries WHERE state = 'o'),
    (SELECT extract(epoch FROM nullif(taken, '-infinity'))::float8 FROM fleet.exchange_state),
    count(*) FILTER (WHERE state = 'r')::int, count(*) FILTER (WHERE state = 'm')::int,
    (array_agg(reason ORDER BY at DESC))[1]
FROM (SELECT state, reason, at FROM fleet.deliveries WHERE state IN ('r', 'm')
    AND at > now() - interval '24 hours' ORDER BY at DESC LIMIT 100000) lately
"""

_AGGREGATORS = """
SELECT name, extract(epoch FROM seen_at)::float8, state, reason FROM fleet.aggregators ORDER BY name
"""

_SERIES = """
SELECT s.site, t.told->'meters', s.id, s.meter,
    CASE s.direction WHEN 'i' THEN 'import' ELSE 'export' END
FROM fleet.series s LEFT JOIN fleet.status t ON t.site = s.site
"""

_TOLD_METERS = "SELECT told->'meters' FROM fleet.status WHERE site = %(site)s"

_FIRST_DAY = """
SELECT min(first.day) FROM fleet.assets a CROSS JOIN LATERAL (
    SELECT day FROM fleet.days WHERE asset = a.id ORDER BY day LIMIT 1) first
WHERE a.site = %(site)s
"""

_HOME_ASSETS = """
SELECT a.uuid::text, extract(epoch FROM s.slot)::bigint, k.kind, s.length_s, s.energy_uwh,
    s.uncertainty_uwh, s.quality::text
FROM fleet.assets a CROSS JOIN (VALUES ('m'), ('f')) k (kind)
CROSS JOIN LATERAL fleet.slots(a.id, k.kind::"char", to_timestamp(%(begin)s),
    to_timestamp(%(end)s)) s
WHERE a.site = %(site)s ORDER BY a.uuid, k.kind, s.slot
"""

_HOME_METERS = """
SELECT meter, direction, extract(epoch FROM slot)::bigint, length_s, energy_uwh, uncertainty_uwh,
    CASE quality WHEN 'missing' THEN 'x' ELSE left(quality, 1) END, serial, coverage_permille,
    end_register_uwh, largest_gap_ms
FROM fleet.meters
WHERE site = (SELECT name FROM fleet.sites WHERE id = %(site)s)
    AND day BETWEEN %(day)s::date - 1 AND %(day)s::date + 1
    AND slot >= to_timestamp(%(begin)s) AND slot < to_timestamp(%(end)s)
ORDER BY meter, direction, slot
"""

_HOME_DELIVERIES = """
SELECT a.uuid::text, extract(epoch FROM d.slot)::bigint, d.kind::text, d.state::text, d.reason
FROM fleet.assets a JOIN fleet.deliveries d ON d.asset = a.id
WHERE a.site = %(site)s AND d.slot >= to_timestamp(%(begin)s) AND d.slot < to_timestamp(%(end)s)
ORDER BY d.slot
"""

# What a meter adds to is looked up in an array by its series: a join takes as long as all of the
# rest. Only newest revisions count: as few slots have more than one, all rows are added up, and
# those of before are taken off again.
_NARROW_COMMUNITY: LiteralString = """
SELECT extract(epoch FROM slot)::bigint, role, max(length_s), sum(energy_uwh)::bigint,
    count(energy_uwh)::int
FROM (SELECT *, (%(roles)s::smallint[])[series] AS role FROM fleet.meter_slots) s
WHERE role > 0 AND slot >= to_timestamp(%(begin)s) AND slot < to_timestamp(%(end)s)
GROUP BY slot, role
UNION ALL
SELECT extract(epoch FROM s.slot)::bigint, s.role, max(old.length_s), -sum(old.energy_uwh)::bigint,
    -count(old.energy_uwh)::int
FROM (SELECT DISTINCT series, slot, (%(roles)s::smallint[])[series] AS role
    FROM fleet.meter_slots WHERE revision > 0 AND slot >= to_timestamp(%(begin)s)
        AND slot < to_timestamp(%(end)s)) s,
    LATERAL (SELECT length_s, energy_uwh FROM (
            SELECT revision, length_s, energy_uwh FROM fleet.meter_slots o
            WHERE o.revision = 0 AND o.series = s.series AND o.slot = s.slot
            UNION ALL SELECT revision, length_s, energy_uwh FROM fleet.meter_slots o
            WHERE o.revision > 0 AND o.series = s.series AND o.slot = s.slot) each
        ORDER BY revision DESC OFFSET 1) old
WHERE s.role > 0
GROUP BY s.slot, s.role
"""

# Of months that are packed, what came afterwards …
_LATE_COMMUNITY: LiteralString = """
SELECT extract(epoch FROM slot)::bigint, role, max(length_s), sum(energy_uwh)::bigint,
    count(energy_uwh)::int
FROM (SELECT *, (%(roles)s::smallint[])[series] AS role FROM fleet.meter_late) s
WHERE role > 0 AND slot >= to_timestamp(%(begin)s) AND slot < to_timestamp(%(end)s)
    AND NOT EXISTS (SELECT FROM fleet.meter_late n
        WHERE n.series = s.series AND n.slot = s.slot AND n.revision > s.revision)
GROUP BY slot, role
"""

# … and the rest. Arrays are cut to the day before they are unfolded; a slot of which something
# came afterwards is looked for only where something came of that meter that day.
_PACKED_COMMUNITY: LiteralString = """
SELECT at_s, role, max(length_s), sum(energy_uwh)::bigint, count(energy_uwh)::int
FROM (SELECT series, role, length_s, some_are_late,
        day_s + coalesce(at, first + n - 2) * length_s AS at_s,
        ended - begun + CASE WHEN is_unlike THEN unlike ELSE 0 END AS energy_uwh
    FROM (SELECT series, role, length_s, some_are_late, day_s, first, is_unlike, unnest(at) AS at,
            unnest(unlike_uwh[first:last]) AS unlike, unnest(begun_uwh[first:last]) AS begun,
            unnest(end_register_uwh[first:last]) AS ended,
            generate_subscripts(samples[first:last], 1) AS n
        FROM (SELECT series, role, length_s, day_s, at, unlike_uwh, end_register_uwh, samples,
                unlike_uwh IS NOT NULL AS is_unlike,
                CASE WHEN cardinality(begin_register_uwh) < cardinality(end_register_uwh)
                    THEN begin_register_uwh || end_register_uwh ELSE begin_register_uwh
                END AS begun_uwh,
                CASE WHEN at IS NULL THEN greatest(1, (%(begin)s::bigint - day_s) / length_s + 1)
                    ELSE 1 END::int AS first,
                CASE WHEN at IS NULL
                    THEN least(cardinality(samples),
                        (%(end)s::bigint - day_s + length_s - 1) / length_s)
                    ELSE cardinality(samples) END::int AS last,
                series IN (SELECT series FROM fleet.meter_late WHERE slot >= to_timestamp(%(begin)s)
                    AND slot < to_timestamp(%(end)s)) AS some_are_late
            FROM (SELECT *, (%(roles)s::smallint[])[series] AS role,
                    (day - date '1970-01-01') * 86400::bigint AS day_s
                FROM fleet.meter_days) d
            WHERE role > 0 AND day BETWEEN (to_timestamp(%(begin)s) AT TIME ZONE 'UTC')::date
                AND (to_timestamp(%(end)s - 1) AT TIME ZONE 'UTC')::date) days) slots) s
WHERE at_s >= %(begin)s::bigint AND at_s < %(end)s::bigint AND (NOT some_are_late OR NOT EXISTS (
    SELECT FROM fleet.meter_late n WHERE n.series = s.series AND n.slot = to_timestamp(s.at_s)))
GROUP BY at_s, role
"""

# In one question: months are packed at any moment.
_COMMUNITY: LiteralString = " UNION ALL ".join(
    (_NARROW_COMMUNITY, _PACKED_COMMUNITY, _LATE_COMMUNITY)
)

_SITE_DAYS = """
SELECT site, sum(known)::int, sum(due)::int FROM fleet.coverage(%(day)s) GROUP BY site
"""

_WHOLE_DAY = """
SELECT coalesce(sum(known), 0)::int, coalesce(sum(due), 0)::int FROM fleet.coverage(%(day)s)
"""

_WORST = """
SELECT s.name, a.uuid::text, d.day::date, c.known, c.due
FROM generate_series(%(begin)s::date, %(end)s::date - 1, interval '1 day') d (day)
CROSS JOIN LATERAL fleet.coverage(d.day::date) c
JOIN fleet.assets a ON a.id = c.asset JOIN fleet.sites s ON s.id = c.site
WHERE c.known < c.due
ORDER BY c.known::float8 / c.due, d.day DESC, s.name, a.uuid LIMIT %(most)s
"""
