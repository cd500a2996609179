"""What a kind of destination is handed when it opens one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.outbox.item import Subject
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.timing.clock import Clock

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One destination's surroundings. Logins are read by `site.credentials(name)`, at the time when
    they are needed: the file may have been changed.
    """

    name: str
    """The destination's, in the configuration."""
    site: Settings
    """All that the installer wrote."""
    buffer: Buffer
    """What is settled, and a kind's own record where it keeps one."""
    clock: Clock
    jitter: Callable[[], float]
    """Random numbers from 0 to 1."""
    http: "httpx.AsyncBaseTransport | None" = None
    """Where a simulation takes the place of the network."""

    @property
    def slot_s(self) -> int:
        """Length of a market slot."""
        return int(self.site.market.slot)

    def name_of(self, subject: Subject) -> str:
        """What people call a subject."""
        names = {asset.uuid: asset.name for asset in self.site.assets}
        return names.get(subject, str(subject)) if not isinstance(subject, str) else subject
