"""Looks for a SunSpec device at an address of a Modbus line."""

from collections.abc import Iterable

from drivers.found import Found
from drivers.line import Line, LineUrl, MeterError
from drivers.modbus.search import READ_TIMEOUT_S, read
from drivers.profile import Profile
from drivers.sunspec.chain import Chain, ChainError
from drivers.sunspec.driver import read_chain


async def find(profiles: Iterable[Profile], line: Line, address: int, url: LineUrl) -> list[Found]:
    """The parts of the device at that address: an inverter, a meter or both. Raises LineError."""
    try:
        chain = await read_chain(line, address, READ_TIMEOUT_S)
    except (ChainError, MeterError):
        return []
    founds = []
    for profile in profiles:
        if _adds(profile, chain):
            found = await read(line, address, profile, url, text=_text(chain, profile))
            if found is not None:
                founds.append(found)
    return founds


def _adds(profile: Profile, chain: Chain) -> bool:
    """`auto` is the device's first part; a profile of a certain part adds to it only where that is
    another one.
    """
    kinds = [part.model.part for part in chain.parts]
    wanted = profile.settings.part
    if wanted == "auto":
        return bool(kinds)
    return wanted in kinds and wanted != ("inverter" if "inverter" in kinds else "meter")


def _text(chain: Chain, profile: Profile) -> str:
    """Such as `SolarEdge SE3000`."""
    wanted = profile.settings.part
    owners = [part.owner for part in chain.parts if wanted in ("auto", part.model.part)] or [
        chain.owner
    ]
    return f"{owners[0].maker} {owners[0].model}".strip()
