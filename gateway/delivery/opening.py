"""Opening a destination: what its kind is handed, and what runs it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.destination import Delivery, Destination
from gateway.delivery.kinds import kind_of
from gateway.delivery.masked_words import masked_words
from gateway.delivery.uploader import Uploader
from gateway.outbox.item import Subject
from gateway.site.settings import DestinationSettings, Settings
from gateway.store.buffer import Buffer

if TYPE_CHECKING:
    import httpx

    from gateway.delivery.handover import Handover
    from gateway.delivery.mqtt_session import Connects
    from gateway.history.answers import Problem
    from gateway.monitoring.report import Report


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """One destination's surroundings.

    Logins are read with `site.credentials(name)` whenever one is needed: the file may have been
    changed.
    """

    name: str
    """The destination's, in the configuration."""
    site: Settings
    """All that the installer wrote."""
    buffer: Buffer
    """What is settled; and where a kind keeps its own record, if it keeps one."""
    now: Callable[[], float]
    """Unix time."""
    trusted: Callable[[], bool]
    """Whether that is believed."""
    jitter: Callable[[], float]
    """Random numbers from 0 to 1."""
    handover: "Handover | None" = None
    """What the fleet delivers in this gateway's place; all destinations share one."""
    condition: "Callable[[], tuple[Report, list[Problem]]] | None" = None
    """How the whole gateway is, and what is wrong; None: nobody knows."""
    mqtt: "Connects | None" = None
    """Where a simulation puts its broker."""
    http: "httpx.AsyncBaseTransport | None" = None
    """Where a simulation takes the place of the network."""

    @property
    def slot_s(self) -> int:
        """Length of a market slot."""
        return int(self.site.market.slot)

    def name_of(self, subject: Subject) -> str:
        """What people call a subject."""
        return name_in(self.site, subject)

    def shared_handover(self) -> "Handover":
        """What the fleet delivers in this gateway's place."""
        from gateway.delivery.handover import Handover

        return self.handover or Handover(self.buffer, self.now, self.slot_s, self.name_of)


def name_in(site: Settings, subject: Subject) -> str:
    """What people call a subject."""
    names = (asset.name for asset in site.assets if asset.uuid == subject)
    return next(names, str(subject))


def open_destination(settings: DestinationSettings, opening: Opening) -> Destination | Delivery:
    """One destination, not connected yet."""
    opened: Destination | Delivery = kind_of(settings).open(settings, opening)
    return opened


def open_delivery(settings: DestinationSettings, opening: Opening) -> Delivery:
    """The task of one destination, with its own patience."""
    opened = open_destination(settings, opening)
    return upload(opened, opening) if isinstance(opened, Destination) else opened


def upload(opened: Destination, opening: Opening) -> Uploader:
    """What delivers to a destination whose items are rows of the outbox."""
    return Uploader(
        masked_words(opened, opening.site.secrets.masked),
        opening.buffer.outbox(opening.name),
        now=opening.now,
        trusted=opening.trusted,
        jitter=opening.jitter,
    )
