"""When the samples of a boot were taken whose clock was never right: between their neighbours, in
order. Pure.

A boot begins at boot time 0 and lasted at least until its last sample. It lies after the last
sample that was dated before it, and before the next boot whose clock was right began. So the boots
in between have a length each, and the pauses between them share what is left. How they share it
nobody knows: each pause is taken to be equally long. That is what to expect of times of which
nothing else is known, and for a single boot the time from which the truth can be least far away.
Boots with more room than the longest gap whose energy may be allocated are no help in allocating
it: they are *undatable*, and nothing is booked by their samples.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import msgspec
from msgspec.structs import replace


class Stretch(msgspec.Struct, frozen=True):
    """Samples of one boot, one after the other, that have no UTC yet. Times are in ms."""

    boot_id: str
    length_ms: int
    """The boot time of the last of them."""
    offset_ms: int | None
    """UTC − boot time, where this boot tells it; None where its clock was never right."""
    before_ms: int | None
    """UTC of the sample just before; None where that has none either, or where there is none."""
    next_boot_ms: int | None
    """UTC at which the boot of the sample just after began; None where that is not known either, or
    where there is none.
    """


class Dating(msgspec.Struct, frozen=True):
    """What the samples of a stretch get: UTC = boot time + `offset_ms`, and at least `floor_ms`."""

    boot_id: str
    offset_ms: int
    inferred: bool = False
    """Whether this is only where they must lie, not what a clock told."""
    floor_ms: int = 0
    until_ms: int = 0
    """They can lie anywhere between `floor_ms` (0: nobody knows) and this."""
    slack_ms: int | None = 0
    """How much room they have there beside their own length; None where nobody knows."""
    undatable: bool = False
    """Whether that is too much for their samples to say anything about slots."""


def date_boots(
    stretches: Sequence[Stretch], this_boot_id: str, this_boot_ms: int, max_slack_ms: int
) -> list[Dating]:
    """The dating of every stretch, given in the order of its samples. `this_boot_ms` is the UTC at
    which this boot began.
    """
    known = [
        replace(s, offset_ms=this_boot_ms) if s.boot_id == this_boot_id else s for s in stretches
    ]
    found: list[Dating] = []
    group: list[Stretch] = []
    before_ms: int | None = None
    for stretch, after in zip_longest(known, known[1:]):
        if stretch.offset_ms is not None:
            found.append(Dating(stretch.boot_id, stretch.offset_ms))
            before_ms = stretch.offset_ms + stretch.length_ms
            continue
        if not group:
            before_ms = stretch.before_ms if stretch.before_ms is not None else before_ms
        group.append(stretch)
        next_ms = stretch.next_boot_ms
        if next_ms is None and after is None:
            next_ms = this_boot_ms
        elif next_ms is None and after is not None:
            next_ms = after.offset_ms
        if next_ms is not None:
            found.extend(_between(group, before_ms, next_ms, max_slack_ms))
            group, before_ms = [], None
    return found


def _between(
    group: Sequence[Stretch], before_ms: int | None, next_ms: int, max_slack_ms: int
) -> Iterator[Dating]:
    """Boots in a row, none of which knew the time: as late as can be where nothing is known before
    them.
    """
    length_ms = sum(stretch.length_ms for stretch in group)
    slack_ms = None if before_ms is None else next_ms - before_ms - length_ms
    # Clocks that contradict each other leave no room: then the last before the next boot, and none
    # before what was dated.
    begin_ms = next_ms - length_ms - max(slack_ms or 0, 0)
    too_much = slack_ms is not None and slack_ms > max_slack_ms
    for n, stretch in enumerate(group, 1):
        pauses_ms = max(slack_ms or 0, 0) * n // (len(group) + 1)
        yield Dating(
            stretch.boot_id,
            begin_ms + pauses_ms,
            True,
            before_ms or 0,
            next_ms,
            slack_ms,
            too_much,
        )
        begin_ms += stretch.length_ms
