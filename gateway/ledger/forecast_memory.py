"""What has been learned of assets, as it is kept in the buffer once a day. Shell."""

import logging
from collections.abc import Callable

from gateway.energy.forecast import pack, unpack
from gateway.energy.slot import Event
from gateway.ledger.forecaster import BEFORE_ALL_S, Forecaster
from gateway.store.buffer import Buffer
from gateway.store.forecast_state_table import ForecastState

log = logging.getLogger(__name__)

LEARNED_S = 200 * 86_400
"""What is older is forgotten by what is learned after it: half of it every 40 days at the most."""

_DAY_S = 86_400


class ForecastMemory:
    """Keeps what was learned, and finds it again."""

    def __init__(self, buffer: Buffer, now_s: Callable[[], float]) -> None:
        self._buffer = buffer
        self._now_s = now_s

    def is_kept(self, forecaster: Forecaster) -> bool:
        """Whether there is little to learn: something is kept, or it is the first day."""
        asset = forecaster.asset.uuid
        kept = self._buffer.tables.forecast_states.of(asset)
        if kept is None or kept.formula != forecaster.rules.identity:
            return False
        now_s = int(self._now_s())
        first = self._buffer.tables.asset_slots.of(asset, kept.since_s - 1, now_s, 1)
        is_first_day = not first or first[0].start_s > now_s - _DAY_S
        return bool(kept.state) or is_first_day

    def load(self, forecaster: Forecaster) -> None:
        """Go on from what is kept, or begin anew. Raises StoreError."""
        forecaster.begin_anew()
        name, rules = forecaster.asset.name, forecaster.rules
        kept = self._buffer.tables.forecast_states.of(forecaster.asset.uuid)
        oldest_s = int(self._now_s()) - LEARNED_S
        if kept is None:
            forecaster.since_s = max(oldest_s, 0)
            self._keep(forecaster, b"")  # so that another formula is seen to be one
            return

        if kept.formula != rules.identity:
            newest_s = self._buffer.tables.asset_slots.newest_s()
            forecaster.since_s = 0 if newest_s is None else newest_s + 1
            self._tell(
                f"{name}: its formula was {kept.formula}, and is {rules.identity}: its "
                "forecasts begin anew"
            )
            self._keep(forecaster, b"")
            return

        forecaster.since_s = max(oldest_s, kept.since_s)
        if not kept.state:
            return  # not kept yet
        try:
            learned = unpack(kept.state, rules)
        except ValueError as error:
            self._tell(
                f"{name}: what was learned for its forecasts cannot be used: {error}; it is "
                f"learned again from the slots of {rules.slot_s} s that are kept"
            )
            return
        if kept.as_of_s > self._now_s():
            self._tell(
                f"{name}: what was learned for its forecasts is of a clock that was ahead; "
                "it is learned again from the slots that are kept"
            )
            return
        forecaster.since_s = kept.since_s
        forecaster.learned, forecaster.kept_s = learned, kept.as_of_s

    def keep_daily(self, forecaster: Forecaster) -> None:
        """Keep what was learned, where that was last done on another day (UTC)."""
        learned = forecaster.learned
        if learned.newest is None:
            return
        kept_s = learned.since_s or 0 if forecaster.kept_s < 0 else forecaster.kept_s
        if forecaster.learned_s // _DAY_S != kept_s // _DAY_S:
            self._keep(forecaster, pack(learned))
            forecaster.kept()

    def _keep(self, forecaster: Forecaster, packed: bytes) -> None:
        as_of_s = forecaster.learned_s if packed else BEFORE_ALL_S
        asset, formula = forecaster.asset.uuid, forecaster.rules.identity
        self._buffer.keep(ForecastState(asset, formula, forecaster.since_s, as_of_s, packed))

    def _tell(self, text: str) -> None:
        log.warning("%s", text)
        self._buffer.note(Event(round(self._now_s() * 1000), "", "forecast", text))
