"""Under which UUIDs the exchange knows what is delivered to it. They may become known, or change,
while the daemon runs. Pure but for the event that tells of it.
"""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from gateway.outbox.item import Subject


class Addresses:
    """Of one network. `by_asset` has the UUID there of each asset, by the UUID under which it is
    kept here.
    """

    def __init__(self, by_asset: Mapping[UUID, UUID | None], *, aggregator: bool = False) -> None:
        """None: it is not known yet. `aggregator`: all goes by way of one, which is not known
        yet.
        """
        self._there = dict(by_asset)
        self._here = _turned(by_asset)
        self.by_aggregator = aggregator
        self.aggregator = ""
        """Its UUID there; empty where it is not known, or there is none."""
        self.changed = asyncio.Event()

    @property
    def assets(self) -> Mapping[UUID, UUID | None]:
        """The UUID there of each asset."""
        return self._there

    def there(self, subject: Subject) -> UUID | None:
        """The UUID there; None: not known. One that is not among the assets (any more) is kept
        under the UUID it had there.
        """
        if isinstance(subject, UUID):
            return self._there.get(subject, subject)
        return None

    def here(self, text: str) -> Subject | None:
        """The asset that has this UUID there."""
        try:
            uuid = UUID(text)
        except ValueError:
            return None
        return self._here.get(uuid, uuid)

    def know(self, by_asset: Mapping[UUID, UUID | None]) -> None:
        """These are the UUIDs there."""
        if by_asset != self._there:
            self._there = dict(by_asset)
            self._here = _turned(by_asset)
            self.changed.set()

    def know_aggregator(self, uuid: str) -> None:
        """This is the aggregator; empty: it is not known any more."""
        if uuid != self.aggregator:
            self.aggregator = uuid
            self.changed.set()


def _turned(by_asset: Mapping[UUID, UUID | None]) -> dict[UUID, UUID]:
    return {there: here for here, there in by_asset.items() if there is not None}
