"""What really flows in the simulated home, and what its meters count. Pure.

Power is constant over `CHUNK_S` and a whole number of watts that depends on nothing but the seed,
the stream and the chunk. So energy is known exactly at every millisecond, in mJ (W·ms), and costs
one look into a table.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from gateway.energy.assets import Direction

CHUNK_S = 20
MJ_PER_WH = 3_600_000
_DAY_S = 86_400
_MASK = (1 << 64) - 1

Stream = Literal["pv", "heat_pump", "other", "consumption", "grid_import", "grid_export", "nothing"]
"""consumption is all that the house uses, grid_import what of it does not come from its own panels
at that moment.
"""

_STREAMS: tuple[Stream, ...] = (
    "pv",
    "heat_pump",
    "other",
    "consumption",
    "grid_import",
    "grid_export",
)


def noise(seed: int, stream: int, index: int) -> int:
    """A random-looking number below 2³² that depends only on its arguments (the mixer of
    SplitMix64).
    """
    x = (
        seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03 + index * 0x8CB92BA72F3D8DD7
    ) & _MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK
    return x >> 32


class Home:
    """The flows of one home since `origin_s` (UTC, a multiple of CHUNK_S)."""

    def __init__(self, seed: int, origin_s: int) -> None:
        self.seed = seed
        self.origin_s = origin_s
        self._watts: dict[Stream, list[int]] = {stream: [] for stream in _STREAMS}
        self._sums: dict[Stream, list[int]] = {
            stream: [0] for stream in self._watts
        }  # W·s at the start of each chunk, over CHUNK_S

    def watts(self, stream: Stream, t_ms: int) -> int:
        """What flows then."""
        if stream == "nothing":
            return 0
        chunk = (t_ms - self.origin_s * 1000) // (CHUNK_S * 1000)
        self._extend(chunk)
        return self._watts[stream][chunk]

    def energy_mj(self, stream: Stream, t_ms: int) -> int:
        """What has flowed since `origin_s`, exactly. Nothing is known before it, and 0 is given."""
        if stream == "nothing" or t_ms <= self.origin_s * 1000:
            return 0
        chunk, into_ms = divmod(t_ms - self.origin_s * 1000, CHUNK_S * 1000)
        self._extend(chunk)
        return self._sums[stream][chunk] * CHUNK_S * 1000 + self._watts[stream][chunk] * into_ms

    def _extend(self, chunk: int) -> None:
        while len(self._watts["pv"]) <= chunk:
            k = len(self._watts["pv"])
            pv, heat, other = self._pv(k), self._heat_pump(k), self._other(k)
            grid = heat + other - pv
            for stream, watts in zip(
                _STREAMS, (pv, heat, other, heat + other, max(grid, 0), max(-grid, 0)), strict=True
            ):
                self._watts[stream].append(watts)
                self._sums[stream].append(self._sums[stream][-1] + watts)

    def _pv(self, k: int) -> int:
        phase = (self.origin_s + k * CHUNK_S) % _DAY_S
        x = (phase - _DAY_S // 4) / (_DAY_S // 2)
        if not 0 < x < 1:
            return 0
        cloud = 0.35 + 0.65 * (noise(self.seed, 1, k // 30) % 1001) / 1000
        return round(5000 * 4 * x * (1 - x) * cloud)

    def _heat_pump(self, k: int) -> int:
        cycle, into = divmod(k, 216)  # 72 minutes
        on = 40 + noise(self.seed, 2, cycle) % 120
        return (
            12
            if into >= on
            else 1500 + noise(self.seed, 3, cycle) % 1500 + noise(self.seed, 4, k) % 120
        )

    def _other(self, k: int) -> int:
        kettle = noise(self.seed, 6, k // 9)
        kettle_w = 2000 + kettle // 1000 % 200 if kettle % 1000 < 25 else 0
        return (
            140
            + noise(self.seed, 5, k // 45) % 250
            + (90 if k % 120 < 40 else 0)
            + kettle_w
            + noise(self.seed, 7, k) % 30
        )


@dataclass(slots=True)
class Glitches:
    """What is wrong with the next readings of a meter."""

    zeros: int = 0
    """So many of them show registers of 0."""
    flips: int = 0
    """So many of them have one bit of a register turned round."""
    flip_bit: int = 20
    back_steps: int = 0
    """They show so many steps less."""
    high_wh: int = 0
    """They show so much more."""
    underflow: int = 0
    """They show so many steps less than 0, without a sign: a little less than their modulus."""
    jitter_steps: int = 0
    """Half of the readings are up to so many steps off."""
    vanished: int = 0
    """Whether they are not shown at all."""


@dataclass(slots=True)
class TrueMeter:
    """One meter as it hangs on the wall: what it counts, and what is wrong with it. Times are true
    UTC in ms, registers whole Wh.
    """

    name: str
    home: Home
    streams: dict[Direction, Stream]
    shown_wh: dict[Direction, int]
    """What its registers showed at the home's origin."""
    resolution_wh: int
    serial_number: str
    power_factor: float = 1.0
    """What its power reading is off by."""
    frozen_at_ms: int | None = None
    """Its registers have stood still since then; they jump when it wakes."""
    clock_error_s: int = 0
    glitches: Glitches = field(default_factory=Glitches)
    since_ms: int = 0
    """When this device began to hang there (swap) or to count anew (reset)."""
    base_mj: dict[Direction, int] = field(default_factory=dict)

    def energy_mj(self, direction: Direction, t_ms: int) -> int:
        """What has really passed since the home's origin."""
        return self.home.energy_mj(self.streams[direction], t_ms)

    def watts(self, t_ms: int) -> tuple[int, int]:
        """Power shown, import and export."""
        return (
            round(self.home.watts(self.streams["import"], t_ms) * self.power_factor),
            round(self.home.watts(self.streams["export"], t_ms) * self.power_factor),
        )

    def register_wh(self, direction: Direction, t_ms: int) -> int:
        """What its register holds: whole steps."""
        at_ms = t_ms if self.frozen_at_ms is None else min(t_ms, self.frozen_at_ms)
        counted_mj = self.energy_mj(direction, at_ms) - self.base_mj.get(direction, 0)
        return (
            self.shown_wh[direction]
            + counted_mj // MJ_PER_WH // self.resolution_wh * self.resolution_wh
        )

    def registers_wh(self, t_ms: int) -> dict[Direction, int]:
        """What its registers hold."""
        return {direction: self.register_wh(direction, t_ms) for direction in self.streams}

    def reading_wh(self, t_ms: int) -> dict[Direction, int]:
        """What a reader gets to see now, glitches included. Each call is one reading."""
        shown = self.registers_wh(t_ms)
        if self.glitches.zeros > 0:
            self.glitches.zeros -= 1
            return dict.fromkeys(shown, 0)
        if self.glitches.flips > 0:
            self.glitches.flips -= 1
            return {
                direction: wh ^ (1 << self.glitches.flip_bit) for direction, wh in shown.items()
            }
        if self.glitches.vanished:
            return {}
        return {direction: self._lied_wh(wh, t_ms) for direction, wh in shown.items()}

    def _lied_wh(self, wh: int, t_ms: int) -> int:
        """What is shown for as long as the registers lie."""
        glitches = self.glitches
        if glitches.underflow:
            return -glitches.underflow * self.resolution_wh
        steps = -glitches.back_steps
        if glitches.jitter_steps:
            draw = noise(self.home.seed, 8, t_ms)
            if draw % 2:
                steps += draw // 2 % (2 * glitches.jitter_steps + 1) - glitches.jitter_steps
        return max(wh + glitches.high_wh + steps * self.resolution_wh, 0)

    def begin_anew(self, t_ms: int, shown_wh: int, serial_number: str | None = None) -> None:
        """Swapped for another device (with its serial number), or reset."""
        self.base_mj = {direction: self.energy_mj(direction, t_ms) for direction in self.streams}
        self.shown_wh = dict.fromkeys(self.streams, shown_wh)
        self.since_ms = t_ms
        self.frozen_at_ms = None
        if serial_number is not None:
            self.serial_number = serial_number

    def counted_wh(self, direction: Direction, t_ms: int) -> float:
        """Where its register would stand without steps."""
        return (
            self.shown_wh[direction]
            + (self.energy_mj(direction, t_ms) - self.base_mj.get(direction, 0)) / MJ_PER_WH
        )


def ceil_to(t_s: float, step_s: int) -> int:
    """The first multiple at or after a time."""
    return math.ceil(t_s / step_s) * step_s
