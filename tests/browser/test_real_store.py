"""The pages of a real configuration and a real store: four days, in which clocks went forward. That
they have the numbers of the API and of the commands is shown without a browser, in
tests/gateway/page/test_same_numbers.py.
"""

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
