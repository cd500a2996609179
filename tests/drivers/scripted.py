"""Meters that push, under virtual time: a line on which each byte arrives at its own time."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Coroutine
from typing import Any

from drivers.line import Framing, SerialSettings, Turns
from tests.simulation.virtual_time import VirtualLoop


class ScriptedLine:
    """A line on which each byte arrives at its own time."""

    framing: Framing = "rtu"
    settings: SerialSettings | None = None

    def __init__(self, char_s: float = 10 / 115200) -> None:
        self.char_s = char_s
        self.turns = Turns()
        self.reads = 0
        self._times: list[float] = []
        self._bytes = bytearray()

    def sends(self, at_s: float, data: bytes) -> None:
        """The first byte of `data` has arrived whole at `at_s`."""
        self._bytes += data
        self._times += [at_s + index * self.char_s for index in range(len(data))]

    async def write(self, data: bytes) -> None:  # noqa: ARG002 — as the protocol names it
        raise AssertionError("a meter that pushes is never written to")

    async def read(self, deadline_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        self.reads += 1
        while True:
            arrived = bisect_right(self._times, loop.time() + 1e-9)
            if arrived:
                data = bytes(self._bytes[:arrived])
                del self._bytes[:arrived], self._times[:arrived]
                return data
            if loop.time() >= deadline_s:
                return b""
            await asyncio.sleep(min([deadline_s, *self._times[:1]]) - loop.time())

    def drain(self) -> int:
        arrived = bisect_right(self._times, asyncio.get_running_loop().time())
        del self._bytes[:arrived], self._times[:arrived]
        return arrived

    async def configure(self, settings: SerialSettings) -> None:
        pass

    def close(self) -> None:
        pass


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario())
