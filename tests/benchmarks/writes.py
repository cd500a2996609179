"""What a day of ten meters with ten quantities each costs the card: syncs and bytes, all tables
included.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.day import Day
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import CHECKOUT

TITLE = "a day of 10 meters × 10 quantities at 10 s on the disk"

FLUSH_S = 60
HALF_H = 12
"""The afternoon and night of a day (UTC)."""


def figures() -> Iterator[Figure]:
    """Takes two minutes. The disk is the one the checkout is on: memory file systems have no
    block device.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise RuntimeError(
            "strace is not installed, which counts the syncs: sudo apt-get install strace"
        )
    day, syncs = _day(24, FLUSH_S, strace)
    each, _ = _day(1, 0, None)
    if not day.written_bytes:
        raise RuntimeError(f"{CHECKOUT} is not on a block device; check the project out on a disk")
    verdicts = (
        f"{day.verdict_commits} for verdicts ({day.verdict_commits / day.minutes:.1f} a "
        "minute with 10 assets)"
    )
    beside = f"{syncs} a day, of them {day.closing_commits} for slot closes and {verdicts}"
    rest = syncs - day.closing_commits - day.verdict_commits
    yield Figure(
        "fsyncs a minute, beside slot closes and their verdicts",
        rest / day.minutes,
        "",
        2,
        "low",
        beside,
    )
    beside = f"a commit per sample: {each.written_bytes / each.samples:.0f} bytes"
    yield Figure(
        "bytes written per sample, all tables",
        day.written_bytes / day.samples,
        "bytes",
        500,
        "low",
        beside,
    )
    per_day = each.written_bytes / each.samples * day.samples
    yield Figure(
        "written in a day",
        day.written_bytes / 1e6,
        "MB",
        43,
        "low",
        f"a commit per sample: {per_day / 1e6:.0f} MB",
    )
    yield from _of_forecasts()


def _of_forecasts() -> Iterator[Figure]:
    """What they add, in half a day."""
    plain, _ = _day(HALF_H, FLUSH_S, None)
    unkept, _ = _day(HALF_H, FLUSH_S, None, "unkept")
    with_mb, without_mb = _least_rss_mb(), _least_rss_mb("none")
    yield Figure(
        "of that for what is learned of ten assets, which is kept once a day",
        (plain.written_bytes - unkept.written_bytes) / 1e6,
        "MB",
        1,
        "low",
        "beside the same that does not keep it",
    )
    yield Figure(
        "more memory (RSS) with forecasts of ten assets",
        with_mb - without_mb,
        "MB",
        0.3,
        "low",
        "beside forecast: none; of the ledger and its buffer, as a process",
    )
    better, _ = _day(HALF_H, FLUSH_S, None, "better")
    yield Figure(
        "more in a day, with forecasts that are made once more before each slot",
        2 * (better.written_bytes - plain.written_bytes) / 1e6,
        "MB",
        3,
        "low",
        "of ten loads that wander, one in four is replaced",
    )


def _least_rss_mb(*more: str) -> float:
    """The smaller one of two runs: what malloc happens to keep is not ours."""
    return min(_day(HALF_H, FLUSH_S, None, *more)[0].rss_bytes for _ in range(2)) / 1e6


def day_of(hours: float, *more: str) -> Day:
    """Some hours of such a day, `more` as `tests.benchmarks.day` takes it."""
    return _day(hours, FLUSH_S, None, *more)[0]


def _day(hours: float, flush_s: float, strace: str | None, *more: str) -> tuple[Day, int]:
    """What was done, and how many syncs the kernel was asked for."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=CHECKOUT) as folder:
        counts = Path(folder) / "strace.txt"
        watch = (
            [strace, "-f", "--seccomp-bpf", "-c", "-e", "trace=fsync,fdatasync", "-o", str(counts)]
            if strace
            else []
        )
        progress(
            f"writes: {hours:g} simulated hours, "
            f"{'a commit per sample' if not flush_s else f'a flush every {flush_s:g} s'}"
        )
        command = [
            *watch,
            sys.executable,
            "-m",
            "tests.benchmarks.day",
            str(Path(folder) / "site"),
            str(hours),
            str(flush_s),
            *more,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
        if done.returncode:
            raise RuntimeError(
                f"the simulated day failed: {(done.stderr or done.stdout).strip()[-1000:]}"
            )
        rows = counts.read_text() if strace else ""
        syncs = sum(
            int(row[1])
            for row in re.finditer(
                r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*\b(?:fsync|fdatasync)$", rows, re.MULTILINE
            )
        )
        return Day(**json.loads(done.stdout)), syncs
