"""A site with a buffer, an uploader and a stand-in exchange, in virtual time or over a real
socket.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx

from gateway.delivery.destination import Delivery, Destination, Policy
from gateway.delivery.http_session import Session
from gateway.delivery.http_transport import HttpTransport, HttpVerifier
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.uploader import Uploader
from gateway.energy.slot import MeterState
from gateway.outbox.dialect import Dialect, ReadsBack
from gateway.outbox.dialects import load_dialect
from gateway.outbox.format import Closed, Margins, Number
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import Owed
from gateway.site.credentials import Credentials
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.simulation.virtual_time import VirtualLoop

NETWORK = UUID("8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10")
ASSETS = [UUID(f"26090dea-0000-4000-8000-{n:012d}") for n in range(1, 11)]
A, B, C = ASSETS[:3]
SLOT = 900
T0 = 1_774_746_000
"""2026-03-29T01:00Z: where virtual time begins."""
UNSENDABLE_UWH = 2 * 10**18
"""More than the stand-in believes."""


class AtTheSeam(httpx.AsyncBaseTransport):
    """The stand-in exchange in the place of the network."""

    def __init__(self, exchange: StandInExchange) -> None:
        self._exchange = exchange

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self._exchange.handle(
            request.method, request.url.raw_path.decode(), headers, await request.aread()
        )
        await asyncio.sleep(answer.delay_s)
        if answer.sends != "all":
            raise httpx.ReadError("the connection was dropped")
        return httpx.Response(
            answer.status, headers=list(answer.headers), stream=httpx.ByteStream(answer.body)
        )


class Nothing:
    """Selects nothing: the test itself writes what is owed."""

    def numbers(self, closed: Closed, now_s: float) -> Iterator[Number]:  # noqa: ARG002
        return iter(())


def exchange_of(
    dialect: Dialect, session: Session, policy: Policy, *, greets: bool = False
) -> Destination:
    """An exchange that is spoken to in a dialect."""
    transport = HttpTransport(session, dialect)
    return Destination(
        name="exchange",
        kind=type(dialect).__module__.rpartition(".")[2],
        selects=Nothing(),
        format=dialect,
        transport=transport,
        policy=policy,
        greets=transport if greets else None,
        verifies=HttpVerifier(session, dialect) if isinstance(dialect, ReadsBack) else None,
    )


class Site:
    """A buffer, an uploader and an exchange."""

    def __init__(
        self, path: Path, dialect: str, slot_s: int, now: Callable[[], float], *, real: bool = False
    ) -> None:
        self.now, self.slot_s, self.credentials, self.trusted = (
            now,
            slot_s,
            Credentials("gateway", "let-me-in"),
            True,
        )
        self.buffer: Buffer = open_buffer(path / "buffer.sqlite", now_s=T0)
        self.dialect = load_dialect(dialect, str(NETWORK), slot_s)
        self.exchange = StandInExchange(
            NETWORK,
            dict.fromkeys(ASSETS, "Load"),
            slot_s=slot_s,
            now=now,
            behaviour=Behaviour(refuses_at_once=True),
        )
        self._real = real
        self._closings = 0

    def uploader(self, *, quiet_s: float = 0.0, greets: bool = False) -> Uploader:
        transport = None if self._real else AtTheSeam(self.exchange)
        session = Session(self.exchange.url, lambda: self.credentials, 10, transport=transport)
        return Uploader(
            exchange_of(
                self.dialect,
                session,
                Policy(slot_s=self.slot_s, quiet_s=quiet_s),
                greets=greets,
            ),
            self.buffer.outbox("exchange"),
            now=self.now,
            trusted=lambda: self.trusted,
            jitter=lambda: 0.5,
        )

    def owe(
        self,
        slot_s: int,
        *assets: UUID,
        kind: Kind = "measurement",
        uwh: int | None = None,
        count: int = 1,
        revision: int = 0,
    ) -> None:
        """Commit items for `count` slots from `slot_s` on."""
        owed = []
        for start_s in range(slot_s, slot_s + count * self.slot_s, self.slot_s):
            window = self.dialect.window(kind, start_s, Margins(1.0, 1.0))
            for asset in assets:
                energy_uwh = start_s % 7919 + 1 if uwh is None else uwh
                owed.append(
                    Owed(
                        Item("exchange", asset, start_s, kind, revision, energy_uwh),
                        self.slot_s,
                        "measured",
                        opens_s=window.opens_s,
                        closes_s=window.closes_s,
                    )
                )
        self._closings += 1
        self.buffer.close(
            Closing("meter", self._closings, MeterState(None, 0, 0, {}), (), tuple(owed), ())
        )
        self.buffer.flush()

    def states(self) -> dict[str, int]:
        """How many items are in which state."""
        found: dict[str, int] = {}
        for owed in self.buffer.owed():
            found[owed.state] = found.get(owed.state, 0) + 1
        return found

    def sent(self, asset: UUID, what: str = "") -> list[float]:
        """When requests for an asset arrived, in seconds from T0; `what` is a part of their
        path.
        """
        return [
            at_s - T0
            for at_s, path, _ in self.exchange.journal
            if str(asset) in path and what in path
        ]

    def asked(self, asset: UUID) -> list[float]:
        """When it was asked what the exchange holds of an asset, in seconds from T0."""
        return self.sent(asset, "historical-data")

    def in_books(self, asset: UUID) -> bool:
        """Whether the exchange holds exactly the measurements that the buffer says it accepted."""
        accepted = {
            owed.item.slot_s: owed.item.energy_uwh
            for owed in self.buffer.owed()
            if (owed.item.subject, owed.item.kind, owed.state) == (asset, "measurement", "accepted")
        }
        return self.exchange.books.measurements[asset] == accepted


@contextmanager
def site_of(
    path: Path, dialect: str = "sdk", slot_s: int = SLOT, *, real: bool = False
) -> Iterator[Site]:
    loop = asyncio.get_running_loop()
    site = Site(path, dialect, slot_s, time.time if real else lambda: T0 + loop.time(), real=real)
    try:
        yield site
    finally:
        site.buffer.close_file()


async def until(condition: Callable[[], bool], within_s: float) -> None:
    """Wait in the loop's time."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def virtual(work: Awaitable[None]) -> None:
    """Run in virtual time."""

    async def run() -> None:
        await work

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(0.0)) as runner:
        runner.run(run())


class running:  # noqa: N801 — used like a function
    """Runs an uploader meanwhile; its death is the test's."""

    def __init__(self, uploader: Delivery) -> None:
        self._uploader = uploader

    async def __aenter__(self) -> Delivery:
        self._task = asyncio.create_task(self._uploader.run())
        return self._uploader

    async def __aexit__(self, *_: object) -> None:
        died = self._task.done()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if died:
            self._task.result()
