"""What the exchanges have of the time since a copy was made: asked for where nothing on a new card
tells it.

An exchange may show a forecast where it holds no measurement. So what it shows counts as accepted,
and only what comes after the newest slot that it shows is known to be missing there.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Set
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.cli.registry_comparison import exchanges_of
from gateway.delivery.exchange.history import Read, Span
from gateway.delivery.http_session import ExchangeError
from gateway.delivery.kinds import exchange as kind
from gateway.store.accepted_marks import Series
from gateway.store.restoring import Known
from gateway.timing.utc import utc_minutes

if TYPE_CHECKING:
    from gateway.site.settings import Settings

APPLIED_WITHIN = 3
"""Slots: what an exchange accepts it shows when the next one begins. Where it shows one as new as
this, the old box may have delivered a moment ago, and nothing is known to be missing."""
_KNOWN = 96
"""So many slots before the end of the copy are asked for, too: an exchange that shows none of those
that the copy knows to be accepted is not believed."""


class AskingBack:
    """Asks once, and remembers what there is to tell of it."""

    def __init__(self, settings: "Settings", now_s: float) -> None:
        self._settings = settings
        self._slot_s = int(settings.market.slot)
        self._now_s = int(now_s) // self._slot_s * self._slot_s
        self.lines: list[str] = []
        """What came of it, for people."""

    def __call__(self, known: Known) -> Mapping[Series, int] | None:
        """How far each series of the copy may be accepted: its newest slot. None where no exchange
        tells anything; then all that has ended by now may be.
        """
        told = dict(self._told_by_all(known))
        if not told:
            return None
        # What cannot be asked may have taken all that has ended.
        return dict.fromkeys(known, self._now_s - self._slot_s) | told

    def _told_by_all(self, known: Known) -> Iterator[tuple[Series, int]]:
        for destination, exchange in exchanges_of(self._settings).items():
            accepted = {
                asset.uuid: slots
                for asset in self._settings.assets
                if (slots := known.get((destination, str(asset.uuid))))
            }
            if not accepted:
                continue
            first_s = min(map(max, accepted.values())) - _KNOWN * self._slot_s
            span = Span(tuple(accepted), first_s, self._now_s, self._slot_s)
            read = self._read(destination, exchange, span)
            for asset, slots in accepted.items():
                newest_s = self._judged(asset, slots, read)
                if newest_s is not None:
                    yield (destination, str(asset)), newest_s

    def _read(self, destination: str, exchange: kind.Settings, span: Span) -> Read:
        try:
            reading = kind.read_history(exchange, self._settings, span, {}, lambda *_: None)
            return asyncio.run(reading)
        except ExchangeError as error:
            why = self._settings.secrets.masked(str(error))
            self.lines.append(f"{destination} cannot be asked what it has since: {why}")
            return Read()

    def _judged(self, asset: UUID, accepted: Set[int], read: Read) -> int | None:
        """The newest slot of an asset that the exchange may hold. None: it does not tell."""
        (name,) = (each.name for each in self._settings.assets if each.uuid == asset)
        if asset in read.untold:
            why = self._settings.secrets.masked(read.untold[asset])
            self.lines.append(f"{name}: what the exchange has is not known: {why}")
        if asset not in read.told:
            return None
        newest_s, lines = judged(accepted, read.told[asset].slots, self._now_s, self._slot_s)
        self.lines += [f"{name}: {line}" for line in lines]
        return newest_s


def judged(
    accepted: Set[int], shown: Collection[int], now_s: int, slot_s: int
) -> tuple[int | None, list[str]]:
    """From what a copy knows to be accepted, and what the exchange shows (starts of slots): the
    newest slot that it may hold, or None where it is not believed; and that in words. `now_s` is
    the start of the slot that runs.
    """
    if not accepted & set(shown):
        return None, ["the exchange shows nothing of what it has accepted"]
    newest_s = max(shown)
    first_s = max(accepted) + slot_s
    lacks = [start_s for start_s in range(first_s, newest_s, slot_s) if start_s not in shown]
    if newest_s >= now_s - APPLIED_WITHIN * slot_s:
        newest_s = now_s - slot_s
        lines = ["the exchange shows slots up to now"]
    else:
        lines = [
            f"the exchange shows slots up to {utc_minutes(newest_s)}; those after it are missing "
            "there: they are settled from the meter's register, and delivered"
        ]
    if lacks:
        lines.append(
            f"of the slots before that it lacks {len(lacks)}, the first of "
            f"{utc_minutes(lacks[0])}: they count as accepted all the same"
        )
    return newest_s, lines
