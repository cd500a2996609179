"""What another quantile than the median costs: what was sent beside the median that stood. Shell.

The buffer is asked for a day once, and for one day at each look: 28 of them take a second on a Pi.
A slot that is written anew later counts as it was then.

Limits: sums of 28 days are kept, of assets of which another quantile is sent.
"""

from collections.abc import Mapping
from uuid import UUID

from gateway.energy.forecast_errors import Chosen, chosen
from gateway.energy.forecast_words import TOLD_DAYS
from gateway.outbox.quantiles import Share
from gateway.store.buffer import Buffer

LATE_S = 3600
"""So long after its end a day is looked at: its last slots have closed by then."""

_DAY_S = 86_400


class SentForecasts:
    """The errors of what was sent, by whole days (UTC)."""

    def __init__(self, buffer: Buffer, sent: Mapping[UUID, tuple[str, Share]]) -> None:
        """`sent`: of assets of which another quantile than the median is sent, to whom."""
        self._buffer = buffer
        self._sent = sent
        self._days: dict[int, Mapping[UUID, Chosen]] = {}

    def look(self, now_s: float) -> None:
        """Look at the newest day that was not looked at. Raises StoreError."""
        if not self._sent:
            return
        today = _today(now_s)
        told = range(today - 1, today - 1 - TOLD_DAYS[-1], -1)
        self._days = {day: sums for day, sums in self._days.items() if day in told}
        new = next((day for day in told if day not in self._days), None)
        if new is None:
            return
        begin_s, end_s = new * _DAY_S, (new + 1) * _DAY_S
        sent = {
            (asset, start_s): energy_uwh
            for destination in {name for name, _ in self._sent.values()}
            for (asset, start_s), energy_uwh in self._buffer.tables.outbox.sent_forecasts(
                destination, begin_s, end_s
            ).items()
            if asset in self._sent and self._sent[asset][0] == destination
        }
        self._days[new] = chosen(self._buffer.asset_slots(begin_s, end_s), sent) if sent else {}

    def over(self, asset: UUID, days: int, now_s: float) -> Chosen | None:
        """An asset's errors over so many days before the one that runs; None where the median is
        sent, or nothing was judged.
        """
        if asset not in self._sent:
            return None
        today = _today(now_s)
        found = [self._days.get(today - n, {}).get(asset) for n in range(1, days + 1)]
        return sum((each for each in found if each is not None), Chosen())


def _today(now_s: float) -> int:
    return int(now_s - LATE_S) // _DAY_S
