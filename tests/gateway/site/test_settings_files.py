"""Which files a configuration is read from, how far, and what of them is shown."""

import os
import shutil
from pathlib import Path

import pytest

from drivers.profile import ProfileError, load_profile, profile_ids, shipped_folder
from drivers.settings_file import read_bounded
from gateway.delivery import kinds
from gateway.site.config import load_device
from gateway.site.credentials import ConfigError, read_credentials
from gateway.site.suspicions import suspicions

ROOT = Path(__file__).parents[3]
DEVICE = "profile: eastron/sdm120\nline: serial:/dev/ttyUSB0\n"
LOGIN = "username: 'somebody'\npassword: 'S3cret'\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    shutil.copytree(ROOT / "docs" / "examples" / "home", folder)
    (folder / "hardware_profiles" / "acme").mkdir(parents=True)
    for path in folder.glob("*.credentials"):
        path.unlink()
    for name in ("exchange.credentials", "mqtt.credentials"):
        write(folder / name, LOGIN, 0o600)
    return folder


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def problems(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        kinds.load(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("fifo", "it is a FIFO, not a file"),
        ("zero", "it is a device"),
        ("folder", "it is a folder"),
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "gateway.yaml",
        "devices/grid.yaml",
        "exchange.credentials",
        "hardware_profiles/eastron/sdm120.yaml",
    ],
)
def test_what_is_no_file_is_named_and_not_waited_for(
    home: Path, name: str, kind: str, says: str
) -> None:
    path = home / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    write(home / "devices" / "pv.yaml", DEVICE)
    told = problems(home)
    assert f"{path}: " in told
    assert says in told


def test_no_more_is_read_than_a_settings_file_may_hold(home: Path) -> None:
    write(home / "gateway.yaml", "x" * 10_000_000)
    assert len(read_bounded(home / "gateway.yaml")[0]) < 300_000
    assert "file is larger than" in problems(home)


def test_what_macos_and_editors_leave_behind_is_no_meter_and_no_profile(home: Path) -> None:
    write(home / "devices" / "._grid.yaml", "\0\5\26\7")
    write(home / "devices" / "._grid.yml", "\0\5\26\7")
    (home / "devices" / ".#grid.yaml").symlink_to("somebody@host.1234:1")
    shutil.copy(shipped_folder() / "eastron/sdm120.yaml", home / "hardware_profiles/acme/.#a.yaml")
    names = {device.name for device in kinds.load(home).devices}
    assert names
    assert not any("grid" in name and name != "grid" for name in names)
    assert profile_ids(home / "hardware_profiles") == []
    with pytest.raises(ConfigError, match="there is no meter"):
        load_device(home, "._grid")


def test_nothing_is_shown_of_what_a_profile_links_to(home: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "shadow", "root:$y$j9T$S3cret:19000:0:99999:7:::\n", 0o640)
    (home / "hardware_profiles" / "acme" / "em1.yaml").symlink_to(secret)
    write(home / "devices" / "pv.yaml", DEVICE.replace("eastron/sdm120", "acme/em1"))
    with pytest.raises(ProfileError) as caught:
        load_profile("acme/em1", home / "hardware_profiles")
    for told in (str(caught.value), problems(home)):
        assert "acme/em1.yaml:1: is not a profile — it is a link" in told
        assert "S3cret" not in told
        assert "19000" not in told


def test_nothing_is_shown_of_a_secret_that_a_device_file_links_to(home: Path) -> None:
    (home / "devices" / "car.yaml").symlink_to("../exchange.credentials")
    told = problems(home)
    assert "devices/car.yaml:1: is not a settings file — it is a link" in told
    assert "somebody" not in told
    assert "username" not in told


def test_a_link_to_another_settings_file_of_the_folder_is_told_in_full(home: Path) -> None:
    write(home / "devices" / "car.txt", DEVICE + "intervall: 5s\n")
    (home / "devices" / "car.yaml").symlink_to("car.txt")
    assert "car.yaml:3: intervall: unknown key — did you mean 'interval'?" in problems(home)


@pytest.mark.parametrize("password", ["abc #def", "#def", "4711 #x"])
def test_a_hash_in_a_password_without_quotes_is_suspected(home: Path, password: str) -> None:
    write(home / "exchange.credentials", f"username: 'anna'\npassword: {password}\n", 0o600)
    login, refused = read_credentials(home, "exchange.credentials")
    if login is None:
        assert "a # outside of quotes begins a comment" in refused[0].hint
        told = str(refused[0])
    else:
        [suspicion] = suspicions(kinds.load(home))
        told = str(suspicion)
        assert "exchange.credentials:2: password: the value ends at the #" in told
        assert "in single quotes" in told
    assert "abc" not in told
    assert "def" not in told


def test_quoted_values_and_comments_of_their_own_are_not_suspected(home: Path) -> None:
    text = "# the login\nusername: anna\npassword: 'abc #def' # of 2026\n"
    write(home / "exchange.credentials", text, 0o600)
    assert list(suspicions(kinds.load(home))) == []


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("", "found nothing"),
        ("''", "is empty"),
        ("mqtt://broker.example:1883", "write host: broker.example, port: 1883, tls: false"),
        ("mqtts://broker.example", "is a URL, not a host — write host: broker.example"),
        ("broker.example:8883", "has a port — write host: broker.example and port: 8883"),
        ("'[fd00::1]:1883'", "write host: fd00::1 and port: 1883"),
        ("anna:S3cret@broker", "a login does not stand in the host"),
        ("mqtt://anna:S3cret@broker", "a login does not stand in the host"),
        ("bro ker", "is not the name or address of a host"),
    ],
)
def test_a_broker_s_host_is_a_host_alone(home: Path, host: str, says: str) -> None:
    write(home / "gateway.yaml", f"site: a\nmqtt:\n  host: {host}\n")
    told = problems(home)
    assert "gateway.yaml:3: mqtt.host: " in told
    assert says in told
    assert "S3cret" not in told


@pytest.mark.parametrize("host", ["broker", "192.168.1.20", "fd00::1", "'[fd00::1]'", "a_b.local"])
def test_names_and_addresses_of_brokers_are_taken(home: Path, host: str) -> None:
    write(home / "gateway.yaml", f"site: a\nmqtt:\n  host: {host}\n")
    mqtt = kinds.load(home).mqtt
    assert mqtt is not None
    assert mqtt.host == host.strip("'[]")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("port: 1883", "1883 is the port without TLS"),
        ("tls: false\n  port: 8883", "8883 is the port for TLS"),
    ],
)
def test_the_port_of_the_other_way_to_speak_mqtt_is_suspected(
    home: Path, keys: str, says: str
) -> None:
    write(home / "gateway.yaml", f"site: a\nmqtt:\n  host: broker\n  {keys}\n")
    assert says in "".join(map(str, suspicions(kinds.load(home))))


@pytest.mark.parametrize("power", ["17.250", "17.25", "63", "0.5"])
def test_what_cannot_be_a_fuse_is_told_with_both_things_it_may_mean(home: Path, power: str) -> None:
    write(home / "devices" / "pv.yaml", DEVICE + f"max_power: {power}\n")
    told = "".join(kinds.load(home).warnings())
    assert "pv.yaml:3: max_power: " in told
    assert "W cannot be a main fuse — it is in W: write" in told
    assert f"{float(power) * 1000:g} if {float(power):g} kW are meant" in told
    assert f"for {float(power):g} A at 230 V" in told


def test_a_home_of_an_earlier_version_with_such_a_fuse_is_refused_only_for_other_mistakes(
    home: Path,
) -> None:
    write(home / "devices" / "pv.yaml", DEVICE + "max_power: 17.25\n")
    write(home / "gateway.yaml", "site: a\nbuffr: {}\n")
    told = problems(home)
    assert "gateway.yaml:2: buffr: unknown key" in told
    assert "pv.yaml:3: max_power: " in told, "every mistake at once"


def test_such_a_fuse_in_a_file_that_is_a_link_out_of_the_folder_is_borne_and_not_shown(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "pv.yaml"
    write(elsewhere, DEVICE + "max_power: 17.25\n")
    (home / "devices" / "pv.yaml").unlink(missing_ok=True)
    (home / "devices" / "pv.yaml").symlink_to(elsewhere)

    told = "".join(kinds.load(home).warnings())
    assert "pv.yaml:3: holds a value that cannot be — it is a link" in told
    assert "17.25" not in told

    write(elsewhere, DEVICE + "max_power: 17.25\nadress: 7\n")
    assert "pv.yaml:4: is not a settings file" in problems(home)


def test_a_small_fuse_is_taken(home: Path) -> None:
    write(home / "devices" / "pv.yaml", DEVICE + "max_power: 230\n")
    assert kinds.load(home)


def test_merge_keys_of_yaml_work_and_keep_their_lines(home: Path) -> None:
    pv = DEVICE.replace("ttyUSB0", "ttyUSB7")
    for name, address in (("one", 4), ("two", 5)):
        write(home / "devices" / f"{name}.yaml", pv + f"address: {address}\n")
    text = (home / "gateway.yaml").read_text()
    begin = text.index("assets:")
    assets = (
        "assets:\n"
        "  - &first\n"
        "    name: First\n"
        "    uuid: 26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1\n"
        "    kind: load\n"
        "    energy: one.import\n"
        "  - <<: *first\n"
        "    name: Second\n"
        "    uuid: cf3b262c-1c0e-4d0b-8f0e-6f3f0e4b7a52\n"
        "    energy: two.import\n"
    )
    write(home / "gateway.yaml", text[:begin] + assets)
    first, second = kinds.load(home).assets
    assert (first.kind, second.kind) == ("load", "load")
    assert (second.name, str(second.energy)) == ("Second", "two.import")

    write(home / "gateway.yaml", text[:begin] + assets.replace("two.import", "tow.import"))
    line = text[:begin].count("\n") + 10
    assert f"gateway.yaml:{line}: assets[1].energy: there is no meter 'tow'" in problems(home)

    write(home / "gateway.yaml", text[:begin] + assets.replace("*first", "5"))
    assert "<<: takes the keys of a mapping, and there is none" in problems(home)


def test_a_file_that_would_have_us_wait_is_named(home: Path) -> None:
    """It looks like a regular one."""
    (home / "gateway.yaml").unlink()
    (home / "gateway.yaml").symlink_to("/proc/kmsg")
    told = problems(home)
    assert "gateway.yaml" in told
    assert "cannot be read" in told or "is not a settings file" in told
