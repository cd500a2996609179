"""`meter-gateway fees`: what was decided, why, and leaving the markets at a fee."""

import contextlib
import csv
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from gateway.cli import fees_stop
from gateway.cli.main import main
from gateway.operator.past_slots import past_slots
from gateway.operator.stop_order import StopOrder
from gateway.operator.tariffs.cells import Findings
from gateway.store.grid_fee_rows import GridFee, SlotStatistics
from gateway.store.opening import open_buffer

START_S = 1_795_824_000
HOUSE = UUID("bbbbbbbb-0000-4000-8000-000000000003")
GATEWAY = """
site: station
buffer: {path: buffer.sqlite}
grid_operator:
  url: http://127.0.0.1:1
  canary_network: 8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10
  credentials: op.credentials
  aggregator: dso
  fee_type: FEE_TYPE
  model: {kind: fixed, fee: 3.25}
  lowest: 1
  highest: 12
  step: 2
  fallback: 2
"""


def fee(n: int, **more: object) -> GridFee:
    row = GridFee(
        slot_s=START_S + n * 900,
        market=HOUSE,
        name="House 1",
        state="taken",
        fee_type="constant",
        fee=3_250_000,
        wanted=3_250_000,
        model="aziiz",
        why="import 30 kWh, up to 40 kWh",
        inputs={"import_kwh": 30.0},
        sent=1,
        sent_s=START_S + 1.5,
        answered_s=START_S + 16.0,
    )
    return replace(row, **more)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(GATEWAY.replace("FEE_TYPE", "constant"))
    login = tmp_path / "op.credentials"
    login.touch(mode=0o600)
    login.write_text("username: op\npassword: let-me-in\n")
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=float(START_S))
    fees = store.tables.grid_fees
    fees.write([fee(2), fee(3), fee(4, state="silent", reason="the exchange did not answer")])
    fees.write([fee(5, state="missed", fee=None, wanted=None, reason="not heard")])
    fees.observe(START_S, [(HOUSE, "House 1", SlotStatistics(1.0, 0.0, 2.0))], "constant")
    told = SlotStatistics(0.075, 0.0, 0.075, 0.24375, 33.25)
    fees.observe(START_S + 1800, [(HOUSE, "House 1", told)], "constant")
    fees.note_in_force(START_S + 1800, [(HOUSE, 3_250_000)])
    store.close_file()
    return tmp_path


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["--config", str(folder), "fees", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_list_shows_fee_state_and_money_beside_the_exchanges_own_revenue(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(folder, capsys, "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["state"] for row in rows] == ["observed", "taken", "taken", "silent", "missed"]
    assert rows[1]["money_cents"] == pytest.approx(0.24375)
    assert rows[1]["revenue_cents"] == 0.24375
    assert (rows[1]["fee"], rows[1]["in_force"], rows[1]["fallback"]) == (3.25, 3.25, False)
    assert rows[4]["fee"] is None

    code, out, err = run(folder, capsys)
    assert code == 0
    assert "taken" in out and "observed" not in out
    assert "silent: it was sent, and not answered before the slot began" in err


def test_the_csv_is_a_history_that_can_be_replayed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(folder, capsys, "--csv", "--market", "House 1")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert rows[1]["fee"] == "3.25"
    assert rows[3]["fee"] == ""
    found = Findings("history.csv")
    past = past_slots(out, found)
    assert past is not None
    assert past.markets["House 1"][START_S + 1800].fee == 3.25


def test_a_slot_is_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(folder, capsys, "--explain", "2026-11-28T00:37Z")
    assert code == 0
    for words in (
        "3.25 ct/kWh, by the model aziiz",
        "import 30 kWh, up to 40 kWh",
        "import_kwh 30",
        "this very number",
        "sent      once",
        "in force  3.25 ct/kWh",
        "money     0.244 ct",
        "revenue   0.244 ct",
    ):
        assert words in out, out
    assert run(folder, capsys, "--explain", "2026-11-28T01:16Z")[1].count("not heard") == 1
    code, _, err = run(folder, capsys, "--explain", "2025-01-01")
    assert code == 1
    assert "Nothing is kept" in err


def test_of_a_market_that_is_not_there_nothing_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(folder, capsys, "--market", "Hause 1")
    assert code == 1
    assert "'Hause 1' then — did you mean 'House 1'?" in err
    assert run(folder, capsys, "--market", "House 7", "--explain", "2025-01-01")[0] == 1


def test_a_percent_fee_is_a_part_of_what_was_paid(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_buffer(folder / "buffer.sqlite", now_s=float(START_S))
    store.tables.grid_fees.write([fee(9, fee=10_000_000, fee_type="percent")])
    told = SlotStatistics(None, None, 2.0, None, 33.0)
    store.tables.grid_fees.observe(START_S + 9 * 900, [(HOUSE, "House 1", told)], "percent")
    store.close_file()
    _, out, _ = run(folder, capsys, "--json", "--last", "1")
    assert json.loads(out)[0]["money_cents"] == pytest.approx(2.0 * 33.0 * 10 / 110)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("stop", "--at", "0.5"), "from 1 ct/kWh to 12 ct/kWh"),
        (("stop", "--at", "a lot"), "is no number"),
        (("stop", "--at", "-3"), "negative"),
        (("stop", "--at", "NaN"), "is no number"),
    ],
)
def test_a_fee_that_is_none_stops_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    code, _, err = run(folder, capsys, *words)
    assert code != 0
    assert told in err
    assert StopOrder.beside(folder / "buffer.sqlite").read() is None


@contextlib.contextmanager
def obedient_daemon(folder: Path, left_at: str) -> Iterator[StopOrder]:
    """Has the buffer, and does what it is told once it sees that."""
    order = StopOrder.beside(folder / "buffer.sqlite")
    daemon = open_buffer(folder / "buffer.sqlite", now_s=float(START_S), says="the daemon")

    def obey() -> None:
        while (found := order.read()) is None:
            time.sleep(0.01)
        order.write(msgspec.structs.replace(found, done_s=time.time(), left_at=left_at))

    obeying = threading.Thread(target=obey)
    obeying.start()
    try:
        yield order
    finally:
        obeying.join()
        daemon.abandon()


def test_beside_a_running_daemon_stop_waits_until_the_daemon_has_done_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fees_stop, "LOOK_S", 0.02)
    with obedient_daemon(folder, left_at="2.5 ct/kWh") as order:
        code, out, _ = run(folder, capsys, "stop", "--at", "2,5")
    assert code == 0
    assert "Every market is left at 2.5 ct/kWh" in out
    found = order.read()
    assert found is not None and found.micros == 2_500_000

    code, out, _ = run(folder, capsys, "start")
    assert code == 0
    assert "Taken back" in out
    assert order.read() is None
    assert "not stopped" in run(folder, capsys, "start")[1]


def test_a_daemon_that_does_not_allow_the_fee_says_where_it_left_the_markets(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fees_stop, "LOOK_S", 0.02)
    with obedient_daemon(folder, left_at="2 ct/kWh"):
        code, _, err = run(folder, capsys, "stop", "--at", "2,5")
    assert code == 1
    assert "Every market is left at 2 ct/kWh: the running daemon was started with" in err


def test_without_a_grid_operator_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys, gateway.app, gateway.operator.loading\n"
        "found = [m for m in sys.modules if m.startswith('gateway.operator.')]\n"
        "assert found == ['gateway.operator.loading'], found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
