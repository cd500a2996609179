"""Logins are read from files that only their owner can read, and never quoted."""

from pathlib import Path

import pytest

from gateway.credentials import Credentials, read_credentials


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
    assert read_credentials(tmp_path, "exchange.credentials")[0] == Credentials("anna", "from systemd")


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
    ],
)
def test_a_file_that_is_not_a_login_is_reported_without_quoting_it(tmp_path: Path, text: str) -> None:
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
