"""Looks for meters on a Modbus line: who answers, and by which profile's identification.

An answer alone is no meter. What registers hold must be what a profile says they hold (`identify`),
and then a whole reading by that profile must make sense (`drivers.found.plausible`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from drivers.found import Found, plausible
from drivers.line import BadReply, Line, LineUrl, MeterError, NoReply
from drivers.modbus.bus import Refused, request
from drivers.modbus.identify import matches
from drivers.modbus.settings import Identity, Settings
from drivers.profile import DeviceAddress, Profile

NOBODY = (10, 11)
"""What a gateway answers in the name of a meter that is not there (Modbus Application Protocol
V1.1b3, section 7).
"""

READ_TIMEOUT_S = 1.0
"""For what is read of a meter that has answered already."""

MAX_SILENT = 4
"""A meter that leaves so many identification registers unanswered, one after the other, has gone.
"""


async def answers(line: Line, address: int, timeout_s: float) -> bool:
    """Whether anybody answers at that address, were it with a refusal. Raises LineError."""
    for function in (4, 3):
        try:
            await request(line, address, function, 0, 2, timeout_s)
        except Refused as refused:
            return refused.code not in NOBODY
        except (NoReply, BadReply):
            continue
        return True
    return False


@dataclass(slots=True)
class Registers:
    """What one meter has answered, each register read once. `silent` counts questions in a row that
    it left unanswered.
    """

    line: Line
    address: int
    known: dict[tuple[int, int, int], bytes | None] = field(default_factory=dict)
    silent: int = 0

    async def match(self, identities: Iterable[Identity]) -> bool:
        """Whether all of them hold; stops asking at the first that does not. Raises LineError."""
        for identity in identities:
            data = await self._read(identity.function, identity.address, identity.count)
            if data is None or not data.strip(b"\0") or not matches(identity, data):
                return False
        return True

    async def _read(self, function: int, address: int, count: int) -> bytes | None:
        key = (function, address, count)
        if key not in self.known and self.silent < MAX_SILENT:
            self.known[key] = None
            try:
                self.known[key] = await request(
                    self.line, self.address, function, address, count, READ_TIMEOUT_S
                )
                self.silent = 0
            except NoReply:
                self.silent += 1
            except BadReply:
                self.silent = 0
        return self.known.get(key)


def names_itself(profile: Profile) -> bool:
    """Whether the profile knows its model by a name or code, rather than by a voltage that any
    meter might show.
    """
    settings: Settings = profile.settings
    return any(not identity.is_plausibility for identity in settings.identify)


async def identify(registers: Registers, profiles: Iterable[Profile], url: LineUrl) -> list[Found]:
    """The meter at that address, if a profile fits and can be read, and the other parts of its
    device; those with more to go by are tried first. Raises LineError.
    """
    fitting = []
    for profile in sorted(profiles, key=_weight):
        # What is this model's alone comes first: most other meters' answer to it ends the
        # comparison.
        if await registers.match(
            sorted(profile.settings.identify, key=lambda identity: identity.is_plausibility)
        ):
            fitting.append(profile)
    for profile in fitting:
        also = tuple(other.id for other in fitting if other.device != profile.device)
        found = await read(registers.line, registers.address, profile, url, also=also)
        if found is not None:
            others = [
                other
                for other in fitting
                if other is not profile and other.device == profile.device
            ]
            parts = [await read(registers.line, registers.address, other, url) for other in others]
            return [found, *(part for part in parts if part is not None and _has_counted(part))]
    return []


def _has_counted(part: Found) -> bool:
    """An inverter answers for the meter that it passes on also where it has none: with zeros."""
    return any(part.values.get(quantity) for quantity in part.profile.energy)


def _weight(profile: Profile) -> tuple[int, int, bool, str]:
    settings: Settings = profile.settings
    # A voltage or frequency in the reading is what tells a meter from any other numbers.
    shows_mains = bool(profile.quantities & {"voltage_v", "voltage_l1_v", "frequency_hz"})
    return (
        -sum(not identity.is_plausibility for identity in settings.identify),
        -len(settings.identify),
        not shows_mains,
        profile.id,
    )


async def read(
    line: Line,
    address: int,
    profile: Profile,
    url: LineUrl,
    *,
    also: tuple[str, ...] = (),
    text: str = "",
) -> Found | None:
    """The meter by that profile, if what it reads makes sense. Raises LineError."""
    driver = profile.open_driver(
        DeviceAddress(name="found", address=address, timeout_s=READ_TIMEOUT_S), line
    )
    try:
        reading = await driver.read(0.0)
    except MeterError:
        return None
    if not plausible(reading, profile):
        return None
    return Found(
        profile=profile,
        line=url,
        serial=line.settings,
        address=address,
        serial_number=reading.serial_number,
        values=reading.values,
        also=also,
        text=text,
    )
