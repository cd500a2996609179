"""The UUIDs that were found by name, beside the buffer."""

from pathlib import Path
from uuid import UUID

import pytest

from gateway.store.known_uuids import MAX_BYTES, KnownUuids

A, B, THERE = UUID(int=1), UUID(int=2), UUID(int=3)


def test_what_was_found_is_there_at_the_next_start_for_each_destination(tmp_path: Path) -> None:
    buffer = tmp_path / "buffer.sqlite"
    KnownUuids(buffer, "exchange").write({A: THERE, B: None})
    KnownUuids(buffer, "second").write({B: THERE})
    assert KnownUuids(buffer, "exchange").read() == {A: THERE}
    assert KnownUuids(buffer, "second").read() == {B: THERE}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["buffer.sqlite.uuids"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"uuids": {"exchange": {"a": 1}}}', b"\xff"])
def test_a_file_that_is_none_is_as_if_it_were_not_there(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "buffer.sqlite.uuids").write_bytes(text)
    known = KnownUuids(tmp_path / "buffer.sqlite", "exchange")
    assert known.read() == {}
    known.write({A: THERE})
    assert known.read() == {A: THERE}


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "buffer.sqlite.uuids").write_bytes(b" " * (MAX_BYTES + 1))
    assert KnownUuids(tmp_path / "buffer.sqlite", "exchange").read() == {}


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    known = KnownUuids(tmp_path / "gone" / "buffer.sqlite", "exchange")
    known.write({A: THERE})
    assert known.read() == {}


def test_that_an_exchange_was_heard_is_known_at_the_next_start(tmp_path: Path) -> None:
    buffer = tmp_path / "buffer.sqlite"
    known = KnownUuids(buffer, "exchange")
    known.write({A: THERE})
    assert not known.was_heard
    known.note_heard()
    assert KnownUuids(buffer, "exchange").was_heard
    assert not KnownUuids(buffer, "second").was_heard
    assert KnownUuids(buffer, "exchange").read() == {A: THERE}
    known.write({B: THERE})
    assert KnownUuids(buffer, "exchange").was_heard
