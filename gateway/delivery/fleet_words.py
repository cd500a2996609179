"""What a fleet's collector says, and what becomes of it: what is stored is forgotten, what is
refused is noted, what is asked for goes again. Shell: it writes the buffer, and logs.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.net.mqtt import Message
from gateway.delivery.fleet_parcels import Place
from gateway.delivery.handover import Handover
from gateway.energy.slot import Event
from gateway.outbox.fleet.messages import Ack, BadMessage, decode_ack, topic_of
from gateway.outbox.fleet.shipping import Shipping
from gateway.store.buffer import Buffer
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

UNHEARD_S = 120.0
"""Who has heard nothing for so long since the connection began is told what to look at."""
_MOST_LOGGED = 20


@dataclass(slots=True)
class Health:
    """How it goes. Times are Unix seconds."""

    state: str = "connecting"
    last_success_s: float | None = None
    errors: int = 0
    last_error: str = ""
    last_error_s: float | None = None
    stored: int = 0
    refused: int = 0
    sent: int = 0
    warning: str = ""
    logged: set[str] = field(default_factory=set)


class FleetWords:
    """Of one gateway. `now` is Unix time; `backoff` is that of the connection."""

    def __init__(
        self,
        place: Place,
        buffer: Buffer,
        shipping: Shipping,
        handover: Handover,
        backoff: Backoff,
        now: Callable[[], float],
    ) -> None:
        self._place = place
        self._buffer = buffer
        self._shipping = shipping
        self._handover = handover
        self._backoff = backoff
        self._now = now
        self._acks: list[Ack] = []
        self._counts_right = False
        """Numbers of changes are given from the present time on."""
        self.health = Health()

    def joined(self, store: str, *, trusted: bool) -> str:
        """By which name the fleet knows the buffer's file now; it was `store` before. Another file
        may have taken its place. `trusted`: it is known what time it is. Raises StoreError.
        """
        changes = self._buffer.tables.changes
        found = changes.join()
        if found != store:
            self._shipping.forget()
            self._counts_right = False
        if trusted and not self._counts_right:
            changes.count_from(self._now())
            self._counts_right = True
        return found

    def received(self, message: Message) -> None:
        """Something came on the topic of acknowledgements."""
        try:
            self._acks.append(decode_ack(message.payload))
        except BadMessage as error:
            self.failed(f"an acknowledgement: {error}", self.health.state)

    def take_all(self) -> None:
        """Go by all that came. Raises StoreError: then it is looked at again."""
        while self._acks:
            ack = self._acks[0]
            if ack.store == self._buffer.tables.changes.store and not self._is_of_a_twin(ack):
                self._take(ack)
            self._acks.pop(0)

    def _is_of_a_twin(self, ack: Ack) -> bool:
        """Whether it is about what was never sent from here: another gateway has a copy of this
        buffer, and the same name. From now on this one has a name of its own there, so that neither
        forgets what only the other has delivered. Raises StoreError.
        """
        changes = self._buffer.tables.changes
        newest = max((end for _, end in _decided(ack)), default=0)
        if not self._counts_right or newest <= changes.newest_seq:
            return False
        changes.begin_anew()
        self._note(
            f"another gateway that is called {self._place.site} delivers to the fleet from a copy "
            "of this buffer: was the card copied? Give one of them another site name; until then "
            "both deliver, and the collector keeps what differs"
        )
        return True

    def _take(self, ack: Ack) -> None:
        changes, health = self._buffer.tables.changes, self.health
        if decided := _decided(ack):
            changes.stored(ack.stored, self._now())
            for each in ack.refused:
                changes.stored([each.seq], self._now(), f"the fleet refuses it: {each.why}")
            self._shipping.done(decided)
            health.last_success_s = self._now()
            self._backoff.succeed()
            self.set_state("ok")
        for begin_s, end_s in ack.ask:
            changes.note_again(begin_s, end_s + 1)
        if ack.verdicts:
            self._handover.told(ack.verdicts)
        health.stored += sum(end - begin + 1 for begin, end in ack.stored)
        for refused in ack.refused:
            health.refused += refused.seq[1] - refused.seq[0] + 1
            self._note(f"the fleet's collector refuses what it was sent: {refused.why}")
        if ack.warning and ack.warning != health.warning:
            self._note(f"the fleet's collector warns: {ack.warning}")
        health.warning = ack.warning

    # --- for people -------------------------------------------------------------------------------

    def say_if_unheard(self, connected_s: float) -> None:
        """Nothing was ever stored, though something was sent long ago: brokers take whatever they
        then throw away.
        """
        health, place = self.health, self._place
        is_unheard = health.last_success_s is None and health.sent and connected_s > UNHEARD_S
        if is_unheard and health.state != "unheard":
            topic = topic_of(place.topic, place.site, "slots")
            self.failed(
                f"the broker takes what is published to {topic}, and no collector has ever said a "
                "word: does it run (meter-gateway fleet check, at the community's server), is this "
                "site's name the login's name, and is the topic the fleet's?",
                "unheard",
            )

    def set_state(self, state: str) -> None:
        """It is like that from now on."""
        if state == "ok" and self.health.state != "ok":
            _log.info("%s: the fleet's collector stores what it is sent", self._place.name)
            self.health.logged.clear()
        self.health.state = state

    def failed(self, why: str, state: str) -> None:
        """Something is wrong: a line is logged once, until it is well again."""
        health = self.health
        health.state, health.last_error, health.last_error_s = state, why, self._now()
        health.errors += 1
        if why not in health.logged and len(health.logged) < _MOST_LOGGED:
            health.logged.add(why)
            _log.warning("%s: %s; trying again", self._place.url, why)

    def _note(self, text: str) -> None:
        _log.warning("%s: %s", self._place.name, text)
        self._buffer.note(Event(round(self._now() * 1000), "", "fleet", text))


def _decided(ack: Ack) -> list[tuple[int, int]]:
    """The numbers that it settles."""
    return [*ack.stored, *(each.seq for each in ack.refused)]
