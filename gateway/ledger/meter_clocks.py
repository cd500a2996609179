"""Meters' own clocks beside ours. They date nothing; one that is far off is worth a word."""

import logging

from drivers.sample import Sample
from gateway.energy.slot import Event

log = logging.getLogger(__name__)

METER_CLOCK_OFF_S = 60.0
"""A meter's own clock that is further from ours is worth a word."""


class MeterClocks:
    """Which meters' clocks are known to be wrong."""

    def __init__(self) -> None:
        self._wrong: set[str] = set()

    def look(self, sample: Sample) -> Event | None:
        """Say once where a meter's own clock is far from ours, and once when it is right again.
        Returns what a person should know.
        """
        off_s = sample.meter_clock_offset_s
        if off_s is None:
            return None

        if abs(off_s) > METER_CLOCK_OFF_S and sample.device not in self._wrong:
            self._wrong.add(sample.device)
            text = _text_of(off_s)
            log.warning("%s: %s", sample.device, text)
            return Event(sample.utc_ms or 0, sample.device, "meter clock", text)

        if abs(off_s) < METER_CLOCK_OFF_S / 2 and sample.device in self._wrong:
            self._wrong.discard(sample.device)
            log.info("%s: the meter's own clock is right again", sample.device)
        return None


def _text_of(off_s: float) -> str:
    off = f"{_span(abs(off_s))} {'ahead of' if off_s > 0 else 'behind'} ours"
    return (
        f"the meter's own clock is {off}; readings are dated by ours, so no slot is wrong by it. "
        "If several meters say so, check this machine's time (timedatectl); else tell the network "
        "operator: tariffs, the quarter-hour's demand and gas go by the meter's"
    )


def _span(seconds: float) -> str:
    """A length of time in words."""
    for length_s, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.0f} s"
