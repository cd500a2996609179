"""What changes, as it happens: server-sent events (the HTML standard, section 9.2).

Limits: 6 streams; with one more, the oldest is told `bye`, and ends. A stream tells what is newest
once a second at most, and nothing that it has told before: whoever is slow misses what was in
between, and holds nobody up.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from math import inf

from msgspec import Struct, json

from gateway.history.answers import Mood
from gateway.history.history import History
from gateway.history.problems import mood_of
from gateway.monitoring.report import Report

MAX_STREAMS = 6
TICK_S = 1.0
QUIET_S = 15.0
"""After so long without news a comment shows that the stream is alive."""
RETRY_MS = 5000
"""A browser that lost its stream asks again after so long."""


class LiveNow(Struct, frozen=True, kw_only=True):
    """Power has changed. `event: now`"""

    at_s: float
    power_w: dict[str, float | None]
    """By the node's id, to the watt; None: nothing current is known."""


class LiveSlots(Struct, frozen=True, kw_only=True):
    """A slot has closed, or old ones were removed: ask again for what is shown. `event: slot`"""

    slots: int
    """How many are kept."""


class LiveDeliveries(Struct, frozen=True, kw_only=True):
    """Something was sent, answered or given up. `event: delivery`"""

    waiting: int
    accepted: int
    """This and the next two: since the daemon started."""
    rejected: int
    missed: int


class LiveProblems(Struct, frozen=True, kw_only=True):
    """A problem has come or gone. `event: problems`"""

    mood: Mood
    problems: list[tuple[str, str, Mood]]
    """Of each its id, subject and severity."""


class Live:
    """The streams."""

    def __init__(self, history: History, report: Callable[[], Report]) -> None:
        """`report` makes that of the moment; it is asked once a second while somebody listens."""
        self._history = history
        self._report = report
        self._streams: deque[asyncio.Event] = deque()
        """Of each what tells it to end; the oldest comes first."""
        self._news: Mapping[str, tuple[object, bytes]] = {}
        self._news_s = -inf
        self._number = 0

    async def stream(self) -> AsyncGenerator[bytes]:
        """One more, until it is closed or told to end."""
        bye = asyncio.Event()
        self._streams.append(bye)
        if len(self._streams) > MAX_STREAMS:
            self._streams.popleft().set()
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            async for part in self._parts(bye):
                yield part
            yield b"event: bye\ndata: {}\n\n"
        finally:
            if bye in self._streams:
                self._streams.remove(bye)

    async def _parts(self, bye: asyncio.Event) -> AsyncGenerator[bytes]:
        told: dict[str, object] = {}
        told_s = -inf
        while not bye.is_set():
            now_s = asyncio.get_running_loop().time()
            part = b""
            for event, (what, data) in self._newest(now_s).items():
                if told.get(event) != what:
                    told[event] = what
                    self._number += 1
                    part += b"id: %d\nevent: %s\ndata: %s\n\n" % (
                        self._number,
                        event.encode(),
                        data,
                    )
            if part or now_s - told_s >= QUIET_S:
                told_s = now_s
                yield part or b":\n\n"
            try:
                async with asyncio.timeout(TICK_S):
                    await bye.wait()
            except TimeoutError:
                pass  # the usual case: nobody ended it

    def _newest(self, now_s: float) -> Mapping[str, tuple[object, bytes]]:
        """By the event: what it is about, and how it is said. All streams are told the same."""
        if now_s - self._news_s >= TICK_S / 2:
            self._news_s = now_s
            self._news = {
                event: (_without_time(what), json.encode(what))
                for event, what in self._messages(self._report()).items()
            }
        return self._news

    def _messages(self, report: Report) -> Mapping[str, object]:
        problems = self._history.problems(report)
        to = report.destinations
        return {
            "now": LiveNow(
                at_s=report.now_s,
                power_w={
                    node.id: None if node.power_w is None else float(round(node.power_w))
                    for node in self._history.nodes(report)
                },
            ),
            "slot": LiveSlots(slots=report.buffer.slots),
            "delivery": LiveDeliveries(
                waiting=sum(each.backlog + each.sent for each in to),
                accepted=sum(each.accepted for each in to),
                rejected=sum(each.rejected for each in to),
                missed=sum(each.missed for each in to),
            ),
            "problems": LiveProblems(
                mood=mood_of(report, problems),
                problems=[(each.id, each.subject, each.severity) for each in problems],
            ),
        }


def _without_time(what: object) -> object:
    """What must change for it to be news."""
    return what.power_w if isinstance(what, LiveNow) else what
