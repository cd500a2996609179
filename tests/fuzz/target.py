"""What a fuzz target is, and what must hold whatever comes in, beside "no exception but the
documented ones".
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from drivers.sample import QUANTITIES

LONGEST_MESSAGE = 1000
"""Characters of one message to a person."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser, or several that stand behind one another. A module of this folder lists its own
    in `TARGETS`.
    """

    name: str
    feeds: str
    """What is fed, in a few words."""
    take: Callable[[bytes], object]
    """Feeds one input, and asserts what must hold. Raises what is `documented`."""
    seeds: Callable[[], Iterable[bytes]]
    """Inputs to begin with: what real meters, exchanges and people send."""
    documented: tuple[type[Exception], ...] = ()
    words: tuple[bytes, ...] = ()
    """What mutations put in, that would hardly be found by chance."""
    longest: int = 1500
    """Bytes of an input."""


def run(target: Target, data: bytes) -> None:
    """One input. Raises whatever is a finding."""
    try:
        target.take(data)
    except target.documented as error:
        check_message(str(error))


def check_message(text: str) -> None:
    """A message is one printable line: it can write no lines of our log, and moves no cursor."""
    assert text.isprintable(), f"a message has control characters: {text!r}"
    assert len(text) <= LONGEST_MESSAGE, f"a message has {len(text)} characters: {text[:200]!r}"


def check_quantities(values: Mapping[str, float], *, signed_energy: bool = False) -> None:
    """Known, finite, and no register below zero unless the meter's own numbers have a sign."""
    for name, value in values.items():
        assert name in QUANTITIES, name
        assert isfinite(value), f"{name} is {value}"
        assert signed_energy or value >= 0 or not name.startswith(("energy_", "voltage_")), (
            f"{name} is {value}"
        )


def check_serial_number(text: str | None) -> None:
    """It goes into the database, onto pages and into topics."""
    assert text is None or (text.isprintable() and 0 < len(text) <= 128), repr(text)


def split(data: bytes) -> tuple[int, bytes]:
    """An input's first byte, which says what is done with the others, and these."""
    return (data[0], data[1:]) if data else (0, b"")


SIZES = (1 << 20, 1, 2, 3, 7, 92, 500, 4097)
FIRST_BYTES = 400
"""What comes in small pieces; after that they are of this size, for the sake of speed."""


def pieces(stream: bytes, options: int) -> list[bytes]:
    """The chunks in which a line hands a stream over; the lowest three bits of `options` say how
    long they are.
    """
    size = SIZES[options & 7]
    first = FIRST_BYTES // size * size or len(stream)
    ends = [
        *range(size, first, size),
        *range(first, len(stream), max(size, FIRST_BYTES)),
        len(stream),
    ]
    return [stream[begin:end] for begin, end in pairwise([0, *ends]) if begin < end]
