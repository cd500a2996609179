"""Reads the rows out of a damaged SQLite file, page by page, whatever has become of the trees above
them. Pure.

A page of noise costs the rows on it and nothing else: neither the root of a table nor the file's
header is needed to read another page.

Source: "Database File Format", sqlite.org/fileformat2.html: sections 1.3 (header), 1.6 (b-tree
pages, varints, overflow), 2.1 (records), 4 (write-ahead log).
"""

import struct
from collections.abc import Callable, Iterator

Value = None | int | float | str | bytes
Row = tuple[int | None, list[Value]]
"""Row id (None in a table without) and the values of the record."""

TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR = 0x0D, 0x0A, 0x02
"""First byte of the pages that hold rows. A table WITHOUT ROWID is an index of itself, and has rows
in its interior pages too.
"""

MAX_PAYLOAD = 1 << 20
"""A row says how long it is; damage says anything."""

_MAGIC = b"SQLite format 3\x00"
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def page_size_of(header: bytes) -> int | None:
    """Bytes of a page by the file's first hundred bytes; None where they are damaged."""
    if len(header) < 100 or not header.startswith(_MAGIC):
        return None
    size = int.from_bytes(header[16:18], "big")
    size = 65536 if size == 1 else size
    return size if 512 <= size <= 65536 and size & (size - 1) == 0 else None


def log_pages(log: bytes, page_bytes: int) -> dict[int, int]:
    """Where in a write-ahead log the newest committed copy of each page begins: page number →
    offset.
    """
    return {page: begin for page, begin, _ in log_frames(log, page_bytes)}


def log_frames(log: bytes, page_bytes: int) -> Iterator[tuple[int, int, int]]:
    """The committed frames of a write-ahead log in their order: the number of the page, where its
    content begins, and, in the last frame of a transaction, how many pages the file has then (else
    0).
    """
    if len(log) < _LOG_HEADER_BYTES:
        return
    magic, _, size, _, salt_1, salt_2, *sums = struct.unpack_from(">8I", log)
    if magic & ~1 != 0x377F0682 or size != page_bytes:
        return
    words = struct.Struct(">2I" if magic & 1 else "<2I")
    if _checksum((0, 0), log[:24], words) != tuple(sums):
        return
    last = (sums[0], sums[1])
    frames: list[tuple[int, int, int]] = []
    for at in range(
        _LOG_HEADER_BYTES,
        len(log) - _FRAME_HEADER_BYTES - page_bytes + 1,
        _FRAME_HEADER_BYTES + page_bytes,
    ):
        page, commits, frame_salt_1, frame_salt_2, *sums = struct.unpack_from(">6I", log, at)
        begin = at + _FRAME_HEADER_BYTES
        last = _checksum(
            _checksum(last, log[at : at + 8], words), log[begin : begin + page_bytes], words
        )
        if (frame_salt_1, frame_salt_2) != (salt_1, salt_2) or tuple(sums) != last:
            return
        frames.append((page, begin, commits))
        if commits:
            yield from frames
            frames.clear()


def _checksum(sums: tuple[int, int], data: bytes, words: struct.Struct) -> tuple[int, int]:
    a, b = sums
    for x, y in words.iter_unpack(data):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b


def rows(page: bytes, page_of: Callable[[int], bytes]) -> Iterator[Row]:
    """The rows of one page that can be read; none where it is no page of rows. `page_of` finds the
    pages that long rows flow over to.
    """
    kind = page[0]
    if kind not in (TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR):
        return
    header_bytes = 12 if kind == INDEX_INTERIOR else 8
    count = int.from_bytes(page[3:5], "big")
    first = header_bytes + 2 * count
    if first > len(page):
        return
    for (at,) in struct.iter_unpack(">H", page[header_bytes:first]):
        if at < first:
            continue
        try:
            yield _row(page, at, kind, page_of)
        except (IndexError, ValueError, struct.error):
            continue


def _row(page: bytes, at: int, kind: int, page_of: Callable[[int], bytes]) -> Row:
    """Raises IndexError, ValueError or struct.error where there is no row."""
    if kind == INDEX_INTERIOR:
        at += 4
    size, at = _varint(page, at)
    if size > MAX_PAYLOAD:
        raise ValueError("longer than any row")
    row_id = None
    if kind == TABLE_LEAF:
        row_id, at = _varint(page, at)
    usable = len(page)
    most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    here = size
    if size > most:
        least = (usable - 12) * 32 // 255 - 23
        here = least + (size - least) % (usable - 4)
        if here > most:
            here = least
    data = page[at : at + here]
    if size > here:
        (following,) = struct.unpack_from(">I", page, at + here)
        parts = [data]
        for _ in range(-(-(size - here) // (usable - 4))):
            overflow = page_of(following)
            (following,) = struct.unpack_from(">I", overflow)
            parts.append(overflow[4:])
        data = b"".join(parts)[:size]
    if len(data) != size:
        raise ValueError("cut off")
    return row_id, _record(data)


def _record(data: bytes) -> list[Value]:
    header_bytes, at = _varint(data, 0)
    values: list[Value] = []
    body = header_bytes
    while at < header_bytes:
        kind = data[at]
        at += 1
        if kind >= 0x80:
            kind, at = _varint(data, at - 1)
        value: Value
        if kind in _INTEGER_BYTES:
            end = body + _INTEGER_BYTES[kind]
            value = int.from_bytes(data[body:end], "big", signed=True)
        elif kind in (0, 8, 9):
            end, value = body, {0: None, 8: 0, 9: 1}[kind]
        elif kind == 7:
            end = body + 8
            (value,) = struct.unpack_from(">d", data, body)
        elif kind >= 12:
            end = body + (kind - 12) // 2
            value = data[body:end].decode() if kind % 2 else data[body:end]
        else:
            raise ValueError("a type that is reserved")
        values.append(value)
        body = end
    if body != len(data) or at != header_bytes:
        raise ValueError("not a record")
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Big-endian, seven bits a byte; a ninth byte has eight."""
    value = 0
    for i in range(8):
        byte = data[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9
