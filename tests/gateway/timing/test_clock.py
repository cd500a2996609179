"""Time is believed once the kernel says so, and what was read before gets its time then."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from gateway.timing.clock import (
    PROOF_S,
    UNTRUSTED_S,
    Clock,
    Sources,
    kernel_synchronised,
    read_boot_id,
)
from gateway.timing.time_service import TimeService


class Watch:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.utc_s = 1000.0
        self.boottime_s = 50.0
        self.is_synchronised = False

    def sources(self) -> Sources:
        return Sources(
            lambda: self.utc_s,
            lambda: self.boottime_s,
            lambda: self.is_synchronised,
            lambda: "boot-1",
        )


def test_until_the_kernel_is_synchronised_a_sample_has_its_boot_time_only() -> None:
    watch = Watch()
    clock = Clock("kernel", watch.sources())
    assert not clock.trusted
    assert clock.date(2.5) == (47_500, None)
    assert "NTP" in clock.why


def test_once_synchronised_the_clock_stays_trusted_for_this_boot() -> None:
    watch = Watch()
    clock = Clock("kernel", watch.sources())
    watch.is_synchronised, watch.utc_s = True, 1_800_000_000.0
    assert clock.trusted
    assert clock.date(2.5) == (47_500, 1_799_999_997_500)
    watch.is_synchronised = False
    assert clock.trusted
    assert "synchronised" in clock.why


def test_a_clock_that_the_operator_answers_for_is_trusted_from_the_start() -> None:
    clock = Clock("assured", Watch().sources())
    assert clock.trusted
    assert clock.date(0) == (50_000, 1_000_000)
    assert "operator" in clock.why


def test_what_was_taken_before_gets_the_time_it_was_taken_at() -> None:
    watch = Watch()
    clock = Clock("kernel", watch.sources())
    taken_ms, unknown = clock.date(0)
    assert unknown is None
    watch.boottime_s, watch.utc_s, watch.is_synchronised = 110.0, 1_800_000_060.0, True
    assert taken_ms + clock.utc_minus_boottime_ms() == 1_800_000_000_000


def test_this_machine_tells_its_boot_and_whether_its_clock_is_synchronised() -> None:
    assert read_boot_id() == read_boot_id() != ""
    assert str(UUID(read_boot_id())) == read_boot_id()
    assert kernel_synchronised() in (True, False)
    clock = Clock("assured")
    boottime_ms, utc_ms = clock.date(0)
    assert utc_ms is not None
    assert abs(utc_ms - boottime_ms - clock.utc_minus_boottime_ms()) < 1000


def trusted_clock(watch: Watch) -> Clock:
    watch.is_synchronised, watch.utc_s = True, 1_800_000_000.0
    clock = Clock("kernel", watch.sources())
    assert clock.trusted
    return clock


def pass_time(watch: Watch, clock: Clock, seconds: float) -> None:
    for _ in range(10):
        watch.utc_s += seconds / 10
        watch.boottime_s += seconds / 10
        clock.now_s()


@pytest.mark.parametrize("step_s", [-86_400.0, -60.0, -1.0, 1.0, 60.0, 86_400.0])
def test_a_step_is_believed_when_it_has_stood_and_the_kernel_says_so(step_s: float) -> None:
    watch = Watch()
    clock = trusted_clock(watch)
    watch.utc_s += step_s
    assert clock.now_s() == pytest.approx(watch.utc_s - step_s)
    watch.is_synchronised = False
    pass_time(watch, clock, 10 * PROOF_S)
    assert clock.now_s() == pytest.approx(watch.utc_s - step_s), "the kernel does not confirm it"
    assert clock.step is not None
    assert (clock.step.by_s, clock.step.believed) == (pytest.approx(step_s), False)
    assert "set by" in clock.why
    watch.is_synchronised = True
    assert clock.now_s() == pytest.approx(watch.utc_s), (
        "now it does, and it has stood for long enough"
    )
    assert clock.step.believed
    assert clock.moved_s == pytest.approx(step_s)
    assert "set by" not in clock.why


def test_a_step_that_is_taken_back_moves_nothing() -> None:
    watch = Watch()
    clock = trusted_clock(watch)
    watch.utc_s += 86_400
    pass_time(watch, clock, PROOF_S * 0.9)
    watch.utc_s -= 86_400
    pass_time(watch, clock, PROOF_S)
    assert clock.now_s() == pytest.approx(watch.utc_s)
    assert clock.moved_s == pytest.approx(0, abs=1e-3)
    assert "set by" not in clock.why
    watch.utc_s += 86_400
    pass_time(watch, clock, PROOF_S * 0.9)
    assert clock.now_s() == pytest.approx(watch.utc_s - 86_400), (
        "the time it stood before does not count"
    )


@pytest.mark.parametrize("step_s", [-0.4, 0.4])
def test_a_small_correction_is_followed_at_once(step_s: float) -> None:
    watch = Watch()
    clock = trusted_clock(watch)
    watch.utc_s += step_s
    assert clock.now_s() == pytest.approx(watch.utc_s)
    assert clock.step is None


def test_an_assured_clock_that_the_operator_sets_is_followed_when_it_has_stood() -> None:
    watch = Watch()
    clock = Clock("assured", watch.sources())
    watch.utc_s = 1_800_000_000.0
    clock.now_s()
    pass_time(watch, clock, PROOF_S)
    assert clock.now_s() == pytest.approx(watch.utc_s)


def test_a_restart_of_the_daemon_does_not_make_the_clock_of_this_boot_wrong() -> None:
    watch = Watch()
    watch.utc_s = 1_800_000_000.0
    clock = Clock("kernel", watch.sources())
    assert not clock.trusted, "the kernel took its word back, hours after NTP went silent"
    clock.resume(1_799_999_950_100)
    assert clock.trusted
    assert clock.now_s() == pytest.approx(1_800_000_000)
    meddled = Clock("kernel", watch.sources())
    meddled.resume(1_799_990_000_000)
    assert meddled.now_s() == pytest.approx(1_799_990_050), (
        "somebody set the clock meanwhile, and the kernel does not confirm it"
    )


def test_before_the_clock_is_trusted_our_time_is_whatever_it_says() -> None:
    watch = Watch()
    clock = Clock("kernel", watch.sources())
    watch.utc_s = 1_800_000_000.0
    assert clock.now_s() == 1_800_000_000
    assert clock.step is None
    assert clock.moved_s == pytest.approx(1_799_999_000)


# --- what stands in the way of trusting it --------------------------------------------------------


def test_a_clock_that_nobody_puts_right_is_told_with_the_remedy_after_ten_minutes_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch()
    clock = Clock("kernel", watch.sources())
    pass_time(watch, clock, UNTRUSTED_S - 1)
    assert not clock.is_overdue
    assert caplog.text == ""

    for _ in range(3):
        pass_time(watch, clock, UNTRUSTED_S)
    assert clock.is_overdue
    assert caplog.text.count("no slot closes") == 1
    for remedy in ("timedatectl", "chrony", "trust: assured"):
        assert remedy in caplog.text
        assert remedy in clock.why

    watch.is_synchronised = True
    assert clock.trusted
    assert not clock.is_overdue


def test_a_kernel_that_may_not_be_asked_is_told_apart_at_once(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def refuse() -> bool:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    watch = Watch()
    ask = TimeService(refuse, bus=str(tmp_path / "no-bus"), mark=tmp_path / "no-mark")
    clock = Clock("kernel", replace(watch.sources(), synchronised=ask))
    assert not clock.trusted
    assert clock.is_overdue
    for text in (clock.why, caplog.text):
        assert "adjtimex: Operation not permitted" in text
        assert "org.freedesktop.timedate1: No such file or directory" in text
        assert "Install dbus" in text
        assert "trust: assured" in text
    clock.now_s()
    assert len(caplog.records) == 1


ADJTIMEX = """
#include <errno.h>
#include <stdlib.h>
#include <sys/timex.h>
int adjtimex(struct timex *t) {
    if (getenv("REFUSED")) { errno = EPERM; return -1; }
    if (t->modes) abort();
    t->maxerror = atol(getenv("MAXERROR"));
    t->status = atoi(getenv("STATUS"));
    return (t->status & STA_UNSYNC) ? TIME_ERROR : TIME_OK;
}
"""
"""Another kernel's answers, in front of the C library's."""

UNSYNC = "64"


@pytest.fixture
def kernel_that_says(required_tool: Callable[[str], str], tmp_path: Path) -> Callable[..., str]:
    """What `kernel_synchronised` makes of a kernel's answer."""
    source, library = tmp_path / "kernel.c", tmp_path / "kernel.so"
    source.write_text(ADJTIMEX)
    subprocess.run([required_tool("gcc"), "-shared", "-fPIC", "-o", library, source], check=True)

    def ask(**answer: str) -> str:
        program = "from gateway.timing.clock import *\nprint(kernel_synchronised())"
        env = {**os.environ, **answer, "LD_PRELOAD": str(library)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
        )
        return (done.stdout + done.stderr).strip().splitlines()[-1]

    return ask


def test_chrony_without_rtcsync_is_good_enough(kernel_that_says: Callable[..., str]) -> None:
    assert kernel_that_says(MAXERROR="1823", STATUS=UNSYNC) == "True"
    assert kernel_that_says(MAXERROR="15999999", STATUS=UNSYNC) == "True"


def test_a_kernel_that_never_heard_a_time_server_is_not(
    kernel_that_says: Callable[..., str],
) -> None:
    assert kernel_that_says(MAXERROR="16000000", STATUS=UNSYNC) == "False"


def test_a_kernel_that_refuses_to_answer_is_an_error(kernel_that_says: Callable[..., str]) -> None:
    told = kernel_that_says(REFUSED="1")
    assert told == "PermissionError: [Errno 1] Operation not permitted"
