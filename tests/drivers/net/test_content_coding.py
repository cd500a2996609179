"""Bodies that were packed though nobody asked for it."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.net.content_coding import unpacked

LIMIT = 64 * 1024


def raw_deflate(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


PACKED = [("gzip", gzip.compress), ("X-GZip", gzip.compress), ("deflate", zlib.compress)]


@pytest.mark.parametrize(("coding", "pack"), [*PACKED, ("deflate", raw_deflate)])
@given(body=st.binary(max_size=2000) | st.text().map(str.encode))
def test_what_was_packed_is_as_it_was(coding: str, pack: object, body: bytes) -> None:
    assert callable(pack)
    assert unpacked(pack(body), coding, LIMIT) == (body, True)


@given(st.binary(), st.booleans())
def test_what_was_not_packed_stays_as_it_is(body: bytes, complete: bool) -> None:
    for coding in ("", "identity", " Identity "):
        assert unpacked(body, coding, LIMIT, complete=complete) == (body, complete)


@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_a_bomb_is_unpacked_up_to_the_limit_and_no_further(coding: str, pack: object) -> None:
    assert callable(pack)
    bomb = pack(bytes(60_000_000))
    assert len(bomb) < LIMIT
    tracemalloc.start()
    body, complete = unpacked(bomb, coding, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (body, complete) == (bytes(LIMIT), False)
    assert peak < 1_000_000


def test_a_part_is_not_taken_for_all() -> None:
    packed = gzip.compress(b'{"a": 1}' * 99)
    body, complete = unpacked(packed[:-9], "gzip", LIMIT)
    assert not complete
    assert (b'{"a": 1}' * 99).startswith(body)
    assert unpacked(packed, "gzip", LIMIT, complete=False)[1] is False


@given(st.binary(min_size=1, max_size=500), st.sampled_from(["gzip", "deflate", "br", "gzip, br"]))
def test_anything_is_unpacked_or_named(body: bytes, coding: str) -> None:
    try:
        found, _ = unpacked(body, coding, 1000)
    except ValueError as error:
        assert coding in str(error)
    else:
        assert len(found) <= 1000
