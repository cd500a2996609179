"""Rows out of pages, as SQLite put them there."""

import sqlite3
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.salvage import carve

VALUES = (
    st.none()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=900)
    | st.binary(max_size=900)
)


def pages_of(data: bytes, page_bytes: int) -> dict[int, bytes]:
    return {
        n + 1: data[n * page_bytes : (n + 1) * page_bytes] for n in range(len(data) // page_bytes)
    }


@pytest.mark.parametrize("page_bytes", [512, 4096])
@given(
    rows=st.lists(
        st.tuples(st.integers(-(1 << 40), 1 << 40), VALUES, VALUES),
        unique_by=lambda row: row[0],
        max_size=30,
    )
)
def test_every_row_comes_back_as_sqlite_wrote_it(
    page_bytes: int, rows: list[tuple[int, carve.Value, carve.Value]]
) -> None:
    db = sqlite3.connect(":memory:")
    db.execute(f"PRAGMA page_size = {page_bytes}")
    db.execute("CREATE TABLE plain (id INTEGER PRIMARY KEY, a, b)")
    db.execute("CREATE TABLE keyed (id INTEGER, a, b, PRIMARY KEY (id)) WITHOUT ROWID")
    for table in ("plain", "keyed"):
        db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
    db.commit()
    stored = db.execute("SELECT id, a, b FROM plain ORDER BY id").fetchall()
    pages = pages_of(db.serialize(), page_bytes)
    db.close()
    assert carve.page_size_of(pages[1]) == page_bytes
    found = [
        row
        for number, page in pages.items()
        if number > 1
        for row in carve.rows(page, pages.__getitem__)
    ]
    plain = {row_id: (row_id, *values[1:]) for row_id, values in found if row_id is not None}
    keyed = {values[0]: tuple(values) for row_id, values in found if row_id is None}
    assert [plain[row[0]] for row in stored] == stored
    assert [keyed[row[0]] for row in stored] == stored


@given(
    page=st.binary(min_size=512, max_size=512),
    kind=st.sampled_from([0x0D, 0x0A, 0x02]),
    cells=st.integers(0, 40),
)
def test_noise_gives_rows_or_none_but_never_an_error(page: bytes, kind: int, cells: int) -> None:
    noise = bytes([kind, 0, 0, 0, cells]) + page[5:]
    for row_id, values in carve.rows(noise, lambda _: page):
        assert row_id is None or isinstance(row_id, int)
        assert len(values) < 512


def test_a_row_that_flows_over_in_a_circle_ends() -> None:
    page = bytearray(512)
    page[0:5] = (0x0D, 0, 0, 0, 1)
    page[8:10] = (400).to_bytes(2, "big")
    page[400:403] = b"\xbf\xff\x7f"  # a megabyte
    assert list(carve.rows(bytes(page), lambda _: bytes(page))) == []


def test_the_log_gives_the_newest_committed_copy_of_each_page(tmp_path: Path) -> None:
    path = tmp_path / "file.sqlite"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA page_size = 512")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    for n in range(200):
        db.execute("INSERT INTO t VALUES (?, ?)", (n, f"first {n}"))
    db.execute("UPDATE t SET a = 'second'")
    log = path.with_name("file.sqlite-wal").read_bytes()
    db.execute("PRAGMA cache_size = 1")
    db.execute("BEGIN")
    db.execute("UPDATE t SET a = 'never committed'")
    longer = path.with_name("file.sqlite-wal").read_bytes()
    db.execute("ROLLBACK")
    db.close()

    def rows(data: bytes) -> list[object]:
        pages = {n: data[at : at + 512] for n, at in carve.log_pages(data, 512).items()}
        return sorted(
            values[1]
            for n, page in pages.items()
            if n > 2
            for _, values in carve.rows(page, pages.__getitem__)
        )

    assert rows(log) == ["second"] * 200
    assert len(longer) > len(log)
    assert rows(longer) == rows(log), "what was not committed is not there"
    assert rows(log[:-100]) == sorted(f"first {n}" for n in range(200)), (
        "a commit that is torn is none"
    )
    damaged = bytearray(log)
    damaged[len(log) // 2] ^= 1
    assert 0 < len(rows(bytes(damaged))) < 200


@given(log=st.binary(max_size=2000))
def test_a_log_of_noise_has_no_pages(log: bytes) -> None:
    assert carve.log_pages(log, 512) == {}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"SQLite format 3\0",
        Random(1).randbytes(100),
        b"SQLite format 3\0" + b"\1\1" + bytes(82),
    ],
)
def test_a_damaged_header_tells_no_page_size(header: bytes) -> None:
    assert carve.page_size_of(header) is None
