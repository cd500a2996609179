"""fleet.yaml, and every mistake in it at once."""

from pathlib import Path

import pytest

from gateway.fleet.settings import load
from gateway.site.credentials import ConfigError

GOOD = """
topic: community/mg
broker: {host: broker.example, credentials: b.credentials}
database: {host: "db1.example,db2.example", name: community}
"""


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    (folder / "fleet.yaml").write_text(text)
    login = folder / "b.credentials"
    login.write_text("username: 'fleet'\npassword: 'open sesame'\n")
    login.chmod(mode)
    return folder


def test_what_is_not_said_is_safe(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD))
    assert settings.file.broker.tls
    assert settings.file.broker.port == 8883
    assert settings.file.database.tls == "verify-full"
    assert settings.file.broker.shared == "auto"
    assert (settings.file.timezone, settings.file.pack_after_days) == ("UTC", 60)
    assert "sesame" not in repr(settings)
    login = settings.login("b.credentials")
    assert login is not None
    assert login.password == "open sesame"


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = """
topic: "mg/#"
broker: {host: "mqtt://broker.example", prot: 1883}
database: {host: db.example, tls: maybe}
timezone: Europe/Berlin-Mitte
pack_after_days: 3
"""
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, text))
    told = str(error.value)
    for part in (
        "topic",
        "is a URL, not a host",
        "prot",
        "name",
        "maybe",
        "Europe/Berlin",
        "pack_after_days",
    ):
        assert part in told
    assert len(error.value.problems) == 7


def test_files_that_are_missing_open_or_useless_are_named(tmp_path: Path) -> None:
    text = """
broker: {host: broker.example, tls: false, certificate: me.pem, credentials: b.credentials}
database: {host: "a,,b", name: community, ca_file: ca.pem}
"""
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, text, mode=0o644))
    told = str(error.value)
    for part in ("me.pem", "tls is off", "ca.pem", "between the commas", "chmod 600"):
        assert part in told


def test_a_folder_without_it_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --config the folder that holds it"):
        load(tmp_path)
