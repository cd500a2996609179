"""`meter-gateway fleet users`: who may look at the manager's page."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.fleet.users import NOBODY, hashed, matches
from tests.gateway.fleet.postgres import Postgres, running

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


def test_users_come_and_go(
    postgres: Postgres,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    postgres.new_database("with_users")
    (tmp_path / "db.credentials").write_text("username: 'admin'\npassword: 'open sesame'\n")
    (tmp_path / "db.credentials").chmod(0o600)
    (tmp_path / "fleet.yaml").write_text(
        "broker: {host: 127.0.0.1, port: 1, tls: false}\n"
        f"database: {{host: {postgres.folder}, name: with_users, credentials: db.credentials}}\n"
    )

    def fleet(*words: str, stdin: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(["--config", str(tmp_path), "fleet", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    code, said = fleet("users", "list")
    assert code == 1 and "fleet init" in said
    assert fleet("init", "--output", str(tmp_path / "out"))[0] == 0
    assert "Nobody may look" in fleet("users")[1]
    code, said = fleet("users", "add", "anna", stdin="short\n")
    assert code == 1 and "10 to 200 characters" in said
    code, said = fleet("users", "add", "an na", stdin="long enough it is\n")
    assert code == 1 and "cannot be a user's name" in said
    code, said = fleet("users", "add", "anna", stdin="long enough it is\n")
    assert code == 0 and "anna may look" in said and "no section `page:`" in said
    kept = postgres.rows("SELECT hash, generation FROM fleet.users", dbname="with_users")
    assert matches("long enough it is", kept[0][0])
    assert "long enough" not in kept[0][0]
    assert "has another password" in fleet("users", "add", "anna", stdin="another one\n")[1]
    again = postgres.rows("SELECT hash, generation FROM fleet.users", dbname="with_users")
    assert again[0][1] != kept[0][1], "logins of before end"
    assert "anna" in fleet("users", "list")[1]
    code, said = fleet("users", "remove", "anna", "bert")
    assert code == 1 and "no such user: bert" in said and "anna" in said
    assert "Nobody may look" in fleet("users", "list")[1]


def test_a_password_is_known_by_its_hash_alone() -> None:
    one, other = hashed("open sesame 1"), hashed("open sesame 1")
    assert one != other
    assert matches("open sesame 1", one) and matches("open sesame 1", other)
    for wrong in ("open sesame 2", "", "\udcff"):
        assert not matches(wrong, one)
    for kept in (NOBODY, "", "scrypt$1$8$1$AAAA$AAAA", "scrypt$99999999$8$1$AAAA$AAAA", "plain"):
        assert not matches("open sesame 1", kept)
