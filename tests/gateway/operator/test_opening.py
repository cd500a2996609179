"""The agent of a configuration folder."""

from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.operator.loading import load
from gateway.timing.clock import Clock

GATEWAY = """
site: station
buffer: {path: buffer.sqlite}
status: {port: 0}
clock: {trust: assured}
grid_operator:
  url: http://127.0.0.1:1
  canary_network: 8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10
  credentials: op.credentials
  aggregator: dso
  fee_type: percent
  model: {kind: fixed, fee: 3.25}
  lowest: 1
  highest: 12
  fallback: 2
  take_over: true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    login = tmp_path / "op.credentials"
    login.touch(mode=0o600)
    login.write_text("username: op\npassword: let-me-in\n")
    return tmp_path


@pytest.mark.parametrize("is_dry", [True, False])
async def test_a_box_without_meters_has_an_agent_and_a_dry_one_takes_nothing_over(
    folder: Path, is_dry: bool
) -> None:
    with (folder / "gateway.yaml").open("a") as file:
        file.write(f"  dry_run: {str(is_dry).lower()}\n")
    gateway = Gateway(load(folder), Clock("assured"))
    try:
        assert gateway.agent is not None
        assert gateway.agent.connection._wanted.dry_run == is_dry
        report = gateway.reporter.report().grid_operator
        assert report is not None
        assert (report.unit, report.dry_run, report.state) == ("%", is_dry, "connecting")
    finally:
        await gateway.agent.aclose()
        gateway.housekeeping.finish()


async def test_without_the_section_there_is_none(folder: Path) -> None:
    text = (folder / "gateway.yaml").read_text().partition("grid_operator:")[0]
    (folder / "gateway.yaml").write_text(text)
    (folder / "devices").mkdir()
    (folder / "devices" / "grid.yaml").write_text(
        "profile: eastron/sdm630\nline: tcp:127.0.0.1:1\naddress: 1\n"
    )
    gateway = Gateway(load(folder), Clock("assured"))
    assert gateway.agent is None
    assert gateway.reporter.report().grid_operator is None
    gateway.housekeeping.finish()
