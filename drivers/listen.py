"""Listens to a meter that pushes telegrams by itself: what came, and when its first byte did.

Used by the drivers of all protocols that push (P1, SML, IEC 62056-21 mode D). How bytes become
telegrams is their framer's business.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from drivers.foreign import BY_SIGHT, HEARD_BYTES, Foreign, Kind, foreign
from drivers.line_protocol import BadReply, NoReply
from drivers.sample import Reading

if TYPE_CHECKING:
    from drivers.line import Line, MeterError
    from drivers.profile import DeviceAddress

# What costs CPU on a serial line is waking up, not bytes: so after bytes have come, sleep a while
# and take all that came meanwhile. The kernel keeps 4 KiB for us, which is 355 ms of 115200 8N1, so
# this loses none.
NAP_S = 0.04
# Where nobody has listened for this long, the kernel's buffer may have overflowed, and no one knows
# when its bytes came: they are dropped.
ABSENCE_S = 0.3


PATIENCE_PERIODS = 3
"""How many of the meter's periods may pass without a proper telegram."""

REST_S = 10.0
"""So much longer the rest of a telegram may take that has begun: some meters pause in it, and so do
bridges to a network.
"""


class Framed(Protocol):
    """What a framer gives out."""

    @property
    def start(self) -> int:
        """How many bytes of the stream came before it."""


Event = TypeVar("Event", bound=Framed)
Event_co = TypeVar("Event_co", bound=Framed, covariant=True)


class Framer(Protocol[Event_co]):
    """Cuts a stream of bytes into telegrams, whatever chunks they come in."""

    noise_bytes: int
    """Bytes that came outside telegrams."""
    noise_sample: bytes
    """The first of them since this was last emptied."""

    @property
    def offset(self) -> int:
        """The number of bytes fed so far."""

    @property
    def open_start(self) -> int | None:
        """Where in the stream the telegram begins whose end has not come yet."""

    @property
    def open_bytes(self) -> int:
        """How many bytes of that telegram have come."""

    @property
    def awaits_silence(self) -> bool:
        """Only silence can tell that the open telegram is complete: call `silence` then."""

    @property
    def silence_s(self) -> float:
        """How much silence that takes, in seconds: for so long something may still come."""

    def feed(self, data: bytes) -> Sequence[Event_co]:
        """Take bytes in, and give out what they complete, in order."""

    def silence(self) -> Sequence[Event_co]:
        """The line has been quiet for a while: give out what is complete by that."""

    def forget(self) -> None:
        """Bytes of the stream were thrown away unseen: what is here is not continued by what comes
        next.
        """


class Listener(Generic[Event]):
    """What comes on a line, through a framer, into `events`: each with the event loop's time at
    which its first byte arrived.
    """

    def __init__(self, line: "Line", framer: Framer[Event]) -> None:
        self.events: deque[tuple[Event, float]] = deque()
        self.heard = b""
        """What came last, as it came."""
        self._line = line
        self._framer = framer
        # The first byte of what came last, and when it arrived. A framer knows a start a few bytes
        # later, so four bundles are enough.
        self._bundles: deque[tuple[int, float]] = deque(maxlen=4)
        self._open: tuple[int, float] | None = (
            None  # the telegram that has begun: its first byte, and when that arrived
        )
        self._looked_s = asyncio.get_running_loop().time()
        self._heard_s = self._looked_s  # when bytes came last
        self._nap_until_s = 0.0

    def resume(self) -> None:
        """Somebody listens again. What came while nobody did is dropped if that was for longer than
        0.3 s. Raises LineError.
        """
        if asyncio.get_running_loop().time() - self._looked_s > ABSENCE_S:
            self._line.drain()
            self._framer.forget()
            self.events.clear()
            self.heard = b""
            self._bundles.clear()
            self._open = None

    async def listen(self, deadline_s: float) -> None:
        """Take what has come, or wait for it until `deadline_s`; note when it came and what it
        completes. Raises LineError.
        """
        now_s = asyncio.get_running_loop().time
        if (nap_s := min(self._nap_until_s, deadline_s) - now_s()) > 0:
            await asyncio.sleep(nap_s)
        silent_s = math.inf
        if self._framer.awaits_silence:
            silent_s = self._heard_s + self._framer.silence_s
        data = await self._line.read(min(deadline_s, silent_s))
        earliest_s, self._looked_s = self._looked_s, now_s()
        if data:
            self._heard_s = self._looked_s
            self.heard = (self.heard + data)[-HEARD_BYTES:]
            self._nap_until_s = self._looked_s + NAP_S
            # Its last byte has just arrived, its first a wire time earlier, but not before the last
            # look, which took all there was.
            arrived_s = max(earliest_s, self._looked_s - (len(data) - 1) * self._line.char_s)
            self._bundles.append((self._framer.offset, arrived_s))
        events = self._framer.feed(data) if data else ()
        if not data and self._looked_s >= silent_s:
            events = self._framer.silence()
        for event in events:
            self.events.append((event, self._arrival_s(event.start)))
        if (start := self._framer.open_start) is not None:
            self._open = start, self._arrival_s(start)

    def _arrival_s(self, start: int) -> float:
        """When the byte at `start` of the stream arrived: the first of the open telegram, or one of
        the last bundles.
        """
        if self._open is not None and self._open[0] == start:
            return self._open[1]
        begin, arrived_s = next(
            (bundle for bundle in reversed(self._bundles) if bundle[0] <= start), self._bundles[0]
        )
        return arrived_s + (start - begin) * self._line.char_s


class Unusable(Exception):
    """A telegram that came whole cannot be used; the text says why. The next one may be."""


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at, where no proper telegram comes."""

    silent: str
    """Nothing ever came."""
    fell_silent: str
    """Nothing comes any more."""
    cut_off: str
    """A telegram began and did not end."""
    damaged: str = "damaged"
    """What those are that could not be used."""


class PushDriver(ABC, Generic[Event]):
    """Reads one meter that pushes telegrams: what is the same for every protocol.

    `damaged` counts the telegrams that came damaged, `last_damage` says what was wrong with the
    last.
    """

    hints: ClassVar[Hints]
    own: ClassVar[frozenset[Kind]]
    """What is not foreign on its line."""

    def __init__(
        self, line: "Line", device: "DeviceAddress", framer: Framer[Event], period_s: float
    ) -> None:
        """`period_s`: how often the meter sends."""
        self.damaged = 0
        self.last_damage: str | None = None
        self._patience_s = max(PATIENCE_PERIODS * period_s, device.timeout_s or 0.0)
        self._stream = framer
        self._listener: Listener[Event] = Listener(line, framer)
        # How many bytes outside telegrams had come when a reading was due, and when they were
        # looked at last.
        self._noise_due = self._noise_seen = 0

    @property
    def noise_bytes(self) -> int:
        """Bytes that came outside telegrams."""
        return self._stream.noise_bytes

    async def read(self, due_s: float) -> Reading:
        """The first proper telegram whose first byte arrived at or after `due_s`; `taken_s` is when
        it arrived.

        Raises NoReply where no byte comes until three periods of the meter (or the device's
        timeout, if longer) after `due_s`, BadReply where only noise or telegrams come that cannot
        be used until then (ten seconds more where part of a telegram came), LineError where the
        line is gone. Call it again at once: bytes that nobody takes for 0.3 s are dropped, because
        no one could say when they came. What is proved to be of another protocol is a BadReply as
        soon as it is due.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self._listener.resume()
        deadline_s = max(due_s, began_s) + self._patience_s
        rest_s = deadline_s + REST_S
        damaged_before, offset_before = self.damaged, self._stream.offset
        self._stream.noise_sample = b""
        self._noise_due = self._stream.noise_bytes
        while True:
            if (reading := self._take(due_s)) is not None:
                self._listener.heard = b""
                damaged = self.damaged - damaged_before
                return (
                    replace(reading, damaged=damaged, damage=self.last_damage or "")
                    if damaged
                    else reading
                )
            if loop.time() < due_s:
                self._noise_due = self._stream.noise_bytes
            elif (stranger := self._stranger()) is not None:
                raise BadReply(f"no telegram: {stranger.text}")
            if loop.time() >= deadline_s and self._is_under_way(damaged_before):
                deadline_s = rest_s
            if loop.time() >= deadline_s:
                raise self._complaint(loop.time() - began_s, damaged_before, offset_before)
            await self._listen(deadline_s)

    def _is_under_way(self, damaged_before: int) -> bool:
        """Whether only part of a telegram has come, so that the rest of it or the next one may."""
        if self._stream.open_start is not None:
            return True
        if self.damaged > damaged_before:
            return False
        heard = foreign(self._listener.heard)
        return heard is not None and heard.kind in self.own

    def _stranger(self) -> Foreign | None:
        """Another protocol, where bytes outside telegrams that came since the reading was due are
        proved to be of one. They are looked at when there are more.
        """
        noise_bytes = self._stream.noise_bytes
        if noise_bytes == self._noise_seen:
            return None
        self._noise_seen = noise_bytes
        return foreign(
            self._listener.heard[-(noise_bytes - self._noise_due) :], self.own | BY_SIGHT
        )

    def _foreign(self) -> Foreign | None:
        return foreign(self._listener.heard, self.own)

    async def _listen(self, deadline_s: float) -> None:
        """Take what has come, or wait for it. Raises LineError."""
        await self._listener.listen(deadline_s)

    def _take(self, due_s: float) -> Reading | None:
        """A reading from what has come, if it holds one; the rest of it stays for the next. Raises
        MeterError.
        """
        while self._listener.events:
            event, taken_s = self._listener.events.popleft()
            if (damage := self._damage(event)) is not None:
                self._note(damage)
            elif taken_s >= due_s:
                try:
                    return self._reading(event, taken_s)
                except Unusable as unusable:
                    self._note(str(unusable))
        return None

    @abstractmethod
    def _damage(self, event: Event) -> str | None:
        """What is wrong with a telegram that came damaged; None where it did not."""

    @abstractmethod
    def _reading(self, event: Event, taken_s: float) -> Reading:
        """What a telegram that came whole says. Raises Unusable, or MeterError where the next one
        will be no better.
        """

    @abstractmethod
    def _diagnose(self, noise: bytes) -> str:
        """What bytes outside telegrams look like, and what to do."""

    def _noise(self) -> tuple[bytes, str]:
        """Bytes that came outside telegrams, and with which settings the line was listened to, if
        that is worth saying.
        """
        return self._stream.noise_sample, ""

    def _remedy(self) -> str:
        """What to do where telegrams come damaged, if the last damage does not say so itself."""
        return ""

    def _complaint(self, waited_s: float, damaged_before: int, offset_before: int) -> "MeterError":
        """What to say where no proper telegram came."""
        damaged, came = self.damaged - damaged_before, self._stream.offset - offset_before
        if not came:
            return NoReply(f"no byte for {waited_s:.0f} s: {self.hints.silent}")

        if (stranger := self._foreign()) is not None:
            return BadReply(f"{came} bytes and no telegram in {waited_s:.0f} s: {stranger.text}")

        if damaged:
            what = f"{damaged} {self.hints.damaged} and no proper telegram in {waited_s:.0f} s"
            return BadReply(f"{what}{self._remedy()}; the last: {self.last_damage}")

        if self._stream.open_start is not None:
            return BadReply(
                f"a telegram began and did not end: {self._stream.open_bytes} bytes of it in "
                f"{waited_s:.0f} s; {self.hints.cut_off}"
            )

        noise, tried = self._noise()
        if noise:
            what = f"{came} bytes but no telegram in {waited_s:.0f} s{tried}"
            return BadReply(f"{what}: {self._diagnose(noise)}")

        return NoReply(
            f"no telegram in {waited_s:.0f} s, though the meter sent before: "
            f"{self.hints.fell_silent}"
        )

    def _note(self, reason: str) -> None:
        self.damaged += 1
        self.last_damage = reason
