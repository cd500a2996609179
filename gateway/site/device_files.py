"""What a search has found → device files. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from drivers.found import Found
from drivers.line import LineUrl
from drivers.profile import Profile

DEFAULT_INTERVAL_S = 10.0


class Endpoint(NamedTuple):
    """Where a meter is. Two device files of one endpoint would read one meter twice."""

    port: str
    address: int | None
    """None: it has the line for itself"""
    device: str
    profile_id: str

    def is_taken(self, known: Iterable["Endpoint"]) -> bool:
        """Whether a meter is there already. Other parts of the same device have its address: an
        inverter, and the meter it passes on.
        """
        there = [each for each in known if (each.port, each.address) == (self.port, self.address)]
        return any(
            each.device != self.device or each.profile_id == self.profile_id for each in there
        )


def endpoint_of(profile: Profile, port: str, address: int | None) -> Endpoint:
    """Where a meter is; `port` tells lines apart."""
    return Endpoint(port, address, profile.device, profile.id)


def names(founds: Iterable[Found], taken: Collection[str]) -> Iterator[tuple[str, Found]]:
    """A name for each meter: maker and model, and a number where that is not the only one or
    `taken` already.
    """
    used = set(taken)
    for found in founds:
        plain = re.sub(r"[^a-z0-9_-]+", "-", found.profile.id.lower().replace("/", "-")).strip("-")
        plain = plain if plain[:1].isalpha() else f"meter-{plain}"
        name, number = plain, 1
        while name in used:
            number += 1
            name = f"{plain}-{number}"
        used.add(name)
        yield name, found


def device_file(found: Found, line: LineUrl, *, inverted: bool = False) -> str:
    """The text of a device file for it; `line` with the settings by which it was found. `inverted`:
    it is wired the other way round.
    """
    text = [f"# {summary(found)}", f"profile: {found.profile.id}"]
    if found.also:
        text.insert(
            1, f"# It might also be {' or '.join(found.also)}: compare a reading with its display."
        )
    text.append(f"line: {line}")
    if found.address is not None:
        text.append(f"address: {found.address}")
    if found.profile.min_interval_s > DEFAULT_INTERVAL_S:
        text.append(f"interval: {found.profile.min_interval_s:g}s")
    if inverted:
        text.append("invert: true  # wired the other way round: its import counts what it gives")
    return "\n".join(text) + "\n"


def summary(found: Found) -> str:
    """Such as `Eastron SDM630-Modbus V2, serial number 20110001, 1234.5 W`."""
    parts = [found.text or f"{found.profile.maker} {found.profile.model}"]
    if found.serial_number:
        parts.append(f"serial number {found.serial_number}")
    if found.power_w is not None:
        parts.append(f"{found.power_w:.7g} W")
    # One line, whatever a meter says of itself.
    return "".join(each if each.isprintable() else " " for each in ", ".join(parts))
