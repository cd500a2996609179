"""A home's configuration folder, a buffer filled by the real ledger, and the command line."""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drivers.sample import Sample
from gateway.cli.main import main
from gateway.delivery import kinds
from gateway.delivery.kinds.exchange import settings_of
from gateway.ledger.ledger import Ledger
from gateway.store.opening import open_buffer
from gateway.timing.clock import Clock, Sources
from tests.gateway.ledger.home import take, terms_of

START_S = int(
    datetime(2026, 3, 29, 0, 0, tzinfo=UTC).timestamp()
)  # the night in which summer time begins in Europe
SLOT_S = 900
LOAD, PV = "26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1", "cf3b262c-1c0e-4d0b-8f0e-6f3f0e4b7a52"

GATEWAY = f"""
site: home-12
market: {{slot: 15min, look_back: 0s}}
exchange:
  dialect: sdk
  canary_network: 8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10
  credentials: exchange.credentials
  forecast: none
assets:
  - {{name: House load, uuid: {LOAD}, kind: load, energy: grid.import - grid.export + pv.export}}
  - {{name: PV, uuid: {PV}, kind: pv, energy: pv.export}}
buffer: {{path: buffer.sqlite}}
"""
GRID = "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\ninterval: 60s\n"
PV_METER = (
    "profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=9600\naddress: 2\ninterval: 60s\n"
)


@dataclass
class Home:
    """A configuration folder and what is in its buffer."""

    folder: Path

    def write(self, name, text, mode=0o600):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def fill(self, grid_w, pv_w, *, silent=()):
        """One value of power (W) per slot; samples each minute, none at the minutes in `silent`.
        The slots' boundaries are hit.
        """
        settings = kinds.load(self.folder)
        now_s = [float(START_S)]
        clock = Clock(
            "assured",
            Sources(
                utc_s=lambda: now_s[0],
                boottime_s=lambda: now_s[0] - START_S + 50,
                boot_id=lambda: "boot-1",
            ),
        )
        with self.buffer() as buffer:
            exchange = settings_of(settings)
            terms = terms_of(settings, buffer, exchange.dialect) if exchange else []
            ledger = Ledger(settings, buffer, clock, terms)
            grid_in, grid_out, pv_out = 4_000_000.0, 1_000_000.0, 2_000_000.0
            for minute in range(15 * len(grid_w) + 1):
                now_s[0] = START_S + 60.0 * minute
                i = min(minute // 15, len(grid_w) - 1)
                if minute not in silent:
                    grid = {
                        "energy_import_wh": grid_in,
                        "energy_export_wh": grid_out,
                        "power_w": float(grid_w[i]),
                    }
                    pv = {
                        "energy_import_wh": 0.0,
                        "energy_export_wh": pv_out,
                        "power_w": -float(pv_w[i]),
                    }
                    for name, number, values in (("grid", "E0031", grid), ("pv", "17", pv)):
                        take(
                            ledger,
                            Sample(
                                name,
                                number,
                                "boot-1",
                                50_000 + 60_000 * minute,
                                round(now_s[0] * 1000),
                                values,
                            ),
                        )
                grid_in += max(grid_w[i], 0) / 60
                grid_out += max(-grid_w[i], 0) / 60
                pv_out += pv_w[i] / 60
            buffer.flush()

    def decide(self, state, reason, slots=None, asset=None):
        """What the exchange said of slots, counted from the first."""
        with self.buffer() as buffer:
            items = [
                o.item
                for o in buffer.owed()
                if slots is None or (o.item.slot_s - START_S) // SLOT_S in slots
            ]
            buffer.outbox("exchange").record(
                [i for i in items if asset in (None, str(i.subject))], state, reason, START_S + 7200
            )

    @contextlib.contextmanager
    def buffer(self):
        buffer = open_buffer(self.folder / "buffer.sqlite", now_s=START_S)
        try:
            yield buffer
        finally:
            buffer.close_file()


@pytest.fixture
def home(tmp_path):
    """A configuration without mistakes, and no buffer yet."""
    found = Home(tmp_path / "etc")
    found.write("gateway.yaml", GATEWAY)
    found.write("devices/grid.yaml", GRID)
    found.write("devices/pv.yaml", PV_METER)
    found.write("exchange.credentials", "username: somebody\npassword: secret\n")
    return found


@pytest.fixture
def run(home, capsys):
    """Run a command in this process: its exit code, standard output and standard error."""

    def command(*words):
        try:
            code = main(["--config", str(home.folder), *map(str, words)])
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def shell():
    """Run the program as a person does, in a process of its own."""

    def command(*words, **environment):
        env = {
            k: v
            for k, v in os.environ.items()
            if k not in ("METER_GATEWAY_CONFIG", "CREDENTIALS_DIRECTORY")
        } | environment
        return subprocess.run(
            [sys.executable, "-m", "gateway", *map(str, words)],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return command
