"""`meter-gateway sim-exchange`: an exchange to rehearse with, made for a configuration folder or
for assets that are named.
"""

import asyncio
import re
import signal
import ssl
import sys
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from drivers.net.tls import client_context
from gateway.cli.desk_certificates import server_context
from gateway.cli.desk_exchange import desk_of_assets, desk_of_sites
from gateway.cli.terminal import Refused
from gateway.delivery.simulated.http_server import StandInExchange


async def started(home, *words):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "--config", str(home.folder), "sim-exchange", "--port", "0", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_site_is_rehearsed_with_and_what_arrived_is_shown(home):
    exchange = await started(home, "--fault", "status 503 after 1h")
    try:
        printed = ""
        while "plays the assets of" not in printed:
            printed += (await asyncio.wait_for(exchange.stdout.readline(), 30)).decode()
        url = re.search(r"http://127\.0\.0\.1:\d+", printed)[0]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            login = {"username": "somebody", "password": "secret"}
            token = (await client.post("/api-token-auth/", json=login)).json()["access"]
            client.headers["Authorization"] = f"JWT {token}"
            held = (await client.get("/held.json")).json()
            asset = next(iter(held["assets"]))
            body = {"energy_Wh": 125.5}
            path = f"/external-connection/api/{held['network']}/{asset}/set_energy_forecast/"
            assert (await client.post(path, json=body)).status_code == 200
            page = (await client.get("/")).text
        assert "125.500000" in page
        while "125.500000 Wh" not in printed:
            printed += (await asyncio.wait_for(exchange.stdout.readline(), 30)).decode()
    finally:
        exchange.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(exchange.communicate(), 30)
    assert (exchange.returncode, err) == (130, b"")


async def test_its_authority_is_kept_and_trusted_by_the_gateway(tmp_path: Path):
    first, ca_file = server_context(tmp_path / "desk", ["127.0.0.1"])
    before = ca_file.read_bytes()
    second, _ = server_context(tmp_path / "desk", ["127.0.0.1"])
    assert ca_file.read_bytes() == before
    assert {path.name for path in (tmp_path / "desk").iterdir() if path.stat().st_mode & 0o077} == {
        "ca.pem"
    }
    ours = client_context(str(ca_file))
    for tls in (first, second):
        desk = desk_of_assets([("House load", "load", None)], 900)
        async with StandInExchange(desk.network, desk.community, tls=tls) as exchange:
            async with httpx.AsyncClient(verify=ours, trust_env=False) as client:
                answer = await client.get(f"{exchange.url}/")
            assert answer.status_code == 401
            async with httpx.AsyncClient(verify=ssl.create_default_context()) as stranger:
                with pytest.raises(httpx.ConnectError):
                    await stranger.get(f"{exchange.url}/")


def test_another_authority_in_the_folder_is_left_alone(run, tmp_path: Path):
    for name in ("ca.pem", "ca.key"):
        (tmp_path / name).write_text("not ours")
    code, _, err = run("sim-exchange", "--asset", "PV:pv", "--tls", tmp_path)
    assert code == 1
    assert "give another folder" in err
    assert (tmp_path / "ca.key").read_text() == "not ours"


def test_assets_that_are_named_have_the_same_uuids_with_each_start():
    uuid = UUID("26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1")
    named = [("House load", "load", None), ("Heat pump", "heat_pump", uuid)]
    first, second = desk_of_assets(named, 900), desk_of_assets(named, 900)
    assert first.network == second.network
    told = [(node.uuid, node.name, node.kind) for node in first.community.assets()]
    assert told == [(node.uuid, node.name, node.kind) for node in second.community.assets()]
    assert told[1] == (uuid, "Heat pump", "Heat Pump")


def test_a_neighbours_asset_may_be_seen_and_not_sent_to():
    desk = desk_of_assets([("House load", "load", None)], 900)
    desk.add_neighbours([("House load", "load", None), ("PV", "pv", None)])
    found = [(node.name, node.is_ours) for node in desk.community.assets()]
    assert found == [("House load", True), ("House load", False), ("PV", False)]
    assert len({node.uuid for node in desk.community.nodes()}) == 6


def test_sites_of_one_network_are_houses_of_one_community(home, tmp_path: Path):
    other = tmp_path / "other"
    for file in ("gateway.yaml", "devices/grid.yaml", "devices/pv.yaml", "exchange.credentials"):
        (other / file).parent.mkdir(parents=True, exist_ok=True)
        text = (home.folder / file).read_text()
        text = text.replace("somebody", "neighbour").replace("secret", "another")
        (other / file).write_text(text)
    (other / "exchange.credentials").chmod(0o600)

    desk = desk_of_sites([home.folder, other])
    assert len(desk.community.root.children) == 2
    assert desk.accounts == {"somebody": "secret", "neighbour": "another"}

    yaml = (other / "gateway.yaml").read_text()
    network = str(desk.network)
    (other / "gateway.yaml").write_text(yaml.replace(network, network[:-1] + "f"))
    with pytest.raises(Refused, match="different networks"):
        desk_of_sites([home.folder, other])


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("--asset", "PV:pw"), 2, "there is no kind 'pw' — known: heat_pump, load, pv"),
        (("--asset", ":pv"), 2, "has no name"),
        (("--asset", "PV@123"), 2, "'123' is not a UUID"),
        (("--asset", "A", "--asset", "A:pv"), 2, "two assets have one name"),
        (("--asset", "A", "--site", "/etc"), 2, "do not go together"),
        (("--slot", "15min"), 2, "--slot goes with --asset"),
        (("--asset", "A", "--slot", "7min"), 2, "--slot"),
        (("--port", "70000"), 2, "is not a port"),
        (("--host", "192.0.2.1"), 2, "logins would go in clear — add --tls DIR"),
        (("--host", "0.0.0.0", "--tls", "/nowhere"), 2, "that the gateway will dial"),
        (("--fault", "dwon"), 2, "did you mean 'down'?"),
        (("--fault", "status 200"), 2, "from 400 to 599"),
        (("--asset", "PV", "--fault", "live off VP"), 1, "there is no asset 'VP'"),
        (("--site", "/nowhere"), 1, "/nowhere"),
    ],
)
def test_what_cannot_be_done_is_said(run, words, code, complaint):
    found = run("sim-exchange", "--port", "0", *words)
    assert found[0] == code
    assert complaint in " ".join(found[2].split())
    assert "Traceback" not in found[2]


async def test_a_port_that_is_taken_is_said(home):
    async with StandInExchange(UUID(int=1), {}) as first:
        second = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", "sim-exchange", "--asset", "PV", "--port", str(first.port)),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        _, err = await asyncio.wait_for(second.communicate(), 30)
    assert second.returncode == 1
    assert b"is the port free" in err
    assert b"Traceback" not in err
