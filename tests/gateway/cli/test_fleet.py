"""`meter-gateway fleet`, with a real broker and a real PostgreSQL: from nothing to a home whose
slot is stored.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from drivers.net.mqtt import Broker as Address
from drivers.net.mqtt import Message, MqttConnection
from drivers.strict_yaml import parse
from gateway.cli.demo_home import free_port
from gateway.cli.main import main
from gateway.fleet.collector import Collector
from gateway.fleet.settings import load
from gateway.site.credentials import read_credentials
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.homes import TOPIC, Home, stored
from tests.gateway.fleet.postgres import Postgres, running
from tests.gateway.fleet.test_collector import NOW_S

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        with server.connect() as connection:
            connection.execute("CREATE ROLE manager LOGIN CREATEROLE")
            connection.execute("CREATE ROLE collector LOGIN")
        yield server


@pytest.fixture
def folder(postgres: Postgres, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """With a fleet.yaml for a new database, and the logins."""
    name = re.sub(r"\W", "_", request.node.name)[:50]
    postgres.new_database(name)
    with postgres.connect() as connection:
        connection.execute(f'GRANT CREATE ON DATABASE "{name}" TO manager')
    port = free_port()
    (tmp_path / "fleet.yaml").write_text(
        f"broker: {{host: 127.0.0.1, port: {port}, tls: false, credentials: broker.credentials}}\n"
        f"database: {{host: {postgres.folder}, name: {name}, credentials: db.credentials}}\n"
    )
    for file, user in (("broker", "fleet"), ("db", "collector"), ("admin", "manager")):
        path = tmp_path / f"{file}.credentials"
        path.write_text(f"username: '{user}'\npassword: 'open sesame'\n")
        path.chmod(0o600)
    return tmp_path


@pytest.fixture
async def broker(required_tool: Callable[[str], str], folder: Path) -> AsyncIterator[Broker]:
    """With the files that `init` and `sites add` write."""
    port = load(folder).file.broker.port
    output = folder / "out"
    options = (
        f"allow_anonymous false\npassword_file {output}/mosquitto.passwd\n"
        f"acl_file {output}/mosquitto.acl"
    )
    broker = Broker(required_tool("mosquitto"), folder, port, options)
    yield broker
    await broker.stop()


def fleet(folder: Path, *words: str) -> int:
    return main(["--config", str(folder), "fleet", *words])


async def fleet_beside(folder: Path, *words: str) -> int:
    """The same in a thread: it has a loop of its own."""
    return await asyncio.to_thread(fleet, folder, *words)


async def test_from_nothing_to_a_home_whose_slot_is_stored(
    folder: Path, broker: Broker, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(folder / "out")
    assert await fleet_beside(folder, "check") == 1
    said = capsys.readouterr().out
    assert "nothing listens there" in said
    assert "run meter-gateway fleet init" in said

    admin = str(folder / "admin.credentials")
    assert await fleet_beside(folder, "init") == 1
    assert "--admin FILE" in capsys.readouterr().err
    for _ in range(2):
        assert await fleet_beside(folder, "init", "--admin", admin, "--output", output) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert await fleet_beside(folder, "sites", "add", "home-1", "--output", output) == 0
    await broker.start()
    assert await fleet_beside(folder, "check") == 1
    said = capsys.readouterr().out
    assert said.count("ok ") == 3
    assert "no collector runs" in said

    section = parse((folder / "out/home-1/gateway.yaml.fleet").read_bytes(), "").data
    assert section == {
        "destinations": {
            "fleet": {
                "kind": "fleet_mqtt", "host": "127.0.0.1", "port": broker.port, "tls": False,
                "credentials": "fleet.credentials", "topic": TOPIC,
            }
        }
    }  # fmt: skip
    login, problems = read_credentials(folder / "out/home-1", "fleet.credentials")
    assert login is not None, problems
    home = Home("home-1", by="direct")
    home.close(NOW_S)
    task = asyncio.create_task(Collector(load(folder)).run())
    connection = await MqttConnection.connect(
        Address(
            "127.0.0.1", broker.port, client_id="home-1", username=login.username,
            password=login.password,
        ),
        many=True,
    )  # fmt: skip
    try:
        database = load(folder).file.database.name
        for _ in range(100):
            connection.publish(Message("mg/v1/home-1/slots", home.message([1], NOW_S)))
            await connection.turn(0.2)
            if stored(postgres, database):
                break
        assert stored(postgres, database) == home.truth
        assert await fleet_beside(folder, "check") == 0
        assert await fleet_beside(folder, "sites") == 0
        assert re.search(r"home-1 .*0\.1\.0 +0 +0", capsys.readouterr().out)
    finally:
        connection.abort()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_sites_from_a_file_with_their_assets(
    folder: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(folder / "out")
    assert fleet(folder, "init", "--admin", str(folder / "admin.credentials"),
                 "--output", output) == 0  # fmt: skip
    homes = folder / "homes.csv"
    one, two = "26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1", "cf3b262c-1111-4c39-a9ae-0f6b32c9d2a1"
    homes.write_text(f"site,assets\nhome-1,{one} {two}\nhome 2,\nhome-3,{one}x\nhome-1,\n")
    assert fleet(folder, "sites", "add", "--csv", str(homes), "--output", output) == 1
    told = capsys.readouterr().err
    for part in (":3: site", ":4: assets", ":5: site: home-1 is there twice"):
        assert part in told
    assert told.count("homes.csv:") == 3

    homes.write_text(f"site,assets\nhome-1,{one} {two}\nhome-2,\n")
    assert fleet(folder, "sites", "add", "--csv", str(homes), "--output", output) == 0
    passwords = (folder / "out/mosquitto.passwd").read_text()
    assert fleet(folder, "sites", "add", "home-2", "--output", output) == 0
    again = (folder / "out/mosquitto.passwd").read_text()
    names = [line.partition(":")[0] for line in again.splitlines()]
    assert names == ["fleet", "home-1", "home-2"]
    assert passwords.splitlines()[:2] == again.splitlines()[:2]
    assert passwords.splitlines()[2] != again.splitlines()[2], "the login of before is gone"
    for secret in (folder / "out").rglob("*"):
        if secret.is_file() and b"assword" in secret.read_bytes():
            assert secret.stat().st_mode & 0o077 == 0, secret

    homes.write_text(f"site,assets\nhome-4,\nhome-5,{one}\n")
    assert fleet(folder, "sites", "add", "--csv", str(homes), "--output", output) == 1
    assert f"asset {one} belongs to home-1" in capsys.readouterr().err
    assert fleet(folder, "sites", "remove", "home-2", "home-9", "--output", output) == 1
    assert "not in the fleet: home-9" in capsys.readouterr().err
    names = postgres.rows(
        "SELECT name FROM fleet.sites WHERE removed_at IS NULL ORDER BY name",
        dbname=load(folder).file.database.name,
    )
    assert names == [("home-1",)], "of the file with a mistake nobody was added"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sites", "feed"], "list, add, remove or renew"),
        (["users", "feed"], "list, add or remove"),
        (["users", "add", "anna", "bert"], "give one name"),
        (["sites", "add"], "give names, or --csv FILE"),
        (["sites", "remove"], "which?"),
        (["sites", "list", "home-1"], "takes no names"),
        (["run", "fast"], "takes no further words"),
    ],
)
def test_a_wrong_command_line_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        fleet(folder, *words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_without_psycopg_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert fleet(tmp_path, "check") == 1
    assert "pip install 'meter-gateway[fleet]'" in capsys.readouterr().err
