"""systemd is told what it needs to know, over a real datagram socket."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.monitoring import watchdog as watchdog_module
from gateway.monitoring.watchdog import MAX_STATUS, Watchdog


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What systemd puts into NOTIFY_SOCKET, and its end of it."""
    name = (
        str(tmp_path / "notify")
        if request.param == "path"
        else f"@meter-gateway-test-{os.getpid()}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        ear.setblocking(False)
        yield name, ear


def heard(ear: socket.socket) -> list[str]:
    said = []
    with contextlib.suppress(BlockingIOError):
        while True:
            said.append(ear.recv(4096).decode())
    return said


async def feed_for(watchdog: Watchdog, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await watchdog.run()


def test_ready_status_and_stopping_reach_systemd(systemd: tuple[str, socket.socket]) -> None:
    watchdog = Watchdog(lambda: None, {"NOTIFY_SOCKET": systemd[0]})
    watchdog.ready()
    watchdog.status("3 meters,\n2 assets")
    watchdog.status("3 meters, 2 assets")
    watchdog.stopping()
    assert heard(systemd[1]) == ["READY=1", "STATUS=3 meters, 2 assets", "STOPPING=1"]


async def test_is_fed_while_there_is_progress(systemd: tuple[str, socket.socket]) -> None:
    watchdog = Watchdog(
        lambda: None,
        {"NOTIFY_SOCKET": systemd[0], "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())},
    )
    await feed_for(watchdog, 0.2)
    said = heard(systemd[1])
    assert len(said) >= 2
    assert set(said) == {"WATCHDOG=1"}


async def test_a_standstill_is_named_once_and_not_fed_until_it_ends(
    systemd: tuple[str, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    verdicts = iter([None, "the uploader", "the uploader", "the uploader", None])
    finished = asyncio.Event()

    def progress() -> str | None:
        verdict = next(verdicts, "end")
        if verdict == "end":
            finished.set()
            return None
        return verdict

    watchdog = Watchdog(progress, {"NOTIFY_SOCKET": systemd[0], "WATCHDOG_USEC": "6000"})
    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(watchdog.run())
        await asyncio.wait_for(finished.wait(), 10)
        task.cancel()
    assert heard(systemd[1])[:3] == ["WATCHDOG=1", "STATUS=the uploader stands still", "WATCHDOG=1"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "the uploader stands still" in caplog.text


async def test_nothing_happens_without_systemd() -> None:
    watchdog = Watchdog(lambda: None, {})
    watchdog.ready()
    assert watchdog.feed_every_s is None
    await asyncio.wait_for(watchdog.run(), 10)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_is_fed_three_times_per_interval_where_it_is_meant_for_us(
    environ: dict[str, str], expected: float | None
) -> None:
    assert Watchdog(lambda: None, environ).feed_every_s == expected


def test_a_systemd_that_is_gone_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watchdog = Watchdog(lambda: None, {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    watchdog.ready()
    watchdog.stopping()
    assert len(caplog.records) == 1


async def test_how_all_is_is_told_as_it_changes_and_not_over_a_standstill(
    systemd: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog_module, "STATUS_S", 0.01)
    standing_still: list[str] = []
    summary = ["starting: pv not heard yet"]
    watchdog = Watchdog(
        lambda: standing_still[0] if standing_still else None,
        {"NOTIFY_SOCKET": systemd[0], "WATCHDOG_USEC": "150000", "WATCHDOG_PID": str(os.getpid())},
    )
    telling = asyncio.create_task(watchdog.tell(lambda: summary[0]))
    feeding = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0.1)
    said = heard(systemd[1])
    summary[0] = "all is well"
    await asyncio.sleep(0.1)
    said += heard(systemd[1])
    standing_still.append("the buffer")
    await asyncio.sleep(0.2)
    for task in (telling, feeding):
        task.cancel()
    await asyncio.gather(telling, feeding, return_exceptions=True)
    said += heard(systemd[1])
    assert [each for each in said if each.startswith("STATUS=")] == [
        "STATUS=starting: pv not heard yet",
        "STATUS=all is well",
        "STATUS=the buffer stands still",
    ]


async def test_nobody_is_told_where_nobody_listens() -> None:
    async with asyncio.timeout(5):
        await Watchdog(lambda: None, {}).tell(lambda: pytest.fail("it is not even asked"))


def test_a_status_is_one_line_of_bounded_length(systemd: tuple[str, socket.socket]) -> None:
    Watchdog(lambda: None, {"NOTIFY_SOCKET": systemd[0]}).status("a b\n" * 1000)
    (said,) = heard(systemd[1])
    assert len(said) == len("STATUS=") + MAX_STATUS
    assert said.endswith("…")
    assert "\n" not in said
