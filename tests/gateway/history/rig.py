"""A home whose days are known beforehand, in a real configuration and a real store, made fast."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.assets import Direction, Formula
from gateway.energy.slot import AssetSlot, Slot
from gateway.monitoring.report import (
    AssetReport,
    BufferReport,
    ClockReport,
    DestinationReport,
    LineReport,
    MeterReport,
    Report,
)
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.site.config import load
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer, Limits
from gateway.store.opening import open_buffer
from gateway.store.rows import (
    ASSET_SLOT_COLUMNS,
    ASSET_SLOT_LIST,
    OWED_LIST,
    SLOT_COLUMNS,
    SLOT_LIST,
    asset_slot_row,
    owed_row,
    slot_row,
)

SLOT_S = 900
NOW_S = 1_774_778_400
"""2026-03-29 10:00 UTC, 12:00 in Berlin, where clocks went forward in the night."""
SMALL = Limits(reserve_bytes=4096)
HOUSE, PV, HEAT = (UUID(int=0x26090DEA_8A2C_4C39_A9AE_0F6B32C9D2A1 + n) for n in range(3))

ASSETS: Mapping[str, tuple[UUID, str, str]] = {
    "House load": (HOUSE, "load", "grid.import - grid.export + pv.export"),
    "PV": (PV, "pv", "pv.export"),
    "Heat pump": (HEAT, "heat_pump", "heat-pump.import"),
}
METERS = {"grid": "eastron/sdm630", "pv": "eastron/sdm120", "heat-pump": "eastron/sdm630"}


def write_home(
    folder: Path,
    assets: Mapping[str, tuple[UUID, str, str]] = ASSETS,
    meters: Mapping[str, str] = METERS,
) -> Settings:
    """A configuration in Berlin whose meters nobody answers for, and what it says."""
    (folder / "devices").mkdir(parents=True)
    listed = "".join(
        f"  - {{name: '{name}', uuid: {uuid}, kind: {kind}, energy: {formula}}}\n"
        for name, (uuid, kind, formula) in assets.items()
    )
    (folder / "gateway.yaml").write_text(
        "site: {name: home-12, timezone: Europe/Berlin}\nbuffer: {path: buffer.sqlite}\n"
        "clock: {trust: assured}\nstatus: {port: 0}\n" + (f"assets:\n{listed}" if listed else "")
    )
    for n, (name, profile) in enumerate(meters.items()):
        (folder / "devices" / f"{name}.yaml").write_text(
            f"profile: {profile}\nline: tcp:127.0.0.1:{n + 1}\naddress: 1\ninterval: 10s\n"
        )
    return load(folder)


# --- what the home does ---------------------------------------------------------------------------


def power_w(meter: str, at_s: float) -> float:
    """Import less export of a meter at a moment: a sunny roof, a house and its heat pump."""
    hour = (at_s / 3600 + 1) % 24
    sun_w = max(0.0, math.sin((hour - 6) / 12 * math.pi)) * 4000 * (1 + 0.3 * math.sin(at_s / 500))
    heat_w = 1500.0 if (at_s // 1800) % 3 == 0 else 12.0
    base_w = 300 + 200 * math.sin(at_s / 7000) ** 2
    return {"pv": -sun_w, "heat-pump": heat_w, "grid": heat_w + base_w - sun_w}.get(meter, base_w)


def energies_uwh(meter: str, start_s: int) -> dict[Direction, int]:
    """What passed in a slot, each way."""
    uwh = round(power_w(meter, start_s + SLOT_S / 2) / 4 * 1e6)
    return {"import": max(uwh, 0), "export": max(-uwh, 0)}


def slots_at(start_s: int, meters: Mapping[str, str] = METERS) -> Iterator[Slot]:
    """The slots of a time, of every direction of every meter."""
    for meter in meters:
        for direction, energy_uwh in energies_uwh(meter, start_s).items():
            begin_uwh = (start_s - 1_700_000_000) * 500_000
            register_uwh = begin_uwh // 10**7 * 10**7
            yield Slot(
                meter,
                f"serial-{meter}",
                direction,
                start_s,
                SLOT_S,
                energy_uwh,
                "measured",
                "counter",
                1000,
                90,
                10_000,
                begin_uwh,
                begin_uwh + energy_uwh,
                register_uwh,
                (begin_uwh + energy_uwh) // 10**7 * 10**7,
                "kernel",
                uncertainty_uwh=1_000_000,
            )


def asset_slots_at(
    start_s: int, assets: Mapping[str, tuple[UUID, str, str]] = ASSETS
) -> Iterator[AssetSlot]:
    """The assets' slots of a time."""
    for uuid, _, formula in assets.values():
        parts = Formula.parse(formula)
        energies = {
            (device, direction): uwh
            for device in parts.devices
            for direction, uwh in energies_uwh(device, start_s).items()
        }
        energy_uwh = parts.total(energies)
        uncertainty_uwh = 1_000_000 * len(parts.terms)
        yield AssetSlot(uuid, start_s, SLOT_S, energy_uwh, uncertainty_uwh, "measured")


def owed_at(slot: AssetSlot) -> Owed:
    """What the exchange has accepted of it."""
    sent_s = slot.start_s + SLOT_S + 2.0
    return Owed(
        Item("exchange", slot.asset, slot.start_s, "measurement", 0, max(slot.energy_uwh or 0, 0)),
        SLOT_S,
        "measured",
        slot.start_s + SLOT_S + 1.0,
        None,
        "accepted",
        attempts=1,
        decided_s=sent_s + 0.4,
        confirmed_s=sent_s + 900,
        first_sent_s=sent_s,
        last_sent_s=sent_s,
        answer="ready",
    )


def fill(
    path: Path,
    days: float,
    *,
    until_s: int = NOW_S,
    sample_days: float = 0.1,
    assets: Mapping[str, tuple[UUID, str, str]] = ASSETS,
    meters: Mapping[str, str] = METERS,
    forecasts: bool = False,
) -> None:
    """Writes so many days of slots, assets and deliveries, and samples every ten seconds."""
    store = open_buffer(path, SMALL, now_s=until_s)
    first_s = (until_s - int(days * 86_400)) // SLOT_S * SLOT_S
    db = store.database.connection
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    for begin_s in range(first_s, until_s // SLOT_S * SLOT_S, 86_400):
        ends_s = min(begin_s + 86_400, until_s // SLOT_S * SLOT_S)
        starts = range(begin_s, ends_s, SLOT_S)
        settled = [slot for s in starts for slot in asset_slots_at(s, assets)]
        owed = [owed_at(slot) for slot in settled]
        if forecasts:
            owed += [replace(o, item=replace(o.item, kind="forecast")) for o in owed]
        _insert(
            db,
            "slots",
            SLOT_LIST,
            len(SLOT_COLUMNS),
            [slot_row(x) for s in starts for x in slots_at(s, meters)],
        )
        _insert(
            db,
            "asset_slots",
            ASSET_SLOT_LIST,
            len(ASSET_SLOT_COLUMNS),
            [asset_slot_row(x) for x in settled],
        )
        _insert(db, "outbox", OWED_LIST, OWED_LIST.count(",") + 1, [owed_row(x) for x in owed])
    db.execute("COMMIT")
    with store.database.transaction():
        store.tables.samples.write(list(_samples(store, sample_days, until_s, meters)))
    store.close_file()


def _insert(db: object, table: str, names: str, count: int, rows: list[object]) -> None:
    marks = ", ".join("?" * count)
    db.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # type: ignore[attr-defined]


def _samples(
    store: Buffer, days: float, until_s: int, meters: Mapping[str, str]
) -> Iterator[tuple[int, Sample]]:
    for at_s in range(until_s - int(days * 86_400), until_s, 10):
        for meter in meters:
            power = power_w(meter, at_s)
            values = {
                "energy_import_wh": float((at_s - 1_700_000_000) // 20),
                "energy_export_wh": 12_345.0,
                "power_w": power,
            }
            serial = f"serial-{meter}"
            yield (
                store.tables.samples.take_number(),
                Sample(meter, serial, "boot", (at_s - 1_700_000_000) * 1000, at_s * 1000, values),
            )


# --- a report -------------------------------------------------------------------------------------


def report(settings: Settings, *, now_s: float = NOW_S) -> Report:
    """All is well, and every meter has just been heard."""
    return Report(
        version="0.1.0",
        site=settings.site,
        now_s=now_s,
        started_s=now_s - 86_400,
        slot_length_s=SLOT_S,
        lines=[
            LineReport(name=device.line.key, state="open", last_success_s=now_s - 2, max_age_s=40.0)
            for device in settings.devices
        ],
        meters=[
            MeterReport(
                name=device.name,
                state="ok",
                last_success_s=now_s - 2,
                max_age_s=40.0,
                line=device.line.key,
                profile=device.profile.id,
                serial_number=f"serial-{device.name}",
                values={"power_w": power_w(device.name, now_s), "energy_import_wh": 12_345.0},
            )
            for device in settings.devices
        ],
        assets=[
            AssetReport(
                name=asset.name,
                uuid=str(asset.uuid),
                kind=asset.kind,
                formula=str(asset.energy),
                last_slot_s=int(now_s) - SLOT_S,
                last_quality="measured",
                last_delivery="accepted",
                last_accepted_slot_s=int(now_s) - SLOT_S,
            )
            for asset in settings.assets
        ],
        destinations=[
            DestinationReport(
                name="exchange",
                state="ok",
                last_success_s=now_s - 60,
                max_age_s=2000.0,
                url="https://exchange.example",
                dialect="sdk",
            )
        ],
        clock=ClockReport(trusted=True, why="", boot_id="boot"),
        buffer=BufferReport(
            name="buffer", state="ok", last_success_s=now_s - 5, max_age_s=180.0, path="b"
        ),
    )
