"""What a person sees in a browser."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from gateway.monitoring.report import GridOperatorReport, Report
from gateway.monitoring.server import StatusServer
from gateway.site.settings import StatusSettings
from tests.gateway.monitoring.told_forecasts import with_forecasts


@dataclass
class Served:
    """The real server, the report it shows, and how to stop it."""

    report: Report
    url: str
    task: "asyncio.Task[None]"


@pytest.fixture
async def served(healthy_report: Report) -> AsyncIterator[Served]:
    server = StatusServer(StatusSettings(port=0), lambda: page.report)
    page = Served(healthy_report, "", asyncio.create_task(server.run()))
    await server.listening.wait()
    page.url = server.url
    yield page
    page.task.cancel()
    await asyncio.gather(page.task, return_exceptions=True)


async def seen(chromium: webdriver.Chrome, url: str, headline: str) -> str:
    """The page's text once it says `headline`. The browser is driven in a thread, so that the
    server goes on.
    """

    def look() -> str:
        if url:
            chromium.get(url)
        else:  # as when the person comes back to the tab: the page asks at once
            chromium.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        WebDriverWait(chromium, 20).until(
            lambda driver: driver.find_element(By.ID, "headline").text == headline
        )
        return chromium.find_element(By.TAG_NAME, "body").text

    return await asyncio.to_thread(look)


async def elements(chromium: webdriver.Chrome, css: str, read: Callable[[Any], str]) -> list[str]:
    return await asyncio.to_thread(
        lambda: [read(element) for element in chromium.find_elements(By.CSS_SELECTOR, css)]
    )


def complaints(chromium: webdriver.Chrome) -> list[str]:
    return [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]


async def test_a_healthy_gateway_is_told_at_a_glance(
    served: Served, chromium: webdriver.Chrome
) -> None:
    text = await seen(chromium, served.url, "All is well")
    for expected in (
        "home-12",
        "House load",
        "173 Wh",
        "accepted",
        "measured",
        "-812 W",
        "12,345.678 kWh",
        "in 50 min",
        "3 of 3",
        "No. E0031003",
        "no reply in 1 s",
        "the kernel says it is synchronised",
        "48 MB of 2 GB",
        "1 reading not believed",
        "meter-gateway 0.1.0",
        "2 of 2 assets",
    ):
        assert expected in text
    in_utc = await elements(chromium, "#assets time", lambda e: e.get_attribute("title"))
    assert in_utc == ["2025-06-15 15:00:00 UTC to 2025-06-15 15:15:00 UTC"] * 2
    assert "5:00 – 5:15" in text or "05:00 – 05:15" in text or "17:00 – 17:15" in text, (
        "and in the person's own zone to be read"
    )
    heads = await elements(chromium, "#meters thead th[scope=col]", lambda e: e.text)
    assert heads == ["Meter", "State", "Last heard", "Power", "Imported", "Exported", "Errors"]
    assert await elements(chromium, "[role=status][aria-live=polite]", lambda e: e.text) == [
        "All is well"
    ]
    assert complaints(chromium) == []


async def test_what_is_wrong_is_named_as_the_daemon_names_it(
    served: Served, chromium: webdriver.Chrome
) -> None:
    report = served.report
    pv = replace(
        report.meters[1],
        state="silent",
        last_success_s=report.now_s - 4000,
        errors=122,
        last_error="no reply in 1 s",
    )
    clock = replace(report.clock, trusted=False, overdue=True, why="no time server")
    served.report = replace(report, meters=[report.meters[0], pv, report.meters[2]], clock=clock)
    text = await seen(chromium, served.url, "2 things need attention")
    assert await elements(chromium, "#reasons li", lambda e: e.text) == served.report.unhealthy()
    assert "67 min ago" in text
    assert "2 of 3" in text
    assert complaints(chromium) == []


async def test_until_everything_was_heard_the_page_says_starting_and_what_is_awaited(
    served: Served, chromium: webdriver.Chrome
) -> None:
    pv = replace(served.report.meters[1], last_success_s=None, state="waiting", errors=0)
    clock = replace(served.report.clock, trusted=False, why="waiting for time synchronisation")
    served.report = replace(
        served.report,
        meters=[served.report.meters[0], pv],
        clock=clock,
        started_s=served.report.now_s - 5,
    )
    headline = "Starting: pv not heard yet, the clock is not synchronised yet"
    text = await seen(chromium, served.url, headline)
    assert headline.lower() == served.report.headline()
    assert "1 of 2" in text
    assert "silent: pv" in text
    assert await elements(chromium, "#reasons li", lambda e: e.text) == []
    assert complaints(chromium) == []


async def test_a_meter_that_sleeps_is_shown_asleep_and_all_is_well(
    served: Served, chromium: webdriver.Chrome
) -> None:
    pv = replace(
        served.report.meters[1], asleep="asleep", last_success_s=served.report.now_s - 30_000
    )
    served.report = replace(served.report, meters=[served.report.meters[0], pv])
    text = await seen(chromium, served.url, "All is well")
    assert "asleep: pv" in text
    assert "1 of 2" in text


async def test_a_meter_that_is_not_believed_says_why_and_what_to_do(
    served: Served, chromium: webdriver.Chrome
) -> None:
    why = "40 readings of its import register in a row are not believed: correct max_power"
    pv = replace(served.report.meters[1], unbelieved=40, unbelieved_why=why)
    served.report = replace(served.report, meters=[served.report.meters[0], pv])
    await seen(chromium, served.url, "One thing needs attention")
    assert await elements(chromium, "#reasons li", lambda e: e.text) == [f"pv: {why}"]
    assert complaints(chromium) == []


async def test_a_rejected_delivery_is_not_called_well(
    served: Served, chromium: webdriver.Chrome
) -> None:
    pv = replace(served.report.assets[1], last_delivery="rejected", last_reason="no such asset")
    served.report = replace(served.report, assets=[served.report.assets[0], pv])
    text = await seen(chromium, served.url, "One thing needs attention")
    assert "PV: the last slot was rejected (no such asset)" in text


async def test_a_hostile_name_stays_text(served: Served, chromium: webdriver.Chrome) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    hostile = replace(
        served.report.meters[0], name=evil, last_error=evil, values={evil: 1.0, "power_w": 2.0}
    )
    served.report = replace(
        served.report,
        site=evil,
        meters=[hostile],
        assets=[replace(served.report.assets[0], name=evil, last_reason=evil)],
        buffer=replace(served.report.buffer, events=[evil]),
    )
    text = await seen(chromium, served.url, "All is well")
    assert text.count(evil) >= 5
    assert (
        await elements(chromium, "body img, body table script, h1 script", lambda e: e.tag_name)
        == []
    )
    assert "needs attention" not in text
    assert chromium.title != "owned"
    assert complaints(chromium) == []


async def test_the_page_says_when_the_daemon_is_gone_and_when_it_is_back(
    served: Served, chromium: webdriver.Chrome
) -> None:
    await seen(chromium, served.url, "All is well")
    served.task.cancel()
    await asyncio.gather(served.task, return_exceptions=True)
    text = await seen(chromium, "", "The gateway does not answer")
    assert "systemctl status meter-gateway" in text
    assert "was true" in text
    assert "House load" in text, "the last known values stay to be read"
    again = StatusServer(
        StatusSettings(port=int(served.url.rpartition(":")[2])), lambda: served.report
    )
    served.task = asyncio.create_task(again.run())
    assert "was true" not in await seen(chromium, "", "All is well")


async def test_an_empty_gateway_shows_no_nonsense(
    served: Served, chromium: webdriver.Chrome
) -> None:
    report = served.report
    fresh = replace(report.meters[0], last_success_s=None, values={}, samples=0, state="waiting")
    served.report = replace(
        report,
        started_s=report.now_s - 5,
        meters=[fresh],
        assets=[
            replace(
                report.assets[0], last_slot_s=None, last_energy_wh=None, last_accepted_slot_s=None
            )
        ],
        destinations=[],
        lines=[],
        mqtt=None,
        buffer=replace(report.buffer, last_success_s=None, bytes_written_per_day=None, events=[]),
    )
    text = await seen(chromium, served.url, "Starting: grid not heard yet")
    assert "never yet" in text
    assert "nothing yet" in text
    for nonsense in ("NaN", "undefined", "null", "Invalid", "1970"):
        assert nonsense not in text
    assert complaints(chromium) == []


async def test_the_page_fits_a_phone(served: Served, chromium: webdriver.Chrome) -> None:
    phone = {"width": 360, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    await asyncio.to_thread(chromium.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", phone)
    await seen(chromium, served.url, "All is well")
    widths = await asyncio.to_thread(
        chromium.execute_script,
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]",
    )
    assert widths[0] <= widths[1]


@pytest.mark.parametrize("width", [360, 1280])
async def test_lines_that_are_not_used_leave_the_values_room(
    served: Served, chromium: webdriver.Chrome, width: int
) -> None:
    window = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    await asyncio.to_thread(chromium.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", window)
    grid, *others = served.report.meters
    unused = [f"1-0:{c}.8.{e}" for c in range(3, 9) for e in range(5)]
    told = replace(grid, dialect="p1/hungary", checksum="right", unused=unused)
    served.report = replace(served.report, meters=[told, *others])
    await seen(chromium, served.url, "All is well")
    heights, text, widths = await asyncio.to_thread(
        chromium.execute_script,
        "const details = document.querySelector('#meters details'); details.open = true;"
        "const page = document.documentElement;"
        "return [[...details.querySelectorAll('dt')].map(each => each.offsetHeight),"
        " details.innerText, [page.scrollWidth, page.clientWidth]]",
    )
    assert max(heights) <= 1.5 * min(heights)
    assert "30 lines not used: 1-0:3.8.0, 1-0:3.8.1" in text
    assert "p1/hungary" in text
    assert widths[0] <= widths[1]
    assert complaints(chromium) == []


def ordinary_day(report: Report) -> Report:
    """The home of the README's picture: sun at noon, a heat pump that runs, energy to spare."""
    grid, pv, heat_pump = report.meters
    load, panels = report.assets
    pv = replace(
        pv,
        values={"power_w": -3120.0, "energy_import_wh": 4_321.0, "energy_export_wh": 15_432_109.0},
    )
    heat_pump = replace(
        heat_pump,
        errors=0,
        last_error="",
        values={"power_w": 1480.0, "energy_import_wh": 8_765_432.0, "energy_export_wh": 0.0},
    )
    return replace(
        report,
        meters=[grid, pv, heat_pump],
        assets=[
            load,
            replace(panels, last_energy_wh=781.2),
            replace(
                panels,
                name="Heat pump",
                uuid="5d1f7e90-2222-4c39-a9ae-0f6b32c9d2a1",
                kind="heat_pump",
                formula="heat_pump.import",
                last_energy_wh=364.5,
            ),
        ],
    )


async def test_the_page_fits_a_window_and_the_readme_shows_it(
    served: Served, chromium: webdriver.Chrome
) -> None:
    """`make picture` sets PICTURE to the file that is to hold what is seen here."""
    window = {"width": 900, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    for command, options in (
        ("Emulation.setDeviceMetricsOverride", window),
        ("Emulation.setScrollbarsHidden", {"hidden": True}),
    ):
        await asyncio.to_thread(chromium.execute_cdp_cmd, command, options)
    served.report = ordinary_day(served.report)
    text = await seen(chromium, served.url, "All is well")
    assert "-3,120 W" in text
    width, meters_end = await asyncio.to_thread(
        chromium.execute_script,
        "return [document.documentElement.scrollWidth,"
        " document.querySelector('#meters').parentElement.getBoundingClientRect().bottom]",
    )
    assert width == 900

    clip = {"x": 0, "y": 0, "width": width, "height": round(meters_end) + 16, "scale": 1}
    picture = await asyncio.to_thread(
        chromium.execute_cdp_cmd,
        "Page.captureScreenshot",
        {"format": "png", "clip": clip, "captureBeyondViewport": True},
    )
    png = base64.b64decode(picture["data"])
    assert len(png) < 150_000, "compact enough for a README"
    if path := os.environ.get("PICTURE"):
        await asyncio.to_thread(Path(path).write_bytes, png)


async def test_a_grid_operator_sees_what_its_markets_charge_now_and_next(
    served: Served, operator_report: GridOperatorReport, chromium: webdriver.Chrome
) -> None:
    served.report = replace(served.report, grid_operator=operator_report)
    text = await seen(chromium, served.url, "All is well")
    for expected in ("Grid fees", "House 1", "2 ct/kWh", "3.25 ct/kWh", "71.5 %", "taken"):
        assert expected in text
    assert "null" not in text
    assert complaints(chromium) == []

    served.report = replace(served.report, grid_operator=None)
    assert "Grid fees" not in await seen(chromium, served.url, "All is well")


async def test_forecasts_stand_beside_what_came_and_beside_the_naive_ones(
    served: Served, chromium: webdriver.Chrome
) -> None:
    assert "Forecasts" not in await seen(chromium, served.url, "All is well")
    served.report = with_forecasts(served.report)
    text = await seen(chromium, served.url, "All is well")
    for expected in (
        "Forecasts",
        "learning since 5 June",
        "192 Wh",
        "130 Wh to 280 Wh",
        "173 Wh came",
        "165 Wh expected",
        "28.4 Wh",
        "yesterday’s: 42.4 Wh",
        "over 7 days",
        "81 %",
        "14 % low",
        "sent (sums within 5 %): 29.8 Wh, 4 % more than the median",
        "sent: 1 % low",
        "was worse for 14 days than yesterday's, which is sent instead",
        "told after a whole day (UTC)",
    ):
        assert expected in text
    assert "null" not in text
    assert "over 28 days" not in text, "all of them are told when they are asked for"

    def opened() -> str:
        chromium.find_element(By.CSS_SELECTOR, "#forecasts summary").click()
        return chromium.find_element(By.ID, "forecasts").text

    told = await asyncio.to_thread(opened)
    assert "over 28 days" in told
    assert "863 slots" in told
    assert "the median, same 863 slots" in told
    assert "28.6 Wh, sum 13 % low" in told
    assert complaints(chromium) == []
