"""Pictures show what the numbers say."""

import re
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.history.answers import Node
from gateway.page.pictures.availability import availability
from gateway.page.pictures.bars import Bars, Layer, bars, delivery_row
from gateway.page.pictures.chart import round_up, runs
from gateway.page.pictures.flow import MOST_NODES, flow, shown
from gateway.page.pictures.power_line import Line, power_line
from gateway.page.words import words_for
from tests.gateway.page import sample_answers as sample
from tests.gateway.page.html import Shown

WORDS = words_for("en", ZoneInfo(sample.ZONE), sample.NOW_S)


def heights(picture: str, class_: str) -> list[float]:
    """How high the bars of that class are, in the order of time; those below the line too."""
    found = re.search(rf'<path class="{class_}" d="([^"]*)"', picture)
    return [float(each) for each in re.findall(r"v-?([\d.]+)h", found[1])] if found else []


def chart(wh: list[float | None], quality: str, **more: object) -> str:
    layer = Layer(colour="from", wh=wh)
    about: dict[str, object] = {"name": "n", "about": "", "layers": [layer], "quality": quality}
    return bars(Bars(**{**about, **more}))  # type: ignore[arg-type]  of a test


def test_bars_are_as_high_as_their_energies() -> None:
    first, second, third = heights(chart([100.0, 200.0, 50.0], "mmm"), "bar from")
    assert second == pytest.approx(2 * first, abs=0.2)
    assert third == pytest.approx(first / 2, abs=0.2)


def test_each_quality_is_one_path_with_a_pattern_of_its_own() -> None:
    picture = chart([10.0, 20.0, 30.0, None, 50.0, None], "meexp.")
    assert picture.count('class="bar from"') == 1
    assert picture.count('class="bar qe" d=') == 1
    assert 'fill="url(#e-from)"' in picture
    assert 'fill="url(#p-from)"' in picture
    assert len(heights(picture, "bar qe")) == 2
    assert picture.count('class="unknown"') == 1, "and what is unknown is no bar of no height"


def test_layers_stand_on_each_other_and_below_the_line() -> None:
    layers = [
        Layer(colour="sun", wh=[50.0]),
        Layer(colour="from", wh=[50.0]),
        Layer(colour="to", wh=[25.0], below=True),
    ]
    picture = bars(Bars(name="n", about="", layers=layers, quality="m"))
    tops = [
        float(y) for y in re.findall(r'class="bar (?:sun|from|to)" d="M0\.5 ([\d.]+)v', picture)
    ]
    sun, grid, back = tops
    assert grid == pytest.approx(sun - heights(picture, "bar sun")[0], abs=0.2)
    assert back == sun, "it begins at the line"


def test_a_whisker_is_as_long_as_what_the_bar_may_be_off() -> None:
    layer = Layer(colour="from", wh=[100.0, 100.0], off_wh=[20.0, 0.1])
    picture = bars(Bars(name="n", about="", layers=[layer], quality="mm"))
    found = re.search(r'class="whisker" d="([^"]*)"', picture)
    assert found is not None
    [(top, bottom)] = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", found[1])
    bar = heights(picture, "bar from")[0]
    assert float(bottom) - float(top) == pytest.approx(bar * 0.4, abs=0.3)


@given(st.text("awrlosk.", max_size=200))
def test_runs_of_deliveries_are_all_of_them(letters: str) -> None:
    assert "".join(letter * length for letter, _, length in runs(letters)) == letters
    picture = delivery_row("n", letters)
    for letter in "awrlosk":
        assert (f'class="d{letter}"' in picture) == (letter in letters)


@given(st.floats(1e-3, 1e7))
def test_a_scale_ends_at_a_round_number_above(value: float) -> None:
    assert value <= round_up(value) * 1.001
    assert round_up(value) <= value * 2.01


def test_a_wire_points_where_the_power_goes() -> None:
    def wires(nodes: list[Node]) -> dict[str, str]:
        return dict(re.findall(r'class="wire (\w+) w\d" d="(M[^"]+)"', flow(nodes, WORDS)))

    sun, grid, house, pump = sample.NODES
    there = wires([sun, grid, house, pump])
    assert set(there) == {"sun", "to", "other"}
    back = wires([sun, replace(grid, power_w=655.0), house, pump])
    assert set(back) == {"sun", "from", "other"}
    begin, _, end = there["to"].removeprefix("M").partition("L")
    assert float(begin.split()[0]) > float(end.split()[0]), "to the grid, which is on the left"
    begin, _, end = back["from"].removeprefix("M").partition("L")
    assert float(begin.split()[0]) < float(end.split()[0])


def test_a_node_without_a_current_value_shows_none_and_what_it_was() -> None:
    picture = flow(sample.silent().nodes, WORDS)
    assert picture.count('data-way="none"') == 2
    assert "was 1.98\xa0kW at 13:50" in Shown(picture).text
    assert "no value" in picture, "those who are read to hear it, too"


def test_many_nodes_are_not_all_drawn() -> None:
    nodes = sample.thirty().nodes
    assert len(shown(nodes)) == MOST_NODES
    assert flow(nodes, WORDS).count("<circle") == MOST_NODES + 1


def test_a_line_has_a_gap_where_nothing_was_heard() -> None:
    points = [(float(n * 10), 100.0 + n) for n in range(90) if not 30 <= n < 50]
    line = Line(
        name="n",
        start_s=0,
        end_s=900,
        points=points,
        gaps=[(290.0, 500.0)],
        ticks_s=[100.0, 200.0],
    )
    picture = power_line(line, WORDS)
    stroke = re.search(r'class="stroke house" d="([^"]*)"', picture)
    assert stroke is not None
    assert stroke[1].count("M") == 2
    assert "nan" not in picture
    assert picture.count('class="unknown"') == 1
    tick = re.search(r'class="tick" d="([^"]*)"', picture)
    assert tick is not None
    assert tick[1].count("M") == 2


def test_a_line_without_points_is_no_picture_of_nonsense() -> None:
    picture = power_line(Line(name="n", start_s=0, end_s=900, points=[]), WORDS)
    assert "stroke house" not in picture


def test_hours_are_as_high_as_they_were_heard() -> None:
    picture = availability("n", [1.0, 0.5, 0.0, None])
    assert picture.count('class="unknown"') == 1
    heard = re.search(r'class="heard" d="([^"]*)"', picture)
    assert heard is not None
    assert re.findall(r"v-([\d.]+)", heard[1]) == ["22", "11"]
