"""Looks for meters on a Modbus line: who answers, and by which profile's identification.

An answer alone is no meter. What registers hold must be what a profile says they hold (`identify`),
and then a whole reading by that profile must make sense (`drivers.found.plausible`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from drivers.found import Found, plausible
from drivers.line import BadReply, Line, LineUrl, MeterError, NoReply, SerialSettings
from drivers.modbus.bus import Refused, request
from drivers.modbus.frames import THE_DEVICE_ITSELF
from drivers.modbus.identify import matches
from drivers.modbus.server_id import server_id
from drivers.modbus.settings import Identity, Settings
from drivers.profile import DeviceAddress, Profile
from drivers.search import Bus, Find

COMMON_ADDRESSES = (*range(1, 11), 33, 71, 100, 101, 126, 240, 247)
"""Where meters are found most: as they leave the factory, and as installers count on."""

ALL_ADDRESSES = (
    *COMMON_ADDRESSES,
    *(address for address in range(1, 248) if address not in COMMON_ADDRESSES),
)
FAST_ADDRESSES = tuple(range(1, 11))

COMMON_SETTINGS = (
    SerialSettings(baud=9600),
    SerialSettings(baud=9600, parity="even"),
    SerialSettings(baud=19200, parity="even"),
    SerialSettings(baud=19200),
    SerialSettings(baud=2400),
    SerialSettings(baud=38400),
    SerialSettings(baud=115200),
)

FUNCTIONS = (4, 3)
"""By which an address is asked: a meter may have input registers or holding registers only."""

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
    for function in FUNCTIONS:
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
    who: bytes | None = None

    async def match(self, identities: Iterable[Identity]) -> bool:
        """Whether all of them hold; stops asking at the first that does not. Raises LineError."""
        for identity in identities:
            if identity.asks_who:
                if not matches(identity, await self.who_is_it()):
                    return False
                continue
            data = await self._read(identity.function, identity.address, identity.count)
            if data is None or not data.strip(b"\0") or not matches(identity, data):
                return False
        return True

    async def who_is_it(self) -> bytes:
        """What the device itself says it is; empty where it does not. Raises LineError."""
        if self.who is None:
            self.who = await server_id(self.line, self.address, READ_TIMEOUT_S)
        return self.who

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


async def _fitting(registers: Registers, profiles: Iterable[Profile], url: LineUrl) -> list[Found]:
    """The meter at that address, if a profile fits and can be read, and the other parts of its
    device; those with more to go by are tried first. Raises LineError.
    """
    fitting = []
    for profile in sorted(profiles, key=_weight):
        if await registers.match(_in_order(profile.settings.identify)):
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


def _in_order(identities: Iterable[Identity]) -> list[Identity]:
    """What is this model's alone comes first: most other meters' answer to it ends the comparison.
    What the device says itself comes last: most have never heard that question.
    """
    return sorted(identities, key=lambda each: (each.asks_who, each.is_plausibility))


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


def settings(profiles: Sequence[Profile], fast: bool) -> list[SerialSettings]:
    """The serial settings to try, most likely first: as meters leave the factory, and, unless in
    haste, other usual ones.
    """
    factory = Counter(profile.serial for profile in profiles)
    usual = () if fast else COMMON_SETTINGS
    return list(dict.fromkeys([*(each for each, _ in factory.most_common()), *usual]))


async def identify(
    line: Line,
    address: int,
    profiles: Sequence[Profile],
    url: LineUrl,
    others: Sequence[Find] = (),
) -> list[Found]:
    """What is at an address that answers: by a profile that names itself, by what another protocol
    finds, or by a profile that fits. Raises LineError.
    """
    registers = Registers(line, address)
    named = [profile for profile in profiles if names_itself(profile)]
    if founds := await _fitting(registers, named, url):
        return founds

    for find in others:
        if founds := await find(line, address, url):
            return founds

    unnamed = [profile for profile in profiles if not names_itself(profile)]
    if not registers.who:
        unnamed += [silent for profile in named if (silent := _without_who(profile))]
    return await _fitting(registers, unnamed, url)


def _without_who(profile: Profile) -> Profile | None:
    """The profile of a model that names itself by function 17 alone, for one that does not answer
    that: by what else it can be told.
    """
    settings: Settings = profile.settings
    others = [each for each in settings.identify if not each.asks_who]
    if len(others) == len(settings.identify) or not all(each.is_plausibility for each in others):
        return None
    return replace(profile, settings=replace(settings, identify=others))


BUS = Bus(
    protocol="modbus",
    common_addresses=COMMON_ADDRESSES,
    all_addresses=ALL_ADDRESSES,
    fast_addresses=FAST_ADDRESSES,
    itself=tuple(reversed(THE_DEVICE_ITSELF)),
    questions=len(FUNCTIONS),
    settings=settings,
    answers=answers,
    identify=identify,
)
"""How a Modbus line is searched."""
