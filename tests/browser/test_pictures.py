"""The pictures of the documentation. `make picture` sets PICTURES to the folder that is to hold
them; without it they are looked at, and not kept.
"""

import os
from pathlib import Path

import pytest

from tests.browser.looking import Browser
from tests.browser.serving import Served
from tests.browser.told import Told, states
from tests.gateway.page import sample_answers as sample

pytestmark = pytest.mark.xdist_group("browser")

MOST_BYTES = 150_000
"""Compact enough for a README."""

DARK = {"prefers_color_scheme": "dark"}
SUNLIGHT = {"prefers_contrast": "more"}
PICTURES: dict[str, tuple[str, str, int, dict[str, str], int | None]] = {
    # name: state, path, width, media, height
    "status-page": ("well", "/", 1000, {}, 1000),
    "page-phone": ("well", "/", 390, {}, 1500),
    "page-phone-dark": ("silent", "/", 390, DARK, 1500),
    "page-phone-sunlight": ("exchange_away", "/", 390, SUNLIGHT, 1500),
    "page-day": ("well", "/days/2026-11-27", 1000, {}, 900),
    "page-day-dark": ("well", f"/days/2026-11-27?asset={sample.HOUSE}", 1000, DARK, 560),
    "page-month": ("well", "/months/2026-11", 1000, {}, 700),
    "page-slot": ("well", f"/slots/{sample.HOUSE}/{sample.SLOT_S}", 1000, {}, 1150),
    "page-meters": ("silent", "/meters", 1000, {}, None),
    "page-exchange": ("well", "/exchange", 1000, {}, 1000),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_the_documentation(served: Served, browser: Browser, name: str) -> None:
    state, path, width, media, height = PICTURES[name]
    served.stop()
    served.history = states()[state] if state != "well" else Told()
    served.start()
    browser.size(width, 844)
    browser.media(**media)
    browser.open(served.url + path)
    png = browser.picture(height)
    assert png.startswith(b"\x89PNG")
    assert len(png) < MOST_BYTES
    if folder := os.environ.get("PICTURES"):
        (Path(folder) / f"{name}.png").write_bytes(png)
