"""Reads the rows of a file that SQLite cannot read, page by page."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.store.file import bytes_of, open_file
from gateway.store.salvage import carve
from gateway.store.salvage.job import Job
from gateway.store.salvage.shapes import Shape

PORTION = 4000
_PAGE_BYTES = 512
"""Of our files, where the header no longer says so."""
_BLOCK_BYTES = 1 << 20


@dataclass(slots=True)
class Pages:
    """The pages of a file, as its log left them."""

    file: int
    page_bytes: int
    count: int
    log: bytes
    logged: dict[int, int]

    @classmethod
    def of(cls, path: Path) -> "Pages | None":
        """None where there is neither a file nor a log that can be read."""
        try:
            log_bytes = bytes_of(path.with_name(path.name + "-wal"))
        except OSError:
            log_bytes = b""
        try:
            file = open_file(path)
        except OSError:
            if not log_bytes:
                return None
            file = os.open(os.devnull, os.O_RDONLY)
        try:
            header = os.pread(file, 100, 0)
            size = os.fstat(file).st_size
        except OSError:
            header, size = b"", 0

        page_bytes = carve.page_size_of(header) or _PAGE_BYTES
        logged = carve.log_pages(log_bytes, page_bytes)
        count = max([size // page_bytes, *logged])
        if size < page_bytes:
            # The file is gone or empty: what the log held before is better than nothing.
            logged = carve.older_pages(log_bytes, page_bytes) | logged
            count = max(count, min(max(logged, default=0), len(log_bytes)))
        return cls(file, page_bytes, count, log_bytes, logged)

    def close(self) -> None:
        """Close the file."""
        os.close(self.file)

    def page(self, number: int) -> bytes:
        """One page; zeros where it cannot be read."""
        if number in self.logged:
            return self.log[self.logged[number] : self.logged[number] + self.page_bytes]
        try:
            found = (
                os.pread(self.file, self.page_bytes, (number - 1) * self.page_bytes)
                if number > 0
                else b""
            )
        except OSError:
            found = b""
        return found.ljust(self.page_bytes, b"\0")

    def newest_first(self) -> Iterator[bytes]:
        """All pages but the first, which has no rows of ours; the last ones, which were written
        last, first.
        """
        size = self.page_bytes
        per_block = _BLOCK_BYTES // size
        for first in range((self.count - 1) // per_block * per_block, -1, -per_block):
            try:
                block = os.pread(self.file, _BLOCK_BYTES, first * size)
            except OSError:
                block = b""
            for number in range(min(first + per_block, self.count), max(first, 1), -1):
                at = (number - 1 - first) * size
                # Where a block cannot be read, some of its pages can.
                yield (
                    self.page(number)
                    if number in self.logged or at + size > len(block)
                    else block[at : at + size]
                )


def read_pages(job: Job, pages: Pages, wanted: Sequence[Shape], samples: Shape) -> None:
    """Take over the rows of these tables that are on any page, the newest pages first."""
    found: dict[tuple[int, int], list[Sequence[Any]]] = {}

    def put(place: int, width: int) -> None:
        shape = wanted[place]
        job.put(shape, shape.columns[:width], found.pop((place, width)))

    for n, page in enumerate(pages.newest_first()):
        if n % 256 == 0 and job.late:
            break
        in_index = page[0] != carve.TABLE_LEAF
        for row_id, values in carve.rows(page, pages.page):
            if samples not in wanted and not in_index and samples.is_row(values):
                break  # most pages are full of samples, and hold nothing else
            place = next(
                (
                    i
                    for i, shape in enumerate(wanted)
                    if shape.in_index == in_index and shape.is_row(values)
                ),
                None,
            )
            if place is None:
                if not in_index and samples in wanted:
                    break
                continue
            shape = wanted[place]
            if shape.row_id is not None:
                values[shape.row_id] = row_id
            rows = found.setdefault((place, len(values)), [])
            rows.append(values)
            if len(rows) >= PORTION:
                put(place, len(values))

    for place, width in list(found):
        put(place, width)
