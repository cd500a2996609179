"""Samples of one meter → energy per market slot. Pure: a fold that can run again over the same samples and give the same slots."""

from dataclasses import dataclass
from typing import Literal

from gateway.assets import Direction

Quality = Literal["measured", "estimated", "partial", "missing"]
"""measured: samples cover the whole slot. estimated: part of it lies in a gap and was interpolated. partial: only part of the slot was
metered (start, swap, end of a long gap); its energy is right for that part, and is not delivered. missing: nothing is known."""

Method = Literal["counter", "register"]
"""counter: power integrated and held inside the register's step. register: the register alone, interpolated."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One direction of one meter over [start_s, start_s + length_s), and how it is known. Energies are integers in µWh."""

    device: str
    serial_number: str | None
    direction: Direction
    start_s: int
    length_s: int
    energy_uwh: int | None
    """None where nothing is known: missing is not zero."""
    quality: Quality
    method: Method
    coverage_permille: int
    """Part of the slot that lies between samples close enough to each other."""
    samples: int
    largest_gap_ms: int
    begin_uwh: int
    """The counter at the start (or at the first sample inside)."""
    end_uwh: int
    """The counter at the end (or at the last sample inside)."""
    begin_register_uwh: int
    """The meter's register at the last sample before the start."""
    end_register_uwh: int
    clock: Literal["kernel", "assured"]
    """Why the clock was believed."""
