"""The list of supported meters as a Markdown page, from their profiles. Pure."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from drivers.profile import ENERGY_QUANTITIES, Profile
from drivers.sample import QUANTITIES, unit_of

_PHASE = re.compile(r"_(l|t)([1-4])(?=_|$)")

HEAD = """\
# Supported meters

Made from the files in [hardware_profiles](../hardware_profiles); after a change there, write it
anew:

    meter-gateway profiles --markdown > docs/meters.md

The first column is what a device file names as its `profile`. *Steps* are what the energy registers
count in; between them a slot's energy follows the power. A † marks a meter whose energy or power
registers are known from a single source only: compare its first readings with its display.
`meter-gateway profiles show ID` tells the rest: registers, limits, the manual, what an installer
should know.
"""


def page(profiles: Iterable[Profile]) -> str:
    """The page: one table for each folder of profiles, in the order of their names."""
    folders = [
        list(group)
        for _, group in groupby(sorted(profiles, key=lambda profile: profile.id), key=_folder)
    ]
    tables = ["\n".join(_table(group)) for group in folders]
    return HEAD + "".join(f"\n{table}\n" for table in tables)


def _folder(profile: Profile) -> str:
    return profile.id.partition("/")[0]


def _table(profiles: list[Profile]) -> Iterator[str]:
    makers = {profile.maker for profile in profiles}
    # The folders of protocols hold what many makers build.
    yield f"## {makers.pop() if len(makers) == 1 else _folder(profiles[0]).upper()}\n"
    yield "| profile | model | speaks | steps | measures |"
    yield "|---|---|---|---|---|"
    for profile in profiles:
        mark = "" if _is_agreed(profile) else " †"
        steps = ", ".join(
            f"{_words(quantity).removeprefix('energy ')} {each.resolution_wh:g} Wh"
            for quantity, each in profile.energy.items()
        )
        cells = (
            f"`{profile.id}`{mark}",
            profile.model,
            profile.protocol,
            steps,
            ", ".join(measured(profile.quantities)),
        )
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _is_agreed(profile: Profile) -> bool:
    """Whether what slots are made of is known from two sources. Only register tables say so."""
    registers = getattr(profile.settings, "registers", {})
    return all(
        registers[quantity].agreed
        for quantity in (*ENERGY_QUANTITIES, "power_w")
        if quantity in registers
    )


def measured(quantities: Iterable[str]) -> list[str]:
    """The quantities in words, those of several phases or tariffs together: `power L1–L3`."""
    together: dict[str, list[str]] = {}
    for quantity in sorted(quantities, key=list(QUANTITIES).index):
        if "_ll_" in quantity or len(_PHASE.findall(quantity)) == 2:
            together.setdefault("voltage between phases", [])
        else:
            which = [letter.upper() + number for letter, number in _PHASE.findall(quantity)]
            together.setdefault(
                _words(_PHASE.sub("", quantity)) + (f" {which[0][0]}" if which else ""), []
            ).extend(which)
    return [_joined(name, which) for name, which in together.items()]


def _joined(name: str, which: list[str]) -> str:
    if not which:
        return name
    span = which[0] if len(which) == 1 else f"{which[0]}–{which[-1]}"
    return f"{name.rpartition(' ')[0]} {span}"


def _words(quantity: str) -> str:
    """`reactive_energy_import_varh` → `reactive energy import`."""
    if quantity == "current_n_a":
        return "neutral current"
    return (quantity.rpartition("_")[0] if unit_of(quantity) else quantity).replace("_", " ")
