"""Logins are read from files that only their owner can read, and never quoted."""

import os
import resource
from pathlib import Path

import pytest

from drivers.profile import load_profile
from gateway.site.credentials import (
    Credentials,
    proxy_secrets,
    read_credentials,
    read_device_credentials,
)


def _write(folder: Path, text: str, mode: int = 0o600) -> None:
    path = folder / "exchange.credentials"
    path.write_text(text)
    path.chmod(mode)


def test_a_login_is_read_from_a_file_of_mode_0600(tmp_path: Path) -> None:
    _write(tmp_path, "username: anna\npassword: 'S3cret'\n")
    login, problems = read_credentials(tmp_path, "exchange.credentials")
    assert (login, problems) == (Credentials("anna", "S3cret"), [])
    assert "S3cret" not in repr(login)


def test_a_systemd_credential_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "passed").mkdir()
    _write(tmp_path, "username: anna\npassword: 'in the folder'\n")
    _write(tmp_path / "passed", "username: anna\npassword: 'from systemd'\n", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "passed"))
    assert read_credentials(tmp_path, "exchange.credentials")[0] == Credentials(
        "anna", "from systemd"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_a_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    _write(tmp_path, "username: anna\npassword: 'S3cret'\n", mode)
    login, [problem] = read_credentials(tmp_path, "exchange.credentials")
    assert login is None
    assert "others can read" in problem.message
    assert "chmod 600" in problem.hint


@pytest.mark.parametrize(
    "text",
    [
        "S3cret\n",
        "username: anna\npassword: 47110815\n",
        "username: anna\npassword: *S3cret\n",
        "username: anna\npassword: !S3cret x\n",
        "username: anna\npassword: [S3cret]\n",
        "username: anna\npassword: {S3cret: 1}\n",
        "username: anna\nS3cret: password\n",
        "username: anna\npassword: 'S3cret\n",
        "username: anna\npassword: @S3cret\n",
        "username: anna\npassword: ''\n",
        "username: anna\nusername: S3cret\n",
        "",
        "~",
        "---\n",
    ],
)
def test_a_file_that_is_not_a_login_is_reported_without_quoting_it(
    tmp_path: Path, text: str
) -> None:
    _write(tmp_path, text)
    login, problems = read_credentials(tmp_path, "exchange.credentials")
    assert login is None
    assert problems
    for problem in problems:
        assert "S3cret" not in str(problem)
        assert "47110815" not in str(problem)
        assert "username" in problem.hint


def test_a_missing_file_is_reported_with_what_to_write(tmp_path: Path) -> None:
    login, [problem] = read_credentials(tmp_path, "exchange.credentials")
    assert login is None
    assert "No such file" in problem.message
    assert "password" in problem.hint


# Keys of encrypted meters

KEY = "6b6579206f6620746865206d65746572"
METER = load_profile("p1/luxembourg")


def write_key(folder: Path, text: str, mode: int = 0o600) -> None:
    path = folder / "grid.key"
    path.write_text(text)
    path.chmod(mode)


def test_the_keys_of_a_meter_are_read_and_shown_nowhere(tmp_path: Path) -> None:
    write_key(
        tmp_path,
        f"encryption_key: '{KEY}'\nauthentication_key: '{KEY[::-1]}'\nsystem_title: "
        "'5341473030313233'\n",
    )
    keys, problems = read_device_credentials(tmp_path, "grid.key", METER)
    assert problems == []
    assert keys == {
        "encryption_key": KEY,
        "authentication_key": KEY[::-1],
        "system_title": "5341473030313233",
    }
    assert repr(keys) == "Secrets(encryption_key, authentication_key, system_title)"


def test_only_the_encryption_key_is_needed(tmp_path: Path) -> None:
    write_key(tmp_path, f"encryption_key: '{KEY.upper()}'\n")
    assert read_device_credentials(tmp_path, "grid.key", METER) == (
        {"encryption_key": KEY.upper()},
        [],
    )


@pytest.mark.parametrize(
    "text",
    [
        f"encryption_key: '{KEY}0'\n",
        f"encryption_key: '{KEY[:-1]}g'\n",
        f"encryption: '{KEY}'\n",
        "encryption_key: 12345678901234567890\n",
        f"{KEY}\n",
    ],
)
def test_what_is_not_a_key_is_reported_without_quoting_it(tmp_path: Path, text: str) -> None:
    write_key(tmp_path, text)
    keys, problems = read_device_credentials(tmp_path, "grid.key", METER)
    assert keys == {}
    assert all("32 hex digits" in problem.hint for problem in problems)
    assert not any(KEY[:20] in str(problem) or "1234567" in str(problem) for problem in problems)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_key(tmp_path, f"encryption_key: '{KEY}'\n", 0o644)
    keys, [problem] = read_device_credentials(tmp_path, "grid.key", METER)
    assert keys == {}
    assert "chmod 600" in problem.hint


def test_a_file_that_cannot_be_opened_for_want_of_descriptors_is_not_blamed(tmp_path: Path) -> None:
    _write(tmp_path, "username: anna\npassword: 'S3cret'\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        login, (problem,) = read_credentials(tmp_path, "exchange.credentials")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert login is None
    assert "a login cannot be read: Too many open files — nothing is wrong with the file" in str(
        problem
    )
    assert "LimitNOFILE=" in problem.hint


def test_what_systemd_passes_on_is_named_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "passed").mkdir()
    _write(tmp_path / "passed", "missing")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "passed"))
    _, (problem,) = read_credentials(tmp_path, "exchange.credentials")
    assert "as the unit's LoadCredential= says, at each start" in problem.hint


def test_a_proxys_login_is_a_secret_and_what_is_no_text_is_none() -> None:
    found = proxy_secrets({"HTTPS_PROXY": "http://Aladdin:open%20sesame@proxy.lan:3128"})
    assert found == ("open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    assert proxy_secrets({"https_proxy": "http://me:\udcff@proxy.lan:3128"}) == ()
