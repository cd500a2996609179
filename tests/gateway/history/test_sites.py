"""Every question, on sites of every size: one meter, no assets, only a roof, thirty flats."""

from pathlib import Path
from uuid import UUID

import pytest
from msgspec import json
from msgspec.structs import replace

from gateway.history.history import History
from gateway.history.opening import open_history
from tests.gateway.history.rig import HOUSE, NOW_S, PV, SLOT_S, fill, report, write_home

Assets = dict[str, tuple[UUID, str, str]]
Meters = dict[str, str]
SDM = "eastron/sdm630"
FLATS: Meters = {f"flat{n}": SDM for n in range(30)}

SITES: dict[str, tuple[Assets, Meters]] = {
    "one meter, no assets": ({}, {"grid": SDM}),
    "only a roof": ({"PV": (PV, "pv", "pv.export")}, {"pv": "eastron/sdm120"}),
    "only the grid": ({"Load": (HOUSE, "load", "grid.import")}, {"grid": SDM}),
    "meters without assets": ({}, {"grid": SDM, "pv": "eastron/sdm120", "x": SDM}),
    "thirty flats": (
        {f"Flat {n}": (UUID(int=n + 1), "load", f"flat{n}.import") for n in range(30)},
        FLATS,
    ),
}


def home(folder: Path, assets: Assets, meters: Meters) -> History:
    """Questions to a site of a day and a half."""
    settings = write_home(folder / "home", assets, meters)
    path = folder / "buffer.sqlite"
    fill(path, 1.5, assets=assets, meters=meters)
    return open_history(settings, path, lambda: report(settings), frozenset())


@pytest.mark.parametrize("name", SITES)
async def test_every_question_is_answered(name: str, tmp_path: Path) -> None:
    assets, meters = SITES[name]
    history = home(tmp_path, assets, meters)
    today = history.today()
    now, day, month = await history.now(), await history.day(today), await history.month(today)
    assert now.today == day.sums == month.days[-1].sums
    assert now.mood == "well"
    assert len(day.assets) == len(assets)
    assert len(day.meters) == 2 * len(meters)
    assert [meter.name for meter in await history.meters()] == sorted(meters)
    for meter in meters:
        assert (await history.meter(meter)).power
    for asset in assets:
        story = await history.slot(asset, NOW_S - 2 * SLOT_S)
        assert story.energy_wh is not None
        json.encode(story)
    json.encode([now, day, month, await history.exchange(), await history.events()])


async def test_one_meter_is_at_the_grid(tmp_path: Path) -> None:
    sums = (await home(tmp_path, *SITES["only the grid"]).now()).today
    assert sums.from_grid_wh is not None
    assert sums.sun_wh is None
    assert sums.used_wh is None, "it exports, so somebody makes what nobody measures"


async def test_a_roof_alone_says_nothing_of_the_house(tmp_path: Path) -> None:
    sums = (await home(tmp_path, *SITES["only a roof"]).now()).today
    assert sums.sun_wh is not None
    assert sums.sun_wh > 0
    assert (sums.used_wh, sums.from_grid_wh, sums.sun_used_here) == (None, None, None)
    assert sums.coverage == 1.0


async def test_flats_are_added_up(tmp_path: Path) -> None:
    history = home(tmp_path, *SITES["thirty flats"])
    day = await history.day(history.today())
    added = sum(sum(filter(None, column.wh)) for column in day.assets)
    assert day.sums.used_wh == pytest.approx(added)
    assert len((await history.now()).nodes) == 30


async def test_the_house_without_an_asset_is_what_meters_leave_for_it(tmp_path: Path) -> None:
    meters = {"grid": SDM, "pv": "eastron/sdm120"}
    assets: Assets = {
        "PV": (PV, "pv", "pv.export"),
        "Meter": (HOUSE, "smart_meter", "grid.import - grid.export"),
    }
    history = home(tmp_path, assets, meters)
    nodes = {node.role: node.power_w for node in (await history.now()).nodes}
    assert nodes["house"] is not None
    assert nodes["sun"] is not None
    assert nodes["grid"] is not None
    assert nodes["house"] == pytest.approx(nodes["grid"] + nodes["sun"])


async def test_a_stale_value_is_never_a_current_one(tmp_path: Path) -> None:
    assets, meters = SITES["only a roof"]
    settings = write_home(tmp_path / "home", assets, meters)
    whole = report(settings)
    old = replace(whole, meters=[replace(m, last_success_s=NOW_S - 2820.0) for m in whole.meters])
    history = open_history(settings, tmp_path / "none", lambda: old, frozenset())
    now = await history.now()
    [node] = now.nodes
    assert (node.power_w, node.stale_since_s) == (None, NOW_S - 2820.0)
    assert node.stale_power_w is not None
    assert (now.meters_heard, now.meters) == (0, 1)
    [meter] = await history.meters()
    assert meter.node.power_w is None
