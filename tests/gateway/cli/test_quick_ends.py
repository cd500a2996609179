"""A daemon that ends with an error again and again says so in full once, and starts more seldom."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import quick_ends
from gateway.cli.quick_ends import CALM_S, MOST_WAIT_S, QuickEnds
from gateway.monitoring.watchdog import Watchdog
from tests.gateway.cli.notify_socket import heard, listening

BUG = "KeyError in fold.py, line 12"


class Systemd:
    """Starts one process after the other, and hears what they say."""

    def __init__(self, folder: Path, ear: socket.socket) -> None:
        (folder / "run").mkdir()
        self.environ = {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "RUNTIME_DIRECTORY": str(folder / "run"),
        }
        self._ear = ear

    def ends(self, *, after_s: float = 1.0) -> QuickEnds:
        """A process that has run so long."""
        times = iter([0.0])
        watchdog = Watchdog(lambda: None, self.environ)
        return QuickEnds(watchdog, self.environ, lambda: next(times, after_s))

    def heard(self) -> list[str]:
        return heard(self._ear)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with listening(tmp_path / "notify") as ear:
        yield Systemd(tmp_path, ear)


def test_only_the_same_end_as_the_one_before_is_known(systemd: Systemd) -> None:
    assert not systemd.ends().is_known(BUG)
    assert systemd.ends().is_known(BUG)
    assert not systemd.ends().is_known("OSError in file.py, line 3")
    assert not systemd.ends().is_known(BUG), "the journal has another one last"


def test_who_ran_long_begins_anew(systemd: Systemd) -> None:
    assert not systemd.ends().is_known(BUG)
    assert not systemd.ends(after_s=CALM_S).is_known(BUG)
    assert systemd.ends().is_known(BUG)


def test_nothing_is_known_where_systemd_keeps_no_folder(systemd: Systemd) -> None:
    del systemd.environ["RUNTIME_DIRECTORY"]
    assert not systemd.ends().is_known(BUG)
    assert not systemd.ends().is_known(BUG)


async def test_the_waits_double_up_to_a_longest_one(
    systemd: Systemd, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(9):
        ends = QuickEnds(Watchdog(lambda: None, systemd.environ), systemd.environ, lambda: 0.0)
        ends.is_known(BUG)
        waiting = asyncio.create_task(ends.hold_back(BUG))
        await asyncio.sleep(0.01)
        waiting.cancel()
        systemd.heard()

    waits = [int(found) for found in re.findall(r"the next start is in (\d+) s", caplog.text)]
    assert waits == [15, 30, 60, 120, 240, 300, 300, 300]
    assert waits[-1] == MOST_WAIT_S


async def test_who_waits_is_up_and_alive_and_says_why(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_ends, "FIRST_WAIT_S", 0.1)
    systemd.environ["WATCHDOG_USEC"] = "60000000"
    for _ in range(2):
        ends = QuickEnds(Watchdog(lambda: None, systemd.environ), systemd.environ)
        ends.is_known(BUG)
    await asyncio.wait_for(ends.hold_back(BUG), 5)
    assert systemd.heard()[:3] == [
        f"STATUS=ended 2 times in a row, and waits before the next: {BUG}",
        "READY=1",
        "WATCHDOG=1",
    ]


@contextlib.contextmanager
def started(systemd: Systemd, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The daemon, on a Python that lacks a module."""
    program = (
        "import sys; sys.modules['resource'] = None\n"
        "from gateway.cli.main import main\n"
        f"sys.exit(main(['--config', {str(folder)!r}, 'run']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | systemd.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_bug_writes_its_traceback_once(systemd: Systemd, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    (folder / "devices").mkdir(parents=True)
    (folder / "gateway.yaml").write_text("site: home\nbuffer: {path: buffer.sqlite}\n")
    (folder / "devices" / "pv.yaml").write_text("profile: eastron/sdm120\nline: tcp:127.0.0.1:9\n")

    with started(systemd, folder) as first:
        said, _ = first.communicate(timeout=30)
    assert first.returncode == 1
    assert said.count("Traceback") >= 1
    assert "resource" in said

    with started(systemd, folder) as again:
        until_s = time.monotonic() + 30
        while not any("2 times in a row" in word for word in systemd.heard()):
            assert time.monotonic() < until_s
            assert again.poll() is None, "it ended at once"
            time.sleep(0.05)
        again.terminate()
        said, _ = again.communicate(timeout=30)
    assert "Traceback" not in said
    assert said.count("\n") == 1, said


def test_a_library_that_is_missing_is_told_once_with_what_to_do(systemd: Systemd) -> None:
    program = (
        "import sys; sys.modules['msgspec'] = None\n"
        "from gateway.cli.entry import main\n"
        "sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "run"]
    environ = os.environ | systemd.environ
    first = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert first.returncode == 1
    assert "Traceback" in first.stderr
    assert "install meter-gateway again" in first.stderr

    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as again:
        until_s = time.monotonic() + 30
        while not any("msgspec" in word for word in systemd.heard()):
            assert time.monotonic() < until_s
            assert again.poll() is None, "it ended at once"
            time.sleep(0.05)
        again.kill()
        _, said = again.communicate(timeout=30)
    assert said.count("\n") == 1, said
    assert "not complete" in said

    del environ["NOTIFY_SOCKET"]
    alone = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert alone.returncode == 1
    assert "install meter-gateway again" in alone.stderr
