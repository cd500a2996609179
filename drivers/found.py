"""What a search for meters finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.line import LineUrl, SerialSettings
from drivers.profile import Profile
from drivers.sample import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A meter that has been read: by which profile, on which line with which settings, at which
    address (None: it has no address).

    `also` are other profiles whose identification fits as well. `text` is what the meter itself
    says it is, where it says so.
    """

    profile: Profile
    line: LineUrl
    serial: SerialSettings | None = None
    address: int | None = None
    serial_number: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    text: str = ""

    @property
    def power_w(self) -> float | None:
        """Import positive; None where the meter does not tell it."""
        imported, exported = self.values.get("power_import_w"), self.values.get("power_export_w")
        split = (
            None if imported is None and exported is None else (imported or 0.0) - (exported or 0.0)
        )
        return self.values.get("power_w", split)


VOLTS = (80.0, 300.0)
HERTZ = (45.0, 65.0)
"""What mains are, the whole world over, and a meter under power therefore shows."""


def plausible(reading: Reading, profile: Profile) -> bool:
    """Whether a reading looks like a meter of that profile: an energy register, mains that are
    mains, no power beyond what it carries.

    Zeros alone are no meter: adapters and gateways answer with them for meters that are not there.
    """
    values = reading.values
    if not any(quantity in values for quantity in profile.energy):
        return False
    if not any(
        value for quantity, value in values.items() if quantity not in ("power_factor", "tariff")
    ):
        return False
    mains = [
        v
        for q, v in values.items()
        if q in ("voltage_v", "voltage_l1_v", "voltage_l2_v", "voltage_l3_v") and v
    ]
    hertz = values.get("frequency_hz")
    if any(not VOLTS[0] <= volt <= VOLTS[1] for volt in mains) or (
        hertz and not HERTZ[0] <= hertz <= HERTZ[1]
    ):
        return False
    return all(
        abs(v) <= 1.25 * profile.max_power_w
        for q, v in values.items()
        if q.startswith("power_") and q.endswith("_w")
    )
