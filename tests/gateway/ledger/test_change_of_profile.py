"""A profile that reads another register after a restart: over a real buffer file."""

from pathlib import Path
from typing import Literal

import pytest

from drivers.profile import shipped_folder
from gateway.delivery.kinds import load
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import MeterRules
from gateway.ledger import rules
from gateway.ledger.rules import meter_rules, unchanged
from gateway.site.devices import Device
from gateway.site.settings import Settings
from tests.gateway.ledger.home import BEGIN_S, Home, everything_uwh, site

ROW = "energy_import_wh:             {address: 0x0048, unit: kWh"
ENERGY = "energy_import_wh: {resolution_wh: 1, modulus_wh: 100000000, float32: true}"
MOVED = {
    "address": ((ROW, ROW.replace("0048", "0156")),),
    "step": ((ENERGY, ENERGY.replace("resolution_wh: 1", "resolution_wh: 10")),),
    "scale": ((ROW, f"{ROW}, scale: 0.1"),),
    "type": (
        (ROW, f"{ROW}, scale: 0.001, type: uint32"),
        (ENERGY, ENERGY.replace(", float32: true", "")),
    ),
}


def settings(folder: Path, *changes: tuple[str, str]) -> Settings:
    """A home whose panels' meter has a profile of its own, with these changes."""
    site(folder)
    text = (shipped_folder() / "eastron/sdm120.yaml").read_text()
    text = text.replace("# yaml-language-server: $schema=../schema/modbus.json\n", "")
    for was, now in changes:
        assert was in text
        text = text.replace(was, now)
    mine = folder / "hardware_profiles/eastron"
    mine.mkdir(parents=True, exist_ok=True)
    (mine / "sdm120.yaml").write_text(text)
    return load(folder)


def run(home: Home, begin_s: int, end_s: int, *, begin_wh: float = 1000.0) -> None:
    """The panels' meter counts 3600 W in its import register."""
    for t in range(begin_s, end_s + 1, 10):
        home.take(
            "pv",
            (BEGIN_S + t) * 1000,
            energy_import_wh=begin_wh + t,
            energy_export_wh=5.0,
            power_w=3600,
        )


def kinds(home: Home) -> dict[str, int]:
    home.buffer.flush()
    found: dict[str, int] = {}
    for (kind,) in home.buffer.database.rows("SELECT kind FROM events"):
        found[kind] = found.get(kind, 0) + 1
    return found


def qualities(home: Home) -> list[tuple[int, str, int | None]]:
    home.buffer.flush()
    return [
        (s.start_s - BEGIN_S, s.quality, None if s.energy_uwh is None else s.energy_uwh // WH)
        for s in home.buffer.slots()
        if (s.device, s.direction) == ("pv", "import")
    ]


def is_conserved(home: Home) -> bool:
    stated_uwh, moved_uwh = everything_uwh(home, "pv", "import")
    return stated_uwh == moved_uwh


def end(home: Home, how: Literal["stop", "kill"]) -> None:
    """The daemon ends, in order or not, with all samples on disk."""
    if how == "kill":
        home.buffer.flush()
        home.kill()
    else:
        home.stop()


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("what", MOVED)
def test_a_profile_that_reads_another_register_begins_anew(
    tmp_path: Path, what: str, how: Literal["stop", "kill"]
) -> None:
    """Also where the samples before were not folded yet: they are still of the register before."""
    home = Home(tmp_path, settings(tmp_path))
    run(home, 0, 1200)
    end(home, how)
    home.settings = settings(tmp_path, *MOVED[what])
    home.start()
    run(home, 1260, 2700, begin_wh=500_000)

    assert kinds(home) == {"profile": 1}
    assert {record.what.kind for record in home.buffer.unallocated()} <= {"start"}
    assert home.buffer.unallocated_total() == (0, 0)
    found = qualities(home)
    assert [(start_s, quality) for start_s, quality, _ in found] == [
        (0, "measured"),
        (900, "partial"),
        (1800, "measured"),
    ]
    # 300 s of the second slot before, and 520 s after the third reading; to a step.
    assert [wh for _, _, wh in found] == pytest.approx([900, 820, 900], abs=10)
    assert is_conserved(home)
    home.buffer.close_file()


def test_two_restarts_before_anything_was_folded_know_which_samples_are_of_which_profile(
    tmp_path: Path,
) -> None:
    """As without a clock that is right: samples wait, and the second start has the new profile
    already.
    """
    home = Home(tmp_path, settings(tmp_path))
    run(home, 0, 1200)
    home.buffer.flush()
    home.kill()

    home.settings = settings(tmp_path, *MOVED["address"])
    for at_s in (1260, 1300):
        home.start()
        run(home, at_s, at_s + 30, begin_wh=500_000)
        home.buffer.flush()
        home.kill()
    home.start()
    run(home, 1340, 2700, begin_wh=500_000)
    assert kinds(home) == {"profile": 1}
    assert {record.what.kind for record in home.buffer.unallocated()} <= {"start"}
    assert home.buffer.unallocated_total() == (0, 0)
    assert is_conserved(home)
    home.buffer.close_file()


def test_a_restart_without_a_change_that_counts_changes_nothing(tmp_path: Path) -> None:
    """A row that is no energy register, and where the register starts again, begin nothing anew."""
    home = Home(tmp_path, settings(tmp_path))
    run(home, 0, 1200)
    home.stop()
    home.settings = settings(
        tmp_path,
        ("    frequency_hz:                 {address: 0x0046, unit: Hz}\n", ""),
        (ENERGY, ENERGY.replace("modulus_wh: 1", "modulus_wh: 2")),
    )
    home.start()
    run(home, 1210, 1800)
    assert kinds(home) == {}
    assert qualities(home) == [(0, "measured", 900), (900, "measured", 900)]
    home.buffer.close_file()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_tariffs_that_a_version_before_left_out_of_a_total_are_no_jump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Literal["stop", "kill"]
) -> None:
    """It did not say what it counted; neither do samples that were not folded yet."""

    def as_before(device: Device, settings: Settings) -> MeterRules:
        return unchanged(meter_rules(device, settings))

    with monkeypatch.context() as version_before:
        version_before.setattr(rules, "meter_rules", as_before)
        home = Home(tmp_path, settings(tmp_path))
        run(home, 0, 1200)
        end(home, how)

    home.start()
    for t in range(1260, 2701, 10):
        home.take(
            "pv",
            (BEGIN_S + t) * 1000,
            widened=("energy_import_wh",),
            energy_import_wh=501_000.0 + t,  # the fifth tariff's 500 kWh are among it now
            energy_export_wh=5.0,
            power_w=3600,
        )
    assert kinds(home) == {"profile": 1}
    assert is_conserved(home)
    assert [quality for _, quality, _ in qualities(home)] == ["measured", "partial", "measured"]
    home.stop()
