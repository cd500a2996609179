"""Does a destination hold what it accepted? An exchange queues what it gets, applies it when its
next slot begins, and may drop it silently. Shell.

Once per slot, and for every subject with one question, it is asked for what it accepted before that
slot began and what is not confirmed yet, newest slot first. What it holds otherwise is owed once
more; the second time it is shown and left to a person.

The lowest priority of all: the uploader asks when nothing is to be sent to a destination that
answers, and breaks off for what comes up. One that cannot be asked is asked again in waits that
grow to a day. One with which nothing has ever agreed, a second delivery or not, is asked a day
later: what it tells must be something else. So is one that tells the forecasts: the results of the
exchange's engine hold those, and never a measurement. A zero, or a number that was forecast to the
µWh, is no evidence of how it tells: it would be told anyway. Until there is evidence, what one that
tells forecasts would tell as well is left open, and asked for again in the next slot. Nothing of
this makes deliveries wait or the destination fail.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from math import inf

from msgspec.structs import replace

from gateway.delivery.destination import CannotTell, Destination, NotNow, spoken
from gateway.delivery.question_round import QuestionRound
from gateway.delivery.records import DeliveryRecords
from gateway.energy.slot import Event
from gateway.outbox.item import Item, Subject
from gateway.outbox.owed import Confirmations, Held
from gateway.store.errors import StoreError
from gateway.timing.utc import utc_seconds

KEPT_S = 89 * 86_400
"""The exchange forgets after 90 days; what is about to be forgotten is not asked for."""
LOOK_ITEMS = 2_000
"""Unconfirmed items of one look, over all subjects."""

FEW_SLOTS = 3
"""So many slots whose forecast is told instead are no accident."""

_log = logging.getLogger(__name__)


class ReadBack:
    """Asks one destination for what it accepted, if it is one that tells."""

    def __init__(self, records: DeliveryRecords, destination: Destination) -> None:
        self._records = records
        self._destination = destination
        policy = destination.policy
        self._round = QuestionRound(policy.slot_s, max(policy.quiet_s, policy.kept.margin_s))
        self.is_answered = True
        """Whether it may be asked: its last answer to a delivery was one, and it did not ask for
        silence.
        """
        self._found: list[Held] = []
        self._disagreed = False
        """Whether the last round found something held otherwise."""
        self._foretold: set[Item] = set()
        """Of which the forecast was told, since one was told that was not: it was not what was
        measured.
        """
        self.state = ""
        """For people: ok, or why it cannot be asked. Empty before the first answer."""
        self.confirmed = self.disagreements = 0
        """Since start."""

    def next_s(self, now_s: float) -> float:
        """When to look again, Unix time."""
        if self._destination.verifies is None or not self.is_answered:
            return inf
        return self._round.next_s(now_s)

    def wants(self, now_s: float) -> bool:
        """Whether there is something to ask now. Looks into the records once per slot."""
        if self._destination.verifies is None or not self.is_answered:
            return False
        if not self._round.may_ask(now_s, _loop_s()):
            return False
        if self._round.is_due(now_s):
            accepted_before_s = self._round.slot_at(now_s) - self._destination.policy.kept.margin_s
            try:
                items = self._records.unconfirmed(
                    accepted_before_s, since_s=int(now_s) - KEPT_S, limit=LOOK_ITEMS
                )
            except StoreError as error:
                self._stop(f"the buffer cannot be read: {error}", None)
            else:
                self._round.begin(items, _loop_s())
        return bool(self._round)

    def confirmations(self, now_s: float) -> Confirmations:
        """What is still to be asked for, and what is held otherwise. Raises StoreError."""
        return self._records.confirmations(int(now_s) - KEPT_S)

    async def ask_until(self, news: asyncio.Event, now_s: float) -> None:
        """Ask, for as long as there are no news of something to be sent."""
        asking = asyncio.ensure_future(self.ask(now_s))
        waiting = asyncio.ensure_future(news.wait())
        try:
            await asyncio.wait((asking, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            asking.cancel()
            ended = await asyncio.gather(asking, waiting, return_exceptions=True)
        if isinstance(ended[0], Exception):
            raise ended[0]

    async def ask(self, now_s: float) -> None:
        """Ask one question, and write down the answers once the last of them is there. It may be
        cancelled, and is asked again then.
        """
        assert self._destination.verifies is not None
        items = self._round.ask(_loop_s())
        try:
            held = await self._destination.verifies.held(items, self._round.left_s(now_s))
        except CannotTell as error:
            self._round.asked_in_vain(items[0].subject, _loop_s())
            self._tell(str(error), "it is asked again ever more rarely, once a day at last")
        except NotNow as error:
            self._stop(str(error), error.after_s)
        else:
            self.state = "ok"
            self._round.answered(items[0].subject)
            self._found += [Held(item, energy_uwh) for item, energy_uwh in held.items()]
        self._round.done()
        if not self._round:
            self._write(now_s)

    def _leave_alone(self, subjects: Iterable[Subject], reason: str) -> None:
        """It cannot tell, and will not tomorrow before this time."""
        self._round.leave_alone(subjects, _loop_s())
        self._tell(reason, "it is asked again in a day")

    def _tell(self, reason: str, when: str) -> None:
        """Once, until it was answered."""
        if self.state in ("", "ok"):
            _log.warning(
                "what %s holds cannot be read back: %s; %s, and deliveries go on",
                spoken(self._destination.name),
                reason,
                when,
            )
        self.state = f"cannot be asked: {reason}"

    def _stop(self, reason: str, after_s: float | None) -> None:
        """Nothing more is asked in this slot."""
        _log.debug("not read back in this slot: %s", reason)
        self._round.stop(_loop_s(), after_s)

    def _write(self, now_s: float) -> None:
        found, self._found = self._found, []
        if not found:
            return
        try:
            forecasts_uwh = self._records.forecasts_uwh([held.item for held in found])
            if self._follows_forecasts(found, forecasts_uwh):
                self._foretold.clear()
                name = spoken(self._destination.name)
                self._leave_alone(
                    {held.item.subject for held in found},
                    f"what {name} tells are the forecasts that were sent, and not the measurements",
                )
                return
            found = list(self._decided(found, forecasts_uwh))
            again = self._records.record_held(found, now_s)
        except StoreError:
            # It is still unconfirmed and asked for again; the buffer's own trouble is told by those
            # who write more.
            return

        others = [held for held in found if not held.agrees]
        telling = [held for held in found if can_differ(held, forecasts_uwh)]
        self.confirmed += len(telling) - len(others)
        self.disagreements += len(others)
        # Told once, and again after a round in which all was well: an exchange that forgets
        # everything is one piece of news.
        if others and not self._disagreed:
            text = self._say(others, len(found), len(again))
            _log.warning("%s", text)
            name = self._destination.name
            self._records.note(Event(int(now_s * 1000), name, "disagreement", text))
        self._disagreed = bool(others)

        if not self.confirmed and len(again) < len(others):
            self._leave_alone(
                {held.item.subject for held in others},
                f"nothing that {spoken(self._destination.name)} tells agrees with what it accepted",
            )

    def _follows_forecasts(
        self, found: Sequence[Held], forecasts_uwh: Mapping[Item, Set[int]]
    ) -> bool:
        """Whether the destination tells what it was told to expect, and not what was measured.
        Where that is so for a few slots only, their measurements may have got lost.
        """
        if self.confirmed:
            return False
        told = [
            held
            for held in found
            if held.item.energy_uwh not in forecasts_uwh.get(held.item, {held.item.energy_uwh})
        ]
        if all(held.energy_uwh in forecasts_uwh[held.item] for held in told):
            self._foretold.update(held.item for held in told)
        else:
            self._foretold.clear()
        return len(self._foretold) >= FEW_SLOTS

    def _decided(
        self, found: Sequence[Held], forecasts_uwh: Mapping[Item, Set[int]]
    ) -> Sequence[Held]:
        """Without what a destination that tells forecasts would tell as well, as long as nothing
        shows that this one tells measurements. Raises StoreError.
        """
        if self.confirmed or any(h.agrees and can_differ(h, forecasts_uwh) for h in found):
            return found
        return [held for held in found if held.agrees or not self._is_open(held, forecasts_uwh)]

    def _is_open(self, held: Held, forecasts_uwh: Mapping[Item, Set[int]]) -> bool:
        if held.item in forecasts_uwh:
            return held.energy_uwh in forecasts_uwh[held.item]
        if held.energy_uwh:
            return False
        # Nothing is told, and nothing was forecast: so it is when forecasts began a little later.
        slot_s = self._destination.policy.slot_s
        after = [
            replace(held.item, slot_s=held.item.slot_s + n * slot_s)
            for n in range(1, FEW_SLOTS + 1)
        ]
        return bool(self._records.forecasts_uwh(after))

    def _say(self, others: Sequence[Held], asked: int, again: int) -> str:
        first = others[0]
        at = utc_seconds(first.item.slot_s)
        held = "nothing" if first.energy_uwh is None else f"{first.energy_uwh / 10**6:g} Wh"
        owed = f"{first.item.energy_uwh / 10**6:g} Wh"
        subject = self._destination.name_of(first.item.subject)
        return (
            f"{spoken(self._destination.name)} holds {held} where it accepted {owed} "
            f"({subject}, {at}), "
            f"and so for {len(others)} of {asked} slots; sent once more: {again}"
        )


def can_differ(held: Held, forecasts_uwh: Mapping[Item, Set[int]]) -> bool:
    """Whether what is held says how a destination tells: where it agrees, one that tells the
    forecast of that slot, or 0 for want of anything, would have told something else.
    """
    return not held.agrees or held.item.energy_uwh not in {0, *forecasts_uwh.get(held.item, ())}


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
