"""A start that fails under systemd ends once with its error, and waits the next time."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import failing_start
from gateway.cli.failing_start import FailingStart
from gateway.monitoring.watchdog import Watchdog
from gateway.store.errors import StoreError
from tests.gateway.cli.notify_socket import heard, listening

MISTAKES = StoreError("gateway.yaml:3: no such key\ngateway.yaml:9: neither")


class Systemd:
    """Starts one process after the other, and hears what they say."""

    def __init__(self, folder: Path, ear: socket.socket, address: str) -> None:
        self.configuration = folder / "home"
        self.configuration.mkdir()
        (self.configuration / "gateway.yaml").write_text("site: home\n")
        (folder / "run").mkdir()
        self.environ = {"RUNTIME_DIRECTORY": str(folder / "run")}
        self._address = address
        self._ear = ear

    def start(self) -> FailingStart:
        """Another process."""
        watchdog = Watchdog(lambda: None, {"NOTIFY_SOCKET": self._address})
        return FailingStart(self.configuration, watchdog, self.environ)

    def heard(self) -> list[str]:
        return heard(self._ear)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with listening(tmp_path / "notify") as ear:
        yield Systemd(tmp_path, ear, str(tmp_path / "notify"))


def test_the_first_failure_ends_the_process_and_shows_the_mistake(systemd: Systemd) -> None:
    assert systemd.start().ends_with(MISTAKES)
    assert systemd.heard() == ["STATUS=not started: gateway.yaml:3: no such key (and 1 more)"]


def test_the_same_failure_again_does_not(systemd: Systemd) -> None:
    systemd.start().ends_with(MISTAKES)
    again = systemd.start()
    assert not again.ends_with(MISTAKES)
    assert not again.ends_with(StoreError("another one")), "who has stayed goes on to"


def test_another_failure_and_one_after_an_edit_end_it(systemd: Systemd) -> None:
    systemd.start().ends_with(MISTAKES)
    assert systemd.start().ends_with(StoreError("the disk is gone"))
    (systemd.configuration / "gateway.yaml").write_text("site: hom\n")
    assert systemd.start().ends_with(StoreError("the disk is gone"))
    (systemd.configuration / "gateway.yaml").chmod(0o600)
    assert systemd.start().ends_with(StoreError("the disk is gone"))


def test_one_after_a_start_that_went_well_ends_it(systemd: Systemd) -> None:
    systemd.start().ends_with(MISTAKES)
    systemd.start().is_over()
    assert systemd.start().ends_with(MISTAKES)


async def test_who_waits_is_up_and_alive_and_goes_on_when_a_file_changes(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(failing_start, "LOOK_S", 0.05)
    waiting = systemd.start()
    task = asyncio.create_task(waiting.wait(MISTAKES))
    await asyncio.sleep(0.2)
    assert not task.done()
    assert "READY=1" in systemd.heard()
    assert caplog.text.count("not started") == 1

    (systemd.configuration / "other.log").write_text("the buffer's or the log's own life")
    await asyncio.sleep(0.2)
    assert not task.done()
    (systemd.configuration / "devices").mkdir()
    (systemd.configuration / "devices" / "pv.yaml").write_text("profile: eastron/sdm120\n")
    await asyncio.wait_for(task, 5)

    waiting.look()
    task = asyncio.create_task(waiting.wait(MISTAKES))
    await asyncio.sleep(0.2)
    assert caplog.text.count("not started") == 1, "the log is told once"
    task.cancel()


async def test_it_is_tried_again_after_a_while_all_the_same(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing_start, "LOOK_S", 0.05)
    monkeypatch.setattr(failing_start, "FIRST_WAIT_S", 0.2)
    waiting = systemd.start()
    began_s = time.monotonic()
    await asyncio.wait_for(waiting.wait(MISTAKES), 5)
    await asyncio.wait_for(waiting.wait(MISTAKES), 5)
    assert time.monotonic() - began_s >= 0.6, "the second wait is twice as long"


async def test_who_is_passed_credentials_ends_after_an_edit_and_is_passed_them_anew(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing_start, "LOOK_S", 0.05)
    monkeypatch.setattr(failing_start, "FIRST_WAIT_S", 0.2)
    systemd.environ["CREDENTIALS_DIRECTORY"] = "/run/credentials/meter-gateway.service"
    waiting = systemd.start()
    assert await asyncio.wait_for(waiting.wait(MISTAKES), 5), "nothing was edited"

    task = asyncio.create_task(waiting.wait(MISTAKES))
    await asyncio.sleep(0.1)
    (systemd.configuration / "exchange.credentials").write_text("username: 'a'\npassword: 'b'\n")
    assert not await asyncio.wait_for(task, 5)
