"""How long a meter's turn takes on the wire, and which part of its registers is read at every turn.
Pure.

A turn is counted by the standard, as if the line and the meter lost no time: what a line really
needs is a little more.
"""

from collections.abc import Iterable
from dataclasses import replace

from drivers.modbus.plan import Block, plan
from drivers.modbus.settings import Settings
from drivers.sample import OFTEN

REQUEST_CHARS = 8
"""Address, function, first register, count, checksum (Modbus over Serial Line V1.02, 2.3)."""

REPLY_CHARS = 5
"""Address, function, byte count, checksum: what a reply has beside its registers."""

SILENCE_CHARS = 3.5
SILENCE_S = 0.00175
"""Silence that ends a frame: 3.5 characters, or 1.75 ms above 19200 baud (the same, 2.5.1.1)."""

REPLY_S = 0.02
"""What a quick meter takes to think; many take longer."""


def silence_s(char_s: float) -> float:
    """Seconds of silence after a frame; 0 on a network (`char_s` 0)."""
    return max(SILENCE_CHARS * char_s, SILENCE_S) if char_s else 0.0


def exchange_s(count: int, char_s: float, turnaround_s: float = 0.0, reply_s: float = 0.0) -> float:
    """Seconds one request for `count` registers takes, with its reply and the silences after both.

    The meter answers after `reply_s`, or after the silence that ends the request if that is longer;
    then the line is left alone for `turnaround_s`, or for the silence that ends the reply.
    """
    wire_s = (REQUEST_CHARS + REPLY_CHARS + 2 * count) * char_s
    return wire_s + max(silence_s(char_s), reply_s) + max(silence_s(char_s), turnaround_s)


def blocks_s(
    blocks: Iterable[Block], char_s: float, turnaround_s: float = 0.0, reply_s: float = 0.0
) -> float:
    """Seconds all of these requests take, one after the other."""
    return sum(exchange_s(block.count, char_s, turnaround_s, reply_s) for block in blocks)


def energy_settings(settings: Settings) -> Settings:
    """The same meter with energy registers and power alone; all of it where there are no others."""
    parts = {
        part for quantity, each in settings.sums.items() if quantity in OFTEN for part in each.parts
    }
    often = {
        quantity: row
        for quantity, row in settings.registers.items()
        if quantity in {*OFTEN, *parts}
    }
    return replace(settings, registers=often or settings.registers)


def turn_s(settings: Settings, char_s: float, reply_s: float = REPLY_S) -> tuple[float, float]:
    """Seconds the meter's turn takes: with energy registers and power alone, and with all of its
    registers.
    """
    turnaround_s = settings.turnaround_ms / 1000
    energy, everything = (plan(each, char_s) for each in (energy_settings(settings), settings))
    return blocks_s(energy, char_s, turnaround_s, reply_s), blocks_s(
        everything, char_s, turnaround_s, reply_s
    )
