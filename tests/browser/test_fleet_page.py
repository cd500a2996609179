"""The manager's page in a browser: that it is sound, small and whole at both widths, in the dark
and in sunlight, with a thousand homes. Its answers are made here; `tests/gateway/fleet/page` asks a
real database.
"""

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.fleet import users
from gateway.fleet.page.answers import (
    AssetRow,
    ClashRow,
    CollectorRow,
    CommunityDay,
    EventRow,
    Fleet,
    Home,
    HomeDay,
    MeterRow,
    RefusedRow,
    StoreRow,
    Told,
    WorstRow,
)
from gateway.fleet.page.login import CookieDoor, Signing
from gateway.fleet.page.served import FleetPages
from gateway.fleet.page.settings import PageSettings
from gateway.fleet.page.states import judged
from gateway.monitoring.server import Listening, PageServer
from tests.browser.looking import DESK, PHONE, Browser
from tests.browser.test_states import assert_sound

pytestmark = pytest.mark.xdist_group("browser")

NOW_S = datetime(2026, 11, 28, 13, 40, tzinfo=UTC).timestamp()
DAY = date(2026, 11, 28)
START_S = int(datetime(2026, 11, 27, 23, tzinfo=UTC).timestamp())
SLOTS = 58
"""Have closed."""
MOST_BYTES = 60_000
ASSET = "5c9e0c0e-94b1-4f5d-9d65-0d5a8bbf1a11"

PATHS = ("/", "/?state=silent&q=home", "/days", "/coverage", "/server", "/sites/home-0017",
         f"/sites/home-0017?asset={ASSET}", "/sites/nobody")  # fmt: skip

TROUBLED: dict[int, dict[str, Any]] = {
    17: {"last_message_s": NOW_S - 20_000, "warning": "two gateways of one name?", "clashes": 2},
    60: {"known": 50}, 61: {"lag_s": 200.0}, 300: {"last_slot_s": NOW_S - 30_000},
    301: {"version": "0.1.0"}, 302: {"refused": 1}, 455: {"told": None, "last_message_s": None},
}  # fmt: skip


def fleet(homes: int) -> Fleet:
    told = Told(at_s=NOW_S - 100, online=True, mood="well", disk_free_bytes=10**10, config="c0ffee",
                rss_bytes=42 * 10**6, disk_written_per_day_bytes=44 * 10**6)  # fmt: skip
    well = Home(
        id=0, name="", added_s=NOW_S - 9 * 10**6, last_message_s=NOW_S - 90, deliver="fleet",
        last_slot_s=NOW_S - 1500, lag_s=0.4, version="0.2.0", stores=1, told=told, known=192,
        expected=192,
    )  # fmt: skip
    some = [
        replace(well, **({"id": n, "name": f"home-{n:04}"} | TROUBLED.get(n, {})))
        for n in range(1, homes + 1)
    ]
    if homes >= 17:  # its broker's last will has come
        some[16] = replace(some[16], told=replace(told, online=False))
    collectors = [CollectorRow("one", "0.2.0", NOW_S - 9000, NOW_S - 3, True),
                  CollectorRow("two", "0.2.0", NOW_S - 90_000, NOW_S - 700, True)]  # fmt: skip
    return Fleet(at_s=NOW_S, homes=judged(some, NOW_S), collectors=collectors)


class Told1000:
    """What the pages ask, and these answers."""

    is_well = True

    def __init__(self, homes: int) -> None:
        self.zone: tzinfo = ZoneInfo("Europe/Berlin")
        self._fleet = fleet(homes)
        stamp = datetime.now(UTC)
        self._day = asyncio.run(self.community(DAY))
        self._user = users.User("anna", users.hashed("open sesame"), "g", stamp, stamp)

    def today(self) -> date:
        return DAY

    async def secret(self) -> bytes:
        return b"a secret"

    async def user(self, name: str) -> users.User | None:
        return self._user if name == "anna" else None

    async def fleet(self) -> Fleet:
        return self._fleet

    async def worst(self) -> list[WorstRow]:
        return [WorstRow("home-0060", ASSET, DAY - timedelta(days=n), 40 + n, 96) for n in range(7)]

    async def refused(self) -> list[RefusedRow]:
        return [RefusedRow("home-0302", f"asset {ASSET} belongs to another site", 3, NOW_S - 60)]

    async def clashes(self) -> list[ClashRow]:
        return [ClashRow("home-0017", 2, NOW_S - 300)]

    async def community(self, day: date) -> CommunityDay:
        sun = [max(0, 40 - abs(n - 48)) * 10**10 if n < SLOTS else None for n in range(96)]
        return CommunityDay(
            day=day, start_s=START_S, slot_s=900, sun_uwh=sun,
            to_grid_uwh=[None if uwh is None else uwh // 2 for uwh in sun],
            from_grid_uwh=[10**11 if n < SLOTS else None for n in range(96)],
            meters=[990 if n == 20 else 1000 for n in range(96)], most_meters=1000, known=5700,
            expected=5800,
        )  # fmt: skip

    def community_there(self, day: date) -> CommunityDay | None:
        return self._day if day == DAY else None

    async def home_day(self, name: str, day: date) -> HomeDay | None:
        found = next((each for each in self._fleet.homes if each.home.name == name), None)
        if found is None:
            return None
        quality = "mmmeemxpm" + "m" * (SLOTS - 9) + "." * (96 - SLOTS)
        uwh = [None if letter in "x." else 90_000_000 + n * 10**6
               for n, letter in enumerate(quality)]  # fmt: skip
        off = [3_000_000 if each else None for each in uwh]
        meters = [
            MeterRow(meter, way, "4711", role, uwh, off, quality, 987, 4_500_000_000_000, 60_000)
            for meter, way, role in (("grid", "import", "grid"), ("grid", "export", "grid"),
                                     ("pv", "export", "sun"))
        ]  # fmt: skip
        events = [
            EventRow(NOW_S - n * 900, *each.split(","))
            for n, each in enumerate((
                "online,true,false", "problem,,meter_silent_long", "version,0.1.0,0.2.0",
                "config,c0ffee,beef", "clock,,false", "solved,line_away,", "store,,store-2",
                "deliver,direct,fleet",
            ))
        ]  # fmt: skip
        return HomeDay(
            judged=found, day=day, start_s=START_S, slot_s=900, slots=96, meters=meters,
            assets=[AssetRow(ASSET, uwh, off, quality, uwh, "a" * 40 + "rls" + "w" * 53)],
            stores=[StoreRow(f"store-{n}", NOW_S - 10**6, NOW_S, "0.2.0", "fleet") for n in (1, 2)],
            events=events, refused=await self.refused(),
            reasons=[(START_S, "rejected", "no such asset")], first_day=date(2025, 10, 25),
            today=DAY,
        )  # fmt: skip


class _Process:
    def told(self) -> None:
        raise AssertionError("/metrics is not asked for here")


class Served:
    """The real server with the real pages, in a thread of its own."""

    def __init__(self, homes: int) -> None:
        self._told: Any = Told1000(homes)
        self._begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.url = ""

    def start(self) -> None:
        self._thread.start()
        assert self._begun.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(30)

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        signing = Signing(lambda: NOW_S)
        page = PageSettings(port=0, title="Sunny Street")
        process: Any = _Process()
        pages = FleetPages(page, self._told, signing, process, lambda: NOW_S)
        server = PageServer(Listening(host="127.0.0.1", port=0), CookieDoor(signing), {}, [pages])
        serving = asyncio.create_task(server.run())
        await server.listening.wait()
        self.url = server.url
        self._begun.set()
        await self._ended.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@pytest.fixture(scope="module")
def community() -> Iterator[Served]:
    serving = Served(1000)
    serving.start()
    yield serving
    serving.stop()


def log_in(browser: Browser, url: str) -> None:
    browser.open(url)
    for name, text in (("name", "anna"), ("password", "open sesame")):
        field = browser.driver.find_element("id", name)
        field.send_keys(text)
    field.submit()
    browser.wait(lambda: browser.of("#h-map"), 30, "the first page")


def picture(browser: Browser, name: str, height: int | None = None) -> None:
    """Kept where PICTURES says, as those of a home's page are."""
    png = browser.picture(height)
    assert png.startswith(b"\x89PNG")
    if folder := os.environ.get("PICTURES"):
        (Path(folder) / f"{name}.png").write_bytes(png)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_every_page_is_sound_with_a_thousand_homes(
    community: Served, browser: Browser, size: tuple[int, int]
) -> None:
    browser.size(*size)
    log_in(browser, community.url)
    for path in PATHS:
        browser.open(community.url + path)
        browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert_sound(browser, phone=size == PHONE)
        assert browser.transferred() <= MOST_BYTES
        length = browser.run("return document.documentElement.outerHTML.length")
        assert length <= MOST_BYTES, path
        if size == PHONE:
            for media in ({"prefers_color_scheme": "dark"}, {"prefers_contrast": "more"}):
                browser.media(**media)
                assert browser.audit()["faint"] == [], path
            browser.media()
            browser.size(280, 800)
            assert browser.run("return document.documentElement.scrollWidth") == 280, path
            browser.size(*size)
    assert {method for method, url in browser.requests() if not url.endswith("/login")} == {"GET"}
    # Chromium calls a login, and a home that is not there, severe.
    assert [each for each in browser.complaints() if not re.search(r"status of 40[14]", each)] == []


def test_the_map_shows_which_homes_are_not_well(community: Served, browser: Browser) -> None:
    log_in(browser, community.url)
    bad = browser.run(
        "return [...document.querySelectorAll('.homes a')].filter(each => "
        "/home-0017/.test(each.textContent)).map(each => each.textContent)"
    )
    assert bad == ["home-0017: silent, two gateways, other numbers"]
    sizes = browser.run(
        "return ['sbad', 'swarn', 'snote', 'swell'].map(name => getComputedStyle("
        "document.querySelector('.homes .' + name)).strokeWidth)"
    )
    assert [float(size.removesuffix("px")) for size in sizes] == [11, 9, 7, 5], (
        "not by colour alone"
    )
    browser.open(f"{community.url}/?state=silent")
    assert "1 home of these" in browser.text


@pytest.mark.parametrize("language", ["de", "nl"])
def test_other_languages_fit(community: Served, browser: Browser, language: str) -> None:
    browser.size(*PHONE)
    browser.language(language)
    log_in(browser, community.url)
    for path in ("/", "/sites/home-0017"):
        browser.open(community.url + path)
        assert_sound(browser, phone=True)
        assert browser.run("return document.documentElement.lang") == language


def test_pictures(community: Served, browser: Browser) -> None:
    browser.size(1000, 844)
    log_in(browser, community.url)
    picture(browser, "fleet-homes", 1000)
    browser.open(f"{community.url}/sites/home-0017")
    picture(browser, "fleet-home", 1000)
