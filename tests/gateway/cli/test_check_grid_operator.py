"""`meter-gateway check` of a grid operator's box, with its tariff files and its account."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import openpyxl
import pytest

from gateway.delivery.simulated.http_server import StandInExchange
from tests.gateway.operator.street import HOUSE, NETWORK, community

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "grid-operator"

OTHER = UUID(int=77)


@pytest.fixture
def station(tmp_path):
    """The example's folder, with a login."""
    folder = tmp_path / "station"
    shutil.copytree(EXAMPLE, folder)
    login(folder, "correct horse")
    text = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text("buffer: {path: buffer.sqlite}\n" + text)
    return folder


def login(folder, password, username="dso"):
    path = folder / "grid-operator.credentials"
    path.write_text(f"username: '{username}'\npassword: '{password}'\n")
    path.chmod(0o600)


def test_it_is_said_whose_fees_are_set_and_how(station, run):
    code, out, err = run("--config", str(station), "check")
    assert (code, err) == (0, "")
    assert "Decides the grid fees (dry_run: none is sent) of Grid, Community, House 1 at" in out
    assert "from 0 ct/kWh to 12 ct/kWh, at most 4 ct/kWh a slot; model time_of_use" in out
    assert "but for Community: feeder" in out
    assert "once a model has lacked what it needs for 4 slots in a row" in out
    assert "horse" not in out


def test_a_box_without_meters_is_told_to_read_none(station, run):
    shutil.rmtree(station / "devices")
    text = (station / "gateway.yaml").read_text()
    begin, end = text.index("    Community:"), text.index("  lowest:")
    (station / "gateway.yaml").write_text(text[:begin] + text[end:])
    code, out, err = run("--config", str(station), "check")
    assert (code, err) == (0, "")
    assert "Reads no meter." in out


def test_fees_that_the_bounds_never_let_pass_are_suspected(station, run):
    text = (station / "gateway.yaml").read_text()
    text = text.replace("lowest: 0 ", "lowest: 1 ").replace("highest: 12", "highest: 5")
    (station / "gateway.yaml").write_text(text)
    code, out, _ = run("--config", str(station), "check")
    assert code == 0
    assert "suspect: grid_operator, model: it has 6 ct/kWh; highest: 5 ct/kWh cuts it" in out
    assert "suspect: grid_operator, model: it has 0.5 ct/kWh; lowest: 1 ct/kWh raises it" in out
    assert "suspect: grid_operator, Community: it has 8 ct/kWh" in out


def test_every_mistake_of_every_file_is_named_in_one_run(station, run):
    for name, before, after in (
        ("tou.csv", "07:15:00;1,20", "07:15:00;dear"),
        ("aziiz.json", '25, "Grid fee"', '5, "Grid fee"'),
        ("gateway.yaml", "rating_kw: 250", "rating_kw: 0"),
    ):
        text = (station / name).read_text()
        assert before in text
        (station / name).write_text(text.replace(before, after))
    code, out, _ = run("--config", str(station), "check")
    assert code == 1
    assert f"{station}/tou.csv:31: column 2: 'dear' is no number" in out
    assert f"{station}/aziiz.json:4: Grid[1].Import / Export threshold: 5 kWh is not more" in out
    assert "grid_operator.models.Community.rating_kw: " in out
    assert "3 mistakes" in out


def test_a_tariff_file_that_the_service_cannot_read_is_told(station, tmp_path):
    from gateway.site.named_files import named_files

    files = {file.path.name for file in named_files(station) if file.kind == "tariff"}
    assert files == {"tou.csv", "aziiz.json"}


@pytest.mark.parametrize(("password", "code"), [("let-me-in", 0), ("wrong", 1)])
async def test_its_account_is_tried(station, run, password, code):
    async with StandInExchange(NETWORK, community(), slot_s=900) as exchange:
        login(station, exchange.password if code == 0 else password, exchange.username)
        text = (station / "gateway.yaml").read_text()
        text = text.replace("grid_operator:\n", f"grid_operator:\n  url: {exchange.url}\n")
        (station / "gateway.yaml").write_text(text)
        told = await trial(station)
    assert any(line.startswith("ok" if code == 0 else "✗") for line in told)
    assert password not in "".join(told)


async def trial(station):
    from gateway.cli.trial import _grid_operator
    from gateway.operator.loading import load

    return [str(await _grid_operator(load(station)))]


async def test_its_markets_are_compared_with_the_registry(station):
    network = community()
    network.aggregators[OTHER], network.controlled[HOUSE] = "another dso", OTHER
    async with StandInExchange(NETWORK, network, slot_s=900) as exchange:
        login(station, exchange.password, exchange.username)
        text = (station / "gateway.yaml").read_text()
        text = text.replace("grid_operator:\n", f"grid_operator:\n  url: {exchange.url}\n")
        text = text.replace("[Grid, Community, House 1]", "[Grid, Community, House 1, Street]")
        text = text.replace("    Grid: {kind", "    Street: {kind: fixed, fee: 1}\n    Grid: {kind")
        (station / "gateway.yaml").write_text(text)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "--config", str(station), "check", "--online"),
            stdout=subprocess.PIPE,
        )
        out = (await process.communicate())[0].decode().removeprefix(f"{station}/")

    assert process.returncode == 1
    line = text[: text.index("  markets:")].count("\n") + 1
    assert f"gateway.yaml:{line}: grid_operator.markets[1]: Community: there is no such" in out
    assert "markets[2]: House 1: the aggregator 'another dso' sets its fees — have it let" in out
    assert "warning: Grid is the uppermost market, of which the exchange tells nothing" in out
    assert "By the registry, grid fees are set of: Grid, Street." in out


PROGRAM = """
import json, sys
from pathlib import Path
from uuid import UUID
from gateway.operator.loading import load
load(Path(sys.argv[1]), logins=False)
print(json.dumps(sorted(sys.modules)))
"""


def imported(folder):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, check=True
    )
    return json.loads(done.stdout)


def test_a_spreadsheet_costs_the_daemon_no_memory_and_no_section_costs_nothing(station):
    book = openpyxl.Workbook()
    book.active.title = "ToU"
    book.active.append(["Time", "House 1"])
    for q in range(96):
        book.active.append([f"{q // 4:02}:{q % 4 * 15:02}", "1,5"])
    book.save(station / "ToU.xlsx")
    text = (station / "gateway.yaml").read_text()
    (station / "gateway.yaml").write_text(text.replace("tou.csv", "ToU.xlsx"))
    assert not [name for name in imported(station) if name.startswith("openpyxl")]

    (station / "gateway.yaml").write_text("site: station-7\n")
    ours = [name for name in imported(station) if name.startswith("gateway.operator.")]
    assert ours == ["gateway.operator.loading"]
