"""The pages of a real configuration and a real store: four days, in which clocks went forward."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.history.opening import open_history
from tests.browser.looking import DESK, PHONE, Browser
from tests.browser.serving import Served
from tests.browser.test_states import assert_sound
from tests.gateway.history.rig import HOUSE, NOW_S, PV, fill, report, write_home

pytestmark = pytest.mark.xdist_group("browser")

UNTIL_S = NOW_S + 86_400
"""2026-03-30, noon in Berlin: the day before had 92 slots."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("real")
    settings = write_home(folder)
    fill(folder / "buffer.sqlite", 4, until_s=UNTIL_S)

    def now() -> Any:
        return report(settings, now_s=UNTIL_S)

    history = open_history(settings, folder / "buffer.sqlite", now, frozenset())
    serving = Served(history, report=now)
    serving.start()
    yield serving
    serving.stop()


def told(served: Served, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(served.url + path, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.mark.parametrize(("day", "slots"), [("2026-03-28", 96), ("2026-03-29", 92)])
def test_the_table_the_chart_and_the_api_have_the_same_sums(
    real: Served, browser: Browser, day: str, slots: int
) -> None:
    browser.open(f"{real.url}/days/{day}")
    assert len(browser.of("#table tbody tr")) == slots
    foot = browser.of("#table tfoot td")
    said = told(real, f"/api/v1/days/{day}")
    assert said["slots"] == slots
    for column, shown in zip(said["assets"], foot, strict=False):
        total = f"{sum(wh for wh in column['wh'] if wh is not None) / 1000:,.3f} kWh"
        assert shown == total
        browser.open(f"{real.url}/days/{day}?asset={column['id']}")
        assert f"{column['title']}: {total}" in browser.text
    used = f"{said['sums']['used_wh'] / 1000:,.3f} kWh"
    browser.open(f"{real.url}/days/{day}")
    assert f"Whole home: {used}" in browser.text
    assert ("it has 92 quarter-hours" in browser.text) == (slots == 92)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_every_page_of_it_is_sound(real: Served, browser: Browser, size: tuple[int, int]) -> None:
    start_s = UNTIL_S - 2700
    browser.size(*size)
    for path in (
        "/",
        "/days",
        f"/days/2026-03-29?asset={PV}",
        "/months/2026-03",
        f"/slots/{HOUSE}/{start_s}",
        "/meters",
        "/meters/grid",
        "/exchange",
        "/events",
        "/technical",
    ):
        browser.open(real.url + path)
        assert_sound(browser, phone=size == PHONE)
    assert browser.complaints() == []


def test_a_slot_is_told_from_the_books(real: Served, browser: Browser) -> None:
    start_s = UNTIL_S - 2700
    story = told(real, f"/api/v1/slots/{HOUSE}/{start_s}")
    browser.open(f"{real.url}/slots/{HOUSE}/{start_s}")
    text = browser.text
    assert f"{round(story['energy_wh'])} Wh" in text
    assert story["formula"] in text
    for term in story["terms"]:
        assert f"{term['meter']}: " in text
    assert "accepted" in text


def test_a_month_leads_to_its_days_and_back(real: Served, browser: Browser) -> None:
    from selenium.webdriver.common.by import By

    browser.open(f"{real.url}/months/2026-03")
    browser.driver.find_element(By.PARTIAL_LINK_TEXT, "29").click()
    browser.wait(lambda: "Sunday, 29 March 2026" in browser.text, 10)
    browser.driver.find_element(By.LINK_TEXT, "March 2026").click()
    browser.wait(lambda: browser.of("h1") == ["March 2026"], 10)
