"""One user at a time: claims, and the lines that are claimed, between real processes."""

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.claim import Held, Holder, announced, claim, holder_of
from drivers.line import LineError, LineHeld, LineUrl, SerialSettings, open_line
from drivers.simulated.wire import paced_line
from tests.serving import hang_up, serving

DEFAULTS = SerialSettings()


@contextlib.contextmanager
def another_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that does this, says so, and stays."""
    text = textwrap.dedent(code) + "\nprint('ready', flush=True)\nimport time; time.sleep(60)"
    command = [sys.executable, "-c", text, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


CLAIMS = """
    import sys
    from drivers.claim import claim
    mine = claim(sys.argv[1], sys.argv[2])
"""
OPENS = """
    import asyncio, sys
    from drivers.line import LineUrl, SerialSettings, open_line
    url = LineUrl.parse(sys.argv[1])
    line = asyncio.run(open_line(url, SerialSettings(), says="the daemon of site north"))
"""


def test_what_another_process_has_is_refused_and_a_kill_gives_it_back() -> None:
    what = f"something {os.getpid()}"
    with another_process(CLAIMS, what, "the daemon of site north") as other:
        with pytest.raises(Held) as refused:
            claim(what, "me")
        holder = refused.value.holder
        assert holder == Holder(other.pid, "the daemon of site north")
        assert f"(pid {other.pid}: " in str(holder), "and its command"
        other.kill()
        other.wait()
        claim(what, "me").close()


def test_a_claim_that_is_closed_is_gone() -> None:
    what = f"something {os.getpid()}"
    mine = claim(what, "me")
    assert holder_of(what) == Holder(os.getpid(), "me")
    mine.close()
    mine.close()
    assert holder_of(what) is None


def test_a_process_does_not_stand_in_its_own_way() -> None:
    what = f"something {os.getpid()}"
    first, second = claim(what, "me"), claim(what, "me")
    second.close()
    assert holder_of(what) == Holder(os.getpid(), "me")
    first.close()


@pytest.mark.parametrize(
    ("says", "found"),
    [("", ""), ("é" * 200, "é" * 25), ("two\nlines", "two lines"), ("a: b", "a: b")],
)
def test_whatever_a_holder_calls_itself_it_is_found(says: str, found: str) -> None:
    what = f"something {os.getpid()}"
    said = announced(what, says)
    assert holder_of(what) == Holder(os.getpid(), found)
    said.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
async def test_an_endpoint_has_one_user_whatever_it_is_called(host: str) -> None:
    async with serving(hang_up) as port:
        url = LineUrl.parse(f"tcp:{host}:{port}")
        (await open_line(url, DEFAULTS)).close()
        with another_process(OPENS, f"tcp:127.0.0.1:{port}") as other:
            with pytest.raises(LineHeld) as refused:
                await open_line(url, DEFAULTS)
            assert str(refused.value).startswith(f"{url}: the daemon of site north has the line")
            assert f"pid {other.pid}" in str(refused.value)
            other.kill()
            other.wait()
            (await open_line(url, DEFAULTS)).close()


async def test_a_connection_that_does_not_come_about_leaves_no_claim() -> None:
    async with serving(hang_up) as port:
        pass
    url = LineUrl.parse(f"tcp:127.0.0.1:{port}")
    with pytest.raises(LineError, match="connection refused"):
        await open_line(url, DEFAULTS)
    assert holder_of(f"SOCK_STREAM 127.0.0.1%0 {port}") is None


async def test_a_port_has_one_user_whatever_it_is_called(tmp_path: Path) -> None:
    async with paced_line(0) as wire:
        link = tmp_path / "by-id"
        link.symlink_to(wire.gateway_end)
        with another_process(OPENS, f"serial:{wire.gateway_end}") as other:
            with pytest.raises(LineHeld) as refused:
                await open_line(LineUrl("serial", str(link)), DEFAULTS)
            assert "the daemon of site north has the port open" in str(refused.value)
            assert f"pid {other.pid}" in str(refused.value)
            other.kill()
            other.wait()
            (await open_line(LineUrl("serial", str(link)), DEFAULTS)).close()


async def test_another_program_that_has_the_port_is_named_by_its_process() -> None:
    code = """
        import serial, sys
        port = serial.Serial(sys.argv[1], exclusive=True)
    """
    async with paced_line(0) as wire:
        with another_process(code, wire.gateway_end) as other:
            with pytest.raises(LineHeld, match="another program has the port open") as refused:
                await open_line(LineUrl("serial", wire.gateway_end), DEFAULTS)
            assert f"(pid {other.pid}: {sys.executable}" in str(refused.value)
