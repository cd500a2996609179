"""The box the gateway runs on: true time, the clock it believes, and its boots."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sin
from typing import Literal
from uuid import UUID

from gateway.timing.clock import Sources


class TrueTime:
    """UTC as it truly is: the loop's virtual time, and what the machine slept through."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_s: float) -> None:
        """It is `start_s` now."""
        self._loop = loop
        self._ahead_s = start_s - loop.time()

    def s(self) -> float:
        """Unix time."""
        return self._ahead_s + self._loop.time()

    def ms(self) -> int:
        """Unix time, to the millisecond."""
        return round(self.s() * 1000)

    def skip(self, seconds: float) -> None:
        """So long passes at once, and no timer of the loop notices."""
        self._ahead_s += seconds


@dataclass(slots=True)
class Boot:
    """One boot of the machine, as it truly was."""

    boot_id: str
    booted_ms: int
    """True time."""


class Machine:
    """The box: its clock as it is believed to be, and how wrong it is."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        time: TrueTime,
        new_id: Callable[[], UUID],
        trust: Literal["kernel", "assured"],
        synchronised_after_s: float,
    ) -> None:
        """`synchronised_after_s`: so long after a boot a time server has put the clock right."""
        self._loop = loop
        self._time = time
        self._new_id = new_id
        self._synchronised_after_s = None if trust == "assured" else synchronised_after_s
        """None: an assured clock has a battery and no time server; the operator answers for it."""
        self._sync_timer: asyncio.TimerHandle | None = None
        self._booted_s = time.s()
        self.boots: dict[str, Boot] = {}
        self.trusted_ms: int | None = None
        """When the gateway could first trust the clock (true time)."""
        self.error_s = 0.0
        self.smear: tuple[float, float] | None = None
        """A smeared leap second: when it began, how long it takes (true time)."""
        self.synchronised = False
        self.hears_no_time_server = False

    def sources(self) -> Sources:
        """What the gateway is told during this boot."""
        boot = list(self.boots.values())[-1]
        return Sources(
            utc_s=lambda: self._time.s() + self.wrong_s(),
            boottime_s=lambda: self._time.s() - self._booted_s,
            synchronised=lambda: self.synchronised,
            boot_id=lambda: boot.boot_id,
        )

    def wrong_s(self) -> float:
        """What its clock is off by now."""
        if self.smear is None:
            return self.error_s
        part = min(max((self._time.s() - self.smear[0]) / self.smear[1], 0.0), 1.0)
        return self.error_s + 0.5 * sin(pi * part)

    def boot(self, error_s: float, synchronised_after_s: float | None = None) -> None:
        """Boot, with a clock that is wrong until the time server is heard.

        An assured clock has a battery, and no time server: the operator answers for it. It is wrong
        only where `synchronised_after_s` says when somebody sets it.
        """
        boot_id = str(self._new_id())
        self._booted_s = self._time.s()
        usual_s = self._synchronised_after_s
        set_right = synchronised_after_s is not None
        self.error_s = error_s if set_right or usual_s is not None else 0.0
        self.synchronised = False
        self.boots[boot_id] = Boot(boot_id, self._time.ms())

        if self._sync_timer is not None:
            self._sync_timer.cancel()
        if usual_s is None:
            self.trusted_ms = self.trusted_ms or self._time.ms()
        after_s = usual_s if synchronised_after_s is None else synchronised_after_s
        if after_s is not None:
            self._sync_timer = self._loop.call_later(after_s, self.synchronise)

    def synchronise(self) -> None:
        """The time server is heard, if it is: the clock is right, and the kernel says so. A person
        sets an assured one.
        """
        if self.hears_no_time_server:
            return
        self.error_s = 0.0
        self.synchronised = self._synchronised_after_s is not None
        if self.trusted_ms is None:
            self.trusted_ms = self._time.ms()
