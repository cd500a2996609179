"""`meter-gateway init` and `login`, in processes of their own, against meters on real lines and the
engine's twin.
"""

import asyncio
import contextlib
import os
import pty
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from drivers.line import SerialSettings
from drivers.profile import load_profile
from drivers.simulated.meters import modbus_rtu, modbus_tcp
from drivers.simulated.one_meter import Load, twin_of
from drivers.simulated.wire import paced_line
from gateway.delivery import kinds
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange

pytestmark = pytest.mark.xdist_group("init")

NETWORK, LOAD, PV, CELLAR, STREET = (
    UUID(f"8a2c0f3e-5d1b-4c77-9f64-{number:012d}") for number in range(5)
)
PATIENCE_S = 120.0


@pytest.fixture
async def exchange() -> AsyncIterator[StandInExchange]:
    children = [Node(LOAD, "House"), Node(PV, "Roof", "PV"), Node(CELLAR, "Cellar", "Storage")]
    street = Node(STREET, "Street", AREA, children=children)
    community = Community(Node(NETWORK, "Grid", AREA, children=[street]))
    async with StandInExchange(NETWORK, community) as exchange:
        yield exchange


@contextlib.asynccontextmanager
async def meters() -> AsyncIterator[tuple[str, str]]:
    """A three-phase meter on the network that imports, and a single-phase one on RS485 through
    which 900 W flow the way that it calls import: of panels, it is wired the other way round.
    """
    settings = SerialSettings(baud=9600)
    async with contextlib.AsyncExitStack() as stack:
        wire = await stack.enter_async_context(paced_line(settings.char_s))
        roof = load_profile("eastron/sdm120")
        twin = twin_of(roof, Load(900, time.time(), 1), time.time, serial_number=71_000_002)
        await stack.enter_async_context(modbus_rtu({1: twin}, wire.meter_end))
        grid = load_profile("eastron/sdm630")
        twin = twin_of(grid, Load(1200, time.time(), 3), time.time, serial_number=71_000_001)
        port = await stack.enter_async_context(modbus_tcp({1: twin}))
        yield (
            f"tcp:127.0.0.1:{port}",
            f"serial:{wire.gateway_end}?baud=9600&parity=none&stop_bits=1",
        )


async def program(*words: str) -> tuple[int | None, str]:
    """Its exit code, and all it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, said.decode()


class Terminal:
    """A program at a terminal, and a person who answers its questions."""

    def __init__(self, *words: str) -> None:
        self.said = ""
        self._words = words

    async def __aenter__(self) -> "Terminal":
        self._end, theirs = pty.openpty()
        os.set_blocking(self._end, False)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *("-m", "gateway", *self._words),
            stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        os.close(self._end)

    async def answer(self, question: str, answer: str) -> None:
        """Wait for a question, and answer it."""
        await self.until(question)
        os.write(self._end, f"{answer}\n".encode())

    async def until(self, text: str) -> None:
        """Wait until it has said this since the last time."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while text not in self.said:
                    await asyncio.sleep(0.05)
                    with contextlib.suppress(BlockingIOError, OSError):
                        self.said += os.read(self._end, 65536).decode(errors="replace")
        except TimeoutError:
            raise AssertionError(f"never said {text!r}: {self.said}") from None
        self.said = self.said.partition(text)[2]

    async def code(self) -> int:
        return await asyncio.wait_for(self._process.wait(), PATIENCE_S)


def flags(exchange: StandInExchange, folder: Path) -> list[str]:
    """What a person would be asked about the exchange."""
    secret = folder.parent / "password"
    secret.write_text(f"{exchange.password}\n")
    return [
        *("--url", exchange.url, "--canary-network", str(NETWORK)),
        *("--username", exchange.username, "--password-file", str(secret)),
    ]


async def test_by_flags_a_blank_folder_becomes_a_site_that_checks_and_is_kept_when_run_again(
    exchange: StandInExchange, tmp_path: Path
) -> None:
    folder = tmp_path / "conf"
    async with meters() as (grid, roof):
        words = ["--config", str(folder), "init", "--yes", "--site", "home-12", "--slot", "20s"]
        words += ["--meter", f"grid={grid}@1", "--meter", f"pv={roof}@1", *flags(exchange, folder)]
        code, said = await program(*words)
        assert code == 0, said
        assert "grid.import - grid.export + pv.export" in said
        assert "left out: the exchange takes no energy of a storage" in said
        assert exchange.password not in said
        settings = kinds.load(folder)
        formulas = {asset.uuid: str(asset.energy) for asset in settings.assets}
        assert formulas == {LOAD: "grid.import - grid.export + pv.export", PV: "pv.export"}
        assert {d.name: d.invert for d in settings.devices} == {"grid": False, "pv": True}
        assert stat.S_IMODE((folder / "exchange.credentials").stat().st_mode) == 0o600

        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        code, said = await program(*words)
        assert code == 0, said
        assert "has its file already" in said and "There is a configuration already" in said
        code, said = await program(*words[:4], "--no-scan")
        assert code == 0, said
        assert {path: path.read_bytes() for path in before} == before

        code, said = await program(*words, "--anew")
        assert code == 0, said
        (kept,) = folder.glob("gateway.yaml.before-*")
        assert kept.read_bytes() == before[folder / "gateway.yaml"]


async def test_at_a_terminal_each_thing_is_asked_and_the_running_daemon_is_waited_for(
    exchange: StandInExchange, tmp_path: Path
) -> None:
    folder = tmp_path / "conf"
    async with meters() as (_, roof):
        words = ["--config", str(folder), "init", "--slot", "20s", "--line", roof]
        async with Terminal(*words, "--url", exchange.url) as person:
            await person.answer("Number or word [grid]", "2")
            await person.answer("Turn it round? [Y/n]", "")
            await person.answer("Name of this site", "my home")
            await person.until("letters, digits, dot")
            await person.answer("Name of this site", "home-12")
            await person.answer("Time zone", "Europe/Berlin")
            await person.answer("Deliver to an exchange? [Y/n]", "y")
            await person.answer("Exchange [", "")
            await person.answer("UUID of the network there", str(NETWORK))
            await person.answer("User name there", exchange.username)
            await person.answer("Password (it is not shown)", "wrong")
            await person.until("does not take this user name and password")
            await person.answer("User name there", exchange.username)
            await person.answer("Password (it is not shown)", exchange.password)
            await person.until("House (load)")
            await person.answer("Its energy ('none' leaves it out) [none]", "pv.imports")
            await person.until("a meter has .import and .export")
            await person.answer("Its energy", "none")
            await person.answer("Its energy ('none' leaves it out) [pv.export]", "")
            await person.until("Start it with")
            assert await person.code() == 0
        site = folder / "gateway.yaml"
        assert "timezone: Europe/Berlin" in site.read_text()

        # A second meter later, beside the daemon that runs; the file of the site is kept.
        text = site.read_text() + "clock: {trust: assured}\n"
        site.write_text(text)
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "--config", str(folder), "run",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            page = asyncio.timeout(PATIENCE_S)
            async with page:
                while (await program("--config", str(folder), "status"))[0] == 2:
                    await asyncio.sleep(0.2)
            code, said = await program("--config", str(folder), "init", "--yes", "--no-scan")
            assert code == 0, said
            assert "ok pv: import" in said and "The first whole slot ends at" in said
        finally:
            daemon.terminate()
            await daemon.wait()
        assert site.read_text() == text


async def test_what_cannot_be_done_is_named_and_what_was_found_is_kept(
    exchange: StandInExchange, tmp_path: Path
) -> None:
    folder = tmp_path / "conf"
    async with meters() as (grid, _):
        words = ["--config", str(folder), "init", "--yes", "--site", "home-12"]
        found = ["--meter", f"grid={grid}@1"]
        # No exchange is reached: the login is kept, and assets are looked up by name later.
        there = flags(exchange, folder)
        there[1] = "http://127.0.0.1:9"
        code, said = await program(*words, *found, *there, "--asset", "House:load=grid.import")
        assert code == 1, said
        assert "Left to do: the exchange could not be asked: http://127.0.0.1:9" in said
        asset = kinds.load(folder).assets[0]
        assert (asset.name, asset.is_by_name) == ("House", True)

        # A wrong password, a wrong network.
        (folder / "gateway.yaml").unlink()
        (folder / "exchange.credentials").unlink()
        wrong = tmp_path / "wrong"
        wrong.write_text("never\n")
        code, said = await program(*words, *found, *flags(exchange, folder)[:-1], str(wrong))
        assert code == 1 and "does not take this login" in said
        assert (folder / "devices/grid.yaml").exists()
        assert not (folder / "gateway.yaml").exists()
        elsewhere = flags(exchange, folder)
        elsewhere[3] = str(LOAD)
        code, said = await program(*words, *found, *elsewhere)
        assert code == 1 and "The meters are kept" in said

        # A formula of a meter that is not there, an asset that is not there.
        there = flags(exchange, folder)
        code, said = await program(*words, *found, *there, "--asset", "House=pv.import")
        assert code == 1 and "there is no meter 'pv'" in said and "Traceback" not in said
        code, said = await program(*words, *found, *there, "--asset", "Hause=grid.import")
        assert code == 1 and "no such asset; it has House, Roof, Cellar" in said

    # No meter at all; a folder that cannot be written.
    code, said = await program("--config", str(tmp_path / "other"), "init", "--yes", *found)
    assert code == 1 and "There is no meter" in said
    code, said = await program("--config", "/proc/meter-gateway", "init", "--yes")
    assert code == 1 and "cannot be written" in said and "Traceback" not in said


async def test_a_login_is_written_only_once_it_was_taken(
    exchange: StandInExchange, tmp_path: Path
) -> None:
    folder = tmp_path / "conf"
    async with meters() as (grid, _):
        words = ["--config", str(folder), "init", "--yes", "--site", "home-12"]
        code, said = await program(*words, "--meter", f"grid={grid}@1", *flags(exchange, folder))
    assert code == 0, said
    path = folder / "exchange.credentials"
    before = path.read_bytes()
    wrong = tmp_path / "wrong"
    wrong.write_text("never\n")
    login = ["--config", str(folder), "login", "--password-file"]
    code, said = await program(*login, str(wrong))
    assert code == 1 and "Nothing was changed" in said
    assert path.read_bytes() == before

    exchange.password = "it's a 'new' one: #1"
    right = tmp_path / "right"
    right.write_text(f"{exchange.password}\n")
    code, said = await program(*login, str(right))
    assert code == 0, said
    assert exchange.password not in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    code, said = await program("--config", str(folder), "exchange", "assets")
    assert "House" in said

    text = (folder / "gateway.yaml").read_text().replace(exchange.url, "http://127.0.0.1:9")
    (folder / "gateway.yaml").write_text(text)
    code, said = await program(*login, str(wrong))
    assert code == 1 and "--untried writes it down" in said
    code, said = await program(*login, str(wrong), "--untried")
    assert code == 0 and "never" in path.read_text()
    code, said = await program(*login, str(wrong), "--destination", "second")
    assert code == 1 and "no exchange 'second'" in said
