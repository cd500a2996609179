"""An encrypted meter's key: named in its device file, read with the configuration, handed to its
driver.
"""

from pathlib import Path

import pytest

from gateway.site.config import load, load_device
from gateway.site.credentials import ConfigError

KEY = "6b6579206f6620746865206d65746572"
GRID = "profile: p1/luxembourg\nline: serial:/dev/ttyUSB0\nkey: grid.key\n"


def site(folder: Path, device: str = GRID, mode: int = 0o600) -> Path:
    (folder / "devices").mkdir()
    (folder / "gateway.yaml").write_text("site: test\n")
    (folder / "devices" / "grid.yaml").write_text(device)
    (folder / "grid.key").write_text(f"encryption_key: '{KEY}'\n")
    (folder / "grid.key").chmod(mode)
    return folder


def test_the_key_reaches_the_driver_and_no_text(tmp_path: Path) -> None:
    settings = load(site(tmp_path))
    [device] = settings.devices
    assert device.on_line.credentials == {"encryption_key": KEY}
    assert load_device(tmp_path, "grid").credentials == device.credentials
    for text in (repr(settings), repr(device.on_line)):
        assert "key of the meter" not in text
        assert KEY not in text


def test_a_command_that_only_looks_needs_no_key(tmp_path: Path) -> None:
    folder = site(tmp_path)
    (folder / "grid.key").unlink()
    assert load(folder, logins=False).devices[0].credentials == {}
    with pytest.raises(
        ConfigError, match=r"grid\.key: a meter's credentials cannot be read.*encryption_key"
    ):
        load(folder)


def test_a_key_that_others_can_read_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="others can read this file"):
        load(site(tmp_path, mode=0o640))


def test_a_meter_that_cannot_be_encrypted_needs_no_key(tmp_path: Path) -> None:
    modbus = "profile: eastron/sdm120\nline: serial:/dev/ttyUSB0\nkey: grid.key\n"
    with pytest.raises(
        ConfigError, match=r"grid\.yaml:3: key: eastron/sdm120 is not encrypted — remove this key"
    ):
        load(site(tmp_path, modbus))
