"""Slots that nobody will look back at any more, though no sample has come to say so. Pure.

The fold goes by samples alone, so that it can run again over them: it closes such a slot at the
first sample past its time, whenever that comes. Whoever waits for the slot cannot wait for that. So
the clock closes it with what the fold knows of it, and the fold's state stays as it is. With the
next sample the fold closes it, too: just so, or, where the sample is of an earlier time after all,
with another end, which is written over it (`ledger/decision.py`).
"""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.energy.entries import Entries
from gateway.energy.look_back import deadline_ms, settle
from gateway.energy.slot import MeterRules, MeterState, Passed, Slot


class Due(NamedTuple):
    """A slot that the clock will close."""

    in_ms: int
    """How long it is until then."""
    slot: Slot
    """As it is known now."""


def looked_back_at(state: MeterState, elapsed_ms: int, rules: MeterRules) -> Iterator[Due]:
    """The slots that have ended, and are not closed. The last sample was so long ago.

    What was closed at its end (`MeterRules.says_at_once`) nobody waits for.
    """
    if state.slot_ms != rules.slot_ms:
        return

    steady_ms = state.at_ms - state.shift_ms + max(elapsed_ms, 0)
    for direction, each in state.directions.items():
        if each.passed is None or each.passed.said_uwh is not None:
            continue
        entries = Entries(state.serial_number, direction, rules)
        settle(each, entries)
        due_ms = _due_ms(each.passed, rules)
        # Nobody waits for those that are missing before it.
        yield from (Due(due_ms - steady_ms, slot) for slot in entries.slots[-1:])


def _due_ms(one: Passed, rules: MeterRules) -> int:
    """In steady time. A sample of before the deadline may be on its way; but a destination that
    takes a slot only while the next one runs must have most of that left.
    """
    return deadline_ms(one, rules) + min(rules.stale_ms, rules.slot_ms // 10)
