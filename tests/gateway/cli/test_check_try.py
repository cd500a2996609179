"""`meter-gateway check --try`, with real ports, sockets and a strict exchange; and whom it judges
as.
"""

import asyncio
import errno
import os
import pwd
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import pytest

from drivers.profile import load_profile
from drivers.simulated.meters import ModbusTwin, modbus_rtu, modbus_tcp
from drivers.simulated.wire import paced_line
from gateway.cli.as_service import in_walls
from gateway.cli.main import main
from gateway.cli.trial import tried_clock
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.site import service_unit
from gateway.site.service_unit import Account, ServiceUnit
from gateway.timing.clock import Clock, Sources
from tests.gateway.cli.conftest import LOAD

NETWORK = UUID("8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10")
VALUES = {"energy_import_wh": 12_345_678.0, "energy_export_wh": 4_000.0, "power_w": 1_234.0}
SITE = """\
site: home-12
exchange:
  dialect: sdk
  url: {url}
  canary_network: {network}
  credentials: exchange.credentials
assets:
  - {{name: Load, uuid: {load}, kind: load, energy: heat.import}}
buffer: {{path: state/buffer.sqlite}}
clock: {{trust: assured}}
status: {{port: {page}}}
"""


def twin():
    return ModbusTwin(load_profile("eastron/sdm630"), lambda: VALUES, serial_number=20_110_001)


async def gateway(home, *words, **environment):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "--config", str(home.folder), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    lines = out.decode().splitlines()
    tried = [
        line.strip()
        for line in lines[
            next((i for i, line in enumerate(lines) if line.startswith("Tried as")), len(lines)) :
        ]
    ]
    return process.returncode, tried, err.decode()


def site(home, exchange, page, password="let-me-in"):
    (home.folder / "state").mkdir(exist_ok=True)
    for path in (home.folder / "devices").glob("*.yaml"):
        path.unlink()
    home.write(
        "gateway.yaml", SITE.format(url=exchange.url, network=NETWORK, load=LOAD, page=page), 0o644
    )
    home.write("exchange.credentials", f"username: '{exchange.username}'\npassword: '{password}'\n")


async def test_everything_is_tried_once_and_told_in_a_line_each(home, unused_tcp_port):
    async with StandInExchange(NETWORK, {LOAD: "Load"}, slot_s=900) as exchange:
        async with modbus_tcp({3: twin()}) as port:
            site(home, exchange, unused_tcp_port, exchange.password)
            home.write(
                "devices/heat.yaml",
                f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\naddress: 3\n",
            )
            code, tried, err = await gateway(home, "check", "--try")
        assert (code, err) == (0, ""), tried
        assert [line[:2] for line in tried[1:-1]] == ["ok"] * 5
        assert tried[-1] == "All of it works."
        heat = next(line for line in tried if " heat: " in line)
        assert "serial number 20110001, import 12,345.678 kWh, export 4.000 kWh, 1,234 W" in heat
        assert not any(exchange.books.measurements.values()), "nothing has been delivered"
        assert not list((home.folder / "state").iterdir()), "nothing is left behind"


async def test_what_fails_is_told_with_its_remedy_and_nothing_hangs(home, unused_tcp_port):
    silent = socket.create_server(("127.0.0.1", 0))  # the kernel takes connections for it
    hung_port = silent.getsockname()[1]
    async with StandInExchange(NETWORK, {LOAD: "Load"}, slot_s=900) as exchange:
        site(home, exchange, unused_tcp_port, "wrong")
        home.write(
            "devices/heat.yaml", f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{hung_port}\n"
        )
        home.write("devices/pv.yaml", "profile: eastron/sdm630\nline: serial:/dev/ttyNOT\n")
        shutil.rmtree(home.folder / "state")
        (home.folder / "state").write_text("a file is in the way")
        async with asyncio.timeout(30):
            code, tried, _ = await gateway(home, "check", "--try")
    silent.close()
    told = "\n".join(tried)
    assert code == 1
    assert "✗  heat: " in told
    assert "no answer within" in told
    assert "✗  pv: serial:/dev/ttyNOT: there is no such port — is the adapter plugged in?" in told
    assert "✗  the exchange: login answered" in told
    assert "is not a folder" in told
    assert "wrong" not in told
    assert tried[-1] == "4 of these failed"


def test_a_kernel_that_may_not_be_asked_is_no_clock_that_is_wrong():
    def refuse():
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    def may_be_asked(synchronised):
        sources = Sources(time.time, time.monotonic, synchronised, lambda: "b7e1")
        return tried_clock(Clock("kernel", sources))

    refused = may_be_asked(refuse)
    assert refused.mark == "✗"
    assert "Operation not permitted" in refused.said
    assert "allow adjtimex" in refused.said
    assert "timedatectl" not in refused.said
    assert "timedatectl" in may_be_asked(lambda: False).said
    assert may_be_asked(lambda: True).mark == "ok"


async def test_an_exchange_that_says_nothing_is_not_waited_for(home, unused_tcp_port):
    class Silent:
        username, password = "a", "b"

    silent = socket.create_server(("127.0.0.1", 0))
    Silent.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    async with modbus_tcp({1: twin()}) as port, asyncio.timeout(40):
        site(home, Silent, unused_tcp_port)
        home.write("devices/heat.yaml", f"profile: eastron/sdm630\nline: tcp:127.0.0.1:{port}\n")
        code, tried, _ = await gateway(home, "check", "--try")
    silent.close()
    assert code == 1
    assert any(
        line.startswith("✗  the exchange: ") and "did not answer within" in line for line in tried
    )


async def test_a_line_that_the_daemon_holds_is_said_to_be_so(home, unused_tcp_port):
    async with (
        StandInExchange(NETWORK, {LOAD: "Load"}, slot_s=900) as exchange,
        paced_line(0) as wire,
        modbus_rtu({1: twin()}, wire.meter_end),
    ):
        site(home, exchange, unused_tcp_port, exchange.password)
        home.write(
            "devices/heat.yaml", f"profile: eastron/sdm630\nline: serial:{wire.gateway_end}\n"
        )
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "--config", str(home.folder), "run",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(40):
                while b"status page" not in await daemon.stdout.readline():
                    pass
                while True:
                    code, tried, _ = await gateway(home, "check", "--try")
                    told = "\n".join(tried)
                    if "; it heard it" in told:
                        break
                    await asyncio.sleep(0.5)
        finally:
            daemon.terminate()
            await daemon.communicate()
    assert code == 0
    assert "–  heat: " in told
    assert "is held by the running daemon; it heard it" in told
    assert f"–  status page 127.0.0.1:{unused_tcp_port}: is held by the running daemon" in told


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can judge for others")


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """The service runs as nobody."""
    unit = tmp_path / "units" / "meter-gateway.service"
    unit.parent.mkdir()
    unit.write_text("[Service]\nUser=nobody\n")
    monkeypatch.delenv("METER_GATEWAY_UNIT")
    monkeypatch.setattr(service_unit, "FOLDERS", (unit.parent,))
    return unit


@needs_root
def test_check_as_root_judges_as_the_user_of_the_service(run, home, nobody):
    code, out, _ = run("check")
    assert code == 1
    assert "the service runs as nobody, who cannot" in out
    assert f"Judged as nobody, as the service runs ({nobody})." in out


@needs_root
def test_check_says_that_there_is_no_such_user_yet(run, home, nobody):
    nobody.write_text("[Service]\nUser=not-there-yet\n")
    code, out, _ = run("check")
    assert code == 0
    assert "There is no user not-there-yet on this machine yet" in out
    assert "judged as root, who runs this" in out


@needs_root
def test_root_tries_as_the_user_of_the_service(home, nobody, capfd):
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        folder = Path(made) / "etc"
        shutil.copytree(home.folder, folder)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
        # The interpreter of the tests may be where nobody else can read it: that is told, too.
        code = main(["check", "--try", "--config", str(folder)])
    told = "".join(capfd.readouterr())
    assert code == 1
    assert "Tried as nobody:" in told or "the program cannot be run as nobody" in told


def test_inside_systemd_it_gets_what_the_unit_gives_the_daemon():
    unit = ServiceUnit(Path("/etc/systemd/system/meter-gateway.service"), True, (
        ("Type", "notify"), ("User", "mg"), ("SupplementaryGroups", "dialout"),
        ("LoadCredential", "exchange.credentials:/etc/x"), ("ProtectSystem", "strict"),
        ("ExecStart", "/opt/x run"), ("DeviceAllow", "char-ttyUSB rw"), ("WatchdogSec", "60"),
    ))  # fmt: skip
    words = in_walls(["python", "-m", "gateway"], unit, Account("mg", 7, 8, frozenset({8})))
    assert words[0] == "systemd-run"
    assert {"--wait", "--pipe", "--uid=mg", "--gid=8"} <= set(words)
    assert "--property=LoadCredential=exchange.credentials:/etc/x" in words
    assert "--property=DeviceAllow=char-ttyUSB rw" in words
    assert not any("Type" in w or "ExecStart" in w or "Watchdog" in w for w in words)
    assert words[-4:] == ["--", "python", "-m", "gateway"]
