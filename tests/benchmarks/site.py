"""A configuration folder for the simulated home, and the daemon on it as a process of its own."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

from drivers.simulated.meters import Home
from gateway.delivery.simulated.http_server import StandInExchange

CHECKOUT = Path(__file__).resolve().parents[2]

_UNITS_ENVIRONMENT = dict(
    re.findall(
        r"^Environment=(\w+)=([^%\n]+)$",
        (CHECKOUT / "systemd/meter-gateway.service").read_text(),
        re.M,
    )
)
"""What the unit says whatever machine it is on."""

TWO_ASSETS = """\
site: bench
exchange: {dialect: sdk, url: 'http://127.0.0.1:9',
    canary_network: 8a2c8a2c-1111-4c39-a9ae-0f6b32c9d2a1, credentials: none}
assets:
  - {name: House load, uuid: 26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1, kind: load,
      energy: grid.import - grid.export + pv.export}
  - {name: PV, uuid: cf3b262c-1111-4c39-a9ae-0f6b32c9d2a1, kind: pv, energy: pv.export}
buffer: {path: buffer.sqlite}
clock: {trust: assured}
"""
"""A site of the meters `grid` and `pv`, whose exchange nobody calls."""


def write_site(
    folder: Path,
    home: Home,
    exchange: StandInExchange,
    assets: Mapping[UUID, str],
    *,
    slot: str,
    interval: str,
    port: int,
    more: str = "",
) -> None:
    """`assets`: formula by UUID. Everything else is as it is when the installer says nothing; extra
    meters are `m1`, `m2` …; `more` is added to what is said of the exchange.
    """
    (folder / "devices").mkdir(parents=True)
    _write_login(folder, exchange)
    lines = [
        "site: bench",
        f"market: {{slot: {slot}, max_gap: 10min}}",
        f"exchange: {{dialect: sdk, url: '{exchange.url}', canary_network: {exchange.network}, "
        f"credentials: exchange.credentials{more}}}",
        "assets:",
        *(
            f"  - {{name: asset {n}, uuid: {uuid}, kind: load, energy: {energy}}}"
            for n, (uuid, energy) in enumerate(assets.items())
        ),
        "buffer: {path: buffer.sqlite}",
        f"status: {{port: {port}}}",
        "clock: {trust: assured}",
    ]
    (folder / "gateway.yaml").write_text("\n".join(lines) + "\n")
    for name, text in home.device_files(interval).items():
        (folder / "devices" / f"{name}.yaml").write_text(text)


def write_bare_site(folder: Path, exchange: StandInExchange, *, more: str = "") -> None:
    """A site with all the assets of the exchange, and one meter that nobody reads. `more` is added
    to what is said of the exchange.
    """
    (folder / "devices").mkdir(parents=True)
    (folder / "devices/grid.yaml").write_text(
        "profile: eastron/sdm630\nline: tcp:127.0.0.1:1\naddress: 1\n"
    )
    _write_login(folder, exchange)
    assets = "".join(
        f"  - {{name: {name}, kind: load, energy: grid.import, uuid: {uuid}}}\n"
        for uuid, name in exchange.assets.items()
    )
    (folder / "gateway.yaml").write_text(
        "site: bench\nbuffer: {path: buffer.sqlite}\n"
        f"exchange: {{dialect: sdk, url: '{exchange.url}', canary_network: {exchange.network},\n"
        f"  credentials: exchange.credentials{more}}}\nassets:\n{assets}"
    )


def _write_login(folder: Path, exchange: StandInExchange) -> None:
    login = folder / "exchange.credentials"
    login.touch(mode=0o600)
    login.write_text(f"username: {exchange.username}\npassword: {exchange.password}\n")


@contextlib.contextmanager
def daemon(folder: Path, **environment: str) -> Iterator[int]:
    """The gateway as the unit starts it, with this added to its environment; gives its process id.
    Raises RuntimeError where it ends by itself.
    """
    log_path = folder / "gateway.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", "--config", folder],
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
            env={**os.environ, **_UNITS_ENVIRONMENT, **environment},
        )
        try:
            yield process.pid
            if process.poll() is not None:
                raise RuntimeError(f"the daemon ended by itself:\n{log_path.read_text()[-2000:]}")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
