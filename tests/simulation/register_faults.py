"""What the registers of a meter show that they do not hold: the table REGISTER_FAULTS, as
`faults.APPLY`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.simulation.applying import Apply, Undo
from tests.simulation.scenario import FaultEvent
from tests.simulation.truth import Glitches, TrueMeter

if TYPE_CHECKING:
    from tests.simulation.world import World

ZEROS_BEFORE_SILENCE = 4


def lying_meter(world: "World", event: FaultEvent) -> TrueMeter:
    """The event's meter, whose registers are noted to lie from now on."""
    times_ms = world.fault_log.register_faults_ms.setdefault(event.on, [])
    times_ms.append(world.time.ms())
    return world.home.meters[event.on]


def _lies_for_a_while(world: "World", event: FaultEvent) -> TrueMeter:
    """The same: what flows until the event ends may be in any slot of that time."""
    now_ms = world.time.ms()
    pauses_ms = world.fault_log.pauses_ms.setdefault(event.on, [])
    pauses_ms.append((now_ms, now_ms + round(event.lasts * 1000)))
    return lying_meter(world, event)


def _bogus_zero(world: "World", event: FaultEvent) -> None:
    lying_meter(world, event).glitches.zeros = int(event.amount) or 1


def _bit_flip(world: "World", event: FaultEvent) -> None:
    glitches = lying_meter(world, event).glitches
    glitches.flips, glitches.flip_bit = 1, int(event.amount)


def _lie(name: str) -> Apply:
    """A field of `Glitches` that is set for as long as the event lasts."""

    def apply(world: "World", event: FaultEvent) -> Undo:
        glitches = _lies_for_a_while(world, event).glitches
        setattr(glitches, name, int(event.amount) or 1)

        def undo() -> None:
            setattr(glitches, name, getattr(Glitches(), name))
            lying_meter(world, event)

        return undo

    return apply


def _zeros_and_silence(world: "World", event: FaultEvent) -> Undo:
    glitches = _lies_for_a_while(world, event).glitches
    trouble = world.home.wire_of[event.on].trouble
    glitches.zeros = ZEROS_BEFORE_SILENCE
    ended = False

    def silent() -> None:
        if not ended:
            trouble.silent = True

    def undo() -> None:
        nonlocal ended
        ended = True
        glitches.zeros = 0
        trouble.silent = False
        lying_meter(world, event)

    world.later((ZEROS_BEFORE_SILENCE + 0.5) * world.scenario.interval, silent)
    return undo


REGISTER_FAULTS: Mapping[str, Apply] = {
    "bogus_zero": _bogus_zero,
    "bit_flip": _bit_flip,
    "zeros_and_silence": _zeros_and_silence,
    "register_back": _lie("back_steps"),
    "register_high": _lie("high_wh"),
    "register_underflow": _lie("underflow"),
    "register_jitters": _lie("jitter_steps"),
    "registers_vanish": _lie("vanished"),
}
