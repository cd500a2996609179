"""What each asset and each meter of a site stands for, and of which of their directions the sums
are made that a home owner counts in. Pure.

Assets say it by their kinds, and formulas say the rest: in what a house uses, the meter whose
import is added and whose export is taken away is that at the grid. Assets do not overlap, for the
exchange books each of them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from gateway.energy.assets import Direction, Formula
from gateway.energy.slot import DIRECTIONS
from gateway.history.answers import Role
from gateway.ledger.rules import meter_rules
from gateway.site.devices import Device
from gateway.site.settings import Asset, Settings
from gateway.store.slot_table import Part

SUN = "sun"
FROM_GRID = "from grid"
TO_GRID = "to grid"
BATTERY = "battery"
"""What it gave, less what it took."""
LOADS = "loads"
"""Where there is no meter at the grid: what the loads used."""

_ROLE_OF_KIND: Mapping[str, Role] = {
    "pv": "sun",
    "storage": "battery",
    "smart_meter": "grid",
    "heat_pump": "other",
    "load": "house",
}
_MOST_REGISTER_UWH = 10**14
"""100,000 kWh: a register that travels as a float32 is coarser the more it shows."""


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Who is what on a site, and of what its sums are made."""

    assets: Mapping[UUID, Role]
    meters: Mapping[str, Role]
    parts: Sequence[Part]
    """Of all sums."""
    steps_uwh: Mapping[str, int]
    """By how much each sum's registers may differ from what has passed, all together."""

    def size(self, name: str) -> int:
        """Of how many parts a sum is made; 0: the site has no such sum."""
        return sum(part[2] == name for part in self.parts)


def roles_of(settings: Settings) -> Roles:
    """What there is on a site."""
    assets, devices = settings.assets, settings.devices
    meters = meter_roles(assets, devices)
    parts = [part for part in _parts(assets, devices, meters) if part[3]]
    steps: Counter[str] = Counter()
    rules = {device.name: meter_rules(device, settings).registers for device in devices}
    for device, direction, name, sign in parts:
        if register := rules.get(device, {}).get(direction):
            steps[name] += abs(sign) * register.step_uwh(_MOST_REGISTER_UWH)
    return Roles(
        assets={asset.uuid: _ROLE_OF_KIND[asset.kind] for asset in assets},
        meters=meters,
        parts=parts,
        steps_uwh=steps,
    )


def meter_roles(assets: Sequence[Asset], devices: Sequence[Device]) -> dict[str, Role]:
    """What each meter stands for.

    - sun: of a PV asset. Where a load has its import, it is a meter at the grid all the same, which
      sees what the house does not need of the sun.
    - battery, grid: of a storage or a smart meter; in a load's formula: +export −import, or +import
      −export. other: of a heat pump, or taken out of a load.
    - One whose import alone is a load is at the grid where it is the only meter with a part in
      anything, and in the house otherwise.
    - On a site without assets the only meter is at the grid. Of several, those that count export
      alone, or sleep at night, are the sun's, and the only one that counts both ways is at the
      grid.
    """
    if not assets:
        return _without_assets(devices)
    loads = [asset.energy for asset in assets if asset.kind == "load"]
    found: dict[str, Role] = {}
    for asset in assets:
        if asset.kind != "load":
            for name in asset.energy.devices:
                found.setdefault(name, _ROLE_OF_KIND[asset.kind])
    signs = _signs(loads)
    for name in {name for name, _ in signs}:
        role = _in_a_load(signs.get((name, "import"), 0), signs.get((name, "export"), 0))
        if name not in found or (found[name] == "sun" and signs.get((name, "import"), 0) > 0):
            found[name] = role if name not in found else "grid"
    if len(found) == 1 and "house" in found.values():
        found = dict.fromkeys(found, "grid")
    return {device.name: found.get(device.name, "other") for device in devices}


def _in_a_load(imports: int, exports: int) -> Role:
    """What a meter is that is in a load with these signs."""
    if imports > 0:
        return "grid" if exports < 0 else "house"
    if exports > 0:
        return "battery" if imports < 0 else "sun"
    return "other"


def _without_assets(devices: Sequence[Device]) -> dict[str, Role]:
    if len(devices) == 1:
        return {devices[0].name: "grid"}
    found: dict[str, Role] = {}
    for device in devices:
        only_export = device.measures("export") and not device.measures("import")
        found[device.name] = "sun" if only_export or device.profile.sleeps else "other"
    both = [
        device.name
        for device in devices
        if found[device.name] == "other" and all(map(device.measures, DIRECTIONS))
    ]
    return {**found, both[0]: "grid"} if len(both) == 1 else found


def _signs(formulas: Iterable[Formula]) -> Counter[tuple[str, Direction]]:
    """What the formulas add up to."""
    signs: Counter[tuple[str, Direction]] = Counter()
    for formula in formulas:
        for term in formula.terms:
            signs[term.device, term.direction] += term.sign
    return signs


def _parts(
    assets: Sequence[Asset], devices: Sequence[Device], meters: Mapping[str, Role]
) -> Iterable[Part]:
    by_kind = {
        kind: _signs(asset.energy for asset in assets if asset.kind == kind)
        for kind in ("pv", "load", "heat_pump")
    }
    has_grid = "grid" in meters.values()
    for device in devices:
        role = meters[device.name]
        for direction in filter(device.measures, DIRECTIONS):
            way = 1 if direction == "export" else -1
            if role == "grid":
                yield device.name, direction, TO_GRID if way > 0 else FROM_GRID, 1
            elif role == "battery":
                yield device.name, direction, BATTERY, way
            elif role == "sun" and device.name in {name for name, _ in by_kind["pv"]}:
                yield device.name, direction, SUN, by_kind["pv"][device.name, direction]
            elif role == "sun" and way > 0:
                yield device.name, direction, SUN, 1
            if not has_grid:
                sign = sum(by_kind[kind][device.name, direction] for kind in ("load", "heat_pump"))
                yield device.name, direction, LOADS, sign
