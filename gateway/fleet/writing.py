"""Gateways' messages → PostgreSQL: thousands of rows in one transaction, and only then the
acknowledgements.

The same number twice is nothing: what is there stays. The same key with another value is a clash:
what came first stays, the other is kept beside it, and a person is told. Rows are sorted by their
keys, so that two collectors that write the same ones wait for each other and never in a circle.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, cast

import msgspec

from gateway.fleet.checking import (
    DAY_S,
    KINDS,
    OLDEST_S,
    Refusal,
    acks,
    check,
    differs,
    span_of,
)
from gateway.fleet.database import Connection, NoPartition, Unfit, translated
from gateway.fleet.directory import Directory
from gateway.fleet.inbox import Delivered
from gateway.fleet.inserting import Inserted, NotThisWay, insert_any, insert_new
from gateway.fleet.rows import Row, as_array, as_text_array, series_name, slots_of
from gateway.fleet.rows import Taken as Taken  # noqa: PLC0414 — part of what is said
from gateway.fleet.statements import (
    FORGET,
    KNOWN_ASSETS,
    KNOWN_METERS,
    REFUSE,
    SUMS,
    TOUCH,
)
from gateway.outbox.fleet.messages import Ack, BadMessage, Span, decode_slots

_log = logging.getLogger(__name__)

MAX_REFUSED_PER_SITE = 100
"""Reasons that are kept of one site; beyond that the oldest go."""
MAX_PAYLOAD_BYTES = 64 * 1024
"""Of a refused message, as it is kept."""
MAX_SITE = 100
"""Characters of the site that a refused message names."""


_Inserts = Callable[[Connection, Directory, Sequence[Taken]], Awaitable[Inserted]]


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
        to_keep = [*kept]
        try:
            return await self._write(connection, batch, to_keep)
        except NoPartition:
            await self._add_months(connection, batch)
            return await self._write(connection, batch, to_keep)
        except Unfit as error:
            if len(batch) == 1 and not to_keep:
                return await self._refuse_whole(connection, batch[0], error)
            if not batch:  # what cannot even be kept is said, and gone
                _log.warning("what was not taken cannot be kept either: %s", error)
                return []
            replies = await self.write(connection, (), to_keep)
            for each in batch:
                replies += await self.write(connection, [each])
            return replies

    async def _write(
        self, connection: Connection, batch: Sequence[Taken], kept: list[Kept]
    ) -> list[Reply]:
        """`kept` is emptied once it is stored."""
        await self._learn(connection, batch)
        new, others = await self._parted(connection, batch)
        replies = []
        if new:
            try:
                replies += await self._commit(connection, insert_new, new, kept)
            except NotThisWay:
                others = [*batch]
                await self._learn(connection, batch)  # days may have been forgotten
        if others or kept:
            replies += await self._commit(connection, insert_any, others, kept)
        return replies

    async def _commit(
        self, connection: Connection, insert: _Inserts, batch: Sequence[Taken], kept: list[Kept]
    ) -> list[Reply]:
        refusals = [self._owned(each) for each in batch]
        refused = [
            Kept(each.site, refusal.why, msgspec.json.encode(refusal.rows))
            for each, some in zip(batch, refusals, strict=True)
            for refusal in some
        ]
        with translated():
            async with connection.transaction():
                inserted = await insert(connection, self.directory, batch)
                await _touch_stores(connection, self._touched(batch))
                await _keep(connection, [*kept, *refused])
        # Only now is it on the server's disk.
        kept.clear()
        self.directory.delivered |= inserted.delivered
        self.counts.rows += inserted.rows
        self.counts.known += inserted.known
        self.counts.clashes += len(inserted.clashing)
        self.counts.refused += sum(len(r.rows.rows) for some in refusals for r in some)
        clashes = {*inserted.clashing}
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

    async def _parted(
        self, connection: Connection, batch: Sequence[Taken]
    ) -> tuple[list[Taken], list[Taken]]:
        """Those that seem to be new, and the others: a message that has been here, or is twice in
        the batch, is told by its first row. Raises DatabaseError.
        """
        keys: dict[Row, Taken] = {}
        new, others = [], []
        for each in batch:
            key = self._first_key(each)
            if key is None:
                new.append(each)
            elif key in keys or self.directory.is_packed(each.checked.oldest_s):
                others.append(each)
            else:
                keys[key] = each
        for statement, width in ((KNOWN_ASSETS, 4), (KNOWN_METERS, 3)):
            some = [key for key in keys if len(key) == width]
            if some:
                with translated():
                    columns = [as_array(column) for column in zip(*some, strict=True)]
                    cursor = await connection.execute(statement, columns)
                    found = cast("list[tuple[int]]", await cursor.fetchall())
                others += [keys.pop(some[n - 1]) for (n,) in found]
        return [*new, *keys.values()], others

    def _first_key(self, taken: Taken) -> Row | None:
        """Of the first row that is to be stored; None where there is none."""
        directory = self.directory
        for item in taken.checked.items:
            asset, site = directory.asset(item.asset)
            if site == taken.site_id:
                row = item.rows[0]
                return asset, directory.slot_texts[row.slot_s], KINDS[item.kind], row.revision
        for meter in taken.checked.meters:
            series, first = directory.series(series_name(taken, meter)), meter.rows[0]
            return series, directory.slot_texts[first.slot_s], first.revision
        return None

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
            (series_name(each, meter) for each in batch for meter in each.checked.meters),
        )
        await self.directory.learn_slots(connection, slots_of(batch))

    def _owned(self, taken: Taken) -> list[Refusal]:
        """All that is refused of it, also what belongs to another site."""
        strange = [
            Refusal(f"asset {item.asset} belongs to another site", item)
            for item in taken.checked.items
            if self.directory.asset(item.asset)[1] != taken.site_id
        ]
        return [*taken.checked.refusals, *strange]

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
        months = {time.gmtime(slot_s)[:2]: slot_s for slot_s in slots_of(batch)}
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


async def _touch_stores(connection: Connection, touched: list[tuple[Any, ...]]) -> None:
    if touched:
        stores, slots, lengths, versions, deliverers, lags = zip(*touched, strict=True)
        numbers = as_array(stores)
        columns = as_array(slots), as_array(lengths), as_text_array(versions)
        more = as_array(deliverers), as_array(lags)
        await connection.execute(TOUCH, (numbers, *columns, *more))


async def _keep(connection: Connection, kept: list[Kept]) -> None:
    for each in sorted({(k.site, k.why): k for k in kept}.values()):
        why = each.why.replace("\0", "")[:500]
        site = each.site.replace("\0", "")[:MAX_SITE]
        await connection.execute(REFUSE, (site, why, each.payload[:MAX_PAYLOAD_BYTES]))
        await connection.execute(FORGET, (site, MAX_REFUSED_PER_SITE))
