"""A site that delivers to a talking exchange, with the kind `exchange` as the daemon opens it."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from gateway.delivery.kinds import load
from gateway.delivery.opening import Opening, open_delivery
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.uploader import Uploader
from gateway.energy.slot import MeterState
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import Owed
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.gateway.delivery.exchange.talking_exchange import TalkingExchange
from tests.gateway.delivery.rig import ASSETS, NETWORK, running

SLOT = 900
_AHEAD_S = 300.0 - time.time() % SLOT
"""No slot ends while a test runs."""
HOUSE, PV = ASSETS[:2]

_YAML = """\
site: home-12
exchange:
  dialect: sdk
  url: {url}
  canary_network: {network}
  credentials: exchange.credentials
  spread: 0s
{more}
assets:
  - {{name: House, uuid: {house}, kind: load, energy: grid.import}}
  - {{name: PV, uuid: {pv}, kind: pv, energy: grid.export}}
"""


@dataclass
class TalkingSite:
    """What a test sees."""

    exchange: TalkingExchange
    buffer: Buffer
    delivery: Uploader
    newest_s: int
    """Start of the newest closed slot."""

    def owe(self, asset: UUID, *slots_s: int, kind: Kind = "measurement") -> None:
        """Commit items, and wake the delivery."""
        owe(self.buffer, asset, slots_s, kind)
        self.delivery.wake()

    def states(self, asset: UUID) -> list[str]:
        """Of the asset's items, oldest slot first."""
        return [owed.state for owed in self.buffer.owed() if owed.item.subject == asset]

    def reasons(self, asset: UUID) -> set[str]:
        return {owed.reason for owed in self.buffer.owed() if owed.item.subject == asset}


def now_s() -> float:
    """The site's time."""
    return time.time() + _AHEAD_S


def owe(buffer: Buffer, asset: UUID, slots_s: Sequence[int], kind: Kind = "measurement") -> None:
    """Commit items."""
    owed = tuple(
        Owed(
            Item("exchange", asset, slot_s, kind, 0, slot_s % 7919 + 1),
            SLOT,
            "measured",
            opens_s=0.0,
            closes_s=slot_s + 2 * SLOT if kind == "forecast" else None,
        )
        for slot_s in slots_s
    )
    number = int(time.monotonic_ns() // 1000)
    buffer.close(Closing("meter", number, MeterState(None, 0, 0, {}), (), owed, ()))
    buffer.flush()


def write_site(folder: Path, url: str, more: str = "", **names: object) -> None:
    """A configuration folder."""
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    values = {"url": url, "network": NETWORK, "house": HOUSE, "pv": PV, **names}
    text = _YAML.format(more="".join(f"  {line}\n" for line in more.splitlines()), **values)
    (folder / "gateway.yaml").write_text(text)
    device = "profile: eastron/sdm630\nline: tcp:127.0.0.1:1\naddress: 1\n"
    (folder / "devices/grid.yaml").write_text(device)
    login = folder / "exchange.credentials"
    login.write_text("username: gateway\npassword: let-me-in\n")
    login.chmod(0o600)


@asynccontextmanager
async def talking_site(
    folder: Path, more: str = "", exchange: TalkingExchange | None = None
) -> AsyncIterator[TalkingSite]:
    """A site that delivers to a talking exchange meanwhile."""
    async with exchange or TalkingExchange() as talking:
        write_site(folder / "site", talking.url, more)
        buffer = open_buffer(folder / "buffer.sqlite", now_s=now_s())
        try:
            delivery = opened(folder / "site", buffer)
            newest_s = int(now_s()) // SLOT * SLOT - 2 * SLOT
            async with running(delivery):
                yield TalkingSite(talking, buffer, delivery, newest_s)
        finally:
            buffer.close_file()


@asynccontextmanager
async def site_at(
    folder: Path, exchange: StandInExchange, yaml: str
) -> AsyncIterator[tuple[Buffer, Uploader]]:
    """A site with that gateway.yaml, which delivers to the engine's twin."""
    write_site(folder / "site", exchange.url)
    (folder / "site/gateway.yaml").write_text(yaml)
    buffer = open_buffer(folder / "buffer.sqlite", now_s=now_s())
    try:
        delivery = opened(folder / "site", buffer)
        async with running(delivery):
            yield buffer, delivery
    finally:
        buffer.close_file()


def opened(folder: Path, buffer: Buffer) -> Uploader:
    """The delivery to the exchange, as the daemon opens it."""
    site = load(folder)
    opening = Opening(
        name="exchange",
        site=site,
        buffer=buffer,
        now=now_s,
        trusted=lambda: True,
        jitter=lambda: 0.1,
    )
    delivery = open_delivery(site.destinations["exchange"], opening)
    assert isinstance(delivery, Uploader)
    return delivery
