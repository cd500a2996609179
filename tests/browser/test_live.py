"""A page that stays open: what changes on it, and what stays."""

import time

import pytest

from gateway.history.refusals import Busy
from tests.browser.looking import Browser
from tests.browser.serving import Served
from tests.browser.told import Told
from tests.gateway.page import sample_answers as sample

pytestmark = pytest.mark.xdist_group("browser")

GRID = "[data-k='w.grid']"
SELECTED_S = 30.0
"""So long somebody may take to copy what is selected, with changes all the while."""


@pytest.fixture
def told(served: Served) -> Told:
    assert isinstance(served.history, Told)
    return served.history


def opened(browser: Browser, served: Served, path: str = "") -> None:
    browser.open(served.url + path)
    browser.wait(lambda: served.streams == 1, 10, "a stream is open")


def test_a_number_changes_within_a_second_and_its_node_stays(
    served: Served, told: Told, browser: Browser
) -> None:
    opened(browser, served)
    browser.run("window.kept = document.querySelector(arguments[0]).firstChild", GRID)
    told.power(grid=-1234.0)
    took_s = browser.wait(lambda: browser.of(GRID) == ["1.23 kW"], 5)
    assert took_s < 2.5, "once a second, and what a busy machine takes"
    assert browser.run(
        "return window.kept === document.querySelector(arguments[0]).firstChild", GRID
    )
    told.power(grid=655.0)
    title = "[data-k='t.grid']"
    assert browser.of(title) == ["To the grid"]
    browser.wait(lambda: browser.of(title) == ["From the grid"], 10, "the arrow turns round")
    assert browser.of(GRID) == ["655 W"]
    assert browser.complaints() == []


def test_what_is_selected_focused_and_opened_stays_so(
    served: Served, told: Told, browser: Browser
) -> None:
    opened(browser, served, f"/days/{sample.DAY}")
    browser.run(
        "document.querySelector('#table').open = true;"
        "document.querySelector('#table tbody a').focus();"
        "window.focused = document.activeElement;"
        "const cell = document.querySelector('#table tbody th').firstChild;"
        "getSelection().setBaseAndExtent(cell, 0, cell, cell.length)"
    )
    before = browser.run("return getSelection().toString()")
    assert before == "00:00"
    browser.run(
        "window.kept = [...document.querySelectorAll('main *')].filter(each =>"
        " !each.closest('#mood')); window.said = []; let last = '';"
        "new MutationObserver(() => { const text = document.getElementById('mood').textContent;"
        " if (text !== last) window.said.push(last = text); }).observe("
        "document.getElementById('mood'), {subtree: true, childList: true, characterData: true})"
    )
    browser.requests()
    began_s = time.monotonic()
    for n in range(3):
        problem = sample.DISK if n % 2 else sample.EXCHANGE_AWAY
        told.state = sample.now(mood=problem.severity, problems=[problem])
        expected = "memory card" if n % 2 else "The exchange does not answer"
        browser.wait(lambda expected=expected: expected in browser.text, 10, expected)  # type: ignore[misc]
    while time.monotonic() - began_s < SELECTED_S:
        time.sleep(1)
        told.power(grid=-800.0 - time.monotonic() % 60)  # news, once a second
    assert browser.run("return getSelection().toString()") == before
    assert browser.run("return document.activeElement === window.focused")
    assert browser.run("return document.querySelector('#table').open")
    assert browser.run("return window.kept.every(each => each.isConnected)"), "none is replaced"
    assert browser.run("return window.said.length") == 3, "read out once for each cause"
    assert browser.run("return document.querySelectorAll('[aria-live]').length") == 1
    assert served.streams == 1
    pages = [url for _, url in browser.requests() if "/days/" in url]
    assert len(pages) <= 5, "it is asked for where something has changed, and not for each power"
    assert browser.complaints() == []


def test_a_server_that_was_killed_is_seen_at_once_and_again_when_it_is_back(
    served: Served, told: Told, browser: Browser
) -> None:
    opened(browser, served)
    served.stop()
    took_s = browser.wait(lambda: "The gateway does not answer" in browser.text, 12)
    assert took_s < 10
    assert browser.of(GRID) == ["–"]
    assert browser.of(".now") == [], "nothing of what was true is called now"
    told.power(grid=321.0)
    served.start()
    browser.wait(lambda: browser.of(GRID) == ["321 W"], 20, "it recovers by itself")
    assert "The gateway does not answer" not in browser.text
    assert "All is well" in browser.text
    browser.wait(lambda: served.streams == 1, 10, "and listens again")


def test_a_tab_that_nobody_looks_at_listens_to_nothing(
    served: Served, told: Told, browser: Browser
) -> None:
    opened(browser, served)
    browser.run(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    browser.wait(lambda: served.streams == 0, 10, "the stream is closed")
    told.power(grid=777.0)
    browser.requests()
    browser.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait(lambda: browser.of(GRID) == ["777 W"], 10, "it is up to date at once")
    browser.wait(lambda: served.streams == 1, 10, "and listens again")


def test_a_meter_that_falls_silent_is_no_longer_shown_as_now(
    served: Served, told: Told, browser: Browser
) -> None:
    opened(browser, served)
    assert len(browser.of(".flow .now")) == 4
    told.state = sample.silent()
    browser.wait(lambda: "was 1.98 kW at 13:50" in browser.text, 10)
    assert len(browser.of(".flow .now")) == 2
    assert not any("1.98" in text for text in browser.of(".now"))
    assert browser.run("return document.querySelectorAll('[aria-live]').length") == 1


def test_a_stream_that_fails_three_times_is_given_up_for_asking(
    served: Served, told: Told, browser: Browser
) -> None:
    opened(browser, served)
    browser.requests()
    browser.run(
        "window.opened = 0; const Real = window.EventSource;"
        "window.EventSource = function () { window.opened++;"
        " const made = new Real('api/v1/nothing'); return made; };"
    )
    assert served.live is not None
    for bye in list(served.live._streams):
        served._loop.call_soon_threadsafe(bye.set)  # type: ignore[union-attr]
    told.power(grid=888.0)
    browser.wait(lambda: browser.of(GRID) == ["888 W"], 20, "it asks instead")
    assert browser.run("return window.opened") <= 3


def test_a_store_that_is_busy_for_a_moment_alarms_nobody(
    served: Served, told: Told, browser: Browser
) -> None:
    opened(browser, served, f"/days/{sample.DAY}")
    browser.requests()
    told.refusal = Busy("too many ask at once")
    told.state = sample.now(mood="bad", problems=[sample.DISK])
    asked: list[str] = []

    def has_asked() -> bool:
        asked.extend(url for _, url in browser.requests() if "/days/" in url)
        return bool(asked)

    browser.wait(has_asked, 10, "it asks for what is new, and is refused")
    told.refusal = None
    browser.wait(lambda: "memory card" in browser.text, 20, "and then it is told")
    assert "The gateway does not answer" not in browser.text
