"""A site whose buffer is full, beside the engine's twin that holds what was delivered from it."""

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from gateway.delivery.simulated.community import Community, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.simulated.results import asset_statistics
from gateway.energy.slot import MeterState, Quality
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import Owed, State
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.gateway.delivery.rig import NETWORK

SLOT_S = 900
LOAD = UUID("26090dea-0000-4000-8000-000000000001")
PV = UUID("26090dea-0000-4000-8000-000000000002")
COUNT = 40

_YAML = """\
site: {{name: home-12, timezone: Europe/Berlin}}
exchange:
  dialect: {dialect}
  url: {url}
  canary_network: {network}
  credentials: exchange.credentials
assets:
  - {{name: House load, uuid: {load}, kind: load, energy: grid.import}}
  - {{name: PV, uuid: {pv}, kind: pv, energy: grid.export}}
buffer: {{path: buffer.sqlite}}
"""


def energy_uwh(asset: UUID, slot_s: int) -> int:
    """What was measured; never twice the same."""
    return 100_000_000 + (slot_s // SLOT_S % 9973) * 1009 + (17 if asset == LOAD else 23)


@dataclass
class HeldSite:
    """What a test sees."""

    folder: Path
    exchange: StandInExchange
    end_s: int
    """End of the newest slot that was delivered."""
    number: int = field(default=0)

    @property
    def first_s(self) -> int:
        """Start of the oldest slot."""
        return self.end_s - COUNT * SLOT_S

    def slot(self, number: int) -> int:
        """Start of a slot, counted from the oldest."""
        return self.first_s + number * SLOT_S

    def owe(
        self,
        asset: UUID,
        slots_s: Iterable[int],
        *,
        kind: Kind = "measurement",
        state: State = "accepted",
        revision: int = 0,
        energy: int | None = None,
        quality: Quality = "measured",
        sent_after_s: float = 960.0,
        reason: str = "",
    ) -> None:
        """Have items in the buffer that were sent so long after their slots' starts."""
        is_told = state in ("accepted", "rejected")
        owed = tuple(
            Owed(
                Item(
                    "exchange",
                    asset,
                    slot_s,
                    kind,
                    revision,
                    energy_uwh(asset, slot_s) if energy is None else energy,
                ),
                SLOT_S,
                quality,
                opens_s=0.0,
                closes_s=slot_s if kind == "forecast" else None,
                state=state,
                reason=reason,
                attempts=int(is_told),
                decided_s=None if state == "pending" else slot_s + sent_after_s,
                first_sent_s=slot_s + sent_after_s if is_told else None,
            )
            for slot_s in slots_s
        )
        buffer = open_buffer(self.folder / "buffer.sqlite", now_s=time.time())
        try:
            self.number += 1
            state_of_meter = MeterState(None, 0, 0, {})
            buffer.close(Closing("grid", self.number, state_of_meter, (), owed, ()))
            buffer.flush()
        finally:
            buffer.close_file()

    def hold(self, asset: UUID, slots_s: Iterable[int], energy: int | None = None) -> None:
        """Have the exchange hold what was measured, or something else."""
        for slot_s in slots_s:
            self.exchange.books.held.setdefault(asset, {})[slot_s] = (
                energy_uwh(asset, slot_s) if energy is None else energy
            )

    def lose(self, asset: UUID, *slots_s: int) -> None:
        """Have it forget some."""
        for slot_s in slots_s:
            self.exchange.books.held[asset].pop(slot_s, None)

    def forecast(self, asset: UUID, slots_s: Iterable[int]) -> None:
        """Have some slots foretold, on both sides: a little more than what comes."""
        for slot_s in slots_s:
            energy = energy_uwh(asset, slot_s) + 7
            self.owe(asset, [slot_s], kind="forecast", energy=energy, sent_after_s=-600.0)
            self.exchange.books.forecasts[asset][slot_s] = energy

    def results(self, name: str = "asset_statistics.json") -> Path:
        """What it offers for download."""
        books = self.exchange.books
        books.began_s = self.first_s
        tree = asset_statistics(self.exchange.community, books, SLOT_S, self.end_s)
        path = self.folder / name
        path.write_text(json.dumps(tree))
        return path

    def states(self, asset: UUID) -> dict[int, str]:
        """Of the newest measurements in the outbox, by slot."""
        buffer = open_buffer(self.folder / "buffer.sqlite", now_s=time.time())
        try:
            return {
                owed.item.slot_s: owed.state
                for owed in buffer.owed()
                if owed.item.subject == asset and owed.item.kind == "measurement"
            }
        finally:
            buffer.close_file()


def write_folder(
    folder: Path, exchange: StandInExchange, dialect: str = "sdk", password: str | None = None
) -> None:
    """Its configuration."""
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "devices/grid.yaml").write_text(
        "profile: eastron/sdm630\nline: tcp:127.0.0.1:1\naddress: 1\n"
    )
    login = folder / "exchange.credentials"
    login.touch(mode=0o600)
    login.write_text(f"username: {exchange.username}\npassword: {password or exchange.password}\n")
    (folder / "gateway.yaml").write_text(
        _YAML.format(dialect=dialect, url=exchange.url, network=NETWORK, load=LOAD, pv=PV)
    )


@asynccontextmanager
async def held_site(folder: Path) -> AsyncIterator[HeldSite]:
    """Forty slots of a load and a PV, measured, delivered and held, all of which ended a while
    ago.
    """
    root = Node(NETWORK, "Grid", "Area", children=[Node(LOAD, "House load"), Node(PV, "PV", "PV")])
    async with StandInExchange(NETWORK, Community(root), slot_s=SLOT_S) as exchange:
        write_folder(folder, exchange)
        end_s = int(time.time()) // SLOT_S * SLOT_S - 4 * SLOT_S
        site = HeldSite(folder, exchange, end_s)
        slots_s = range(site.first_s, end_s, SLOT_S)
        for asset in (LOAD, PV):
            site.owe(asset, slots_s)
            site.hold(asset, slots_s)
        yield site
