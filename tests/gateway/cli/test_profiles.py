"""`meter-gateway profiles`."""

import json
import re
from pathlib import Path

import pytest

from drivers.profile import ProfileError, load_profile, profile_ids, shipped_folder


def test_every_shipped_profile_is_listed_with_its_steps(run):
    code, out, _ = run("profiles")
    assert code == 0
    for profile_id in profile_ids():
        assert profile_id in out
    assert "import 100 Wh" in out  # the EM340's


def test_the_list_is_there_for_programs(run):
    code, out, _ = run("profiles", "--json")
    rows = {row["id"]: row for row in json.loads(out)}
    assert code == 0
    assert sorted(rows) == profile_ids()
    assert set(rows["eastron/sdm120"]["quantities"]) == load_profile("eastron/sdm120").quantities


def test_the_committed_page_of_meters_is_the_one_the_profiles_make(run):
    code, out, _ = run("profiles", "--markdown")
    page = Path(__file__).parents[3] / "docs" / "meters.md"
    if page.read_text(encoding="utf-8") != out:
        command = "meter-gateway profiles --markdown > docs/meters.md"
        pytest.fail(f"docs/meters.md is not what the profiles say: {command}", pytrace=False)
    assert code == 0


@pytest.mark.parametrize("profile_id", profile_ids())
def test_every_profile_can_be_shown(run, profile_id):
    try:
        profile = load_profile(profile_id)
    except ProfileError:
        pytest.skip("it does not load, which fails a test of its own")
    code, out, _ = run("profiles", "show", profile_id)
    assert code == 0
    for quantity in profile.quantities:
        assert quantity in out
    assert profile.manual.split(",")[0] in out.replace("\n", "")
    assert json.loads(run("profiles", "show", profile_id, "--json")[1])["manual"] == profile.manual


def test_a_modbus_profile_shows_its_register_table(run):
    _, out, _ = run("profiles", "show", "eastron/sdm120")
    assert "0x0048 (72)" in out
    assert "at most 60 registers" in out
    assert "Leaves the factory at 2400 baud" in out
    assert re.search(r"positive power: +import", out)
    assert re.search(
        r"told by: +0xFC02 holds 32 \(uint16, function 3\); 0x0000 is between 100 and 300 "
        r"\(float32, function 4\)",
        out,
    )
    assert re.search(r"serial number: +at 0xFC00 \(uint32, function 3\)", out)
    assert re.search(
        r"part of: +growatt/tl_x, whose", run("profiles", "show", "growatt/tl_x_grid")[1]
    )


def test_it_shows_how_often_a_register_moves_and_that_no_number_is_known(run):
    _, out, _ = run("profiles", "show", "shelly/pro_3em")
    assert re.search(r"import register: .*, moves no more often than every 60 s", out)
    assert re.search(r"serial number: +not known: an exchanged meter", out)


def test_an_unknown_profile_is_refused_with_the_nearest(run):
    code, _, err = run("profiles", "show", "eastron/sdm12")
    assert code == 1
    assert "did you mean 'eastron/sdm120'?" in err


def test_show_without_an_id_is_a_usage_error(run):
    assert run("profiles", "show")[0] == 2


def test_profiles_of_the_site_are_listed_too_and_a_broken_one_does_not_hide_the_others(run, home):
    text = (shipped_folder() / "eastron/sdm120.yaml").read_text()
    home.write("hardware_profiles/own/meter.yaml", text)
    home.write("hardware_profiles/own/broken.yaml", "maker: Own\n")
    code, out, err = run("profiles")
    assert code == 1
    assert "own/meter" in out
    assert "eastron/sdm630" in out
    assert "own/broken.yaml:1: key 'model' is missing" in err


def test_a_new_profile_is_written_for_this_site_and_never_over_another(run, home):
    path = home.folder / "hardware_profiles" / "acme" / "em1.yaml"
    code, out, _ = run("profiles", "new", "acme/em1", "--from", "eastron/sdm120")
    assert code == 0
    assert str(path) in out
    assert path.read_text().splitlines()[0].endswith("/schema/modbus.json")
    code, _, err = run("profiles", "show", "acme/em1")
    assert code == 1
    assert f"{path}:5: manual" in err
    code, _, err = run("profiles", "new", "acme/em1")
    assert code == 1
    assert "is there already" in err


def test_a_new_profile_goes_where_one_says(run, tmp_path):
    assert run("profiles", "new", "acme/em1", "--output", tmp_path / "x.yaml")[0] == 0
    assert 'model: "EM1"' in (tmp_path / "x.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("acme",), "is not maker/model"),
        (("acme/em1", "--from", "eastron/sdm12"), "there is no profile 'eastron/sdm12'"),
    ],
)
def test_what_cannot_begin_is_said(run, words, complaint):
    code, _, err = run("profiles", "new", *words)
    assert code == 1
    assert complaint in err
