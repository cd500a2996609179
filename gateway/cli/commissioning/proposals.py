"""What an installer is proposed: a meter's name by what it measures, and what each asset's energy
is the sum of. Pure.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["grid", "pv", "battery", "heat-pump", "car", "load"]

ROLES: Mapping[Role, str] = {
    "grid": "the connection to the grid",
    "pv": "solar panels, or their inverter",
    "battery": "a battery",
    "heat-pump": "a heat pump",
    "car": "a car's charger",
    "load": "something else that takes energy",
}
"""What a meter may measure. Its name is the role's, with a number where there are several."""

_OTHER_NAMES: Mapping[str, Role] = {
    "solar": "pv",
    "roof": "pv",
    "inverter": "pv",
    "main": "grid",
    "storage": "battery",
    "heatpump": "heat-pump",
    "hp": "heat-pump",
    "ev": "car",
    "charger": "car",
    "wallbox": "car",
}

_CLEARLY_MORE = 10
"""An export register that has so many times what import has, or the reverse, says which way round
a meter is wired.
"""
_LEAST_WH = 1000.0
"""With less in its registers a meter says nothing of that."""
_FLOWS_W = 20.0
"""Less may be an inverter's own use at night, or noise."""

UNHEARD_KINDS = frozenset({"storage", "smart_meter", "heat_pump"})
"""The exchange's engine takes nothing for assets of these kinds."""


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter, and which directions it measures."""

    name: str
    imports: bool
    exports: bool

    @property
    def role(self) -> Role:
        """What its name says that it measures."""
        return role_of(self.name)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An asset of the exchange that energy is delivered for."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an asset's energy is the sum of, and why; empty where nothing can be proposed."""

    energy: str
    why: str


def role_of(name: str) -> Role:
    """What a meter of that name measures: `pv-2` is a second roof."""
    plain = re.sub(r"[-_]?\d+$", "", name.lower())
    for role in ROLES:
        if plain == role or plain.startswith((f"{role}-", f"{role}_")):
            return role
    first = re.split(r"[-_]", plain)[0]
    return _OTHER_NAMES.get(plain) or _OTHER_NAMES.get(first) or "load"


def likely_role(taken: Iterable[Role], *, exports: bool, pushes: bool, produces: bool) -> Role:
    """What a meter that was found may measure, by what it can and what is named already. `pushes`:
    it is a network operator's meter, which speaks by itself.
    """
    there = set(taken)
    if produces and "pv" not in there:
        return "pv"
    if "grid" not in there and (pushes or exports):
        return "grid"
    if "pv" not in there and exports:
        return "pv"
    return "load"


def free_name(role: Role, taken: Iterable[str]) -> str:
    """The name of a meter that measures this: the role's, with a number where it is taken."""
    used, name, number = set(taken), str(role), 1
    while name in used:
        number += 1
        name = f"{role}-{number}"
    return name


def is_wired_the_other_way(
    role: Role, power_w: float | None, registers_wh: Mapping[str, float]
) -> bool:
    """Whether what it calls import is what a meter of this role gives: `invert: true`.

    Panels give, and a charger takes: what flows now says which way round it is wired, and where
    nothing does, as with panels at night, a register that has many times what the other has.
    """
    if role in ("grid", "battery"):
        return False  # both ways are usual, and nothing tells
    if power_w is not None and abs(power_w) >= _FLOWS_W:
        taken, given = max(power_w, 0.0), max(-power_w, 0.0)
    else:
        imported = registers_wh.get("energy_import_wh", 0.0)
        exported = registers_wh.get("energy_export_wh", 0.0)
        taken = imported if imported > max(_LEAST_WH, _CLEARLY_MORE * exported) else 0.0
        given = exported if exported > max(_LEAST_WH, _CLEARLY_MORE * imported) else 0.0
    return taken > 0 if role == "pv" else given > 0


def propose(assets: Sequence[Wanted], meters: Sequence[Meter]) -> dict[str, Proposal]:
    """What each asset's energy is the sum of, by its name."""
    found = {
        asset.name: Proposal("", _unheard(asset)) for asset in assets if asset.kind in UNHEARD_KINDS
    }
    takers = _consumers(assets, meters)
    for name, meter in takers.items():
        found[name] = Proposal(f"{meter.name}.import", f"what {meter.name} takes")
    found |= _panels([asset for asset in assets if asset.kind == "pv"], meters)

    houses = [each for each in assets if each.kind == "load" and each.name not in takers]
    if len(houses) == 1:
        found[houses[0].name] = _house(meters, list(takers.values()))
    for asset in houses if len(houses) > 1 else ():
        found[asset.name] = Proposal("", "which meter it is cannot be told from its name")
    return found


def _unheard(asset: Wanted) -> str:
    what = asset.kind.replace("_", " ")
    return f"the exchange takes no energy of a {what}: make a Load, or a Load and a PV, of it there"


def _consumers(assets: Sequence[Wanted], meters: Sequence[Meter]) -> dict[str, Meter]:
    """The loads that have a meter of their own, by the asset's name."""
    own = [each for each in meters if each.role not in ("grid", "pv", "battery") and each.imports]
    found: dict[str, Meter] = {}
    for asset in assets:
        fits = [meter for meter in own if _alike(asset.name, meter)]
        if asset.kind == "load" and len(fits) == 1 and fits[0] not in found.values():
            found[asset.name] = fits[0]
    return found


def _alike(asset: str, meter: Meter) -> bool:
    """Whether they are called the same, or an asset's name says what the meter measures."""
    words = set(re.split(r"[^a-z0-9]+", asset.lower()))
    if set(re.split(r"[-_]", meter.name.lower())) <= words:
        return True
    plain = "-".join(re.split(r"[^a-z0-9]+", asset.lower()))
    return meter.role != "load" and role_of(plain) == meter.role and meter.name == meter.role


def _panels(assets: Sequence[Wanted], meters: Sequence[Meter]) -> dict[str, Proposal]:
    roofs = [meter for meter in meters if meter.role == "pv" and meter.exports]
    grids = [meter for meter in meters if meter.role == "grid" and meter.exports]
    if len(assets) == 1 and roofs:
        return {assets[0].name: Proposal(_sum(roofs, "export"), "what the panels give")}
    if len(assets) == 1 and grids:
        why = "no meter is at the panels: this is what the house leaves over"
        return {assets[0].name: Proposal(_sum(grids, "export"), why)}

    found = {}
    for asset in assets:
        fits = [roof for roof in roofs if _alike(asset.name, roof)]
        found[asset.name] = (
            Proposal(f"{fits[0].name}.export", f"what {fits[0].name} gives")
            if len(fits) == 1
            else Proposal("", "which meter it is cannot be told from its name")
        )
    return found


def _house(meters: Sequence[Meter], others: Sequence[Meter]) -> Proposal:
    """The use of the house: what comes in and is made, less what goes out and has its own asset."""
    grids = [meter for meter in meters if meter.role == "grid"]
    if not grids:
        own = [m for m in meters if m.role not in ("pv", "battery") and m.imports]
        own = [meter for meter in own if meter not in others]
        if not own:
            return Proposal("", "no meter measures it")
        return Proposal(_sum(own, "import"), f"what {_listed(own)} measures")

    roofs = [meter for meter in meters if meter.role == "pv" and meter.exports]
    batteries = [meter for meter in meters if meter.role == "battery"]
    is_whole = bool(roofs or batteries)
    terms = [f"+ {meter.name}.import" for meter in grids if meter.imports]
    if is_whole:
        terms += [f"- {meter.name}.export" for meter in grids if meter.exports]
    terms += [f"+ {roof.name}.export" for roof in roofs]
    terms += [f"+ {meter.name}.export" for meter in batteries if meter.exports]
    terms += [f"- {meter.name}.import" for meter in batteries if meter.imports]
    terms += [f"- {meter.name}.import" for meter in others]
    energy = " ".join(terms).removeprefix("+ ")
    if not is_whole:
        return Proposal(energy, "what the grid brings")
    return Proposal(energy, "what the grid brings and is made, less what goes elsewhere")


def _sum(meters: Sequence[Meter], direction: str) -> str:
    return " + ".join(f"{meter.name}.{direction}" for meter in meters)


def _listed(meters: Sequence[Meter]) -> str:
    return " and ".join(meter.name for meter in meters)
