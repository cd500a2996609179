"""What a search has found → device files. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator

from drivers.found import Found
from drivers.line import LineUrl

DEFAULT_INTERVAL_S = 10.0

Place = tuple[str, int, str]
"""Line, address and protocol: where a meter is. Two device files of one place would read one meter twice."""


def place_of(profile_id: str, protocol: str, port: str, address: int | None) -> Place:
    """Where a meter is; `port` tells lines apart. One SunSpec device is two meters, an inverter and what it passes on."""
    return port, address or 0, profile_id if protocol == "sunspec" else protocol


def names(founds: Iterable[Found], taken: Collection[str]) -> Iterator[tuple[str, Found]]:
    """A name for each meter: maker and model, and a number where that is not the only one or `taken` already."""
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


def device_file(found: Found, line: LineUrl) -> str:
    """The text of a device file for it; `line` with the settings by which it was found."""
    text = [f"# {summary(found)}", f"profile: {found.profile.id}"]
    if found.also:
        text.insert(1, f"# It might also be {' or '.join(found.also)}: compare a reading with its display.")
    text.append(f"line: {line}")
    if found.address is not None:
        text.append(f"address: {found.address}")
    if found.profile.min_interval_s > DEFAULT_INTERVAL_S:
        text.append(f"interval: {found.profile.min_interval_s:g}s")
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
