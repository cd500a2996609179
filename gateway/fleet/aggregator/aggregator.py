"""The fleet as one agent towards the exchange, in `fleet run`: any number of processes may do it at
once. Shell.

Three tasks with a connection to the database each: one sends, one notes verdicts and tells
gateways, one looks after the rest (what is late, silent, unbound). The last does it in one process
at a time, whichever has the lock. While the database or the exchange is away they wait, and what is
owed stays in the database.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Never

from gateway.delivery.exchange.addresses import Addresses
from gateway.delivery.exchange.beside import Beside, NobodyLoggedIn
from gateway.delivery.exchange.verdicts import Verdicts
from gateway.delivery.exchange.web_api import WebApi
from gateway.delivery.http_session import ExchangeError, Session
from gateway.delivery.http_transport import HttpTransport
from gateway.fleet import migrating
from gateway.fleet.aggregator import upkeep
from gateway.fleet.aggregator.binding import Binding
from gateway.fleet.aggregator.health import AggregatorHealth
from gateway.fleet.aggregator.listener import Listener
from gateway.fleet.aggregator.numbers import Windows
from gateway.fleet.aggregator.read_back import read_back
from gateway.fleet.aggregator.sender import Sender
from gateway.fleet.aggregator.settings import ExchangeSettings
from gateway.fleet.aggregator.table import Rules
from gateway.fleet.aggregator.telling import acks_of
from gateway.fleet.database import Connection, DatabaseError, connect, translated
from gateway.fleet.settings import FleetSettings
from gateway.outbox.exchange.batch import Dialect
from gateway.outbox.fleet.messages import Ack
from gateway.site.credentials import ConfigError, Credentials
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

BACKOFF_S = (0.5, 15.0)
STEADY_S = 30.0
"""A connection that lasted so long has worked."""
NOTE_EVERY_S = 1.0
ALIVE_EVERY_S = 5.0
"""The others judge by it whether somebody listened."""
TEND_EVERY_S = 2.0
COUNT_EVERY_S = 10.0
FORGET_EVERY_S = 3600.0
MAX_TOLD = 1_000
"""Outcomes that gateways are told at a time."""
BESIDE_OTHERS_S = 60.0
MAX_REGISTRY_BYTES = 64 << 20
"""Some 300,000 assets."""
MAX_FRAME_BYTES = 4 << 20
"""A verdict on a whole request: some 500 bytes for each of its assets, beside its numbers."""

Tell = Callable[[str, Ack], bool]
"""Hand a message for a site's gateway to the broker; whether there is one to hand it to."""


@dataclass(slots=True)
class _HeardBefore:
    """A server has no file to remember it in: as in an earlier run, verdicts are waited for."""

    was_heard: bool = True

    def note_heard(self) -> None:
        """They are heard now."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an aggregator is made of."""

    rules: Rules
    dialect: Dialect
    session: Session
    beside: Beside
    binding: Binding
    addresses: Addresses
    listener: Listener | None
    sender: Sender

    @classmethod
    def of(
        cls,
        exchange: ExchangeSettings,
        credentials: Callable[[], Credentials],
        health: AggregatorHealth,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> "_Parts":
        """Not connected yet."""
        slot_s, network = int(exchange.slot), str(exchange.canary_network)
        rules = Rules(
            # A login, the request, and as long again for what is still on its way then.
            claim_s=3 * exchange.timeout,
            beside_others_s=min(BESIDE_OTHERS_S, slot_s),
            slot_s=slot_s,
        )
        dialect = Dialect(network, slot_s)
        session = Session(exchange.url, credentials, exchange.timeout)
        beside = Beside(session, MAX_REGISTRY_BYTES, MAX_FRAME_BYTES)
        binding = Binding(WebApi(beside, network), exchange.aggregator)
        addresses = Addresses({}, aggregator=True)
        verdicts = listener = None
        if exchange.hears_verdicts:
            verdicts = Verdicts(
                beside, network, addresses, now=now, jitter=jitter, known=_HeardBefore()
            )
            listener = Listener(verdicts, rules, health, now)
        else:
            health.verdicts = "off: accepted means taken by HTTP"
        sender = Sender(
            exchange,
            HttpTransport(session, dialect, verdicts),
            dialect,
            rules,
            health,
            binding=binding,
            now=now,
            jitter=jitter,
        )
        return cls(rules, dialect, session, beside, binding, addresses, listener, sender)


class Aggregator:
    """Delivers what is owed to the exchange of `settings`. `name` tells this process from others;
    `now` is Unix time, `jitter` gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        settings: FleetSettings,
        exchange: ExchangeSettings,
        name: str,
        tell: Tell,
        *,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._exchange = exchange
        self.name = name
        self._tell = tell
        self._now = now
        self._jitter = jitter
        self.health = AggregatorHealth(state_since_s=now())
        self._parts = _Parts.of(exchange, self._credentials, self.health, now, jitter)

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._with_database(self._parts.sender.run))
                tasks.create_task(self._with_database(self._note_all))
                tasks.create_task(self._with_database(self._tend_all))
                if self._parts.listener is not None:
                    tasks.create_task(self._parts.listener.run())
        finally:
            await self._parts.session.aclose()
            await self._parts.beside.aclose()

    def _credentials(self) -> Credentials:
        login = self._settings.login(self._exchange.credentials)
        assert login is not None
        return login

    async def _with_database(self, work: Callable[[Connection], Awaitable[Never]]) -> Never:
        backoff = Backoff(*BACKOFF_S, self._jitter)
        loop_s = asyncio.get_running_loop().time
        while True:
            connection: Connection | None = None
            began_s = loop_s()
            try:
                connection = await connect(self._settings, f"meter-gateway fleet {self.name}")
                await migrating.require(connection)
                await work(connection)
            except (DatabaseError, ConfigError) as error:
                if loop_s() - began_s >= STEADY_S:
                    backoff.succeed()
                _log.log(
                    logging.INFO if backoff.failures else logging.WARNING,
                    "the aggregator's database: %s; trying again",
                    error,
                )
            finally:
                if connection is not None:
                    await connection.close()
            await asyncio.sleep(backoff.fail())

    # --- verdicts, and telling --------------------------------------------------------------------

    async def _note_all(self, connection: Connection) -> Never:
        loop_s = asyncio.get_running_loop().time
        alive_s = float("-inf")
        while True:
            if self._parts.listener is not None:
                await self._parts.listener.note(connection)
            if loop_s() - alive_s >= ALIVE_EVERY_S:
                heard_for_s = (
                    None if self._parts.listener is None else self._parts.listener.heard_for_s()
                )
                if self._parts.listener is not None:
                    await self._parts.listener.note(connection)
                health = self.health
                await upkeep.note_alive(
                    connection, self.name, health.state, health.reason, heard_for_s
                )
                alive_s = loop_s()
            if not await self._tell_some(connection):
                await asyncio.sleep(NOTE_EVERY_S)

    async def _tell_some(self, connection: Connection) -> bool:
        """Tell gateways what came of their numbers; whether there may be more. Raises
        DatabaseError.
        """
        with translated():
            async with connection.transaction():
                some = await upkeep.untold(connection, MAX_TOLD)
                told = [
                    each
                    for site, ack, numbers in acks_of(some)
                    if self._tell(site, ack)
                    for each in numbers
                ]
                if told:
                    await upkeep.note_told(connection, told)
        self.health.told += len(told)
        return len(told) == MAX_TOLD

    # --- what one of all processes does -----------------------------------------------------------

    async def _tend_all(self, connection: Connection) -> Never:
        loop_s = asyncio.get_running_loop().time
        counted_s = forgotten_s = float("-inf")
        backoff = Backoff(*BACKOFF_S, self._jitter)
        leads = False
        while True:
            wait_s = TEND_EVERY_S
            try:
                await self._parts.binding.look(connection)
                self._parts.addresses.know_aggregator(self._parts.binding.aggregator)
                leads = leads or await upkeep.lead(connection)
                if leads:
                    await self._tend(connection)
                backoff.succeed()
            except NobodyLoggedIn:
                pass  # the sender logs in
            except ExchangeError as error:
                _log.info("the exchange's aggregators: %s; trying again", error)
                wait_s = max(error.retry_after_s or 0.0, backoff.fail())
            if loop_s() - counted_s >= COUNT_EVERY_S:
                await self._count(connection)
                counted_s = loop_s()
            if loop_s() - forgotten_s >= FORGET_EVERY_S and not await upkeep.forget(connection):
                forgotten_s = loop_s()
            await asyncio.sleep(wait_s)

    async def _tend(self, connection: Connection) -> None:
        """Raises DatabaseError, ExchangeError."""
        now_s, slot_s, numbers = self._now(), self._parts.rules.slot_s, self.health.numbers
        answer_within_s = self._exchange.answer_within_s
        windows = self._windows(now_s)
        numbers["missed"] += await upkeep.miss_late(
            connection, self._parts.rules, windows.forecast_after_s, answer_within_s
        )
        next_slot_s = (int(now_s // slot_s) + 1) * slot_s
        resent = await upkeep.owe_unheard(
            connection, self._parts.rules, answer_within_s, next_slot_s
        )
        numbers["resent"] += resent
        if resent:
            _log.warning("%d numbers: %s", resent, upkeep.NO_VERDICT)
        while await self._parts.binding.bind(connection):
            pass
        settled_before_s = now_s - self._exchange.settlement - slot_s
        # What was sent during a slot is applied, and told, once the next one has begun.
        doubts = await upkeep.doubtful(
            connection, settled_before_s, slot_s + answer_within_s, MAX_ASKED
        )
        if doubts:
            await read_back(connection, self._parts.beside, self._parts.dialect, doubts)

    def _windows(self, now_s: float) -> Windows:
        return Windows.at(
            now_s, self._parts.dialect, self._parts.rules.slot_s, self._exchange.kept, None
        )

    async def _count(self, connection: Connection) -> None:
        measured_until_s = self._windows(self._now()).measured_until_s
        self.health.counted = await upkeep.counted(connection, measured_until_s)


MAX_ASKED = 20
"""Assets of which the exchange is asked what it holds, in one turn."""
