"""A browser of 2015. There is none to run here: the style is read as it would read it
(`year_2015.py`), the script finds nothing of what came later.
"""

import urllib.request
from pathlib import Path

import pytest

from tests.browser.looking import Browser
from tests.browser.serving import Served
from tests.browser.told import Told
from tests.browser.year_2015 import newer_than_2015, style_of_2015
from tests.gateway.page import sample_answers as sample

pytestmark = pytest.mark.xdist_group("browser")

PAGE = Path("gateway/page")
PATHS = (
    "/",
    f"/days/{sample.DAY}",
    f"/slots/{sample.HOUSE}/{sample.SLOT_S}",
    "/meters",
    "/exchange",
)
WEAR_IT = """
document.querySelectorAll('link[rel=stylesheet]').forEach(each => each.disabled = true);
const style = new CSSStyleSheet();
style.replaceSync(arguments[0]);
document.adoptedStyleSheets = [style];
"""
UNTOLD = """
for (const name of ["fetch", "AbortController", "EventSource"]) delete window[name];
const real = window.setInterval;
window.setInterval = (work, ms) => { window.everyMs = ms; return real(work, ms / 60); };
"""


def test_its_style_has_colours_and_no_words_that_it_would_choke_on() -> None:
    from gateway.page.style import with_plain_colours

    style = style_of_2015(with_plain_colours((PAGE / "style.css").read_text()))
    assert "var(" not in style
    assert ".node circle{fill:#fff" in style, "or figures would be black on black"
    for line in ("path.sun,rect.sun,.key .sun{fill:#e6a117}", "path.to,rect.to{fill:#1e9a6e}"):
        assert line in style
    bare = style_of_2015((PAGE / "style.css").read_text())
    assert ".node circle{fill" not in bare, "that is what the plain colours are for"


def test_its_script_is_read_to_the_end() -> None:
    assert newer_than_2015((PAGE / "script.js").read_text()) == []
    assert newer_than_2015("a.map(x => x)") == ["=>"]
    assert newer_than_2015("let a = `b`; f(a, /* c */\n)") == ["let", "`", "`"]


def test_it_shows_every_word_and_figure_so_that_they_can_be_read(
    served: Served, browser: Browser
) -> None:
    with urllib.request.urlopen(served.url, timeout=20) as answer:
        [link] = [part for part in answer.read().decode().split('"') if part.endswith(".css")]
    with urllib.request.urlopen(f"{served.url}/{link.removeprefix('./')}", timeout=20) as answer:
        style = style_of_2015(answer.read().decode())
    for path in PATHS:
        browser.size(390, 844)
        browser.open(served.url + path)
        words = browser.of("main")
        browser.run(WEAR_IT, style)
        found = browser.audit()
        assert found["texts"] > 20
        assert found["faint"] == [], path
        assert found["wide"][0] <= found["wide"][1], path
        assert browser.of("main") == words
        fills = browser.run(
            "return [...document.querySelectorAll('.chart .bar')].map(each =>"
            " getComputedStyle(each).fill).filter(each => !each.startsWith('url'))"
        )
        if path == f"/days/{sample.DAY}":
            assert len(set(fills)) == 3, "sun, from the grid and to the grid are told apart"
            assert "rgb(0, 0, 0)" not in fills


def test_without_streams_it_asks_for_the_whole_page_once_a_minute(
    served: Served, browser: Browser
) -> None:
    told = served.history
    assert isinstance(told, Told)
    script = browser.cdp("Page.addScriptToEvaluateOnNewDocument", {"source": UNTOLD})
    try:
        browser.open(served.url)
        assert browser.run("return window.everyMs") == 60_000
        told.power(grid=-1234.0)
        grid = "[data-k='w.grid']"
        browser.wait(lambda: browser.of(grid) == ["1.23 kW"], 15, "a 60th of a minute here")
        assert served.streams == 0
        assert browser.complaints() == []
    finally:
        browser.cdp("Page.removeScriptToEvaluateOnNewDocument", script)
