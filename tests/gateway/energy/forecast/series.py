"""Series of energies to forecast: the real homes beside this file, others that are not shipped, and
some made of them.
"""

import csv
import gzip
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.energy.forecast import Rules
from gateway.energy.slot import AssetSlot
from tests.gateway.energy.forecast.asset import ASSET

HOMES = Path(__file__).with_name("homes")
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Series:
    """One asset, from its first slot on."""

    name: str
    kind: Literal["load", "pv"]
    slot_s: int
    first_s: int
    time_zone: str
    energies_wh: tuple[float | None, ...]
    held_out: bool

    @property
    def rules(self) -> Rules:
        """How it is forecast."""
        return Rules(self.slot_s, self.kind, self.name, utc_offset_s(self.time_zone))

    @property
    def slots_per_day(self) -> int:
        return DAY_S // self.slot_s

    def slots(self) -> Iterator[AssetSlot]:
        """All of its slots, as the ledger would close them."""
        for n, energy_wh in enumerate(self.energies_wh):
            yield AssetSlot(
                asset=ASSET,
                start_s=self.first_s + n * self.slot_s,
                length_s=self.slot_s,
                energy_uwh=None if energy_wh is None else round(energy_wh * 1e6),
                uncertainty_uwh=None,
                quality="missing" if energy_wh is None else "measured",
            )

    def days(self, begin: int, end: int) -> "Series":
        """Only its days from `begin` to `end`."""
        per_day = self.slots_per_day
        return replace(
            self,
            first_s=self.first_s + begin * DAY_S,
            energies_wh=self.energies_wh[begin * per_day : end * per_day],
        )


@cache
def utc_offset_s(name: str) -> Callable[[int], int]:
    """Local time less UTC, at a Unix time: of a place, or of `UTC-8`."""
    if name.startswith("UTC"):
        fixed_s = int(name.removeprefix("UTC") or 0) * 3_600
        return lambda _: fixed_s
    zone = ZoneInfo(name)

    @cache
    def of_hour(hour: int) -> int:
        offset = datetime.fromtimestamp(hour * 3_600, zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    return lambda time_s: of_hour(time_s // 3_600)


def _utc_s(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC).timestamp())


@cache
def shipped() -> dict[str, Series]:
    """The homes beside this file, by name."""
    with (HOMES / "homes.csv").open(encoding="utf-8") as file:
        return {row["name"]: _shipped(row) for row in csv.DictReader(file)}


def _shipped(row: dict[str, str]) -> Series:
    text = gzip.decompress((HOMES / f"{row['name']}.txt.gz").read_bytes()).decode()
    return Series(
        name=row["name"],
        kind="pv" if row["kind"] == "pv" else "load",
        slot_s=int(row["slot_s"]),
        first_s=_utc_s(row["begins"]),
        time_zone=row["time_zone"],
        energies_wh=tuple(float(line) if line else None for line in text.split("\n")[:-1]),
        held_out=row["use"] == "held",
    )


def elsewhere(folder: Path, chosen: frozenset[str]) -> dict[str, Series]:
    """Homes that may not be shipped: those that the folder's INDEX.csv (file, slot_min, kind, tz)
    names, each with lines of time_utc and energy_wh. All but those `chosen` are held out.
    """
    found = {}
    with (folder / "INDEX.csv").open(encoding="utf-8") as index:
        for row in csv.DictReader(index):
            path = folder / row["file"]
            if not row["tz"] or "/" not in row["tz"] or not path.exists():
                continue
            with path.open(encoding="utf-8") as file:
                known = {
                    _utc_s(line["time_utc"]): float(line["energy_wh"])
                    if line["energy_wh"]
                    else None
                    for line in csv.DictReader(file)
                }
            slot_s = int(row["slot_min"]) * 60
            found[path.stem] = Series(
                name=path.stem,
                kind="pv" if row["kind"] == "pv" else "load",
                slot_s=slot_s,
                first_s=min(known),
                time_zone=row["tz"],
                energies_wh=tuple(known.get(s) for s in range(min(known), max(known) + 1, slot_s)),
                held_out=path.stem not in chosen,
            )
    return found


# --- made of them ---------------------------------------------------------------------------------


def quarters(series: Series, seed: int) -> Series:
    """An hourly load by the quarter of an hour: half of each hour spread evenly, the rest in one
    or two quarters, as a washing machine or an oven would.
    """
    drawn = random.Random(seed)
    made: list[float | None] = []
    for energy_wh in series.energies_wh:
        if energy_wh is None:
            made += [None] * 4
            continue
        parts = [energy_wh / 8] * 4
        for _ in range(2):
            parts[drawn.randrange(4)] += energy_wh / 4
        made += parts
    return replace(
        series,
        name=f"{series.name} by quarters",
        slot_s=series.slot_s // 4,
        energies_wh=tuple(made),
    )


def with_car(series: Series, from_day: int, seed: int, power_w: float = 7_400) -> Series:
    """With an electric car from that day on: it charges on two nights of three for two to five
    hours, from about ten in the evening.
    """
    drawn = random.Random(seed)
    offset_s = utc_offset_s(series.time_zone)
    extra_s: dict[int, float] = {}
    days = len(series.energies_wh) // series.slots_per_day
    for day in range(from_day, days):
        if drawn.random() > 2 / 3:
            continue
        midnight_s = (series.first_s // DAY_S + day) * DAY_S
        begin_s = midnight_s + 22 * 3_600 - offset_s(midnight_s) + drawn.randrange(-1_800, 1_800)
        end_s = begin_s + drawn.randrange(2 * 3_600, 5 * 3_600)
        for start_s in range(begin_s - begin_s % series.slot_s, end_s, series.slot_s):
            inside_s = min(end_s, start_s + series.slot_s) - max(begin_s, start_s)
            extra_s[start_s] = extra_s.get(start_s, 0.0) + inside_s
    return replace(
        series,
        name=f"{series.name} with a car",
        energies_wh=tuple(
            None
            if energy_wh is None
            else energy_wh + extra_s.get(series.first_s + n * series.slot_s, 0.0) * power_w / 3_600
            for n, energy_wh in enumerate(series.energies_wh)
        ),
    )


def behind_battery(load: Series, roof: Series, capacity_wh: float = 8_000) -> Series:
    """What a home with that roof and a battery takes from the grid."""
    held_wh = 0.0
    most_wh = 4_000 * load.slot_s / 3_600
    made: list[float | None] = []
    for used_wh, sun_wh in zip(load.energies_wh, roof.energies_wh, strict=True):
        if used_wh is None or sun_wh is None:
            made.append(None)
            continue
        short_wh = used_wh - sun_wh
        given_wh = max(-most_wh, held_wh - capacity_wh, min(short_wh, most_wh, held_wh))
        held_wh -= given_wh
        made.append(max(short_wh - given_wh, 0.0))
    return replace(load, name=f"{load.name} behind a battery", energies_wh=tuple(made))


def community(homes: list[Series]) -> Series:
    """The sum of homes that began together."""
    made = [
        None if None in energies else sum(each for each in energies if each is not None)
        for energies in zip(*(home.energies_wh for home in homes), strict=True)
    ]
    return replace(homes[0], name=f"community of {len(homes)}", energies_wh=tuple(made))
