"""What a shared line has to carry, beside what it can. Pure.

Counted by the standard (drivers/modbus/load.py): a line really needs a little more, and much more
where a meter is slow to answer.
"""

from collections.abc import Sequence

import msgspec

from drivers.line_protocol import LISTEN_S
from gateway.site.devices import Device

EVERYTHING_S = 60.0
"""How often all quantities of a meter are read; in between, its energy registers and power alone.
"""


class Load(msgspec.Struct, frozen=True):
    """What the turns of one cycle need, on average, and how long the cycle is: the shortest
    interval of the line's meters.
    """

    needed_ms: float
    available_ms: float

    @property
    def too_much(self) -> bool:
        """Whether the line cannot keep up."""
        return self.needed_ms > self.available_ms

    def listen_s(self, turns: int) -> float:
        """How long a line of so many turns in a cycle may be listened to after each of them."""
        spare_s = (self.available_ms - self.needed_ms) / 1000
        return min(LISTEN_S, max(0.0, spare_s / turns / 4))

    @property
    def hint(self) -> str:
        """What to do then."""
        return (
            "read its meters less often, raise their baud rate, or give some of them another line"
        )

    def __str__(self) -> str:
        return f"needs {self.needed_ms:,.0f} of {self.available_ms:,.0f} ms per cycle"


def load_of(devices: Sequence[Device]) -> Load | None:
    """What the meters of one line need; None where they take no turns."""
    share = 0.0
    for device in devices:
        # Behind a serial server there is a serial line, too; of its pace we know what its meters
        # leave the factory with.
        settings = device.line.serial_settings(device.profile.serial)
        turn = device.profile.turn_s(0.0 if device.line.framing == "tcp" else settings.char_s)
        if turn is None:
            return None
        energy_s, everything_s = turn
        share += energy_s / device.interval_s + (everything_s - energy_s) / max(
            EVERYTHING_S, device.interval_s
        )
    cycle_s = min(device.interval_s for device in devices)
    return Load(share * cycle_s * 1000, cycle_s * 1000)
