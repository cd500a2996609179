"""What the fold goes by: one sample, as it shows one direction of a meter. Pure."""

import msgspec


class Reading(msgspec.Struct, frozen=True):
    """What one sample shows of one direction, and when."""

    at_ms: int
    """UTC of the sample."""
    steady_ms: int
    """Its steady time (see MeterState)."""
    last_ms: int
    """UTC of the sample before it."""
    raw_uwh: int | None
    """The register, as the meter shows it; None: not in the sample."""
    power_w: float | None
    """Power in this direction, ≥ 0; None: not in the sample."""
    placed: bool
    widened: bool = False
    """The register is a sum of more tariffs than versions before this one took into it."""
    is_heard: bool = False
    """Whether the register is 0, and its power or another register of the meter is not."""
    began_anew: bool = False
    """Whether another register of the meter has been reset since this one was last believed."""
