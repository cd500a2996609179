"""Gateways' messages → PostgreSQL: thousands of rows in one transaction, and only then the
acknowledgements.

The same number twice is nothing: what is there stays. The same key with another value is a clash:
what came first stays, the other is kept beside it, and a person is told. Rows are sorted by their
keys, so that two collectors that write the same ones wait for each other and never in a circle.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple, cast

import msgspec

from gateway.fleet.checking import (
    CLOCKS,
    DAY_S,
    KINDS,
    METHODS,
    OLDEST_S,
    QUALITIES,
    Checked,
    Refusal,
    acks,
    check,
    differs,
    span_of,
)
from gateway.fleet.database import Connection, NoPartition, Unfit, translated
from gateway.fleet.directory import Directory, SeriesName
from gateway.fleet.inbox import Delivered
from gateway.fleet.owing import Stored, owe
from gateway.fleet.statements import (
    ASSETS,
    COUNT_AGAIN,
    FORGET,
    LATE_ASSETS,
    LATE_METERS,
    METERS,
    REFUSE,
    SUMS,
    TOUCH,
    Table,
)
from gateway.outbox.fleet.messages import Ack, BadMessage, Slots, Span, decode_slots

_log = logging.getLogger(__name__)

MAX_REFUSED_PER_SITE = 100
"""Reasons that are kept of one site; beyond that the oldest go."""
MAX_PAYLOAD_BYTES = 64 * 1024
"""Of a refused message, as it is kept."""
MAX_SITE = 100
"""Characters of the site that a refused message names."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that can be stored, or parts of it."""

    site: str
    site_id: int
    message: Slots
    checked: Checked
    at_s: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What a site's gateway is told."""

    site: str
    ack: Ack


class Kept(NamedTuple):
    """What is kept for a person."""

    site: str
    why: str
    payload: bytes


@dataclass(slots=True)
class Counts:
    """What came of all messages since the start."""

    messages: int = 0
    rows: int = 0
    known: int = 0
    """Rows that were there already."""
    clashes: int = 0
    refused: int = 0
    """Rows, or whole messages that could not be read."""
    unknown_sites: int = 0


@dataclass(slots=True)
class Writer:
    """Writes into one database. `counts` goes on over reconnections."""

    directory: Directory = field(default_factory=Directory)
    counts: Counts = field(default_factory=Counts)

    def read(self, delivered: Delivered) -> Taken | Reply | Kept:
        """What a message is: to be stored, or answered at once, or kept for a person."""
        self.counts.messages += 1
        site_id = self.directory.sites.get(delivered.site)
        try:
            message = decode_slots(delivered.payload, delivered.site)
            checked = check(message, delivered.at_s)
        except BadMessage as error:
            self.counts.refused += 1
            return Kept(delivered.site, str(error), delivered.payload)
        if site_id is None:
            self.counts.unknown_sites += 1
            why = (
                f"the fleet does not know the site {delivered.site}: its manager adds it with "
                f"fleet sites add {delivered.site}"
            )
            return Reply(delivered.site, Ack(store=message.store, warning=why))
        return Taken(delivered.site, site_id, message, checked, delivered.at_s)

    async def write(
        self, connection: Connection, batch: Sequence[Taken], kept: Sequence[Kept] = ()
    ) -> list[Reply]:
        """Store all of them, and what is kept; what their gateways are told then. Raises
        DatabaseError: then nothing of it counts as stored, and it may be written again.
        """
        try:
            return await self._write(connection, batch, list(kept))
        except NoPartition:
            await self._add_months(connection, batch)
            return await self._write(connection, batch, list(kept))
        except Unfit as error:
            if len(batch) == 1 and not kept:
                return await self._refuse_whole(connection, batch[0], error)
            if not batch:  # what cannot even be kept is said, and gone
                _log.warning("what was not taken cannot be kept either: %s", error)
                return []
            replies = await self.write(connection, (), kept)
            for each in batch:
                replies += await self.write(connection, [each])
            return replies

    async def _write(
        self, connection: Connection, batch: Sequence[Taken], kept: list[Kept]
    ) -> list[Reply]:
        await self._learn(connection, batch)
        refusals = [self._owned(each) for each in batch]
        late_assets, assets = self.directory.by_month("asset_slots", self._asset_rows(batch))
        late_meters, meters = self.directory.by_month("meter_slots", self._meter_rows(batch))
        for each, some in zip(batch, refusals, strict=True):
            kept += [
                Kept(each.site, refusal.why, msgspec.json.encode(refusal.rows)) for refusal in some
            ]
        with translated():
            async with connection.transaction():
                # In the order of the days that are counted: see `_insert`.
                found = [
                    await _insert(connection, LATE_ASSETS, late_assets),
                    await _insert(connection, ASSETS, assets),
                    await _insert(connection, LATE_METERS, late_meters),
                    await _insert(connection, METERS, meters),
                ]
                await owe(connection, self._stored(batch))
                await _touch_stores(connection, self._touched(batch))
                await _keep(connection, kept)
        # Only now is it on the server's disk.
        clashing = [site for _, sites in found for site in sites]
        clashes = {*clashing}
        self.counts.rows += sum(map(len, (late_assets, assets, late_meters, meters)))
        self.counts.known += sum(known for known, _ in found)
        self.counts.clashes += len(clashing)
        self.counts.refused += sum(len(r.rows.rows) for some in refusals for r in some)
        replies = []
        for each, some in zip(batch, refusals, strict=True):
            ask = await self._differing(connection, each)
            why = "; ".join(dict.fromkeys(refusal.why for refusal in some))
            warning = _CLASH if each.site_id in clashes else self._of_two(each)
            seq = each.message.seq
            if seq or ask or why or warning:
                replies += [
                    Reply(each.site, ack)
                    for ack in acks(each.message.store, seq, why=why, ask=ask, warning=warning)
                ]
        return replies

    def _of_two(self, taken: Taken) -> str:
        """A warning where the site has begun a newer buffer since, and this one speaks again."""
        store = self.directory.store(taken.site_id, taken.message.store)
        if store >= self.directory.newest_stores.get(taken.site_id, 0):
            return ""
        return (
            f"{taken.site} has begun a newer buffer, and this one sends again: are there two "
            "gateways of one name, or was an old copy of the buffer put back?"
        )

    async def _learn(self, connection: Connection, batch: Sequence[Taken]) -> None:
        await self.directory.learn(
            connection,
            ((each.site_id, each.message.store) for each in batch),
            ((each.site_id, item.asset) for each in batch for item in each.checked.items),
            (_series(each, meter) for each in batch for meter in each.checked.meters),
        )

    def _owned(self, taken: Taken) -> list[Refusal]:
        """All that is refused of it, also what belongs to another site."""
        strange = [
            Refusal(f"asset {item.asset} belongs to another site", item)
            for item in taken.checked.items
            if self.directory.asset(item.asset)[1] != taken.site_id
        ]
        return [*taken.checked.refusals, *strange]

    def _asset_rows(self, batch: Sequence[Taken]) -> list[tuple[Any, ...]]:
        rows = []
        for each in batch:
            store = self.directory.store(each.site_id, each.message.store)
            for item in each.checked.items:
                asset, site = self.directory.asset(item.asset)
                if site != each.site_id:
                    continue
                kind, length_s = KINDS[item.kind], item.length_s
                rows += [
                    (asset, r.slot_s, kind, r.revision, length_s, r.energy_uwh, r.uncertainty_uwh,
                     QUALITIES[r.quality], store)
                    for r in item.rows
                ]  # fmt: skip
        rows.sort(key=itemgetter(0, 1, 2, 3))
        return rows

    def _stored(self, batch: Sequence[Taken]) -> Iterator[Stored]:
        """The numbers that may be owed to the exchange, or not any more."""
        for each in batch:
            by_fleet = each.message.deliver == "fleet"
            for item in each.checked.items:
                asset, site = self.directory.asset(item.asset)
                if site != each.site_id:
                    continue
                for row in item.rows:
                    if by_fleet or row.revision:
                        kind = KINDS[item.kind]
                        yield Stored(asset, row.slot_s, kind, row.revision, by_fleet)

    def _meter_rows(self, batch: Sequence[Taken]) -> list[tuple[Any, ...]]:
        rows = []
        for each in batch:
            store = self.directory.store(each.site_id, each.message.store)
            for meter in each.checked.meters:
                series = self.directory.series(_series(each, meter))
                length_s = meter.length_s
                rows += [
                    (series, r.slot_s, r.revision, length_s, r.energy_uwh, r.uncertainty_uwh,
                     r.begin_register_uwh, r.end_register_uwh, r.samples, r.largest_gap_ms,
                     r.coverage_permille, QUALITIES[r.quality], METHODS[r.method],
                     CLOCKS[r.clock], store)
                    for r in meter.rows
                ]  # fmt: skip
        rows.sort(key=itemgetter(0, 1, 2))
        return rows

    def _touched(self, batch: Sequence[Taken]) -> list[tuple[Any, ...]]:
        """Of each buffer that sent something: its number, newest slot and the length of that,
        version, deliverer, and by how much its clock is behind ours.
        """
        found: dict[int, tuple[Any, ...]] = {}
        newest: dict[int, tuple[int, int]] = {}
        for each in batch:
            message = each.message
            store = self.directory.store(each.site_id, message.store)
            if (came := each.checked.newest) is not None:
                newest[store] = max(came, newest.get(store, came))
            slot_s, length_s = newest.get(store, (None, None))
            lag_s = each.at_s - message.sent
            found[store] = (store, slot_s, length_s, message.version, message.deliver, lag_s)
        return [found[store] for store in sorted(found)]

    async def _differing(self, connection: Connection, taken: Taken) -> list[Span]:
        """The days of which the gateway says something else than the database. Raises
        DatabaseError.
        """
        if not taken.message.digests:
            return []
        digests = [
            each
            for each in taken.message.digests[:MAX_DIGESTS]
            if each.day_s % DAY_S == 0 and 0 <= int(taken.at_s) - each.day_s <= OLDEST_S
        ]
        try:
            await self.directory.learn(
                connection, (), ((taken.site_id, each.asset) for each in digests), ()
            )
        except ValueError:
            return []
        own = [d for d in digests if self.directory.asset(d.asset)[1] == taken.site_id]
        if not own:
            return []
        assets = [self.directory.asset(each.asset)[0] for each in own]
        with translated():
            spans = [span_of(each) for each in own]
            columns = assets, [begin_s for begin_s, _ in spans], [end_s + 1 for _, end_s in spans]
            cursor = await connection.execute(SUMS, columns)
            rows = cast(
                "list[tuple[int, int, Decimal, list[int] | None, list[int] | None]]",
                await cursor.fetchall(),
            )
        wanted = {
            spans[n - 1]
            for n, slots, sum_uwh, clashes, known in rows
            if differs(own[n - 1], slots, int(sum_uwh), {*(clashes or ())}, {*(known or ())})
        }
        return sorted(wanted)

    async def _add_months(self, connection: Connection, batch: Sequence[Taken]) -> None:
        slots = {r.slot_s for each in batch for item in each.checked.items for r in item.rows}
        slots |= {r.slot_s for each in batch for m in each.checked.meters for r in m.rows}
        months = {time.gmtime(slot_s)[:2]: slot_s for slot_s in slots}
        with translated():
            for slot_s in months.values():
                await connection.execute("SELECT fleet.add_month(to_timestamp(%s))", (slot_s,))
        await self.directory.refresh_packed(connection)

    async def _refuse_whole(
        self, connection: Connection, taken: Taken, error: Unfit
    ) -> list[Reply]:
        """The database does not take these values: kept, and the gateway is told."""
        why = f"the database does not take it: {error}"
        self.counts.refused += taken.message.rows
        with translated():
            async with connection.transaction():
                await _keep(connection, [Kept(taken.site, why, msgspec.json.encode(taken.message))])
        return [Reply(taken.site, a) for a in acks(taken.message.store, taken.message.seq, why=why)]


MAX_DIGESTS = 400
"""Of a message: of 50 assets, a week's."""

_CLASH = (
    "numbers came again with other values than are stored; both are kept (fleet check says more). "
    "Was a card copied, or a backup restored?"
)


def _series(taken: Taken, meter: Any) -> SeriesName:
    return taken.site_id, meter.meter, meter.direction, meter.serial


async def _insert(
    connection: Connection, table: Table, rows: list[tuple[Any, ...]]
) -> tuple[int, list[int]]:
    """Insert what is not there yet, and count it. How many were there, and the sites of those that
    are there with another value, and have not been noted before.
    """
    if not rows:
        return 0, []
    columns = [_array(column) for column in zip(*rows, strict=True)]
    cursor = await connection.execute(table.insert, columns)
    new, assets, days = cast("tuple[int, Any, Any]", await cursor.fetchone())
    if assets:
        await connection.execute(COUNT_AGAIN, (assets, days))
    known = len(rows) - new
    if not known:
        return 0, []
    cursor = await connection.execute(table.clashes, columns)
    return known, [cast(int, row[0]) for row in await cursor.fetchall()]


def _array(column: tuple[Any, ...]) -> str:
    """A column of numbers, of letters and of None as PostgreSQL writes an array: as JSON does, but
    for the brackets. psycopg looks at each element of a list with a regular expression, which took
    two thirds of the collector's time.
    """
    return "{" + msgspec.json.encode(column).decode()[1:-1] + "}"


async def _touch_stores(connection: Connection, touched: list[tuple[Any, ...]]) -> None:
    if touched:
        columns = [list(column) for column in zip(*touched, strict=True)]
        await connection.execute(TOUCH, [columns[0], *columns])


async def _keep(connection: Connection, kept: list[Kept]) -> None:
    for each in sorted({(k.site, k.why): k for k in kept}.values()):
        why = each.why.replace("\0", "")[:500]
        site = each.site.replace("\0", "")[:MAX_SITE]
        await connection.execute(REFUSE, (site, why, each.payload[:MAX_PAYLOAD_BYTES]))
        await connection.execute(FORGET, (site, MAX_REFUSED_PER_SITE))
