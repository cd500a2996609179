"""One store, one day, and who is asked for it: the page, the API and the command line say the same,
on an ordinary day and where clocks change, on a machine that stands in another time zone.
"""

import asyncio
import csv
import io
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.cli.main import main
from gateway.history.api import Api
from gateway.history.live import Live
from gateway.history.opening import open_history
from gateway.monitoring.server import StatusServer
from gateway.page.served import About, ServedPages
from gateway.site.config import load
from gateway.site.page_access import ListenHost
from gateway.site.settings import StatusSettings
from tests.gateway.history.rig import ASSETS, NOW_S, fill, report, write_home

AUTUMN_S = 1_761_562_800
"""2025-10-27 noon in Berlin: the day before had 100 slots."""
DAYS = (
    # day, its begin and end in UTC, its slots, when the store ends
    ("2026-03-28", "2026-03-27T23:00Z", "2026-03-28T23:00Z", 96, NOW_S + 86_400),
    ("2026-03-29", "2026-03-28T23:00Z", "2026-03-29T22:00Z", 92, NOW_S + 86_400),
    ("2025-10-26", "2025-10-25T22:00Z", "2025-10-26T23:00Z", 100, AUTUMN_S),
)


class Table(HTMLParser):
    """The rows of a page's table of slots, and what stands in its headings."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self._in_table = self._in_heading = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if dict(attrs).get("id") == "table":
            self._in_table = True
        elif tag == "tr" and self._in_table:
            self.rows.append([])
        elif tag in ("td", "th") and self._in_table:
            self.rows[-1].append("")
        self._in_heading = tag in ("h1", "h2", "h3")
        if self._in_heading:
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_heading = False
        if tag == "details":
            self._in_table = False

    def handle_data(self, data: str) -> None:
        if self._in_heading:
            self.headings[-1] += data
        elif self._in_table and self.rows:
            self.rows[-1][-1] += data


@pytest.fixture(autouse=True)
def _far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine stands in another zone than the site, as in a container."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A home in spring and one in autumn, by when their stores end."""
    made = {}
    for until_s in {each[-1] for each in DAYS}:
        made[until_s] = folder = tmp_path_factory.mktemp("home")
        write_home(folder)
        fill(folder / "buffer.sqlite", 3, until_s=until_s)
    return made


async def served(folder: Path, until_s: int, paths: list[str]) -> list[httpx.Response]:
    """What the real server answers."""
    settings = load(folder)

    def now() -> Any:
        return report(settings, now_s=until_s)

    history = open_history(settings, folder / "buffer.sqlite", now, frozenset())
    about = About(title="Home", zone=settings.timezone.zone)
    server = StatusServer(
        StatusSettings(host=ListenHost("127.0.0.1"), port=0),
        now,
        lambda: None,
        pages=lambda door: [
            Api(history, Live(history, now)),
            ServedPages(history, now, about, door),
        ],
    )
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    try:
        async with httpx.AsyncClient(
            base_url=server.url, headers={"Accept": "text/html"}, trust_env=False
        ) as client:
            return [await client.get(path) for path in paths]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def printed(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    """What a command prints."""
    assert main([*words, "--config", str(folder)]) == 0
    return capsys.readouterr().out


def energy_wh(cell: str) -> float:
    """Of `88.9 ± 3.0 Wh` the first number."""
    return float(re.split(r"[ \xa0]", cell)[0].replace(",", "").replace("−", "-"))


@pytest.mark.parametrize(("day", "since", "until", "slots", "store_s"), DAYS)
async def test_page_api_and_command_line_say_the_same_of_a_day(
    day: str,
    since: str,
    until: str,
    slots: int,
    store_s: int,
    folders: dict[int, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = folders[store_s]
    paths = [f"/days/{day}", f"/api/v1/days/{day}", f"/api/v1/days/{day}.csv"]
    page, api, table = await served(folder, store_s, paths)
    shown, said = Table(page.text), api.json()
    from_file = list(csv.DictReader(io.StringIO(table.text)))
    out = printed(capsys, folder, "slots", "--since", since, "--until", until, "--csv")
    told = list(csv.DictReader(io.StringIO(out)))

    body = shown.rows[1:-1]
    assert len(body) == len(from_file) == said["slots"] == len(told) // len(ASSETS) == slots
    for n, name in enumerate(ASSETS):
        mine = [row for row in told if row["asset"] == name]
        energies = [float(row["energy_wh"]) for row in mine]
        assert said["assets"][n]["title"] == shown.rows[0][n + 1] == name
        assert said["assets"][n]["wh"] == energies
        assert [float(row[f"{name} Wh"]) for row in from_file] == energies
        for cells, row, energy in zip(body, mine, energies, strict=True):
            assert cells[0][:5] == row["start_local"][11:16], "the clock of the site"
            assert abs(energy_wh(cells[n + 1]) - energy) <= 0.501
            assert cells[-2:] == ["read by the meter", row["delivery"]]
        total = f"{sum(energies) / 1000:,.3f}\xa0kWh"
        assert shown.rows[-1][n + 1] == total
        offsets = [row["start_local"][-5:] for row in mine]
        assert [row["start_local"][-6:].replace(":", "") for row in from_file] == offsets

    used = f"{said['sums']['used_wh'] / 1000:,.3f}\xa0kWh"
    assert f"Whole home: {used}" in shown.headings
    heat = sum(float(row["energy_wh"]) for row in told if row["asset"] != "PV")
    house = sum(float(row["energy_wh"]) for row in told if row["asset"] == "House load")
    assert said["sums"]["used_wh"] == pytest.approx(house, abs=1e-6)
    assert heat > house, "which is metered in it"


@pytest.mark.parametrize("at", [0, 11, 45, -1])
async def test_the_story_of_a_slot_is_the_same_in_the_terminal(
    at: int, folders: dict[int, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    day, since, until, _, store_s = DAYS[1]
    folder = folders[store_s]
    out = printed(capsys, folder, "slots", "--since", since, "--until", until, "--json")
    rows = [row for row in json.loads(out) if row["asset"] == "House load"]
    row = rows[at]
    explained = printed(capsys, folder, "explain", "House load", row["start_utc"])
    start_s = int(datetime.fromisoformat(row["start_utc"]).timestamp())
    page, api = await served(
        folder, store_s, [f"/slots/House load/{start_s}", f"/api/v1/slots/House load/{start_s}"]
    )
    story = api.json()
    assert story["energy_wh"] == row["energy_wh"]
    said = f"House load used {row['energy_wh']:,.3f} ± {row['uncertainty_wh']:,.3f} Wh"
    assert explained.startswith(said)
    assert f"in {row['start_local'][11:16]}" in explained
    assert day in explained
    [heading] = [each for each in Table(page.text).headings if each.startswith("Why is it")]
    assert abs(energy_wh(heading.removeprefix("Why is it ")) - row["energy_wh"]) <= 0.501
    assert f"between {row['start_local'][11:16]}" in page.text
    for term in story["terms"]:
        register = f"{term['end_register_wh'] / 1000:,.3f}"
        assert f"{register}\xa0kWh" in page.text
        assert f"{register} kWh" in explained
