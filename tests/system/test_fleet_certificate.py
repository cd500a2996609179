"""A home whose certificate ends soon: it says so, and takes the new one without a restart."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers.net.issuing import client_certificate, server_certificate, write_whole
from gateway.cli.demo_home import free_port
from gateway.cli.main import main
from gateway.fleet import certificates
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.postgres import Postgres, running

if TYPE_CHECKING:
    from gateway.cli.demo_home import Site
    from gateway.monitoring.report import Report
    from tests.system.conftest import StartSite

SITE = "demo-home"


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running() as server:
        server.new_database("community")
        yield server


def fleet(server: Path, *words: str) -> int:
    return main(["--config", str(server), "fleet", *words, "--output", str(server / "out")])


@pytest.fixture
def server(tmp_path: Path, postgres: Postgres) -> Path:
    """The folder of a fleet whose broker knows homes by certificates; its own ends in 20 days."""
    server = tmp_path / "server"
    server.mkdir()
    (server / "db.credentials").write_text("username: 'admin'\npassword: 'open sesame'\n")
    (server / "db.credentials").chmod(0o600)
    database = f"{{host: {postgres.folder}, name: community, credentials: db.credentials}}"
    port = free_port()
    text = f"broker: {{host: 127.0.0.1, port: {port}}}\ndatabase: {database}\n"
    (server / "fleet.yaml").write_text(text)
    assert fleet(server, "init", "--ca") == 0
    own = ", ca_file: fleet-ca.pem, certificate: fleet-collector.pem}"
    (server / "fleet.yaml").write_text(text.replace(f"{port}}}", f"{port}{own}"))
    assert fleet(server, "sites", "add", SITE, "--certificates") == 0

    of = certificates.authority(server)
    broker = server_certificate(of, ["127.0.0.1"], 30)
    write_whole(server / "server.crt", broker.certificate_pem, secret=False)
    write_whole(server / "server.key", broker.key_pem, secret=True)
    soon = client_certificate(of, SITE, 20)
    pem = soon.certificate_pem + soon.key_pem
    write_whole(server / "out" / SITE / "fleet.pem", pem, secret=True)
    with postgres.connect("community") as connection:
        connection.execute(
            "UPDATE fleet.certificates SET serial = %s, ends_at = %s",
            (f"{soon.certificate.serial_number:x}", soon.certificate.not_valid_after_utc),
        )
    return server


@pytest.fixture
async def broker(
    required_tool: Callable[[str], str], server: Path, tmp_path: Path
) -> AsyncIterator[Broker]:
    output = server / "out"
    port = int((server / "fleet.yaml").read_text().split("port: ")[1].split(",")[0])
    options = (
        f"certfile {server}/server.crt\nkeyfile {server}/server.key\n"
        f"cafile {output}/fleet-ca.pem\ncrlfile {output}/fleet.crl\n"
        "require_certificate true\nuse_identity_as_username true\n"
        f"allow_anonymous false\nacl_file {output}/mosquitto.acl"
    )
    broker = Broker(required_tool("mosquitto"), tmp_path, port, options)
    await broker.start()
    yield broker
    await broker.stop()


@contextlib.asynccontextmanager
async def a_collector(server: Path) -> AsyncIterator[None]:
    with (server / "collector.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "--config", str(server), "fleet", "run",
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_a_new_certificate_is_taken_without_a_restart(
    start_site: "StartSite",
    server: Path,
    broker: Broker,
    postgres: Postgres,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = server / "out" / SITE

    def join(site: "Site") -> None:
        gateway = site.folder / "gateway.yaml"
        text = (given / "gateway.yaml.fleet").read_text()
        gateway.write_text(f"{gateway.read_text()}\n{text}    spread: 1s\n")
        for file in (given / "fleet.pem", server / "fleet-ca.pem"):
            shutil.copy2(file, site.folder)

    def slots() -> int:
        query = "SELECT count(DISTINCT slot) FROM fleet.asset_slots WHERE kind = 'm'"
        return int(postgres.rows(query, dbname="community")[0][0])

    def is_warned(report: "Report") -> bool:
        return any("fleet.pem ends" in reason for reason in report.reasons())

    async with start_site(server.parent / "site", prepare=join) as site, a_collector(server):
        await site.until(lambda report: slots() >= 2 and is_warned(report), "it is warned")
        config = ["--config", str(site.site.folder)]
        for words in (["check"], ["doctor"]):
            capsys.readouterr()
            await asyncio.to_thread(main, [*words, *config])
            assert f"{site.site.folder}/fleet.pem ends" in capsys.readouterr().out, words
        # Its manager hears of it, too.
        [(told,)] = postgres.rows("SELECT told->'problems' FROM fleet.status", dbname="community")
        assert "certificate_ends" in told

        old = (site.site.folder / "fleet.pem").read_bytes()
        [(serial,)] = postgres.rows("SELECT serial FROM fleet.certificates", dbname="community")
        capsys.readouterr()
        assert await asyncio.to_thread(fleet, server, "sites", "renew") == 0
        assert SITE in capsys.readouterr().out
        assert (given / "fleet.pem").read_bytes() != old
        shutil.copy2(given / "fleet.pem", site.site.folder)
        await site.until(lambda report: not is_warned(report), "it is warned no more")

        # From now on nobody gets in with the one before.
        with postgres.connect("community") as connection:
            connection.execute(
                "UPDATE fleet.certificates SET revoked_at = now() WHERE serial = %s", (serial,)
            )
        assert await asyncio.to_thread(fleet, server, "init", "--ca") == 0
        await broker.stop()
        await broker.start()
        before = slots()
        await site.until(lambda _: slots() >= before + 3, "it is let in with the new one")
        assert site.daemon.starts == 1
