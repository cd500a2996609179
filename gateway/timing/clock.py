"""Trusted time. A Pi has no RTC: until its clock is known to be right, samples keep boot id and
boot time, and no slot closes.

The clock is trusted once the kernel says that it is synchronised (`kernel_synchronised`; or
systemd in its place: `time_service.py`), or from the start where the operator answers for it
(`clock: {trust: assured}`). Once trusted it stays so for this boot: an NTP server that goes away
does not stop a clock that has been set.

A floor holds for both: a time before this version was made is wrong, whoever says so. A clock that
the operator answers for also has the floor of what is stored, and of what was accepted, should the
store be lost: a boot cannot have begun while the boot before still ran. A Pi without a battery
begins in 1970, or where its clock was last saved; it is believed once it was set, or the kernel
says that it is synchronised.

The time of day and the boot clock run alike (whatever corrects the pace of one corrects that of the
other), so their difference changes only when somebody sets the clock. Once trusted, our time is the
boot clock and that difference. A small change is followed at once. A step of `STEP_S` or more is
not: as with a register, one reading proves nothing. It is believed when it has stood for `PROOF_S`
and the kernel says that it is synchronised; setting the clock by hand takes that word back. Until
then our time goes on as if nothing had been.
"""

import ctypes
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from gateway.timing.time_service import TimeService
from gateway.timing.utc import utc_seconds

log = logging.getLogger(__name__)

MOST_ERROR_US = 16_000_000
"""The kernel's bound of its clock's error, from which on it calls the clock unsynchronised.

Linux begins a boot with this bound (kernel/time/ntp.c: NTP_PHASE_LIMIT), and comes back to it when
somebody sets the clock (`ntp_clear`), or some nine hours after the last word of a time server: the
bound grows by 500 µs a second.
"""

STEP_S = 0.5
"""A change of the clock that is smaller is followed at once: a correction. A leap second is a step,
and is followed two minutes late.
"""

PROOF_S = 120.0
"""A step is believed when it has stood for so long."""

UNTRUSTED_S = 600.0
"""A clock that is not trusted for longer after the start is worth a word, with the remedy."""


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), as far as it is read here. `modes` = 0 means: only read."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


BATTERY_S = 600.0
"""So far a clock with a battery may have fallen behind the system's clock when the machine boots:
that runs for months between two looks at it.
"""


def kernel_synchronised() -> bool:
    """Whether a time server has put the kernel's clock right, by adjtimex(2). Raises OSError where
    this process may not ask.

    What counts is the bound of the error, `maxerror`, as `timedatectl` has it. The flag STA_UNSYNC
    says less: chrony without `rtcsync` leaves it set for ever, to keep the kernel's hands off the
    hardware clock, and states the bound all the same.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    most_error_us: int = timex.maxerror
    return 0 <= most_error_us < MOST_ERROR_US


BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
BOOT_ID_VARIABLE = "METER_GATEWAY_BOOT_ID"
"""Where systemd hands it over (`%b`), as the service sees nothing of /proc but processes."""


def read_boot_id(file: Path = BOOT_ID_FILE, environ: Mapping[str, str] = os.environ) -> str:
    """The identifier of this boot, as the kernel writes it: systemd leaves the dashes out, and
    every upgrade of the unit would look like another boot. Raises OSError where nobody tells.
    """
    try:
        return file.read_text().strip()
    except OSError as error:
        try:
            return str(uuid.UUID(environ.get(BOOT_ID_VARIABLE, "")))
        except ValueError:
            text = (
                f"cannot be read, and {BOOT_ID_VARIABLE} is not set: use the unit of this version"
            )
            raise OSError(error.errno, text, str(file)) from error


class Sources(msgspec.Struct, frozen=True):
    """Where time comes from; a simulation gives its own. `boottime_s` goes on while the machine is
    suspended.
    """

    utc_s: Callable[[], float] = time.time
    boottime_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    synchronised: Callable[[], bool] = msgspec.field(
        default_factory=lambda: TimeService(kernel_synchronised)
    )
    """Raises OSError where it cannot be asked."""
    boot_id: Callable[[], str] = read_boot_id


class ClockStep(msgspec.Struct, frozen=True):
    """Somebody set the clock."""

    by_s: float
    """How far it was moved."""
    at_s: float
    """When that was seen, Unix time as it was believed until then."""
    boottime_s: float
    believed: bool
    """Whether our time has followed it."""


class Floor(msgspec.Struct, frozen=True):
    """What no time of day can be before. All are Unix times."""

    made_s: float
    """When this version was made."""
    stored_s: float = 0.0
    """The newest time that is stored, or up to which something was accepted."""
    earlier_boot_s: float = 0.0
    """When a boot before this one still ran."""

    def doubt_of_any(self, now_s: float) -> str:
        """Why it cannot be now, whoever says so; nothing where it can."""
        if now_s < self.made_s:
            return f"before this version was made ({utc_seconds(self.made_s)})"
        return ""

    def doubt_of_assured(self, offset_s: float, boottime_s: float, *, was_set: bool) -> str:
        """Why an assured clock cannot be right that is `offset_s` ahead of the boot clock; nothing
        where it can. Where somebody has set the clock, what is stored of this boot may as well be
        what was wrong.
        """
        stored_s = self.earlier_boot_s if was_set else self.stored_s
        if boottime_s + offset_s < stored_s:
            return f"before the newest that is stored or accepted ({utc_seconds(stored_s)})"
        if offset_s < self.earlier_boot_s - BATTERY_S:
            return (
                f"and this boot would have begun at {utc_seconds(offset_s)}, when the one before "
                f"it still ran (until {utc_seconds(self.earlier_boot_s)})"
            )
        return ""


class Clock:
    """This machine's clock, and whether it is believed."""

    def __init__(
        self,
        trust: Literal["kernel", "assured"],
        sources: Sources | None = None,
        *,
        made_s: float = 0.0,
    ) -> None:
        """`made_s`: when this version was made, Unix time. It cannot be earlier."""
        self.trust = trust
        self._floor = Floor(made_s)
        self._sources = sources or Sources()
        self.boot_id = self._sources.boot_id()
        self.moved_s = 0.0
        """The sum of the steps that our time has made: who plans in Unix time moves its plans by
        what this changes.
        """
        self.step: ClockStep | None = None
        """The last step that was seen once the clock was trusted."""
        self.trusted_since_s: float | None = None
        """Since when (Unix time) this process trusts it."""
        self._offset_s = self._sources.utc_s() - self._sources.boottime_s()
        self._held_s: float | None = None
        """What the wall clock says instead, where it has made a step that is not believed yet."""
        self._began_s = self._sources.boottime_s()
        self._is_told = False
        """Whether the log has said what is in the way of trusting it."""
        self.refusal = ""
        """Why the kernel cannot be asked; empty where it can."""
        if trust == "assured" and not self._doubt_of(self._offset_s, self._sources.boottime_s()):
            self.trusted_since_s = self._sources.utc_s()

    @property
    def trusted(self) -> bool:
        """Whether UTC may be believed, from now on for this boot."""
        if self.trusted_since_s is None:
            self._look()
        return self.trusted_since_s is not None

    @property
    def why(self) -> str:
        """For people: why the clock is trusted, or what would make it so."""
        if self.trusted_since_s is None:
            boottime_s = self._sources.boottime_s()
            if doubt := self._doubt_of(self._offset_s, boottime_s):
                return (
                    f"it says {utc_seconds(boottime_s + self._offset_s)}, {doubt}: set it "
                    "(timedatectl set-time, or NTP); samples are kept and get their time then"
                )
            return self._what_is_missing
        reason = (
            "the kernel says it is synchronised"
            if self.trust == "kernel"
            else "the operator answers for it"
        )
        if self._held_s is not None:
            wanted = "it has stood for a while" + (
                " and the kernel says it is synchronised" if self.trust == "kernel" else ""
            )
            boottime_s = self._sources.boottime_s()
            if doubt := self._doubt_of(self._held_s, boottime_s, was_set=True):
                wanted = f"it is no longer {doubt}"
            reason = (
                f"it was right before it was set by {self._held_s - self._offset_s:+.0f} s; "
                f"that is believed once {wanted}"
            )
        return reason

    @property
    def is_overdue(self) -> bool:
        """Whether it is not trusted, and waiting longer will hardly help."""
        waited_s = self._sources.boottime_s() - self._began_s
        return not self.trusted and (bool(self.refusal) or waited_s >= UNTRUSTED_S)

    @property
    def _what_is_missing(self) -> str:
        kept = "samples are kept and get their time later"
        if self.refusal:
            return (
                f"nobody tells this process whether the clock is synchronised ({self.refusal}); "
                f"{kept}. Install dbus, so that systemd can be asked; in a container, allow "
                "adjtimex; or, where somebody answers for this clock, write clock: "
                "{trust: assured} into gateway.yaml"
            )
        if self._sources.boottime_s() - self._began_s < UNTRUSTED_S:
            return f"waiting for time synchronisation (NTP); {kept}"
        return (
            f"no time server has put this machine's clock right; {kept}. See timedatectl: is a "
            "time service (systemd-timesyncd, chrony) running, and does it reach its server? On a "
            "site without one, where somebody answers for this clock, write clock: "
            "{trust: assured} into gateway.yaml"
        )

    def know(self, newest_s: float, *, earlier_boot_s: float) -> None:
        """What is known before anything is dated (Unix times): the newest time that is stored, or
        up to which something was accepted; and when a boot before this one still ran, or 0.
        """
        self._floor = replace(self._floor, stored_s=newest_s, earlier_boot_s=earlier_boot_s)
        boottime_s = self._sources.boottime_s()
        if self.trust == "assured" and self._doubt_of(self._offset_s, boottime_s):
            self.trusted_since_s = None
            log.warning("the clock is not believed: %s", self.why)

    def _doubt_of(self, offset_s: float, boottime_s: float, *, was_set: bool = False) -> str:
        """Why a time cannot be right, so far as that is known; nothing where it can. `offset_s` is
        its difference to the boot clock. `was_set`: somebody has set the clock to it.
        """
        if doubt := self._floor.doubt_of_any(boottime_s + offset_s):
            return doubt
        if self.trust == "assured" and not self._is_synchronised():
            return self._floor.doubt_of_assured(offset_s, boottime_s, was_set=was_set)
        return ""

    def resume(self, utc_minus_boottime_ms: int) -> None:
        """This boot's clock was trusted before this process began: its newest sample was dated with
        this difference.

        The kernel takes its word back some hours after NTP has gone silent; a restart of the daemon
        must not make the clock wrong.
        """
        if self.trusted:
            return
        self._offset_s = utc_minus_boottime_ms / 1000
        self.trusted_since_s = self._sources.boottime_s() + self._offset_s
        self._look()

    def now_s(self) -> float:
        """Unix time, believed or not."""
        return self._look() + self._offset_s

    def boottime_s(self) -> float:
        """Time since this boot, in which nobody meddles; it goes on while the machine is
        suspended.
        """
        return self._sources.boottime_s()

    def utc_minus_boottime_ms(self) -> int:
        """What turns a boot time into a Unix time."""
        self._look()
        return round(self._offset_s * 1000)

    def date(self, ago_s: float) -> tuple[int, int | None]:
        """Boot time and Unix time (ms; None while not trusted) of what happened `ago_s` seconds
        ago.
        """
        boottime_ms = round((self._look() - ago_s) * 1000)
        return boottime_ms, None if self.trusted_since_s is None else boottime_ms + round(
            self._offset_s * 1000
        )

    def _look(self) -> float:
        """See what the clocks say. Returns the boot time in seconds."""
        boottime_s = self._sources.boottime_s()
        wall_s = self._sources.utc_s() - boottime_s
        if self.trusted_since_s is None:
            self._move(wall_s)
            vouched = self.trust == "assured" or self._is_synchronised()
            if vouched and not self._doubt_of(wall_s, boottime_s):
                self.trusted_since_s = boottime_s + wall_s
                log.info("the clock is trusted: %s", self.why)
            elif not self._is_told and (self.refusal or boottime_s - self._began_s >= UNTRUSTED_S):
                self._is_told = True
                log.warning("no slot closes: %s", self.why)
        elif abs(wall_s - self._offset_s) < STEP_S:
            self._move(wall_s)
            if self._held_s is not None:
                log.info("the clock is back where it was before it was set")
            self._held_s = None
        else:
            self._doubt(wall_s, boottime_s)
        return boottime_s

    def _doubt(self, wall_s: float, boottime_s: float) -> None:
        """The wall clock has made a step."""
        step = self.step
        if step is None or self._held_s is None or abs(wall_s - self._held_s) >= STEP_S:
            self.step = ClockStep(
                wall_s - self._offset_s, boottime_s + self._offset_s, boottime_s, False
            )
            self._held_s = wall_s
            log.warning(
                "the clock was set by %+.1f s; ours goes on as before until that is proved",
                self.step.by_s,
            )
        elif (
            boottime_s - step.boottime_s >= PROOF_S
            and (self.trust == "assured" or self._is_synchronised())
            and not self._doubt_of(wall_s, boottime_s, was_set=True)
        ):
            self.step = ClockStep(step.by_s, step.at_s, step.boottime_s, True)
            self._held_s = None
            log.warning(
                "the clock was set by %+.1f s, and that has stood: it is believed from now on",
                step.by_s,
            )
            self._move(wall_s)

    def _is_synchronised(self) -> bool:
        """What the kernel says, where it may be asked."""
        try:
            synchronised = self._sources.synchronised()
        except OSError as error:
            self.refusal = error.strerror or str(error)
            return False
        self.refusal = ""
        return synchronised

    def _move(self, offset_s: float) -> None:
        self.moved_s += offset_s - self._offset_s
        self._offset_s = offset_s
