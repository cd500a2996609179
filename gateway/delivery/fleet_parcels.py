"""Messages to a fleet's collector, made of what the buffer has when they are sent. Shell: it reads
the buffer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.net.mqtt import Broker
from gateway.delivery.mqtt_session import Connects
from gateway.outbox.fleet import making
from gateway.outbox.fleet.change import Deliver
from gateway.outbox.fleet.messages import VERSION, Slots, Status
from gateway.outbox.fleet.shipping import Parcel, spans_of
from gateway.store.buffer import Buffer

if TYPE_CHECKING:
    from gateway.delivery.own_certificate import OwnCertificate

DIGEST_DAYS = 7
"""So many whole days (UTC) are compared with the collector each hour, and the one that runs, where
nothing of it is on its way.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the collector listens, and who we are."""

    name: str
    """The destination's, in the configuration."""
    topic: str
    site: str
    version: str
    deliver: Deliver
    url: str
    broker: Callable[[], Broker]
    """Made anew for each connection: the login may have changed. Raises OSError, ConfigError."""
    connect: Connects
    status: Callable[[str], Status]
    """How the gateway is, of the buffer by that name."""
    certificate: "OwnCertificate | None" = None
    """With which the broker knows us, where it asks for one."""


class Parcels:
    """Of one gateway. `now` is Unix time. Each method may raise StoreError."""

    def __init__(self, place: Place, buffer: Buffer, now: Callable[[], float]) -> None:
        self._place = place
        self._tables = buffer.tables
        self._now = now

    def made(self, parcel: Parcel, store: str) -> tuple[Slots, Parcel]:
        """A message of as many of these changes as it takes, and which those are."""
        tables = self._tables
        slots_s = [change.slot_s for change in parcel.changes]
        at = {each: list(tables.slots.at(each)) for each in dict.fromkeys(slots_s)}
        of_assets = {each: list(tables.asset_slots.between(each, each + 1)) for each in at}
        deliver = parcel.changes[0].deliver
        foreseen = {
            each: tables.changes.handed.pending_at(each, "forecast") if deliver == "fleet" else []
            for each in at
        }
        rows_at = {each: len(at[each]) + len(of_assets[each]) + len(foreseen[each]) for each in at}
        fitting = {*making.slots_that_fit(slots_s, rows_at)}
        taken = Parcel(
            parcel.channel, tuple(change for change in parcel.changes if change.slot_s in fitting)
        )
        message = self._head(
            store,
            seq=spans_of(change.seq for change in taken.changes),
            deliver=deliver,
            items=[
                *making.asset_rows(s for each in fitting for s in of_assets[each]),
                *making.forecast_rows(o for each in fitting for o in foreseen[each]),
            ],
            meters=making.meter_rows(s for each in fitting for s in at[each]),
        )
        return message, taken

    def digests(self, store: str) -> Slots:
        """What the last days come to."""
        today_s = int(self._now()) // making.DAY_S * making.DAY_S
        is_all_there = not self._tables.changes.count()[0]
        slots = self._tables.asset_slots.between(
            today_s - DIGEST_DAYS * making.DAY_S, today_s + making.DAY_S * is_all_there
        )
        return self._head(store, digests=making.digests(slots))

    def _head(self, store: str, **more: object) -> Slots:
        place = self._place
        return Slots(
            v=VERSION,
            site=place.site,
            store=store,
            version=place.version,
            sent=int(self._now()),
            **{"seq": [], "deliver": place.deliver, **more},  # type: ignore[arg-type]  # the fields of Slots, by their names
        )
