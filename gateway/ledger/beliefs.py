"""Which meters are read and not believed. Each is told in the log once, and once when it is over.

The folds know what they refuse of a register. Samples that no fold takes into its series, and those
without a register, are counted here.
"""

import logging

import msgspec

from drivers.sample import Sample
from gateway.energy.disbelief import Disbelief, disbelief, no_register, strangers
from gateway.energy.fold import is_void, shows_register
from gateway.energy.slot import MeterRules, MeterState

log = logging.getLogger(__name__)


class _Counts(msgspec.Struct):
    """Samples of one meter in a row."""

    strangers: int = 0
    """Those that bear another serial number."""
    empty: int = 0
    """Those without any register."""


class Beliefs:
    """What of each meter is not believed at the moment."""

    def __init__(self) -> None:
        self._counts: dict[str, _Counts] = {}
        self._found: dict[str, Disbelief] = {}

    def of(self, device: str) -> Disbelief | None:
        """What of this meter is not believed."""
        return self._found.get(device)

    def look(self, sample: Sample, state: MeterState, rules: MeterRules) -> None:
        """One more sample; `state` is the meter's fold as of it."""
        device = sample.device
        counts = self._counts.setdefault(device, _Counts())
        counts.strangers = counts.strangers + 1 if state.candidate_readings else 0
        counts.empty = 0 if shows_register(sample, rules) else counts.empty + 1

        found = (
            strangers(counts.strangers, state)
            or no_register(counts.empty, is_void=is_void(sample, rules))
            or disbelief(state, rules)
        )
        if found and device not in self._found:
            log.warning("%s: %s", device, found.why)
        if found:
            self._found[device] = found
        elif self._found.pop(device, None):
            log.info("%s: its readings are believed again", device)
