"""The table of samples: one packed row each, in the order they were taken, and numbered in it.

There is no index on samples: it would multiply what is written. What is asked for by time is found
by halves.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from drivers.sample import Sample
from gateway.store.database import Database
from gateway.store.packing import Packing

REMOVED_AT_ONCE = 5_000
"""Samples that one transaction removes or thins: what it writes to the log is some 1 MB."""


class SampleTable:
    """Samples on disk. Each method that asks or writes may raise StoreError."""

    def __init__(self, database: Database, slot_s: int) -> None:
        self._database = database
        self._slot_s = slot_s
        """Thinned samples keep what lies at its boundaries."""
        self._layouts: dict[tuple[str, str | None, tuple[str, ...]], tuple[int, Packing]] = {}
        self._boots: dict[str, int] = {}
        self._thinned: int | None = None
        """Samples up to this number have been thinned; None: not known yet."""
        self._next_number = 1
        self.count = 0
        database.attach(self)

    def begin(self) -> None:
        """Look at another file."""
        self.forget()
        self._thinned = None

        # Numbers never go back, not even when every sample has been pruned: the fold goes on after
        # the number it stopped at.
        one = self._database.one
        self._next_number = max(
            self._next_number,
            one("SELECT coalesce(max(id), 0) FROM samples") + 1,
            one("SELECT coalesce(max(sample_id), 0) FROM counters") + 1,
        )

        # Two questions, because SQLite answers only a single min or max without reading the whole
        # table.
        first = one("SELECT coalesce(min(id), 1) FROM samples")
        self.count = one("SELECT coalesce(max(id), 0) FROM samples") - first + 1

    def forget(self) -> None:
        """Numbers given to layouts and boots inside a transaction are gone with it."""
        self._layouts.clear()
        self._boots.clear()

    # --- writing ----------------------------------------------------------------------------------

    def take_number(self) -> int:
        """The number of the next sample."""
        self._next_number += 1
        return self._next_number - 1

    @property
    def last_number(self) -> int:
        """The number that was taken last."""
        return self._next_number - 1

    def write(self, samples: Sequence[tuple[int, Sample]]) -> None:
        """Inside a transaction."""
        rows = []
        for number, sample in samples:
            layout, packing = self._layout(sample)
            rows.append(
                (
                    number,
                    layout,
                    self.boot_number(sample.boot_id),
                    sample.boottime_ms,
                    sample.utc_ms,
                    packing.pack(sample.values.values()),
                )
            )
        self._database.connection.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _layout(self, sample: Sample) -> tuple[int, Packing]:
        key = (sample.device, sample.serial_number, tuple(sample.values))
        if key not in self._layouts:
            quantities = ",".join(key[2])
            where = (sample.device, sample.serial_number, quantities)
            connection = self._database.connection
            row = connection.execute(
                "SELECT id FROM layouts WHERE device = ? AND serial_number IS ? AND quantities = ?",
                where,
            ).fetchone()
            number: Any = (
                row[0]
                if row
                else connection.execute(
                    "INSERT INTO layouts VALUES (NULL, ?, ?, ?)", where
                ).lastrowid
            )
            self._layouts[key] = number, Packing(key[2])
        return self._layouts[key]

    def boot_number(self, boot_id: str) -> int:
        """The number of a boot in the file, given to it where it has none. Inside a transaction."""
        if boot_id not in self._boots:
            self._database.connection.execute(
                "INSERT OR IGNORE INTO boots (boot_id) VALUES (?)", (boot_id,)
            )
            self._boots[boot_id] = self._database.one(
                "SELECT id FROM boots WHERE boot_id = ?", boot_id
            )
        return self._boots[boot_id]

    # --- reading ----------------------------------------------------------------------------------

    def read(
        self, after: int, since_ms: int | None, until_ms: int | None
    ) -> Iterator[tuple[int, Sample]]:
        """Samples in the order they were taken, numbered, after a number or within a time (UTC)."""
        if since_ms is not None:
            after = max(after, self.last_before(since_ms))

        rows = self._database.rows
        layouts: dict[int, tuple[str, str | None, tuple[str, ...], Packing]] = {}
        for number, device, serial_number, quantities in rows(
            "SELECT id, device, serial_number, quantities FROM layouts"
        ):
            names = tuple(quantities.split(",")) if quantities else ()
            layouts[number] = device, serial_number, names, Packing(names)
        boots = {
            number: (boot_id, bool(placed))
            for number, boot_id, placed in rows("SELECT id, boot_id, placed FROM boots")
        }

        for number, layout, boot, boottime_ms, utc_ms, data in rows(
            "SELECT * FROM samples WHERE id > ? ORDER BY id", after
        ):
            if until_ms is not None and utc_ms is not None and utc_ms >= until_ms:
                return
            device, serial_number, names, packing = layouts[layout]
            values = dict(zip(names, packing.unpack(data), strict=True))
            boot_id, placed = boots[boot]
            yield (
                number,
                Sample(device, serial_number, boot_id, boottime_ms, utc_ms, values, placed),
            )

    def values_of(
        self, device: str, since_ms: int, until_ms: int, most: int
    ) -> Iterator[tuple[int, dict[str, float]]]:
        """What one meter said within a time: UTC in ms, and its values. Of more than `most` samples
        of all meters in between some are looked at, as if by lot: meters take turns, and each
        so-manieth row may always be the same one's.
        """
        rows = self._database.rows
        layouts = {
            number: (names := quantities.split(","), Packing(names))
            for number, quantities in rows(
                "SELECT id, quantities FROM layouts WHERE device = ? AND quantities != ''", device
            )
        }
        first, last = self.last_before(since_ms), self.last_before(until_ms)
        marks = ", ".join("?" * len(layouts))
        one_of = max(1, -(-(last - first) // most))
        for layout, utc_ms, data in rows(
            f"SELECT layout, utc_ms, data FROM samples WHERE id > ? AND id <= ? "  # noqa: S608
            # Knuth's multiplicative hash (The Art of Computer Programming, volume 3, section 6.4).
            f"AND layout IN ({marks}) AND utc_ms IS NOT NULL "
            "AND ((id * 2654435761) >> 16) % ? = 0 ORDER BY id",
            *(first, last, *layouts, one_of),
        ):
            names, packing = layouts[layout]
            yield utc_ms, dict(zip(names, packing.unpack(data), strict=True))

    def devices(self) -> set[str]:
        """The devices that samples were ever kept of."""
        rows = self._database.rows("SELECT DISTINCT device FROM layouts")
        return {device for (device,) in rows}

    def quantities(self) -> set[str]:
        """Every quantity that some sample may hold."""
        rows = self._database.rows("SELECT quantities FROM layouts")
        return {name for (names,) in rows for name in names.split(",") if name}

    # --- removing ---------------------------------------------------------------------------------

    def remove(self, upto: int) -> bool:
        """Remove some of the oldest samples; returns whether there were some."""
        first: int = self._database.one("SELECT coalesce(min(id), 0) FROM samples")
        with self._database.transaction() as connection:
            removed = connection.execute(
                "DELETE FROM samples WHERE id <= ?", (min(upto, first + REMOVED_AT_ONCE - 1),)
            ).rowcount
        self.count -= removed
        return removed > 0

    def thin(self, upto: int) -> bool:
        """Thin some of the oldest samples that are not thinned yet to the first and the last of
        each slot; returns whether there are fewer now.
        """
        if self._thinned is None:
            self._thinned = self._last_thinned()

        slot = (
            "layouts.device, boot, utc_ms IS NULL, coalesce(utc_ms, boottime_ms) / "
            f"{1000 * self._slot_s}"
        )
        ends = (
            "FROM samples JOIN layouts ON layouts.id = layout WHERE samples.id > ? AND "
            f"samples.id <= ? GROUP BY {slot}"
        )
        while self._thinned < upto:
            low, high = self._thinned, min(self._thinned + REMOVED_AT_ONCE, upto)
            with self._database.transaction() as connection:
                removed = connection.execute(
                    f"""DELETE FROM samples WHERE id > ? AND id <= ?
                        AND id NOT IN (SELECT min(samples.id) {ends} UNION ALL SELECT
                            max(samples.id) {ends})""",  # noqa: S608
                    (low, high) * 3,
                ).rowcount
            self._thinned = high
            self.count -= removed
            if removed:
                return True
        return False

    def _last_thinned(self) -> int:
        """Where the thinned samples end, by halves: numbers are missing among them, and none among
        the others.
        """
        low, high = self._ends()
        span = 1000
        while high - low > span:
            middle = (low + high) // 2
            count: int = self._database.one(
                "SELECT count(*) FROM samples WHERE id > ? AND id <= ?", middle, middle + span
            )
            if count < span // 2:
                low = middle
            else:
                high = middle
        return low

    # --- searching --------------------------------------------------------------------------------

    def _ends(self) -> tuple[int, int]:
        """The number before the first sample, and that of the last one."""
        low: int = self._database.one("SELECT coalesce(min(id), 1) FROM samples") - 1
        high: int = self._database.one("SELECT coalesce(max(id), 0) FROM samples")
        return low, high

    def last_before(self, utc_ms: int) -> int:
        """The number of the last sample taken before a time. Samples are in the order of time, so
        this is a search by halves.
        """
        low, high = self._ends()
        while low < high:
            middle = (low + high + 1) // 2
            row = self._dated_from(middle)
            if row is not None and row[1] < utc_ms:
                low = min(row[0], high)
            else:
                high = middle - 1
        return low

    def _dated_from(self, number: int) -> tuple[int, int] | None:
        """The first sample from a number on that has a UTC, and that: one that has none says
        nothing. The rest of a boot that has none is stepped over as a whole, by the index of the
        undated: it may be millions of samples.
        """
        rows = self._database.rows
        near = (
            "SELECT id, utc_ms FROM samples WHERE id >= ? AND id < ? AND utc_ms IS NOT NULL "
            "ORDER BY id LIMIT 1"
        )
        while boot := next(
            rows("SELECT boot FROM samples WHERE id >= ? ORDER BY id LIMIT 1", number), None
        ):
            if row := next(rows(near, number, number + 1000), None):
                return int(row[0]), int(row[1])
            last = self._database.one(
                "SELECT coalesce(max(id), 0) FROM samples WHERE utc_ms IS NULL AND boot = ?",
                boot[0],
            )
            number = max(number + 1000, last + 1)
        return None

    def last_before_hour(self) -> int:
        """The number of the last sample before the newest hour of this boot, by halves; all of
        earlier boots are before it.
        """
        rows = self._database.rows
        newest = next(
            rows("SELECT id, boot, boottime_ms FROM samples ORDER BY id DESC LIMIT 1"), None
        )
        if newest is None:
            return 0
        high, boot, boottime_ms = newest
        low, _ = self._ends()
        while low < high:
            middle = (low + high + 1) // 2
            [(number, of, at_ms)] = rows(
                "SELECT id, boot, boottime_ms FROM samples WHERE id >= ? ORDER BY id LIMIT 1",
                middle,
            )
            if of != boot or at_ms < boottime_ms - 3_600_000:
                low = min(number, high)
            else:
                high = middle - 1
        return low
