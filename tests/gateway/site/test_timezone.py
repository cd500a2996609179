"""The time zone of a site: as it is written, or else the machine's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.site.config import load
from gateway.site.credentials import ConfigError
from gateway.site.timezone import SiteTimezone, is_known, machine_timezone, resolve


def site(folder: Path, text: str) -> Path:
    (folder / "devices").mkdir()
    (folder / "devices" / "grid.yaml").write_text(
        "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n"
    )
    (folder / "gateway.yaml").write_text(text)
    return folder


def test_a_bare_name_is_a_site_in_the_machine_s_time_zone(tmp_path: Path) -> None:
    settings = load(site(tmp_path, "site: home-12\n"))
    assert settings.site == "home-12"
    assert settings.timezone == machine_timezone()


def test_a_site_may_have_a_time_zone_of_its_own(tmp_path: Path) -> None:
    settings = load(site(tmp_path, "site: {name: home-12, timezone: Europe/Berlin}\n"))
    assert settings.site == "home-12"
    assert settings.timezone == SiteTimezone("Europe/Berlin", "gateway.yaml")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (
            "site:\n  name: home-12\n  timezone: Europe/Berln\n",
            "gateway.yaml:3: site.timezone: there is no time zone 'Europe/Berln' — did you mean "
            "'Europe/Berlin'?",
        ),
        ("site: {name: home-12, timezone: 2}\n", "site.timezone: expected a time zone, found 2"),
        ("site: {timezone: UTC}\n", "gateway.yaml:1: site: key 'name' is missing"),
        ("site: {name: home 12}\n", "gateway.yaml:1: site.name: "),
        ("site: [home-12]\n", "gateway.yaml:1: site: expected text, found a list"),
        ("site: 12\n", "gateway.yaml:1: site: expected text, found 12 — put it in quotes"),
        ("site:\n", "gateway.yaml:1: site: expected text, found nothing — fill it in"),
        ("market: {}\n", "gateway.yaml:1: key 'site' is missing"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(tmp_path: Path, written: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(site(tmp_path, written))
    assert says in str(error.value)


WITHOUT_DATA = """
import sys
sys.modules["tzdata"] = None
from gateway.site.timezone import TimezoneName, machine_timezone
assert TimezoneName.parse("UTC") == "UTC"
assert machine_timezone().name == "UTC"
try:
    TimezoneName.parse("Europe/Berlin")
except ValueError as error:
    print(error)
"""


def test_a_machine_without_data_is_told_what_to_install() -> None:
    environment = {**os.environ, "PYTHONTZPATH": "", "TZ": "Europe/Rome"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DATA],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (
        "this machine has no data about time zones — install the package tzdata"
    )


@pytest.mark.parametrize("name", ["", "Europe", "Europe/Berln", "../etc/passwd", "/etc/passwd"])
def test_what_is_no_zone_is_not_known(name: str) -> None:
    assert not is_known(name)


@pytest.mark.parametrize(
    ("variable", "localtime", "debian_name", "name", "source"),
    [
        ("", "/usr/share/zoneinfo/Europe/Rome", "Europe/Rome\n", "Europe/Rome", "/etc/localtime"),
        ("", "../usr/share/zoneinfo/posix/Europe/Rome", "", "Europe/Rome", "/etc/localtime"),
        ("", "", "Europe/Vienna\n", "Europe/Vienna", "/etc/timezone"),
        ("Asia/Tokyo", "/usr/share/zoneinfo/Europe/Rome", "", "Asia/Tokyo", "the variable TZ"),
        (":Asia/Tokyo", "", "", "Asia/Tokyo", "the variable TZ"),
        ("CET-1CEST", "/usr/share/zoneinfo/Europe/Rome", "", "Europe/Rome", "/etc/localtime"),
        ("", "/opt/mine", "Europe/Vienna", "Europe/Vienna", "/etc/timezone"),
        ("", "", "", "UTC", "no other is set on this machine"),
        (
            "Mars/Olympus",
            "/usr/share/zoneinfo/Moon",
            "Sun",
            "UTC",
            "no other is set on this machine",
        ),
    ],
)
def test_the_machine_s_zone_is_where_the_c_library_and_debian_write_it(
    variable: str, localtime: str, debian_name: str, name: str, source: str
) -> None:
    known = {"Europe/Rome", "Europe/Vienna", "Asia/Tokyo"}
    found = resolve(variable, localtime, debian_name, known.__contains__)
    assert found == SiteTimezone(name, source)
