"""The agent's connection to an exchange: the login, the markets it sets fees in, and the websocket
over which it hears. Shell.

It is made again by itself, with waits that grow to a minute. The registry is read each time, every
few hours, and as soon as the exchange does not know a market any more.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.delivery.exchange.beside import Beside, NotTaken
from gateway.delivery.exchange.web_api import WebApi
from gateway.delivery.http_session import ExchangeError, NotAllowed, Session
from gateway.operator.fee import FeeType
from gateway.operator.frames import MAX_FRAME_BYTES, Said, Strange, said_in
from gateway.operator.markets import Held, Market, choose
from gateway.operator.slot_round import Batch
from gateway.timing.backoff import Backoff

if TYPE_CHECKING:
    from drivers.net.websocket import WebSocket

LOGIN_WITHIN_S = 15.0
BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0
STEADY_S = 30.0
"""A connection that lasted so long has worked."""
LOOK_EVERY_S = 6 * 3600.0
LOOK_AGAIN_S = 300.0
"""Where a market is not as it should be."""
LEAST_BETWEEN_S = 10.0
"""Doubts have the registry read no more often."""

_log = logging.getLogger(__name__)


class Wanted(Struct, frozen=True, kw_only=True):
    """What the connection is for."""

    network: str
    aggregator: str
    """Its name."""
    markets: Sequence[str]
    """Their names; empty: all that the registry gives the account."""
    fee_type: FeeType
    take_over: bool = False
    """Whether markets are taken from other aggregators."""
    dry_run: bool = False
    """Whether no fee is sent: then no market is taken over, either."""


class Condition(Struct):
    """How the connection is."""

    since_s: float | None = None
    """Since when it is open, by the loop's clock."""
    problem: str = ""
    """Why it is not, or was not."""
    errors: int = 0
    strange: int = 0
    """Frames that were no JSON, or too long."""


class Connection:
    """To one network. `jitter` gives random numbers from 0 to 1."""

    def __init__(self, session: Session, wanted: Wanted, jitter: Callable[[], float]) -> None:
        self._session = session
        self._beside = Beside(session)
        self._api = WebApi(self._beside, wanted.network)
        self._wanted = wanted
        self._backoff = Backoff(BACKOFF_S, MAX_BACKOFF_S, jitter)
        self._aggregator = ""
        self._socket: WebSocket | None = None
        self._doubts = asyncio.Event()
        self._ignored_slots = 0
        self.condition = Condition()
        self.markets: tuple[Market, ...] = ()
        """Those that fees are set in."""
        self.problems: dict[str, str] = {}
        """Why others are left out, by their names."""

    @property
    def url(self) -> str:
        """Of the exchange."""
        return self._session.url

    @property
    def aggregator(self) -> str:
        """Its name."""
        return self._wanted.aggregator

    async def aclose(self) -> None:
        """Close all connections."""
        await self._beside.aclose()
        await self._session.aclose()

    async def listen(self) -> AsyncGenerator[Said | None, None]:
        """What the exchange says, for ever. None: the connection was opened, or lost."""
        from drivers.net.websocket import WebsocketClosed

        while True:
            wait_s = None
            try:
                await self._look()
                path = f"external-ws/{self._wanted.network}/aggregator/{self._aggregator}/"
                self._socket = await self._beside.open_websocket(path, MAX_FRAME_BYTES)
                self._found()
                yield None
                async for said in self._frames(self._socket):
                    yield said
            except WebsocketClosed as error:
                self._lose(str(error))
            except ExchangeError as error:
                self._lose(str(error))
                wait_s = error.retry_after_s
            finally:
                await self._close_socket()
            yield None
            await asyncio.sleep(wait_s or self._backoff.fail())

    async def send(self, transaction_id: str, batch: Batch) -> None:
        """Hand on a batch. Raises ExchangeError."""
        # The websocket outlives a login that was taken away and refused for a while.
        await self._session.log_in(LOGIN_WITHIN_S)
        await self._api.command(self._aggregator, transaction_id, batch.commands)

    async def let_go(self) -> None:
        """Act for no market any more, as far as the exchange takes that."""
        for market in self.markets:
            try:
                await self._api.unselect_aggregator(self._aggregator, market.uuid)
            except ExchangeError as error:
                _log.warning("the market %s is not let go of: %s", market.name, error)

    # --- the registry -----------------------------------------------------------------------------

    def doubt(self) -> None:
        """The exchange does not know a market."""
        self._doubts.set()

    def note_slot(self, *, was_ignored: bool) -> None:
        """A slot is over. Where nothing that was sent was answered, the exchange may know none of
        the markets, as where its network was made anew: looked at after 1, 2, 4, 8 … such slots.
        """
        self._ignored_slots = self._ignored_slots + 1 if was_ignored else 0
        if self._ignored_slots.bit_count() == 1:
            self.doubt()

    async def watch_registry(self) -> None:
        """Read it again now and then, for ever."""
        while True:
            await asyncio.sleep(LEAST_BETWEEN_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S if self.problems else LOOK_EVERY_S):
                    await self._doubts.wait()
            is_doubted = self._doubts.is_set()
            self._doubts.clear()
            if self._socket is None:
                continue
            before = self._aggregator
            try:
                await self._look(again=is_doubted)
            except ExchangeError as error:
                _log.info("the exchange's registry cannot be read: %s; it is tried again", error)
            if self._aggregator != before:
                await self._close_socket()

    async def _look(self, *, again: bool = False) -> None:
        """Know the aggregator and its markets. `again`: select them even where the registry says
        that it acts for them. Raises ExchangeError.
        """
        await self._session.log_in(LOGIN_WITHIN_S)
        name = self._wanted.aggregator
        self._aggregator, is_new = await self._api.find_or_create_aggregator(name)
        if is_new:
            _log.info("made the aggregator %s", name)

        nodes = await self._api.registry()
        wanted = self._wanted
        chosen = choose(
            nodes, wanted.markets, name, take_over=wanted.take_over, dry_run=wanted.dry_run
        )
        markets = list(chosen.ours)
        for market in chosen.ours if again or is_new else ():
            await self._select(Held(market), chosen.problems)
        for held in chosen.to_select:
            if await self._select(held, chosen.problems):
                markets.append(held.market)

        self._tell(chosen.problems)
        self.markets = tuple(sorted(markets, key=lambda market: (market.name, market.uuid)))

    async def _select(self, held: Held, problems: dict[str, str]) -> bool:
        """Whether the aggregator acts for it now. Raises ExchangeError where nobody answers."""
        market = held.market
        try:
            if held.by:
                others = await self._api.aggregators()
                if held.by in others:
                    await self._api.unselect_aggregator(others[held.by], market.uuid)
                _log.warning("taking the market %s over from %s", market.name, held.by)
            await self._api.select_aggregator(self._aggregator, market.uuid)
        except (NotTaken, NotAllowed) as error:
            if "already" in str(error).lower() and self._aggregator in str(error):
                return True
            problems[market.name] = (
                f"the aggregator {self._wanted.aggregator!r} is not let set its fees: {error} — "
                "have the exchange's operator, or that aggregator's user, let it go"
            )
            return False
        return True

    def _tell(self, problems: dict[str, str]) -> None:
        for name, text in problems.items():
            if self.problems.get(name) != text:
                _log.warning("%s: %s", f"market {name}" if name else "markets", text)
        for name in self.problems.keys() - problems.keys():
            _log.info("market %s: its fees are set again", name)
        self.problems = dict(problems)

    # --- the websocket ----------------------------------------------------------------------------

    async def _frames(self, socket: "WebSocket") -> AsyncIterator[Said]:
        """Raises WebsocketClosed."""
        opened_s = asyncio.get_running_loop().time()
        while True:
            too_long = socket.too_long
            frame = await socket.receive()
            self.condition.strange += socket.too_long - too_long
            if asyncio.get_running_loop().time() - opened_s >= STEADY_S:
                self._backoff.succeed()
            try:
                said = said_in(frame, self._wanted.fee_type)
            except Strange:
                self.condition.strange += 1
                continue
            if said is not None:
                yield said

    async def _close_socket(self) -> None:
        socket, self._socket = self._socket, None
        self.condition.since_s = None
        if socket is not None:
            await socket.aclose()

    def _found(self) -> None:
        if self.condition.problem:
            _log.info("the exchange is heard again: fees are set in %d markets", len(self.markets))
        self.condition.since_s = asyncio.get_running_loop().time()
        self.condition.problem = ""

    def _lose(self, problem: str) -> None:
        if not self.condition.problem:
            _log.warning("the exchange is not heard: %s; it is tried again", problem)
        self.condition.problem = problem
        self.condition.errors += 1
