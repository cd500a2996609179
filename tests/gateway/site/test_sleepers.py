"""Which meters may be silent: inverters, by their profiles, and what a person says is seasonal."""

from pathlib import Path

import pytest

from gateway.site.config import load
from gateway.site.credentials import ConfigError
from gateway.site.devices import Device


def device(folder: Path, text: str) -> Device:
    (folder / "devices").mkdir()
    (folder / "gateway.yaml").write_text("site: test\n")
    (folder / "devices" / "pv.yaml").write_text(f"line: tcp:127.0.0.1\n{text}")
    return load(folder).devices[0]


@pytest.mark.parametrize(
    ("text", "may_sleep"),
    [
        ("profile: sma/inverter\n", True),
        ("profile: sunspec/auto\n", True),
        ("profile: sunspec/meter\n", False),
        ("profile: eastron/sdm120\n", False),
        ("profile: eastron/sdm120\nseasonal: true\n", True),
    ],
)
def test_who_may_sleep(tmp_path: Path, text: str, may_sleep: bool) -> None:
    assert device(tmp_path, text).may_sleep == may_sleep


def test_a_season_is_yes_or_no(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pv\.yaml:3: seasonal: "):
        device(tmp_path, "profile: eastron/sdm120\nseasonal: winter\n")
