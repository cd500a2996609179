"""How large the first page becomes, and how it is made of what is known."""

import html
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC

import pytest

from gateway.fleet.page.answers import Fleet, Home, Judged
from gateway.fleet.page.languages import de, en, nl
from gateway.fleet.page.pages import homes
from gateway.fleet.page.states import judged
from gateway.page.frame import Reader
from gateway.page.words import Words, catalogue
from tests.gateway.fleet.page.test_states import NOW_S, home, told
from tests.gateway.page.html import Shown

OWN = {"en": en, "de": de, "nl": nl}
MOST_BYTES = 60_000


def reader(language: str) -> Reader:
    words = {**catalogue(language, quarters=False), **OWN[language].WORDS}
    parts = (("homes", ""), ("days", "days"), ("coverage", "coverage"), ("server", "server"))
    return Reader(
        words=Words(language, UTC, NOW_S, words), root="./", site="Sunny Street", version="0.2.0",
        style="static/style.css", script="", parts=parts, more=(), can_log_out=True,
    )  # fmt: skip


def many(count: int, one: Home) -> Sequence[Judged]:
    some = [replace(one, id=n, name=f"a-home-with-a-long-name-{n:05}") for n in range(count)]
    return judged(some, NOW_S)


@pytest.mark.parametrize("language", OWN)
@pytest.mark.parametrize("count", [0, 1, 1_000, 10_000])
def test_it_is_small_however_many_homes_are_unwell(language: str, count: int) -> None:
    worst = home(
        last_message_s=NOW_S - 9999, warning="two?", clashes=2, refused=1, known=1,
        lag_s=300.0, version="0.1.0", configured_s=NOW_S, owed_since_s=NOW_S - 9999,
        told=told(at_s=NOW_S - 9999, disk_free_bytes=1, mood="bad", problems=("disk",)),
    )  # fmt: skip
    fleet = Fleet(at_s=NOW_S, homes=many(count, worst), collectors=[])
    page = homes.render(reader(language), fleet)
    Shown(page)
    assert len(page.encode()) < MOST_BYTES
    last = homes.render(reader(language), fleet, page=10_000)
    if count:
        assert f"{count - 1:05}" in last


def test_names_and_searches_stay_text() -> None:
    some = [home(name="<script>x</script>", warning="<b>two</b>")]
    fleet = Fleet(at_s=NOW_S, homes=judged(some, NOW_S), collectors=[])
    page = homes.render(reader("en"), fleet, search='"><script>alert(1)</script>')
    assert page.count("<script") == 1, "the one of the slash"
    page = homes.render(reader("en"), fleet)
    assert "<script>x</script>" in html.unescape(re.sub("<[^>]+>", "", page))


def test_the_list_has_those_that_are_not_well_first_and_pages() -> None:
    some = [home(name=f"home-{n:03}", known=50 if n in (70, 90) else 96) for n in range(120)]
    fleet = Fleet(at_s=NOW_S, homes=judged(some, NOW_S), collectors=[])

    def listed(**chosen: int) -> list[str]:
        page = homes.render(reader("en"), fleet, **chosen)  # type: ignore[arg-type]
        return re.findall(r'<th scope="row"><a href="./sites/(home-\d+)"', page)

    assert listed()[:3] == ["home-070", "home-090", "home-000"]
    found = [*listed(), *listed(page=2), *listed(page=3)]
    assert len(found) == len(set(found)) == 120
    assert listed(page=4) == listed(page=3), "there is no further page"
