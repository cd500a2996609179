"""Two daemons beside each other: on one buffer, on the same lines; and commands beside one."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.commands.run import IN_USE

if TYPE_CHECKING:
    from tests.system.conftest import RunningSite, StartSite


@contextlib.asynccontextmanager
async def daemon(folder: Path, log: Path, **environment: str) -> AsyncIterator[subprocess.Popen]:
    """Another daemon, killed in the end."""
    command = [sys.executable, "-m", "gateway", "--config", str(folder), "run"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, **environment}
        )
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "gateway", "--config", str(folder), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def logged(path: Path, what: str, seconds: float = 60.0) -> str:
    """The line of a log in which this stands, as soon as it does."""
    async with asyncio.timeout(seconds):
        while True:
            for line in path.read_text(errors="replace").splitlines():
                if re.search(what, line):
                    return line
            await asyncio.sleep(0.1)


def another_site(site: "RunningSite", folder: Path, buffer: Path) -> Path:
    """The same meters, with another name and buffer."""
    shutil.copytree(site.site.folder, folder, ignore=shutil.ignore_patterns("*.sqlite*", "*.log"))
    text = (folder / "gateway.yaml").read_text()
    text = text.replace("demo-home", "other").replace("path: buffer.sqlite", f"path: {buffer}")
    (folder / "gateway.yaml").write_text(
        re.sub(r"status: \{port: \d+\}", "status: {port: 0}", text)
    )
    return folder


async def test_a_buffer_has_one_daemon(tmp_path: Path, start_site: "StartSite") -> None:
    (tmp_path / "home").mkdir()
    async with start_site(tmp_path / "home") as site:
        await site.until(lambda report: report.buffer.samples > 0, "it writes")
        link = tmp_path / "link.sqlite"
        link.symlink_to(site.site.buffer_path)
        other = another_site(site, tmp_path / "other", link)
        assert site.daemon.process is not None
        pid = site.daemon.process.pid

        refused = await command(other, "run")
        assert refused.returncode == IN_USE
        assert refused.stderr.count("\n") == 1, refused.stderr
        assert f"the daemon of site demo-home works on this buffer (pid {pid}" in refused.stderr

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            systemd.setblocking(False)
            log = tmp_path / "other.log"
            notify = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
            async with daemon(other, log, **notify) as waiting:
                await logged(log, "waiting until it is free")
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(10):
                    said = [(await loop.sock_recv(systemd, 4096)).decode() for _ in range(2)]
                assert said[0].startswith("STATUS=") and f"pid {pid}" in said[0]
                assert said[1].startswith("EXTEND_TIMEOUT_USEC=")
                await asyncio.sleep(6)
                assert waiting.poll() is None
                assert len(log.read_text().splitlines()) == 1, log.read_text()


async def test_a_line_has_one_daemon_and_goes_to_the_other_when_it_is_free(
    tmp_path: Path, start_site: "StartSite"
) -> None:
    (tmp_path / "home").mkdir()
    async with start_site(tmp_path / "home") as site:
        await site.until(lambda report: all(m.samples for m in report.meters), "all are heard")
        other = another_site(site, tmp_path / "other", tmp_path / "other.sqlite")
        assert site.daemon.process is not None
        pid = site.daemon.process.pid
        log = tmp_path / "other.log"
        async with daemon(other, log):
            for kind in ("serial", "tcp"):
                line = await logged(log, f"^WARNING {kind}:.* has the (port|line) open")
                assert "the daemon of site demo-home has the" in line, line
                assert f"(pid {pid}: " in line
            errors = (await site.report()).lines
            assert all(line.errors == 0 for line in errors), "the first notices nothing"

            site.daemon.process.kill()
            await logged(log, "^INFO serial:.*works again")
            await logged(log, "^INFO tcp:.*works again")


async def test_commands_work_beside_the_daemon_and_say_who_has_a_line(
    tmp_path: Path, start_site: "StartSite"
) -> None:
    async with start_site(tmp_path) as site:
        await site.until(lambda report: all(m.samples for m in report.meters), "all are heard")
        await site.until(lambda report: report.buffer.slots > 0, "slots are there")
        for words in (["slots"], ["outbox"], ["allocate"], ["buffer", "check"]):
            assert (await command(tmp_path, *words)).returncode == 0, words
        assert (await command(tmp_path, "backup", str(tmp_path / "copy"))).returncode == 0

        for meter in ("grid", "pv", "heat-pump"):
            read = await command(tmp_path, "read", meter, "--json")
            assert read.returncode == 0, read.stderr
            assert json.loads(read.stdout)["values"]["energy_import_wh"] >= 0
            assert "is in use: the daemon of site demo-home (pid" in read.stderr
            assert re.search(r"its last reading is \d s old", read.stderr), read.stderr

        url = next(m.line for m in (await site.report()).meters if m.name == "pv")
        raw = await command(tmp_path, "read", "pv", "--raw", "0")
        assert raw.returncode == 1
        assert "the daemon of site demo-home (pid" in raw.stderr
        scan = await command(tmp_path, "scan", "--fast", "--line", url)
        assert "the daemon of site demo-home has the port open (pid" in scan.stderr
