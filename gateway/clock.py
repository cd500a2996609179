"""Trusted time. A Pi has no RTC: until its clock is known to be right, samples keep boot id and boot time, and no slot closes.

The clock is trusted once the kernel says that it is synchronised (adjtimex, as set by NTP, chrony or PTP), or from the start where
the operator answers for it (`clock: {trust: assured}`). Once trusted it stays so for this boot: an NTP server that goes away does not
stop a clock that has been set.
"""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""

_STATUS_BYTES = 1024
"""Room for `struct timex` of any architecture (208 bytes on 64-bit Linux); modes = 0 in its first bytes means: only read."""


def kernel_synchronised() -> bool:
    """Whether the kernel's clock is synchronised, by adjtimex(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 <= int(libc.adjtimex(ctypes.create_string_buffer(_STATUS_BYTES))) < TIME_ERROR


def read_boot_id() -> str:
    """The kernel's identifier of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time comes from; a simulation gives its own."""

    utc_s: Callable[[], float] = time.time
    boottime_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    synchronised: Callable[[], bool] = kernel_synchronised
    boot_id: Callable[[], str] = read_boot_id


class Clock:
    """This machine's clock, and whether it is believed."""

    def __init__(self, trust: Literal["kernel", "assured"], sources: Sources | None = None) -> None:
        self.trust = trust
        self._sources = sources or Sources()
        self.boot_id = self._sources.boot_id()
        self._trusted = trust == "assured"

    @property
    def trusted(self) -> bool:
        """Whether UTC may be believed, from now on for this boot."""
        if not self._trusted:
            self._trusted = self._sources.synchronised()
        return self._trusted

    @property
    def why(self) -> str:
        """For people: why the clock is trusted, or what would make it so."""
        if self._trusted:
            return "the kernel says it is synchronised" if self.trust == "kernel" else "the operator answers for it"
        return "waiting for time synchronisation (NTP); samples are kept and get their time later"

    def now_s(self) -> float:
        """Unix time, believed or not."""
        return self._sources.utc_s()

    def utc_minus_boottime_ms(self) -> int:
        """What turns a boot time into a Unix time."""
        return round((self._sources.utc_s() - self._sources.boottime_s()) * 1000)

    def date(self, ago_s: float) -> tuple[int, int | None]:
        """Boot time and Unix time (ms; None while not trusted) of what happened `ago_s` seconds ago."""
        boottime_ms = round((self._sources.boottime_s() - ago_s) * 1000)
        return boottime_ms, round((self._sources.utc_s() - ago_s) * 1000) if self.trusted else None
