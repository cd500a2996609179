"""Every state, at both widths: what is seen, read and loaded."""

from itertools import pairwise
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from gateway.page.banners import told
from gateway.page.words import words_for
from tests.browser.looking import DESK, PHONE, Browser
from tests.browser.serving import Served
from tests.browser.told import Told, states
from tests.gateway.page import sample_answers as sample

pytestmark = pytest.mark.xdist_group("browser")

STATES = states()
PATHS = (
    "/",
    f"/days/{sample.DAY}",
    f"/days/{sample.DAY}?asset={sample.HOUSE}",
    "/months/2026-11",
    f"/slots/{sample.HOUSE}/{sample.SLOT_S}",
    "/meters",
    "/meters/grid",
    "/exchange",
    "/events",
    "/help",
    "/help/meter_silent",
    "/technical",
    "/nothing",
)
MOST_BYTES = 25_000
MOST_BYTES_AGAIN = 8_000


def assert_sound(browser: Browser, *, phone: bool) -> None:
    """What holds of every page in every state."""
    found = browser.audit()
    assert found["texts"] > 5
    assert found["wide"][0] <= found["wide"][1], "nothing is beside the window"
    assert found["faint"] == []
    assert (found["h1"], found["skipped"], found["nameless"]) == (1, 0, 0)
    assert found["landmarks"] == [1, 1, 1, 1]
    assert found["live"] <= 1
    assert found["ahead"] == 0, "the order of tabs is the order of reading"
    assert found["stale"] == 0
    assert not found["owned"]
    if phone:
        assert found["small"] == []


def assert_sound_everywhere(browser: Browser) -> None:
    """The same page on a desk and on a phone, by day, in the dark and in sunlight, and as narrow
    as it gets.
    """
    browser.size(*DESK)
    assert_sound(browser, phone=False)
    browser.size(*PHONE)
    assert_sound(browser, phone=True)
    for features in ({"prefers_color_scheme": "dark"}, {"prefers_contrast": "more"}):
        browser.media(**features)
        assert browser.audit()["faint"] == []
    browser.media()
    for width in (280, 320):
        browser.size(width, 800)
        assert browser.run("return document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("name", STATES)
def test_the_first_page_in_every_state(served: Served, browser: Browser, name: str) -> None:
    state = STATES[name]
    served.history = state
    served.stop()
    served.start()
    browser.open(served.url)
    assert browser.transferred() <= MOST_BYTES
    assert_sound_everywhere(browser)

    words = words_for("en", ZoneInfo(sample.ZONE), sample.NOW_S)
    text = " ".join(browser.text.split())
    for problem in state.state.problems:
        said = told(problem, words)
        for part in (said.what, said.itself, said.do):
            assert " ".join(part.replace("\xa0", " ").split()) in text
    moods = browser.run(
        "return [...document.querySelectorAll('#mood .mood')].map(each => each.className)"
    )
    loud = [problem.severity for problem in state.state.problems]
    assert sorted(moods) == sorted(f"mood {mood}" for mood in loud or [state.state.mood])

    assert browser.complaints() == []
    assert_asked_for_itself(served, browser)


def assert_asked_for_itself(served: Served, browser: Browser) -> None:
    asked = browser.requests()
    assert {method for method, _ in asked} == {"GET"}
    assert {urlsplit(url).netloc for _, url in asked} == {urlsplit(served.url).netloc}


@pytest.mark.parametrize("path", PATHS)
def test_every_page(served: Served, browser: Browser, path: str) -> None:
    browser.open(served.url + path)
    assert browser.transferred() <= MOST_BYTES
    assert_sound(browser, phone=False)
    browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert_sound_everywhere(browser)
    is_missing = path == "/nothing"
    assert len(browser.complaints()) == is_missing, "Chromium calls an answer of 404 severe"
    browser.open(served.url + path)
    again = browser.transferred()
    assert again <= MOST_BYTES_AGAIN, f"the page alone, its style and script are kept: {again}"
    assert_asked_for_itself(served, browser)


@pytest.mark.parametrize("language", ["de", "nl"])
def test_every_page_in_other_languages(served: Served, browser: Browser, language: str) -> None:
    browser.language(f"{language}-AT,{language};q=0.8,en;q=0.1")
    browser.size(*PHONE)  # it is the width that longer words may not have
    for path in PATHS[:-1]:
        browser.size(*PHONE)
        browser.open(served.url + path)
        assert browser.run("return document.documentElement.lang") == language
        assert_sound(browser, phone=True)
        browser.size(*DESK)
        wide = browser.run(
            "const e = document.documentElement; return e.scrollWidth <= e.clientWidth"
        )
        assert wide, path
    assert browser.complaints() == []


@pytest.mark.parametrize("path", PATHS[:5])
def test_who_is_read_to_hears_one_title_named_regions_and_named_pictures(
    served: Served, browser: Browser, path: str
) -> None:
    """By Chromium's own tree of what it tells screen readers."""
    browser.open(served.url + path)
    nodes = [
        node
        for node in browser.cdp("Accessibility.getFullAXTree", {})["nodes"]
        if not node["ignored"]
    ]

    def names(role: str) -> list[str]:
        return [
            node.get("name", {}).get("value", "")
            for node in nodes
            if node.get("role", {}).get("value") == role
        ]

    levels = [
        prop["value"]["value"]
        for node in nodes
        if node.get("role", {}).get("value") == "heading"
        for prop in node["properties"]
        if prop["name"] == "level"
    ]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert (len(names("banner")), len(names("main")), len(names("contentinfo"))) == (1, 1, 1)
    assert names("navigation") == ["Pages"]
    assert all(names("region")), "each part has its heading's name"
    assert names("image") or path == "/exchange", names("image")
    assert all(names("image"))
    assert len(names("status")) == 1


@pytest.mark.parametrize("header", ["en-US", "de-AT", "en-GB", "fr", "ja-JP;q=0.5"])
def test_times_have_24_hours_in_the_zone_of_the_site(
    served: Served, browser: Browser, header: str
) -> None:
    browser.language(header)
    browser.open(served.url)
    text = browser.text
    assert "14:32" in browser.of("header time")
    assert not any(each in text for each in ("AM", "PM", "a.m.", "Uhr"))
    expected = "de" if header == "de-AT" else "en"
    assert browser.run("return document.documentElement.lang") == expected


def test_without_javascript_the_words_and_numbers_are_the_same(
    served: Served, browser: Browser
) -> None:
    paths = ("", "/meters", "/exchange", f"/days/{sample.DAY}")
    with_script = []
    for path in paths:
        browser.open(served.url + path)
        with_script.append(browser.text)
    browser.cdp("Emulation.setScriptExecutionDisabled", {"value": True})
    for path, text in zip(paths, with_script, strict=True):
        browser.open(served.url + path)
        assert browser.text == text
        assert len(text) > 100


def test_a_zoom_of_200_percent_and_wide_spacing_lose_nothing(
    served: Served, browser: Browser
) -> None:
    for path in PATHS[:-1]:
        browser.size(640, 450)
        browser.open(served.url + path)
        browser.run(
            "for (const node of document.querySelectorAll('p, dd, dt, td, th, li, a, h1, h2'))"
            " { node.style.lineHeight = '1.5'; node.style.letterSpacing = '.12em';"
            " node.style.wordSpacing = '.16em'; }"
        )
        wide, clipped = browser.run(
            "const page = document.documentElement;"
            "return [[page.scrollWidth, page.clientWidth],"
            " [...document.querySelectorAll('p, dd, dt, h1, h2, a')].filter(node =>"
            " getComputedStyle(node).overflow === 'hidden' && !node.closest('.off') &&"
            " node.scrollHeight > node.clientHeight + 1).length]"
        )
        assert wide[0] <= wide[1], path
        assert clipped == 0, path


def test_printing_shows_the_table(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/days/{sample.DAY}")
    assert not browser.run("return document.querySelector('#table').open")
    shown = "return document.querySelector('#table tbody tr').checkVisibility()"
    assert not browser.run(shown)
    browser.media("print")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run(shown)
    assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"


def test_a_keyboard_reaches_everything_in_the_order_of_reading(
    served: Served, browser: Browser
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key: str) -> None:
        ActionChains(browser.driver).send_keys(key).perform()

    browser.open(f"{served.url}/days/{sample.DAY}")
    press(Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    press(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "main"

    browser.run("document.querySelector('#table').open = true; document.activeElement.blur()")
    slots = browser.run("return document.querySelectorAll('#table tbody a').length")
    assert slots == 2 * sample.CLOSED, "every slot of both assets"
    tops: list[float] = []
    for _ in range(20):
        press(Keys.TAB)
        top, outline = browser.run(
            "const box = document.activeElement.getBoundingClientRect();"
            "return [box.top + scrollY, getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline not in ("none", ""), "one sees where one is"
        tops.append(top)
    assert all(after >= before - 60 for before, after in pairwise(tops))


def test_a_store_that_cannot_be_read_is_said_and_what_is_now_is_shown(browser: Browser) -> None:
    served = Served(STATES["unread"])
    served.start()
    try:
        browser.open(served.url)
        assert "2.98 kW" in browser.text
        for path in (f"/days/{sample.DAY}", "/meters/grid", "/events"):
            browser.open(served.url + path)
            assert "This cannot be read just now" in browser.text
            assert "the store is locked by another program" in browser.text
        assert_sound(browser, phone=False)
    finally:
        served.stop()


def test_a_fixed_language_goes_before_that_of_the_browser(browser: Browser) -> None:
    served = Served(Told(), language="nl")
    served.start()
    try:
        browser.language("de")
        browser.open(served.url)
        assert "Alles is in orde" in browser.text
    finally:
        served.stop()
