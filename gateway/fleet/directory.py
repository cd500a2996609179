"""The numbers that stand for sites, buffers, assets and meters in the database: looked up once, and
remembered.

What is there is looked up before it is inserted: a number of the sequence is spent on each row that
ON CONFLICT turns away, and they are 31 bits.
"""

import time
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple, cast

from gateway.fleet.checking import DIRECTIONS, uuid_of
from gateway.fleet.database import Connection, translated

MAX_KNOWN = 500_000
"""Of each kind. Beyond it all are forgotten, and looked up again: 60 MB at most."""

MAX_SLOTS = 50_000
"""That are known: 400 days of quarters of an hour are 38,400."""

SeriesName = tuple[int, str, str, str]
"""Site, meter, direction, serial."""


class Day(NamedTuple):
    """A local day of the community. The slots of one day have the same object."""

    name: str
    """As PostgreSQL writes it."""
    length_s: int


@dataclass(slots=True)
class Directory:
    """What is known of one database."""

    sites: dict[str, int] = field(default_factory=dict)
    """Those from which something is taken."""
    newest_stores: dict[int, int] = field(default_factory=dict)
    """Of the sites that have had more than one buffer: the number of the latest."""
    delivered: set[int] = field(default_factory=set)
    """Assets of which the database knows that the fleet delivers them."""
    zone: str = ""
    """Of the community: `days` are those of this zone."""
    days: dict[int, Day] = field(default_factory=dict)
    """In which each slot begins."""
    slot_texts: dict[int, str] = field(default_factory=dict)
    """The begin of each slot, as PostgreSQL writes it."""
    _stores: dict[tuple[int, str], int] = field(default_factory=dict)
    _assets: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By how it is written: its number, and the site that it belongs to."""
    _series: dict[SeriesName, int] = field(default_factory=dict)
    _packed: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Of each table of slots, the months that are packed: begin and end, as `slot_texts` are."""

    def forget(self) -> None:
        """Believe nothing any more: it may be another database, or one restored from a backup, in
        which numbers stand for something else.
        """
        for known in (self.sites, self.newest_stores, self._packed):
            known.clear()
        for names in (self._stores, self._assets, self._series):
            names.clear()
        self.delivered.clear()
        self.forget_days()

    def forget_days(self) -> None:
        """Another zone may be the community's by now."""
        self.days.clear()
        self.slot_texts.clear()

    async def refresh(self, connection: Connection) -> None:
        """Look which sites there are, and which have more than one buffer. Raises DatabaseError."""
        with translated():
            cursor = await connection.execute(
                "SELECT name, id FROM fleet.sites WHERE removed_at IS NULL"
            )
            rows = await cursor.fetchall()
            cursor = await connection.execute(
                "SELECT site, max(id) FROM fleet.stores GROUP BY site HAVING count(*) > 1"
            )
            newest = cast("list[tuple[int, int]]", await cursor.fetchall())
        self.sites = {cast(str, name): cast(int, id_) for name, id_ in rows}
        self.newest_stores = dict(newest)
        await self.refresh_packed(connection)

    async def refresh_packed(self, connection: Connection) -> None:
        """Look which months are packed. Raises DatabaseError."""
        with translated():
            cursor = await connection.execute(
                "SELECT parent, extract(epoch FROM month)::bigint, "
                "extract(epoch FROM month + interval '1 month')::bigint "
                "FROM fleet.packed WHERE done_at IS NOT NULL"
            )
            months = cast("list[tuple[str, int, int]]", await cursor.fetchall())
        self._packed = {}
        for parent, begin_s, end_s in months:
            bounds = _slot_text(begin_s), _slot_text(end_s)
            self._packed.setdefault(parent, []).append(bounds)

    def is_packed(self, slot_s: int) -> bool:
        """Whether the month of that slot is packed, in one of the tables."""
        if not self._packed:
            return False
        text = _slot_text(slot_s)
        return any(begin <= text < end for months in self._packed.values() for begin, end in months)

    def by_month(
        self, parent: str, rows: list[tuple[Any, ...]]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Rows of which the second field is a slot: those of months that are packed in that table,
        and the others, both in their order.
        """
        packed = self._packed.get(parent)
        if not packed or not rows:
            return [], rows
        if min(map(itemgetter(1), rows)) >= max(end for _, end in packed):
            return [], rows
        late: list[tuple[Any, ...]] = []
        others: list[tuple[Any, ...]] = []
        for row in rows:
            is_late = any(begin <= row[1] < end for begin, end in packed)
            (late if is_late else others).append(row)
        return late, others

    async def learn(
        self,
        connection: Connection,
        stores: Iterable[tuple[int, str]],
        assets: Iterable[tuple[int, str]],
        series: Iterable[SeriesName],
    ) -> None:
        """See to it that all of these have numbers. Each is given by its site and its name. Raises
        DatabaseError.
        """
        for known in (self._stores, self._assets, self._series):
            if len(known) > MAX_KNOWN:
                known.clear()
        new_stores = sorted({each for each in stores if each not in self._stores})
        new_assets = sorted({each for each in assets if each[1] not in self._assets})
        new_series = sorted({each for each in series if each not in self._series})
        with translated():
            if new_stores:
                await self._learn_stores(connection, new_stores)
            if new_assets:
                await self._learn_assets(connection, new_assets)
            if new_series:
                await self._learn_series(connection, new_series)

    async def learn_slots(self, connection: Connection, slots: Set[int]) -> None:
        """See to it that the texts and days of these are known. Raises DatabaseError."""
        if len(self.days) > MAX_SLOTS:
            self.forget_days()
        new = sorted(slots - self.days.keys())
        if not new:
            return
        with translated():
            cursor = await connection.execute(_DAYS, (new,))
            rows = cast("list[tuple[int, str, str, int]]", await cursor.fetchall())
        zone = rows[0][1]
        if zone != self.zone:
            self.forget_days()
            self.zone = zone
            await self.learn_slots(connection, slots)
            return
        known: dict[str, Day] = {}
        for slot_s, _, name, length_s in rows:
            self.days[slot_s] = known.setdefault(name, Day(name, length_s))
            self.slot_texts[slot_s] = _slot_text(slot_s)

    def store(self, site: int, name: str) -> int:
        """Its number."""
        return self._stores[site, name]

    def asset(self, name: str) -> tuple[int, int]:
        """Its number, and that of the site that it belongs to."""
        return self._assets[name]

    def series(self, name: SeriesName) -> int:
        """Its number."""
        return self._series[name]

    async def _learn_stores(self, connection: Connection, new: list[tuple[int, str]]) -> None:
        if missing := await self._look_up_stores(connection, new):
            await connection.execute(
                "INSERT INTO fleet.stores (site, name) SELECT * FROM unnest(%s::int[], %s::text[]) "
                "ON CONFLICT DO NOTHING",
                _columns(missing),
            )
            await self._look_up_stores(connection, missing)

    async def _look_up_stores(
        self, connection: Connection, some: list[tuple[int, str]]
    ) -> list[tuple[int, str]]:
        """Those that are not there."""
        cursor = await connection.execute(
            "SELECT site, name, id FROM fleet.stores JOIN unnest(%s::int[], %s::text[]) "
            "AS new(site, name) USING (site, name)",
            _columns(some),
        )
        for site, name, id_ in await cursor.fetchall():
            self._stores[cast(int, site), cast(str, name)] = cast(int, id_)
        return [each for each in some if each not in self._stores]

    async def _learn_assets(self, connection: Connection, new: list[tuple[int, str]]) -> None:
        if missing := await self._look_up_assets(connection, new):
            await connection.execute(
                "INSERT INTO fleet.assets (site, uuid) SELECT * FROM unnest(%s::int[], %s::uuid[]) "
                "ON CONFLICT DO NOTHING",
                _columns([(site, uuid_of(name)) for site, name in missing]),
            )
            await self._look_up_assets(connection, missing)

    async def _look_up_assets(
        self, connection: Connection, some: list[tuple[int, str]]
    ) -> list[tuple[int, str]]:
        """Those that are not there, whoever they belong to."""
        cursor = await connection.execute(
            "SELECT uuid, id, site FROM fleet.assets WHERE uuid = ANY(%s::uuid[])",
            ([uuid_of(name) for _, name in some],),
        )
        found = {row[0]: cast("tuple[int, int]", row[1:]) for row in await cursor.fetchall()}
        for _, name in some:
            if uuid_of(name) in found:
                self._assets[name] = found[uuid_of(name)]
        return [each for each in some if each[1] not in self._assets]

    async def _learn_series(self, connection: Connection, new: list[SeriesName]) -> None:
        if missing := await self._look_up_series(connection, new):
            await connection.execute(
                "INSERT INTO fleet.series (site, meter, direction, serial) "
                'SELECT site, meter, direction::"char", serial '
                "FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[]) "
                "AS new(site, meter, direction, serial) ON CONFLICT DO NOTHING",
                _columns([_as_stored(each) for each in missing]),
            )
            await self._look_up_series(connection, missing)

    async def _look_up_series(
        self, connection: Connection, some: list[SeriesName]
    ) -> list[SeriesName]:
        """Those that are not there."""
        cursor = await connection.execute(
            "SELECT n, s.id FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[]) "
            "WITH ORDINALITY AS new(site, meter, direction, serial, n) "
            "JOIN fleet.series s ON s.site = new.site AND s.meter = new.meter "
            'AND s.direction = new.direction::"char" AND s.serial = new.serial',
            _columns([_as_stored(each) for each in some]),
        )
        for n, id_ in await cursor.fetchall():
            self._series[some[cast(int, n) - 1]] = cast(int, id_)
        return [each for each in some if each not in self._series]


_DAYS = """
SELECT slot, zone, day::text, extract(epoch FROM fleet.day_begins(day + 1)
    - fleet.day_begins(day))::integer
FROM (SELECT slot, zone, (to_timestamp(slot) AT TIME ZONE zone)::date AS day
    FROM unnest(%s::bigint[]) AS s(slot), (SELECT fleet.zone() AS zone OFFSET 0) z) d
"""


def _slot_text(slot_s: int) -> str:
    """It sorts as the slots do."""
    return time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(slot_s))


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _as_stored(series: SeriesName) -> SeriesName:
    site, meter, direction, serial = series
    return site, meter, DIRECTIONS[direction], serial
