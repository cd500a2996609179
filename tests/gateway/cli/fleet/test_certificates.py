"""Homes that the broker knows by certificates: from the fleet's authority to a slot that is stored,
with a real mosquitto and a real PostgreSQL.
"""

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from drivers.net.issuing import server_certificate, write_whole
from drivers.net.mqtt import Broker as Address
from drivers.net.mqtt import MqttConnection
from gateway.cli.demo_home import free_port
from gateway.cli.main import main
from gateway.fleet import certificates, leaving
from gateway.fleet.settings import load
from gateway.outbox.fleet.messages import decode_ack, topic_of
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.homes import TOPIC, Home, collecting, stored
from tests.gateway.fleet.postgres import Postgres, running
from tests.gateway.fleet.test_collector import NOW_S

pytestmark = pytest.mark.xdist_group("postgres")

Told = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture
def folder(postgres: Postgres, tmp_path: Path) -> Path:
    """With a fleet.yaml whose collectors show a certificate."""
    with postgres.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS certified")
    postgres.new_database("certified")
    (tmp_path / "db.credentials").write_text("username: 'admin'\npassword: 'open sesame'\n")
    (tmp_path / "db.credentials").chmod(0o600)
    write(tmp_path, postgres, free_port(), "")
    return tmp_path


def write(folder: Path, postgres: Postgres, port: int, more: str) -> None:
    (folder / "fleet.yaml").write_text(
        f"broker: {{host: 127.0.0.1, port: {port}, tls: true{more}}}\n"
        f"database: {{host: {postgres.folder}, name: certified, credentials: db.credentials}}\n"
    )


def fleet(folder: Path, *words: str) -> int:
    return main(["--config", str(folder), "fleet", *words, "--output", str(folder / "out")])


async def beside(folder: Path, *words: str) -> int:
    """The same in a thread: it has a loop of its own."""
    return await asyncio.to_thread(fleet, folder, *words)


@pytest.fixture
async def broker(
    required_tool: Callable[[str], str], folder: Path, postgres: Postgres
) -> AsyncIterator[Broker]:
    """A mosquitto that lets in whoever shows a certificate of the fleet's authority."""
    assert await beside(folder, "init", "--ca") == 0
    port = load(folder).file.broker.port
    write(folder, postgres, port, ", ca_file: fleet-ca.pem, certificate: fleet-collector.pem")
    server = server_certificate(certificates.authority(folder), ["127.0.0.1"], 30)
    write_whole(folder / "server.crt", server.certificate_pem, secret=False)
    write_whole(folder / "server.key", server.key_pem, secret=True)
    options = (
        f"certfile {folder}/server.crt\nkeyfile {folder}/server.key\n"
        f"cafile {folder}/out/fleet-ca.pem\ncrlfile {folder}/out/fleet.crl\n"
        "require_certificate true\nuse_identity_as_username true\n"
        f"allow_anonymous false\nacl_file {folder}/out/mosquitto.acl"
    )
    broker = Broker(required_tool("mosquitto"), folder, port, options)
    await broker.start()
    yield broker
    await broker.stop()


def shows(folder: Path, file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "fleet-ca.pem"))
    if file is not None:
        context.load_cert_chain(file)
    return context


async def visit(
    broker: Broker, context: ssl.SSLContext, home: Home, site: str, patience: int = 600
) -> None:
    """Publish what the home owes on that site's topic, and wait a while for its word. Raises
    OSError.
    """
    connection = await MqttConnection.connect(
        Address("127.0.0.1", broker.port, tls=context, client_id=f"home-{home.site}"),
        received=lambda message: home.take(decode_ack(message.payload)),
        many=True,
    )
    try:
        connection.subscribe(topic_of(TOPIC, home.site, "ack"), 1)
        await home.tell(connection, NOW_S, patience, site)
    finally:
        connection.abort()


async def test_from_an_authority_to_a_home_whose_slot_is_stored(
    folder: Path, broker: Broker, postgres: Postgres, capsys: Told
) -> None:
    assert await beside(folder, "sites", "add", "home-12", "home-13", "--certificates") == 0
    own = folder / "out" / "home-12" / "fleet.pem"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "fleet-ca.key").stat().st_mode) == 0o600
    assert not (own.parent / "fleet.credentials").exists()
    assert "certificate: fleet.pem" in (own.parent / "gateway.yaml.fleet").read_text()
    found = x509.load_pem_x509_certificate(own.read_bytes())
    assert found.subject.rfc4514_string() == "CN=home-12"

    async with collecting(load(folder)):
        home = Home("home-12")
        home.close(NOW_S // 900 * 900 - 900)
        await visit(broker, shows(folder, own), home, "home-12")
        assert home.changes == {}
        assert stored(postgres, "certified") == home.truth

        # Nobody speaks on another's topic, and nobody without a certificate.
        thief = Home("home-12", seq=50)
        thief.close(NOW_S // 900 * 900 - 1800)
        await visit(broker, shows(folder, own), thief, "home-13", patience=20)
        assert stored(postgres, "certified") == home.truth
        with pytest.raises(OSError):
            await visit(broker, shows(folder, None), thief, "home-12")

        # A home that is removed is out, once the broker has the list.
        assert await beside(folder, "sites", "remove", "home-12") == 0
        assert "fleet.crl" in capsys.readouterr().out
        await broker.stop()
        await broker.start()
        with pytest.raises(OSError):
            await visit(broker, shows(folder, own), thief, "home-12")
        other = folder / "out" / "home-13" / "fleet.pem"
        second = Home("home-13")
        second.close(NOW_S // 900 * 900 - 900)
        for _ in range(30):  # what comes before the collector is back is gone: it goes again
            if second.changes:
                await visit(broker, shows(folder, other), second, "home-13", patience=40)
        assert second.changes == {}


async def test_certificates_are_renewed_before_they_end(
    folder: Path, postgres: Postgres, capsys: Told
) -> None:
    assert await beside(folder, "init") == 0
    assert await beside(folder, "sites", "add", "home-1", "--certificates") == 1, "no authority yet"
    assert "fleet init --ca" in capsys.readouterr().err
    assert await beside(folder, "init", "--ca") == 0
    assert await beside(folder, "init", "--ca") == 0, "the authority stays"
    assert await beside(folder, "sites", "add", "home-1", "home-2", "--certificates") == 0
    before = (folder / "out" / "home-1" / "fleet.pem").read_bytes()
    capsys.readouterr()
    assert await beside(folder, "sites", "renew") == 0
    assert "No certificate ends" in capsys.readouterr().out

    soon = datetime.now(UTC) + timedelta(days=20)
    with postgres.connect("certified") as connection:
        connection.execute(
            "UPDATE fleet.certificates SET ends_at = %s WHERE site = "
            "(SELECT id FROM fleet.sites WHERE name = 'home-1')",
            (soon,),
        )
    await beside(folder, "check")
    assert "ends within 30 days: home-1;" in capsys.readouterr().out
    assert await beside(folder, "sites", "renew") == 0
    said = capsys.readouterr().out
    assert "1 new" in said and "home-1" in said and "home-2" not in said
    after = (folder / "out" / "home-1" / "fleet.pem").read_bytes()
    assert after != before
    await beside(folder, "check")
    assert "ends within" not in capsys.readouterr().out
    assert await beside(folder, "sites", "renew", "home-3") == 1


async def kept_out(broker: Broker, context: ssl.SSLContext, home: Home) -> None:
    with pytest.raises(OSError):
        await visit(broker, context, home, home.site)


def serial_of(folder: Path, site: str) -> int:
    pem = (folder / "out" / site / "fleet.pem").read_bytes()
    return x509.load_pem_x509_certificate(pem).serial_number


def listed(folder: Path) -> set[int]:
    """What the broker's list names."""
    found = x509.load_pem_x509_crl((folder / "out" / "fleet.crl").read_bytes())
    key = certificates.authority(folder).certificate.public_key()
    assert found.is_signature_valid(key)  # type: ignore[arg-type]
    return {each.serial_number for each in found}


@pytest.fixture
async def left(
    folder: Path, broker: Broker, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> str:
    """Two homes are forgotten: `gone` was removed first, `left` was not. `stays` stays. Gives what
    was said of `left`.
    """
    monkeypatch.setattr(leaving, "SETTLE_S", 0.0)
    assert await beside(folder, "sites", "add", "gone", "left", "stays", "--certificates") == 0
    with postgres.connect("certified") as connection:
        # One of before, which has ended: nobody has to know of it.
        connection.execute(
            "INSERT INTO fleet.certificates (serial, site, ends_at) "
            "SELECT 'abc', id, now() - interval '1 day' FROM fleet.sites WHERE name = 'left'"
        )
    assert await beside(folder, "sites", "remove", "gone") == 0
    assert await beside(folder, "forget", "gone", "--yes") == 0
    (folder / "out" / "fleet.crl").unlink()
    capsys.readouterr()
    assert await beside(folder, "forget", "left", "--yes") == 0
    return capsys.readouterr().out


async def test_a_home_that_was_forgotten_cannot_come_back_with_its_old_certificate(
    folder: Path, broker: Broker, left: str
) -> None:
    shown = {
        site: shows(folder, folder / "out" / site / "fleet.pem")
        for site in ("gone", "left", "stays")
    }
    homes = {site: Home(site) for site in shown}
    for home in homes.values():
        home.close(NOW_S // 900 * 900 - 900)
        await visit(broker, shown[home.site], home, home.site, patience=1)

    await broker.stop()
    await broker.start()
    await kept_out(broker, shown["gone"], homes["gone"])
    await kept_out(broker, shown["left"], homes["left"])
    await visit(broker, shown["stays"], homes["stays"], "stays", patience=1)

    # The home is added once more: its new certificate is let in, the old one is not.
    assert await beside(folder, "sites", "add", "left", "--certificates") == 0
    new = shows(folder, folder / "out" / "left" / "fleet.pem")
    await visit(broker, new, homes["left"], "left", patience=1)
    await kept_out(broker, shown["left"], homes["left"])


async def test_what_is_kept_of_a_forgotten_home_is_the_number_of_its_certificate(
    folder: Path, left: str, postgres: Postgres
) -> None:
    assert "none is left" in left
    assert left.index("systemctl restart mosquitto") < left.index("Deleted, in one transaction")
    assert left.rstrip().endswith("until then its gateway can still connect.")
    assert listed(folder) == {serial_of(folder, "gone"), serial_of(folder, "left")}
    rows = postgres.rows(
        "SELECT s.name, revoked_at IS NULL FROM fleet.certificates "
        "LEFT JOIN fleet.sites s ON s.id = site ORDER BY s.name NULLS FIRST",
        dbname="certified",
    )
    assert rows == [(None, False), (None, False), ("stays", True)]

    # What has ended is on no list, and its row goes.
    with postgres.connect("certified") as connection:
        connection.execute(
            "UPDATE fleet.certificates SET ends_at = now() - interval '1 s' WHERE site IS NULL"
        )
    assert await beside(folder, "init", "--ca") == 0
    assert listed(folder) == set()
    assert postgres.rows("SELECT count(*) FROM fleet.certificates", dbname="certified") == [(1,)]


async def test_without_the_authority_no_home_is_forgotten_that_could_come_back(
    folder: Path, postgres: Postgres, capsys: Told
) -> None:
    assert await beside(folder, "init", "--ca") == 0
    assert await beside(folder, "sites", "add", "home-1", "--certificates") == 0
    (folder / "fleet-ca.key").rename(folder / "elsewhere")
    assert await beside(folder, "forget", "home-1", "--yes") == 1
    assert "put both files back" in capsys.readouterr().err
    assert postgres.rows("SELECT name FROM fleet.sites", dbname="certified") == [("home-1",)]
