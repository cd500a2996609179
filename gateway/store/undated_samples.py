"""Samples that were taken before the clock was trusted: which there are, and giving them their
time.
"""

from typing import NamedTuple

from gateway.store.database import Database
from gateway.store.row_checks import LOST_BOOT
from gateway.store.samples import SampleTable
from gateway.timing.undated_boots import Dating, Stretch

DATED_AT_ONCE = 10_000
"""Samples that get their UTC in one transaction: what it writes stays small, and so does the time
in which nothing else is done.
"""
_PLACED, _UNDATABLE = 1, 2  # what a boot's `placed` says


class Sampled(NamedTuple):
    """That a sample was taken."""

    at_s: float
    """When, Unix time."""
    boot_id: str


class UndatedSamples:
    """Samples without a UTC, boot by boot. Each method may raise StoreError."""

    def __init__(self, database: Database, samples: SampleTable) -> None:
        self._database = database
        self._samples = samples

    def newest_offset_ms(self, boot_id: str) -> int | None:
        """UTC − boot time by which the newest sample on disk was dated, if it was and is of this
        boot.
        """
        rows = self._database.rows(
            """SELECT utc_ms - boottime_ms FROM samples JOIN boots ON boots.id = boot
               WHERE samples.id = (SELECT max(id) FROM samples) AND boot_id = ? AND NOT placed AND
                   utc_ms IS NOT NULL""",
            boot_id,
        )
        return next((offset_ms for (offset_ms,) in rows), None)

    def newest_s(self) -> float | None:
        """The time of the newest sample, where it is dated, or the end of the newest slot that was
        metered here, whichever is later; Unix time. None where there is neither.
        """
        return self._database.one(  # type: ignore[no-any-return]
            """SELECT max(at_s) FROM (
               SELECT utc_ms / 1000.0 AS at_s FROM samples
                   WHERE id = (SELECT max(id) FROM samples)
               UNION ALL SELECT max(start_s + length_s) FROM (SELECT start_s, length_s FROM slots
                   WHERE NOT imported ORDER BY start_s DESC LIMIT 1))"""
        )

    def newest_boot(self) -> "Sampled | None":
        """The newest sample that is dated. None where there is none, or where its boot was lost
        with a damaged file.
        """
        rows = self._database.rows(
            """SELECT utc_ms, boot_id FROM samples JOIN boots ON boots.id = boot
               WHERE utc_ms IS NOT NULL ORDER BY samples.id DESC LIMIT 1"""
        )
        found = next((Sampled(utc_ms / 1000, boot_id) for utc_ms, boot_id in rows), None)
        return None if found is None or found.boot_id.startswith(LOST_BOOT) else found

    def stretches(self) -> list[Stretch]:
        """What has no UTC yet, boot by boot in the order of the samples."""
        found: list[Stretch] = []
        boot = 0
        # One search in the index of the undated per boot, however many samples there are.
        while boot := self._database.one(
            "SELECT coalesce(min(boot), 0) FROM samples WHERE utc_ms IS NULL AND boot > ?", boot
        ):
            found.append(self._stretch(boot))
        return found

    def _stretch(self, boot: int) -> Stretch:
        rows = self._database.rows
        [(boot_id,)] = rows("SELECT boot_id FROM boots WHERE id = ?", boot)
        [(first, last, count)] = rows(
            "SELECT min(id), max(id), count(*) FROM samples WHERE utc_ms IS NULL AND boot = ?", boot
        )
        length_ms: int = self._database.one("SELECT boottime_ms FROM samples WHERE id = ?", last)

        columns = "SELECT boot, utc_ms, boottime_ms FROM samples"
        before = next(rows(f"{columns} WHERE id < ? ORDER BY id DESC LIMIT 1", first), None)
        after = next(rows(f"{columns} WHERE id > ? ORDER BY id LIMIT 1", last), None)
        inside = None
        if count <= last - first:  # some are missing, or are dated
            sql = f"{columns} WHERE id > ? AND id < ? AND utc_ms IS NOT NULL LIMIT 1"
            inside = next(rows(sql, first, last), None)

        dated = [row for row in (before, inside, after) if row is not None and row[1] is not None]
        return Stretch(
            boot_id=boot_id,
            length_ms=length_ms,
            offset_ms=next(
                (utc_ms - boottime_ms for of, utc_ms, boottime_ms in dated if of == boot), None
            ),
            before_ms=before[1] if before else None,
            next_boot_ms=after[1] - after[2] if after and after[1] is not None else None,
        )

    def undatable_boots(self) -> set[str]:
        """The boots whose samples were dated with too much room to say anything about
        slots.
        """
        rows = self._database.rows("SELECT boot_id FROM boots WHERE placed = ?", _UNDATABLE)
        return {boot_id for (boot_id,) in rows}

    def date(self, dating: Dating) -> bool:
        """Give UTC to at most `DATED_AT_ONCE` samples of a boot that have none. Returns whether
        there are more.
        """
        with self._database.transaction() as connection:
            boot = self._samples.boot_number(dating.boot_id)
            if dating.inferred:
                connection.execute(
                    "UPDATE boots SET placed = ? WHERE id = ?",
                    (_UNDATABLE if dating.undatable else _PLACED, boot),
                )
            count = connection.execute(
                """UPDATE samples SET utc_ms = max(boottime_ms + ?, ?)
                   WHERE id IN (SELECT id FROM samples WHERE utc_ms IS NULL AND boot = ? ORDER BY
                       id LIMIT ?)""",
                (dating.offset_ms, dating.floor_ms, boot, DATED_AT_ONCE),
            ).rowcount
        return count == DATED_AT_ONCE
