"""Hears what the exchange's engine makes of what it took: its verdicts, over websockets. Shell.

    external-ws/{network}/{asset}/                     one for each asset
    external-ws/{network}/aggregator/{aggregator}/     or one for all of an aggregator's

Each connection is made again by itself, with waits that grow to a minute, by the login of the
deliveries, or a new one where that is not taken any more. Deliveries never wait for it: they have
a connection of their own. What comes is bounded, and what is no verdict is passed over.

Where the exchange says that it has no websocket (404), and none was ever open, its reply to the
request is all there will be. That counts then, and is said. One that was there in an earlier run is
waited for longer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from math import inf
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.delivery.exchange.addresses import Addresses
from gateway.delivery.exchange.beside import Beside, NobodyLoggedIn, NoWebsocket
from gateway.delivery.http_session import ExchangeError
from gateway.monitoring.report import NOT_HEARD
from gateway.outbox.exchange.answers import answer_for, answer_of_batch
from gateway.outbox.exchange.frames import Strange, verdict_in
from gateway.outbox.format import Answer
from gateway.outbox.item import Subject
from gateway.timing.backoff import Backoff
from gateway.timing.utc import utc_seconds

if TYPE_CHECKING:
    from drivers.net.websocket import WebSocket

BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0
RARELY_S = 300.0
"""Where there is no websocket, it is looked for so often."""
STEADY_S = 30.0
"""A connection that lasted so long has worked."""
OPEN_AT_ONCE = 4
"""So many are opened at a time."""
LOGIN_POLL_S = 0.2
MOMENT_S = 3.0
"""So long a first handshake has, before a backlog goes without it."""
MAX_WAITING = 256
"""Answers that were not looked at yet: beyond, the exchange has to wait."""
REMINDER_S = 3600.0
"""A connection that is lost over and over is said so often."""
VAIN_HANDSHAKES = 3
"""So many handshakes in a row that came to nothing, without a word or in another language, say that
there is no websocket, where there never was one.
"""
KNOWN_FOR_S = 3600.0
"""Where an earlier run has heard verdicts, it is not believed for so long that there are none."""

_NEWS = Answer("", None)
"""About nothing that was sent: how it stands with the verdicts has changed."""

_log = logging.getLogger(__name__)


class _Channel(msgspec.Struct):
    """One connection: what it is for, and how it is."""

    path: str
    subject: Subject | None
    """The asset; None: all of the aggregator's."""
    since_s: float | None = None
    """Since when it is open, Unix time."""
    problem: str = ""
    """Why it is not."""
    is_none: bool = False
    """The exchange has no websocket there."""
    handshakes_in_vain: int = 0
    opens_s: float | None = None
    """Since when its first handshake is under way, by the loop's clock; None: that has ended."""
    strange: int = 0
    """Frames that were no JSON, or too long, since the start."""


class _Past(msgspec.Struct):
    """What was, since the start."""

    has_opened: bool = False
    """There was ever a websocket."""
    is_said_lost: bool = False
    """That they are not heard was said, and not yet that they are again."""
    said_s: float = 0.0
    """When that was said last, Unix time."""


class HeardBefore(Protocol):
    """Whether an earlier run has heard verdicts."""

    @property
    def was_heard(self) -> bool:
        """It has."""

    def note_heard(self) -> None:
        """They are heard now."""


class Verdicts:
    """Of one exchange. `now` is Unix time, `jitter` gives random numbers from 0 to 1."""

    why_silent = (
        "perhaps the asset's live data is switched off there, or it is of a kind that takes none"
    )

    def __init__(
        self,
        beside: Beside,
        network: str,
        addresses: Addresses,
        *,
        now: Callable[[], float],
        jitter: Callable[[], float],
        known: HeardBefore,
    ) -> None:
        self._known = known
        self._expected_until_s = -inf
        """So long there should be a websocket, whatever the exchange says; by the loop's clock."""
        self._beside = beside
        self._network = network
        self._addresses = addresses
        self._now = now
        self._jitter = jitter
        self._channels: dict[str, _Channel] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._answers: asyncio.Queue[Answer | BaseException] = asyncio.Queue(MAX_WAITING)
        self._turn = asyncio.Semaphore(OPEN_AT_ONCE)
        self._past = _Past()

    # --- Acknowledges -----------------------------------------------------------------------------

    async def answers(self) -> AsyncIterator[Answer]:
        """Its verdicts, as they come, for ever."""
        if self._known.was_heard:
            self._expected_until_s = _loop_s() + KNOWN_FOR_S
        supervisor = asyncio.create_task(self._supervise())
        supervisor.add_done_callback(self._ended)
        try:
            while True:
                answer = await self._answers.get()
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            tasks = [supervisor, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What was not meant to end is a bug, and is not hidden."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._answers.get_nowait() if self._answers.full() else None
            self._answers.put_nowait(error)

    # --- Listening --------------------------------------------------------------------------------

    @property
    def words_come(self) -> bool:
        """Whether there are verdicts."""
        return self._past.has_opened or not any(each.is_none for each in self._channels.values())

    @property
    def is_awake(self) -> bool:
        """Whether anything is heard, or known not to come."""
        return not self.words_come or any(
            each.since_s is not None for each in self._channels.values()
        )

    @property
    def is_connecting(self) -> bool:
        """Whether a first handshake is under way, for a moment at most."""
        if self._addresses.changed.is_set():
            return True
        since_s = [each.opens_s for each in self._channels.values() if each.opens_s is not None]
        return any(_loop_s() - at_s < MOMENT_S for at_s in since_s)

    def since_s(self, subject: Subject) -> float | None:
        """Since when an asset's verdicts are heard, Unix time."""
        for channel in self._channels.values():
            if channel.subject in (subject, None):
                return channel.since_s
        return None

    @property
    def state(self) -> str:
        """For people."""
        channels = list(self._channels.values())
        is_open = [each for each in channels if each.since_s is not None]
        problem = next((each.problem for each in channels if each.problem), "")
        strange = sum(each.strange for each in channels)
        also = f"; {strange} frames were none" if strange else ""
        if not self.words_come:
            return f"cannot be had ({problem}): accepted means taken by HTTP"
        if channels and len(is_open) == len(channels):
            return f"on{also}"
        if is_open:
            return (
                f"on for {len(is_open)} of {len(channels)} assets ({problem or 'connecting'}){also}"
            )
        if problem:
            return f"{NOT_HEARD} ({problem}): what is sent waits for its verdict{also}"
        return "connecting"

    # --- the connections --------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Have one connection for each that should be there."""
        while True:
            self._addresses.changed.clear()
            wanted = dict(self._wanted())
            for path in [path for path in self._tasks if path not in wanted]:
                self._tasks.pop(path).cancel()
                del self._channels[path]
            for path, subject in wanted.items():
                if path not in self._tasks:
                    channel = self._channels[path] = _Channel(path, subject, opens_s=_loop_s())
                    task = self._tasks[path] = asyncio.create_task(self._keep(channel))
                    task.add_done_callback(self._ended)
            await self._addresses.changed.wait()

    def _wanted(self) -> list[tuple[str, Subject | None]]:
        addresses, path = self._addresses, f"external-ws/{self._network}"
        if addresses.by_aggregator:
            aggregator = addresses.aggregator
            return [(f"{path}/aggregator/{aggregator}/", None)] if aggregator else []
        return [(f"{path}/{uuid}/", asset) for asset, uuid in addresses.assets.items() if uuid]

    async def _keep(self, channel: _Channel) -> None:
        """Listen for ever."""
        backoff = Backoff(BACKOFF_S, MAX_BACKOFF_S, self._jitter)
        while True:
            began_s = _loop_s()
            try:
                async with self._turn:
                    socket = await self._beside.open_websocket(
                        channel.path, self._beside.max_frame_bytes
                    )
                await self._listen(channel, socket)
            except NoWebsocket as error:
                self._lose(channel, str(error))
                channel.handshakes_in_vain += 1
                in_vain = channel.handshakes_in_vain >= VAIN_HANDSHAKES
                is_expected = self._past.has_opened or _loop_s() < self._expected_until_s
                channel.is_none = (error.is_plain or in_vain) and not is_expected
                await self._answers.put(_NEWS)
            except NobodyLoggedIn:
                channel.opens_s = _loop_s()
                await asyncio.sleep(LOGIN_POLL_S)
                continue
            except ExchangeError as error:
                self._lose(channel, str(error))
            if _loop_s() - began_s >= STEADY_S:
                backoff.succeed()
            rarely = channel.is_none and not self._past.has_opened
            await asyncio.sleep(RARELY_S if rarely else backoff.fail())

    async def _listen(self, channel: _Channel, socket: "WebSocket") -> None:
        """Until the connection is lost."""
        from drivers.net.websocket import WebsocketClosed

        self._found(channel)
        await self._answers.put(_NEWS)
        try:
            while True:
                too_long = socket.too_long
                frame = await socket.receive()
                channel.strange += socket.too_long - too_long
                answer = self._answer_in(channel, frame)
                if answer is not None:
                    await self._answers.put(answer)
        except WebsocketClosed as error:
            self._lose(channel, str(error))
        finally:
            channel.since_s = None
            await socket.aclose()

    def _answer_in(self, channel: _Channel, frame: bytes) -> Answer | None:
        try:
            verdict = verdict_in(frame)
        except Strange:
            channel.strange += 1
            return None
        if verdict is None:
            return None
        if channel.subject is None:
            return answer_of_batch(verdict, self._addresses.here)
        return answer_for(verdict, channel.subject)

    def _found(self, channel: _Channel) -> None:
        """It is open."""
        channel.opens_s = None
        is_news = self._past.is_said_lost or not self._past.has_opened
        if not self._past.has_opened:
            self._known.note_heard()
        self._past.has_opened = True
        channel.problem, channel.is_none, channel.handshakes_in_vain = "", False, 0
        if is_news and not any(each.problem for each in self._channels.values()):
            self._past.is_said_lost = False
            _log.info("the exchange's verdicts are heard")
        channel.since_s = self._now()

    def _lose(self, channel: _Channel, problem: str) -> None:
        """It is not open. Said once, until it is. One that is lost over and over, and comes back at
        once, is said once an hour.
        """
        was_s, channel.since_s = channel.since_s, None
        channel.opens_s = None
        channel.problem = problem
        is_again = was_s is not None and 0 <= self._now() - self._past.said_s < REMINDER_S
        if self._past.is_said_lost or is_again:
            return
        self._past.is_said_lost, self._past.said_s = True, self._now()
        heard = f"heard since {utc_seconds(int(was_s))}, and lost" if was_s else "not heard"
        _log.warning(
            "the exchange's verdicts are %s: %s; deliveries go on, and it is tried again",
            heard,
            problem,
        )


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
