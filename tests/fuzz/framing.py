"""Streams of telegrams, in any chunks.

The first byte of an input has options: bits 0–2 the size of chunks, MENDED, STRETCHED, and two bits
more that each target reads. Mended means that checksums are made right before the input is fed:
otherwise nearly every mutation would end at the first gate.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from tests.fuzz.target import (
    pieces,
)

MENDED, STRETCHED = 0x08, 0x10

Event = TypeVar("Event")


class _Framer(Protocol[Event]):
    """What all framers have."""

    offset: int
    noise_bytes: int
    noise_sample: bytes

    @property
    def open_start(self) -> int | None: ...

    @property
    def open_bytes(self) -> int: ...

    def feed(self, data: bytes) -> list[Event]: ...

    def silence(self) -> list[Event]: ...


def stretched(stream: bytes) -> bytes:
    """Longer than any telegram may be, by what stands in the middle of it."""
    middle = len(stream) // 2
    filler = stream[middle : middle + 16] or b"x"
    return stream[:middle] + filler * (9000 // len(filler)) + stream[middle:]


def framed(
    framer: Callable[[], _Framer[Event]], stream: bytes, options: int, most_bytes: int
) -> Iterator[Event]:
    """The events of a stream; whole or in chunks, they are the same."""
    if options & STRETCHED:
        stream = stretched(stream)
        options |= 4  # not byte by byte
    whole, cut = framer(), framer()
    expected = whole.feed(stream)
    events: list[Event] = []
    for piece in pieces(stream, options):
        events += cut.feed(piece)
        assert cut.open_bytes <= most_bytes
        assert len(cut.noise_sample) <= 512
    assert events == expected, "chunks change what comes out"
    assert (cut.offset, cut.noise_bytes, cut.noise_sample, cut.open_start) == (
        whole.offset,
        whole.noise_bytes,
        whole.noise_sample,
        whole.open_start,
    )
    events += cut.silence()
    last = -1
    for event in events:
        start: int = event.start  # type: ignore[attr-defined]  # every event has one
        assert last < start < len(stream)
        last = start
        yield event
