"""`grid_operator:` in gateway.yaml: what is made of it, and every mistake with its line."""

import shutil
from pathlib import Path

import pytest

from drivers.settings_schema import json_schema
from gateway.cli.commands.check import schema_of
from gateway.cli.configuration_page import undocumented
from gateway.operator.fee import fee_of
from gateway.operator.loading import load
from gateway.operator.models import model_names, settings_by_model
from gateway.operator.models.time_of_use import TimeOfUse
from gateway.operator.settings import GridOperator
from gateway.site.credentials import ConfigError
from gateway.site.timezone import is_known

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "grid-operator"

NETWORK = "8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10"

SECTION = f"""\
site: {{name: dso, timezone: Europe/Berlin}}
grid_operator:
  canary_network: {NETWORK}
  credentials: dso.credentials
  aggregator: dso
  fee_type: constant
  markets: [Community, House 1]
  model: {{kind: time_of_use, file: tou.csv}}
  lowest: 0
  highest: 12
  step: 2
  fallback: 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A box without any meter."""
    shutil.copy(EXAMPLE / "tou.csv", tmp_path)
    shutil.copy(EXAMPLE / "aziiz.json", tmp_path)
    login = tmp_path / "dso.credentials"
    login.write_text("username: dso\npassword: 'correct horse'\n")
    login.chmod(0o600)
    return tmp_path


def operator(folder: Path, text: str = SECTION) -> GridOperator:
    (folder / "gateway.yaml").write_text(text)
    found = load(folder).grid_operator
    assert isinstance(found, GridOperator)
    return found


def mistakes(folder: Path, text: str) -> list[str]:
    (folder / "gateway.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_box_without_meters_may_be_a_grid_operator_s(folder: Path) -> None:
    found = operator(folder)
    assert found.markets == ("Community", "House 1")
    assert found.bounds.highest == fee_of(12, "constant")
    assert found.bounds.fallback_after == 4
    assert found.credentials == "dso.credentials"
    assert found.model_of("House 1").kind == "time_of_use"


def test_a_market_may_have_a_model_of_its_own(folder: Path) -> None:
    text = SECTION + "  models:\n    House 1: {kind: fixed, fee: 3.25}\n"
    found = operator(folder, text)
    assert found.model_of("House 1").kind == "fixed"
    assert found.model_of("Community").kind == "time_of_use"


def test_all_markets_are_those_of_the_registry(folder: Path) -> None:
    every = SECTION.replace("[Community, House 1]", "all")
    assert operator(folder, every).markets is None
    assert operator(folder, every.replace("  markets: all\n", "")).markets is None


def test_local_times_are_of_the_site_s_time_zone(folder: Path) -> None:
    model = operator(folder, SECTION.replace("tou.csv}", "tou.csv, times: local}")).default
    assert isinstance(model, TimeOfUse)
    assert str(model.timezone) == "Europe/Berlin"
    assert is_known("Europe/Berlin")


def test_a_site_without_the_section_has_no_operator(folder: Path) -> None:
    (folder / "devices").mkdir()
    (folder / "devices" / "grid.yaml").write_text(
        "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n"
    )
    (folder / "gateway.yaml").write_text("site: home\n")
    assert load(folder).grid_operator is None


def test_without_meters_and_without_the_section_there_is_no_work(folder: Path) -> None:
    for empty in ("site: home\n", "site: home\ngrid_operator:\n"):
        assert "there is no meter" in mistakes(folder, empty)[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("[Community, House 1]", "[Community, Hause 1]"),
            "gateway.yaml:8: grid_operator.model.file: tou.csv has no column for the market "
            "'Hause 1' — did you mean 'House 1'?",
        ),
        (("[Community, House 1]", "[A, A]"), "gateway.yaml:7: grid_operator.markets: 'A' is there"),
        (("[Community, House 1]", "[]"), "gateway.yaml:7: grid_operator.markets: is an empty list"),
        (("[Community, House 1]", "Grid"), "gateway.yaml:7: grid_operator.markets: expected all"),
        (("[Community, House 1]", "[7]"), "gateway.yaml:7: grid_operator.markets: expected a mar"),
        (("time_of_use", "time_of_day"), "gateway.yaml:8: grid_operator.model.kind: there is no "),
        (("kind: time_of_use, ", ""), "gateway.yaml:8: grid_operator.model: key 'kind' is missing"),
        (("file: tou.csv", "file: no.csv"), "no.csv: cannot be read: No such file"),
        (("file: tou.csv", "fee: 3"), "gateway.yaml:8: grid_operator.model.fee: unknown key"),
        (("tou.csv}", "tou.csv, times: CET}"), "gateway.yaml:8: grid_operator.model.times: 'CET'"),
        (
            ("highest: 12", "highest: '12,5'"),
            "gateway.yaml:10: grid_operator.highest: expected a n",
        ),
        (("highest: 12", "highest: .nan"), "gateway.yaml:10: grid_operator.highest: '.nan' is not"),
        (("highest: 12", "highest: -1"), "gateway.yaml:10: grid_operator.highest: -1 is negative"),
        (("lowest: 0", "lowest: 13"), "gateway.yaml:9: grid_operator.lowest: 13 is more than the"),
        (("fallback: 4", "fallback: 14"), "gateway.yaml:12: grid_operator.fallback: 14 is not bet"),
        (("step: 2", "step: 0"), "gateway.yaml:11: grid_operator.step: no fee could ever change"),
        (("  fallback: 4\n", ""), "gateway.yaml:2: grid_operator: key 'fallback' is missing"),
        (("fee_type: constant", "fee_type: euros"), "gateway.yaml:6: grid_operator.fee_type: "),
        (("dso.credentials", "other.credentials"), "other.credentials: a login cannot be read"),
        (("aggregator: dso", "aggregater: dso"), "gateway.yaml:5: grid_operator.aggregater: unkn"),
    ],
)
def test_a_mistake_has_its_line_and_what_to_do(
    folder: Path, change: tuple[str, str], told: str
) -> None:
    found = mistakes(folder, SECTION.replace(*change))
    assert any(each.startswith(told) for each in found), found


def test_a_percentage_beyond_100_is_refused_wherever_it_stands(folder: Path) -> None:
    text = SECTION.replace("constant", "percent").replace("highest: 12", "highest: 150")
    text += "  models: {House 1: {kind: fixed, fee: 101}}\n"
    found = mistakes(folder, text)
    assert [each.partition(" — ")[0] for each in found] == [
        "gateway.yaml:10: grid_operator.highest: 150 is too high",
        "gateway.yaml:13: grid_operator.models.House 1.fee: 101 is too high",
    ]


def test_a_model_of_a_market_that_is_not_listed_is_a_mistake(folder: Path) -> None:
    found = mistakes(folder, SECTION + "  models: {Hause 1: {kind: fixed, fee: 1}}\n")
    assert "grid_operator.models.Hause 1: 'Hause 1' is not among the markets" in found[0]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("load: grid.import, rating_kw: 9, steps: [{above: 0, fee: 1}]", "there is no meter"),
        ("load: grid.import, rating_kw: 0, steps: [{above: 0, fee: 1}]", ".rating_kw: "),
        ("load: x, rating_kw: 9, steps: []", ".load: cannot read 'x' in the formula"),
    ],
)
def test_a_feeder_needs_its_meters_and_its_rating(folder: Path, model: str, told: str) -> None:
    text = SECTION.replace("kind: time_of_use, file: tou.csv", f"kind: feeder, {model}")
    assert any(told in each for each in mistakes(folder, text))


def test_a_feeder_s_steps_go_upwards_from_0(folder: Path) -> None:
    (folder / "devices").mkdir()
    (folder / "devices" / "grid.yaml").write_text(
        "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n"
    )
    steps = "[{above: 10, fee: 1}, {above: 60, fee: 2}, {above: 60, fee: 3}]"
    model = f"kind: feeder, load: grid.import, rating_kw: 9, steps: {steps}"
    found = mistakes(folder, SECTION.replace("kind: time_of_use, file: tou.csv", model))
    assert "steps[0].above: no fee is said for a load below 10 %" in found[0]
    assert "steps[2].above: 60 % is not more than the step before it" in found[1]


def test_a_tariff_file_s_mistakes_are_told_once(folder: Path) -> None:
    text = (folder / "tou.csv").read_text().replace("07:15:00;1,20", "07:15:00;dear")
    (folder / "tou.csv").write_text(text)
    section = SECTION + "  models: {House 1: {kind: time_of_use, file: tou.csv, times: local}}\n"
    found = mistakes(folder, section)
    assert found == ["tou.csv:31: column 2: 'dear' is no number — write digits: 3.25 or 3,25"]


def test_a_link_to_a_private_file_shows_nothing_of_it(folder: Path, tmp_path: Path) -> None:
    (folder / "tou.csv").unlink()
    (folder / "tou.csv").symlink_to("/etc/passwd")
    found = mistakes(folder, SECTION)
    assert len(found) == 1
    assert "root" not in found[0]
    assert "is not a tariff file" in found[0]


def test_every_key_of_the_section_and_of_every_model_is_explained() -> None:
    assert undocumented(schema_of("gateway")) == []
    for name, settings in settings_by_model().items():
        assert undocumented(json_schema(settings, name)) == [], name
    assert model_names() == ["aziiz", "feeder", "fixed", "time_of_use"]


def test_the_schema_knows_the_keys_of_every_model() -> None:
    parts = schema_of("gateway")["$defs"]
    assert parts["aziiz"]["properties"]["kind"] == {"const": "aziiz"}
    assert parts["GridOperator"]["properties"]["model"]["anyOf"] == [
        {"$ref": f"#/$defs/{name}"} for name in model_names()
    ]


def test_the_example_is_right(tmp_path: Path) -> None:
    folder = tmp_path / "station"
    shutil.copytree(EXAMPLE, folder)
    found = load(folder, logins=False).grid_operator
    assert isinstance(found, GridOperator)
    assert {name: model.kind for name, model in found.models.items()} == {
        "Grid": "aziiz",
        "Community": "feeder",
    }
