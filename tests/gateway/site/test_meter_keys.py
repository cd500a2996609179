"""An encrypted meter's key: named in its device file, read with the configuration, handed to its
driver.
"""

import sys
from pathlib import Path

import pytest

import drivers
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


def test_credentials_is_the_general_name_of_the_key_file(tmp_path: Path) -> None:
    device = GRID.replace("key:", "credentials:")
    [found] = load(site(tmp_path, device)).devices
    assert found.credentials == {"encryption_key": KEY}


def test_one_file_under_both_names_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"grid\.yaml:3: key: the file is named twice"):
        load(site(tmp_path, f"{GRID}credentials: other.key\n"))


def test_a_meter_whose_protocol_wants_nothing_needs_no_credentials(tmp_path: Path) -> None:
    modbus = "profile: eastron/sdm120\nline: serial:/dev/ttyUSB0\ncredentials: grid.key\n"
    with pytest.raises(ConfigError, match=r"grid\.yaml:3: credentials: .* needs no credentials"):
        load(site(tmp_path, modbus))


# Another protocol's credentials

ASK = """
from dataclasses import dataclass

CREDENTIALS = {"username": "the user of its page", "password": "and the password"}


def check_credentials(given):
    return [name for name in CREDENTIALS if not given.get(name)]


@dataclass(frozen=True)
class Settings:
    def quantities(self):
        return frozenset({"energy_import_wh"})

    def check(self):
        return ()
"""
ASK_PROFILE = """
maker: Acme
model: A
manual: none
protocol: ask
max_power_w: 1000
energy: {energy_import_wh: {resolution_wh: 1, modulus_wh: 1000000}}
"""


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with a meter of a protocol that wants a login."""
    protocol = tmp_path / "protocols" / "ask"
    protocol.mkdir(parents=True)
    (protocol / "__init__.py").write_text(ASK)
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(protocol.parent)])
    monkeypatch.delitem(sys.modules, "drivers.ask", raising=False)

    folder = site(tmp_path, "profile: acme/a\nline: tcp:10.0.0.2:80\ncredentials: a.credentials\n")
    (folder / "hardware_profiles" / "acme").mkdir(parents=True)
    (folder / "hardware_profiles" / "acme" / "a.yaml").write_text(ASK_PROFILE)
    return folder


def write_login(folder: Path, text: str) -> None:
    path = folder / "a.credentials"
    path.touch(mode=0o600)
    path.write_text(text)


def test_a_protocol_may_want_a_login_instead_of_a_key(ask: Path) -> None:
    write_login(ask, "username: 'anna'\npassword: 'S3cret'\n")
    [device] = load(ask).devices
    assert device.on_line.credentials == {"username": "anna", "password": "S3cret"}
    assert "S3cret" not in repr(device)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("username: 'S3cret'\n", "password is missing"),
        ("username: 'anna'\npasswort: 'S3cret'\n", "has an entry that is not known"),
        ("username: 'anna'\nS3cret: 'x'\n", "has an entry that is not known"),
        ("username: anna\npassword: 47110815\n", "is not a meter's credentials"),
    ],
)
def test_what_is_wrong_with_credentials_is_told_without_quoting_them(
    ask: Path, text: str, says: str
) -> None:
    write_login(ask, text)
    with pytest.raises(ConfigError) as error:
        load(ask)
    said = str(error.value)
    assert says in said
    assert "password: '…' (and the password)" in said
    assert "S3cret" not in said
    assert "47110815" not in said
