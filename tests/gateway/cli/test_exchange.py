"""`meter-gateway exchange assets` and `check --online`, against the engine's twin over a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import pytest

from gateway.cli.main import main
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange

NETWORK, LOAD, PV, OTHER = (UUID(f"8a2c0f3e-5d1b-4c77-9f64-{n:012d}") for n in range(4))

YAML = """\
site: home-12
exchange:
  dialect: sdk
  url: {url}
  canary_network: {network}
  credentials: exchange.credentials
assets:
  - {{name: House, kind: load, energy: grid.import}}
  - {{name: PV, uuid: {pv}, kind: pv, energy: grid.export}}
buffer: {{path: buffer.sqlite}}
"""


@pytest.fixture
async def exchange() -> AsyncIterator[StandInExchange]:
    street = Node(OTHER, "Street", AREA, children=[Node(LOAD, "House"), Node(PV, "PV", "PV")])
    community = Community(Node(NETWORK, "Grid", AREA, children=[street]))
    async with StandInExchange(NETWORK, community) as exchange:
        yield exchange


@pytest.fixture
def folder(tmp_path: Path, exchange: StandInExchange) -> Path:
    (tmp_path / "devices").mkdir()
    device = "profile: eastron/sdm630\nline: tcp:127.0.0.1:1\naddress: 1\n"
    (tmp_path / "devices/grid.yaml").write_text(device)
    text = YAML.format(url=exchange.url, network=NETWORK, pv=PV)
    (tmp_path / "gateway.yaml").write_text(text)
    login = tmp_path / "exchange.credentials"
    login.write_text(f"username: {exchange.username}\npassword: {exchange.password}\n")
    login.chmod(0o600)
    return tmp_path


async def run(folder: Path, *words: str) -> int:
    return await asyncio.to_thread(main, [*words, "--config", str(folder)])


async def test_the_tree_is_shown_with_kinds_uuids_and_what_is_ours(
    folder: Path, exchange: StandInExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.community.find(PV).is_live = False
    assert await run(folder, "exchange", "assets") == 0
    shown = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    assert lines["House"] == ["House", "Load", str(LOAD), "yes", "yes", "House", "(load)"]
    assert lines["PV"] == ["PV", "PV", str(PV), "yes", "NO", "PV", "(pv)"]
    assert "warning: PV: its live data is switched off" in shown

    assert await run(folder, "exchange", "assets", "--json") == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["House"]["asset"] == "House" and found["House"]["uuid"] == str(LOAD)
    assert found["Street"]["market"] and found["PV"]["live"] is False


async def test_for_programs_what_is_otherwise_goes_to_standard_error(
    folder: Path, exchange: StandInExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.community.find(LOAD).name = "Haus"
    assert await run(folder, "exchange", "assets", "--json") == 1
    out, err = capsys.readouterr()
    assert {each["asset"] for each in json.loads(out)} == {None, "PV"}
    assert "otherwise: no asset of the network is named 'House'" in err


def rename(exchange: StandInExchange) -> None:
    exchange.community.find(LOAD).name = "Haus"


def double(exchange: StandInExchange) -> None:
    exchange.community.add(Node(UUID(int=9), "House"))


def change_kind(exchange: StandInExchange) -> None:
    exchange.community.find(PV).kind = "Storage"


def make_anew(exchange: StandInExchange) -> None:
    exchange.community.remove(PV)
    exchange.community.add(Node(UUID(int=8), "PV", "PV"))


def forbid(exchange: StandInExchange) -> None:
    exchange.behaviour.is_permitted = False


@pytest.mark.parametrize(
    ("change", "line", "key", "words"),
    [
        (rename, 8, "assets[0].name", "no asset of the network is named 'House'"),
        (double, 8, "assets[0].name", "2 assets of the network are named 'House'"),
        (change_kind, 9, "assets[1].kind", "PV is a Storage in the exchange, and pv here"),
        (make_anew, 9, "assets[1].uuid", f"no asset of the network has the UUID {PV}"),
        (forbid, 6, "exchange.credentials", "has this account the role for it?"),
    ],
)
async def test_what_is_otherwise_is_told_with_file_and_line(
    folder: Path,
    exchange: StandInExchange,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[StandInExchange], None],
    line: int,
    key: str,
    words: str,
) -> None:
    assert await run(folder, "check", "--online") == 0
    assert "has every asset as gateway.yaml has it" in capsys.readouterr().out
    change(exchange)
    assert await run(folder, "check", "--online") == 1
    told = capsys.readouterr().out
    [problem] = [each for each in told.splitlines() if f"gateway.yaml:{line}: {key}: " in each]
    assert words in problem


async def test_an_exchange_that_does_not_answer_is_told(
    folder: Path, exchange: StandInExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.mode("down")
    assert await run(folder, "exchange", "assets") == 1
    assert "the registry of the exchange cannot be read" in capsys.readouterr().err
    assert await run(folder, "exchange", "assets", "--destination", "exchang") == 1
    assert "did you mean 'exchange'?" in capsys.readouterr().err


async def test_slots_say_what_accepted_means_where_no_verdict_is_heard(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway.store.opening import open_buffer

    open_buffer(folder / "buffer.sqlite", now_s=0.0).close_file()
    assert await run(folder, "slots") == 0
    assert "taken by HTTP" not in capsys.readouterr().err
    text = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text(text.replace("  url:", "  verdicts: off\n  url:"))
    assert await run(folder, "slots") == 0
    assert "accepted means taken by HTTP here" in capsys.readouterr().err
