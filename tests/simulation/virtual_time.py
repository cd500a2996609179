"""An event loop whose time is virtual: when nothing is ready, it jumps to the next timer. A day
takes as long as the work in it.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, TypeVarTuple

_Ts = TypeVarTuple("_Ts")

_POLL_EVERY = 1024
"""Looks at real descriptors are system calls, and a simulated world has none that matter: so only
now and then (for Ctrl-C).
"""


class Standstill(RuntimeError):
    """Every task waits for something that can never come: no timer is set. A bug, in the gateway or
    in the world.
    """


class _Selector(selectors.DefaultSelector):
    """Never sleeps: it lets time pass instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._polls = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._polls += 1
        if self._polls % _POLL_EVERY == 0 and (ready := super().select(0)):
            return ready
        if timeout is None:
            raise Standstill("all tasks wait, and no timer is set")
        if timeout > 0:
            self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time begins at `start_s` and costs nothing. Signals are delivered with `deliver`, not by the
    system.
    """

    def __init__(self, start_s: float = 1000.0) -> None:
        selector = _Selector()
        selector.now_s = start_s
        super().__init__(selector)
        self._virtual = selector
        self._on_signal: dict[int, Callable[[], object]] = {}
        # Timers that are due within so much run now: adding floats up must not make the loop go
        # round for nothing.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual.now_s

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], Any], *args: *_Ts) -> None:
        """Keep it for `deliver`."""
        self._on_signal[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Forget it."""
        return self._on_signal.pop(sig, None) is not None

    def deliver(self, sig: int) -> None:
        """What `kill` does from outside. Nothing, where nobody listens for this signal."""
        if sig in self._on_signal:
            self.call_soon(self._on_signal[sig])
