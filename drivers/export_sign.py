"""An export register that holds minus the export: without a sign of its own it counts down, from
2³² or 2⁶⁴ on. Pure.

What it holds does not say so: 4,294,962,296 may be a large export, or 5000. In which direction it
moves does.
"""

from collections.abc import Mapping

import msgspec

SURE_STEPS = 2
"""So many steps in one direction, one after the other, are believed: one may be a wrong reading."""


class ExportSign(msgspec.Struct):
    """What the export register of one meter has told by its moves."""

    counts_down: bool | None = None
    """None until that is known."""
    doubted: int | None = None
    """What it holds, where nobody can say yet what that means."""
    _last: int | None = None
    _steps: int = 0
    """Steps in a row, below zero downwards."""

    def follow(self, before: "ExportSign") -> None:
        """Know what was known before the line was opened anew."""
        self.counts_down = before.counts_down
        self._last, self._steps = before._last, before._steps

    def forget(self) -> None:
        """It is another meter's now."""
        self.follow(ExportSign())

    def export(self, raw: int, bits: int) -> int:
        """The export in counts, from a register of so many bits without a sign: what it holds, as
        long as nobody can say better. The lower half means what it says. Of 64 bits no meter
        reaches the upper half.
        """
        self.doubted = None
        if raw < 1 << (bits - 1):
            self._last, self._steps = None, 0
            return raw
        if bits == 64:
            return (1 << bits) - raw

        self._watch(raw)
        if self.counts_down is None:
            self.doubted = raw
        return (1 << bits) - raw if self.counts_down else raw

    def _watch(self, raw: int) -> None:
        last, self._last = self._last, raw
        if last is None or raw == last or self.counts_down is not None:
            return
        step = 1 if raw > last else -1
        self._steps = self._steps + step if self._steps * step > 0 else step
        if abs(self._steps) >= SURE_STEPS:
            self.counts_down = step < 0

    @property
    def doubts(self) -> Mapping[str, str]:
        """What is doubted, and in words why, and what to do."""
        if self.doubted is None:
            return {}
        why = (
            f"its register holds {self.doubted:,}, which is more than meters reach, or "
            f"{(1 << 32) - self.doubted:,} on one that counts down (minus the export); which of "
            "both shows once it has moved twice, and it is not settled before — compare with the "
            "meter's display; a profile of your own may read it as int32"
        )
        return {"energy_export_wh": why}
