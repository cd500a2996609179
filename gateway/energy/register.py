"""What is known of one cumulative energy register of a meter. Pure."""

import math

import msgspec

FUSE_TOLERANCE = 1.25
"""A main fuse carries so many times its rating for an hour or more.

It is what textbooks give as the conventional non-fusing current of a gG fuse for an hour, up to
63 A (they name IEC 60269-1); for a circuit breaker in its place they give 1.13 times (IEC 60898-1).
The standards themselves were not at hand, and no measurement of ours stands behind it: it is a
margin, wide enough for what is real. Short peaks above it do not matter: a register shows the mean
of the time between two readings, and two steps are allowed on top.
"""

_UWH_PER_KWH = 1_000_000_000

_TOPS = (2**31, 2**32)
"""Numbers of registers end there: with a sign, and without."""
_UNITS_UWH = tuple(10**power for power in range(3, 10))
"""What meters count in: mWh to kWh."""
_LEAST_UNDERFLOW = 256
_ROUNDED = 1024
"""A float32 rounds such numbers up by less."""
_MOST_UNDERFLOW = 65_536
"""So many counts below 0 are still that. Of all values of 32 bits, two in 100,000 lie there."""


class Rules(msgspec.Struct, frozen=True):
    """What is known of one register. `float32` marks one that travels as a 32-bit float, in kWh or
    Wh.
    """

    resolution_uwh: int
    modulus_uwh: int | None
    float32: bool
    max_power_w: float
    refresh_ms: int = 0
    """The meter moves it no more often than this: standing still for less tells nothing. 0: it
    moves as energy passes, or nobody says.
    """
    source: str = ""
    """How it is read, in words: which register, of what type, scale and step. Where a state was
    counted from another one, its series begins anew. Empty: nobody says.
    """
    former_source: str = ""
    """What a state was counted from that does not say: a version before states said so left it, and
    read another register. Empty: the same one.
    """

    def step_uwh(self, register_uwh: int) -> int:
        """The step of the register at this value: its resolution, or the spacing of float32 there,
        whichever is larger.
        """
        if not self.float32:
            return self.resolution_uwh
        return max(self.resolution_uwh, self._spacing_uwh(register_uwh))

    def exact_uwh(self, raw_uwh: int) -> int:
        """What the meter counted, where a float32 has rounded it: the multiple of the resolution
        that it can only have been.

        A value that is no rounded multiple (a meter that counts finer than its papers say) stays as
        it is.
        """
        if not self.float32:
            return raw_uwh
        spacing_uwh = self._spacing_uwh(raw_uwh)
        if not 0 < spacing_uwh <= self.resolution_uwh:
            return raw_uwh

        multiples = (raw_uwh + self.resolution_uwh // 2) // self.resolution_uwh
        nearest_uwh = multiples * self.resolution_uwh
        is_rounded = abs(raw_uwh - nearest_uwh) <= spacing_uwh // 2 + 1
        return nearest_uwh if is_rounded else raw_uwh

    def _spacing_uwh(self, register_uwh: int) -> int:
        """The distance between two neighbouring float32 numbers in kWh at this value, where the
        register is one.

        In Wh it is 0.51 or 1.02 times as much, near enough for a bound: 1000 is almost 2¹⁰.
        """
        if register_uwh <= 0:
            return 0

        kwh = register_uwh / _UWH_PER_KWH
        # IEEE 754 binary32: 24 bits of significand. frexp gives kwh = m·2^e with 0.5 ≤ m < 1.
        exponent = math.frexp(kwh)[1]
        return round(math.ldexp(1.0, exponent - 24) * _UWH_PER_KWH)

    def has_underflowed(self, raw_uwh: int) -> bool:
        """Whether a total that could not be this is one below 0, as a number without a sign: a
        little less than 2³², 2³¹ or the modulus, in whatever the meter counts in.
        """
        if self.modulus_uwh is not None:
            below_uwh = self.modulus_uwh - raw_uwh
            if 0 < below_uwh <= _LEAST_UNDERFLOW * self.resolution_uwh:
                return True
        units_uwh = (self.resolution_uwh, *_UNITS_UWH)
        return any(
            -_ROUNDED <= top - raw_uwh / unit_uwh <= _MOST_UNDERFLOW
            for unit_uwh in units_uwh
            for top in _TOPS
        )

    @property
    def most_power_w(self) -> float:
        """The most that the main fuse carries for a while."""
        return self.max_power_w * FUSE_TOLERANCE

    def most_uwh(self, elapsed_ms: int, register_uwh: int) -> int:
        """The most the register can have moved in that time."""
        # W · ms / 3.6 = µWh.
        carried_uwh = round(self.most_power_w * max(elapsed_ms, 0) / 3.6)
        return carried_uwh + 2 * self.step_uwh(register_uwh)
