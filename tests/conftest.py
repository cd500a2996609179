"""What several rooms of the tests need."""

import atexit
import contextlib
import ctypes
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from msgspec.structs import replace

from gateway.monitoring.report import (
    AssetReport,
    BufferReport,
    ClockReport,
    DestinationReport,
    GridOperatorReport,
    LineReport,
    MarketReport,
    MeterReport,
    Part,
    Report,
)
from tests.tools import find_tool

# readline, which pytest loads, tells whatever is started later how wide this terminal is. Tables go
# by that.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)
    os.unsetenv(_name)

# A machine may forbid bytecode. The daemons and commands that tests start by the hundreds would
# each compile the package anew, which takes a second and more.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long one example takes says more about the machine than about the code. What `make test`
# draws is the same each time, so that a change is judged by nothing but itself; `make test-long`
# looks for more.
settings.register_profile("same", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("anew", deadline=None, max_examples=1000)
settings.load_profile("same")

_PR_SET_CHILD_SUBREAPER = 36
_HELD_BY_PYTHON = ("resource_tracker", "forkserver")
"""Processes of Python's own, which end with the one they belong to."""

_TESTS_BETWEEN = 100
_finished = count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Whoever started the suite may ignore SIGINT (nohup, a shell's `&`), and programs that tests
    start inherit that: here it means again what it means in a terminal.

    What a program leaves behind when it is killed becomes a child of this process, so that it is
    found and ended at last.
    """
    # The folders of tests are closed to all but their owner: whoever has the service's user on this
    # machine would be told so by every `check`.
    unit = Path(tempfile.gettempdir()) / f"no-unit-{os.getpid()}.service"
    unit.write_text("[Service]\nUser=no-such-user-here\n")
    atexit.register(unit.unlink, missing_ok=True)
    os.environ["METER_GATEWAY_UNIT"] = str(unit)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def pytest_collection_finish() -> None:
    """What pytest holds of thousands of tests is never garbage: a collection, which the simulation
    makes at each death of a process, needs not go through it.
    """
    _keep_what_there_is()


def pytest_runtest_logfinish() -> None:
    """The same of what the tests so far have left in caches, now and then."""
    if next(_finished) % _TESTS_BETWEEN == 0:
        _keep_what_there_is()


def _keep_what_there_is() -> None:
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """No program outlives the process that ran its test, however that ended."""
    has_workers = getattr(config.option, "dist", "no") != "no" and not hasattr(
        config, "workerinput"
    )
    while not has_workers and (children := _children()):
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, task.read_text().split()):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
                if not any(name in command for name in _HELD_BY_PYTHON):
                    found.append(pid)
    return found


_ONLY_COMPUTE = ("simulation", "gateway/energy")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only computes comes last: it fills whatever processor is left, down to the end. What
    mostly waits would leave them idle there.
    """
    rooms = [config.rootpath / "tests" / room for room in _ONLY_COMPUTE]
    items.sort(key=lambda item: any(room in item.path.parents for room in rooms))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files marked `xdist_group` share what takes long to make: all their tests go to one process,
    and they are the first to begin. (The groups of pytest-xdist itself need pytest before 9.2.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class FilesTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return path if _is_group(config.rootpath / path) else nodeid

    return FilesTogether(config, log) if config.option.dist == "loadgroup" else None


@cache
def _is_group(path: Path) -> bool:
    return "mark.xdist_group(" in path.read_text(encoding="utf-8")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is not run, and why."""
    if config.option.markexpr != "not long":
        return None
    return "tests marked long (hours of simulated faults, minutes of real ones): make test-long"


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Gives an empty folder to each example of a property. The one before it is removed: a property
    has hundreds of examples, and a database keeps 8 MB in reserve.
    """
    last: list[Path] = []

    def make() -> Path:
        while last:
            shutil.rmtree(last.pop(), ignore_errors=True)
        last.append(tmp_path_factory.mktemp("example"))
        return last[0]

    return make


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """An empty folder to which every user of the machine finds the way: `tmp_path` may lie in
    somebody's home.
    """
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        above = (Path(place), *Path(place).resolve().parents)
        if all(each.is_dir() and each.stat().st_mode & 0o001 for each in above):
            break
    else:
        pytest.skip("this machine has no folder for temporary files that all users may enter")
    with tempfile.TemporaryDirectory(prefix="meter-gateway-test-", dir=place) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def required_tool() -> Callable[[str], str]:
    """As `find_tool`."""
    return find_tool


NOW_S = 1_750_000_510.0
SLOT_S = 1_749_999_600


@pytest.fixture
def healthy_report() -> Report:
    """A gateway with three meters and two assets on an ordinary day."""
    line = LineReport(name="/dev/ttyUSB0", state="ok", last_success_s=NOW_S - 2, max_age_s=60)
    return Report(
        version="0.1.0",
        site="home-12",
        now_s=NOW_S,
        started_s=NOW_S - 86_400,
        slot_length_s=900,
        lines=[line, replace(line, name="/dev/ttyUSB1"), replace(line, name="192.168.1.40:502")],
        meters=_meter_reports(),
        assets=_asset_reports(),
        destinations=[_EXCHANGE],
        clock=ClockReport(trusted=True, why="the kernel says it is synchronised", boot_id="b7e1"),
        buffer=_BUFFER,
        mqtt=Part(
            name="broker.local:8883", state="connected", last_success_s=NOW_S - 30, max_age_s=180
        ),
    )


@pytest.fixture
def operator_report() -> GridOperatorReport:
    """A grid operator's agent with two markets, one of them by the feeder's load."""
    house = MarketReport(
        name="House 1",
        uuid="aaaaaaaa-0000-4000-8000-000000000003",
        model="feeder",
        fee=2.0,
        next_fee=3.25,
        next_slot_s=int(NOW_S) // 900 * 900 + 900,
        state="taken",
        why="load 71.5 % of 250 kW",
        load_percent=71.5,
    )
    grid = replace(
        house,
        name="Grid",
        uuid="aaaaaaaa-0000-4000-8000-000000000001",
        fee=None,
        load_percent=None,
        state="sent",
    )
    return GridOperatorReport(
        name="grid operator",
        state="ok",
        last_success_s=NOW_S - 60,
        max_age_s=2700,
        url="https://exchange.example",
        aggregator="dso",
        unit="ct/kWh",
        connection="heard",
        slot_s=int(NOW_S) // 900 * 900,
        markets=[house, grid],
    )


def _meter_reports() -> list[MeterReport]:
    grid = MeterReport(
        name="grid",
        state="ok",
        last_success_s=NOW_S - 1,
        max_age_s=60,
        line="/dev/ttyUSB0",
        profile="dsmr/5",
        serial_number="E0031003",
        samples=8640,
        values={
            "power_w": -812.0,
            "energy_import_wh": 12_345_678.0,
            "energy_export_wh": 4_242_000.0,
            "voltage_l1_v": 230.4,
        },
    )
    pv = replace(
        grid,
        name="pv",
        profile="eastron/sdm120",
        line="/dev/ttyUSB1",
        serial_number=None,
        values={"power_w": -1503.2},
    )
    heat = replace(
        pv,
        name="heat_pump",
        profile="eastron/sdm630",
        line="192.168.1.40:502",
        errors=3,
        last_error="no reply in 1 s",
    )
    return [grid, pv, heat]


def _asset_reports() -> list[AssetReport]:
    load = AssetReport(
        name="House load",
        uuid="26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1",
        kind="load",
        formula="grid.import - grid.export + pv.export",
        last_slot_s=SLOT_S,
        last_energy_wh=172.75,
        last_quality="measured",
        last_delivery="accepted",
        last_accepted_slot_s=SLOT_S,
        accepted=95,
        pending=1,
    )
    pv = replace(
        load,
        name="PV",
        uuid="cf3b262c-1111-4c39-a9ae-0f6b32c9d2a1",
        kind="pv",
        formula="pv.export",
    )
    return [load, pv]


_EXCHANGE = DestinationReport(
    name="exchange",
    state="ok",
    last_success_s=NOW_S - 500,
    max_age_s=1800,
    url="https://gsyweb.gridsingularity.com",
    dialect="sdk",
    backlog=2,
    oldest_undelivered_s=SLOT_S,
    next_deadline_s=NOW_S + 3000,
    requests=98,
    accepted=190,
    read_back="ok",
    confirmed=188,
    unconfirmed=2,
)

_BUFFER = BufferReport(
    name="buffer",
    state="ok",
    last_success_s=NOW_S - 10,
    max_age_s=180,
    path="/var/lib/meter-gateway/buffer.sqlite",
    bytes=48_000_000,
    max_bytes=2_000_000_000,
    samples=777_600,
    slots=17_280,
    unflushed=18,
    bytes_written_per_day=21_000_000,
    events=["2025-06-15 12:01 pv: 1 reading not believed (0 Wh after 4,242,000 Wh)"],
)
