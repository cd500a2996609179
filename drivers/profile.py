"""A hardware profile: what one meter model speaks, as plain data.

A profile `eastron/sdm120` is the file `hardware_profiles/eastron/sdm120.yaml`. What every profile
has is decoded here; the section named after its protocol is decoded by that protocol's package
`drivers.<protocol>`, which offers:

- `Settings`: the dataclass of that section, with `quantities()` (what a reading holds) and
  `check()` (what does not fit together: tuples of key path, message, hint), and, where the section
  tells how a register travels, `check_energy(energy)` and `source_of(quantity)`: which register
  that is, in words;
- `open_driver(profile, device, line) -> Driver`;
- `LINE` (only where it is not "bytes"): the kind of line it speaks over (`drivers.line.LineKind`);
- `BUS` (only where meters take turns on a line by their address): the name of the bus. Protocols of
  one bus share lines. With it comes `turn_s(settings, char_s)`: seconds a turn takes, with energy
  registers and power alone and with everything;
- `CREDENTIALS` (only where a meter may want some): the entries of a device's credentials file, and
  what each is. With it comes `check_credentials(credentials)`: the names of those that are missing
  or wrong.
"""

import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from msgspec import Meta

import drivers
from drivers.line import EXAMPLES, AnyLine, LineKind, LineUrl, SerialSettings
from drivers.sample import QUANTITIES, Reading
from drivers.settings_file import (
    entries,
    is_borrowed,
    is_closed,
    read_bounded,
    settings_files,
    unquoted,
)
from drivers.settings_schema import json_schema
from drivers.strict_yaml import (
    Document,
    Problem,
    decode,
    nearest,
    parse,
)

ENERGY_QUANTITIES = ("energy_import_wh", "energy_export_wh")
"""The registers slots are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """What slot arithmetic must know of one cumulative energy register."""

    resolution_wh: Annotated[
        float, Meta(gt=0, description="the step in which the register counts, in Wh")
    ]
    modulus_wh: Annotated[
        float, Meta(gt=0, description="the value at which the register starts again from 0, in Wh")
    ]
    float32: Annotated[
        bool, Meta(description="true where the register travels as a 32-bit float")
    ] = False
    refresh_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="the meter moves the register no more often than this: standing still for "
            "less says nothing",
        ),
    ] = 0.0
    formerly: Annotated[
        str,
        Meta(
            description="where an earlier version of the software read another register: which, in "
            "the words of its `profile` event. Series that were counted from that begin anew"
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAddress:
    """What a driver must know of one meter beside its profile: its address on the line, how long to
    wait for it, its number where it answers to that alone, and its credentials if any: the entries
    that its protocol's `CREDENTIALS` names.
    """

    name: str
    address: int = 1
    timeout_s: float | None = None
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    number: str = ""


class ProtocolSettings(Protocol):
    """The section of a profile that belongs to its protocol."""

    def quantities(self) -> frozenset[str]:
        """The quantities a reading may hold."""

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """What does not fit together: (key path inside the section, message, hint)."""


class Driver(Protocol):
    """Reads one meter. It belongs to one line, whose other meters wait their turn meanwhile."""

    async def read(self, due_s: float) -> Reading:
        """One reading taken at or after `due_s` (event loop time, seconds). It is not retried.

        Raises `drivers.line.MeterError` (this meter did not answer properly; the line is fine) or
        `drivers.line.LineError` (the line is gone; reopen it and the driver with it).
        """


@runtime_checkable
class EnergyDriver(Driver, Protocol):
    """A driver that can leave out what is not read at every turn, and so spares the line."""

    async def read_energy(self, due_s: float) -> Reading:
        """As `read`, but energy registers and power alone (`drivers.sample.OFTEN`)."""


@runtime_checkable
class FollowingDriver(Driver, Protocol):
    """A driver that comes to know its meter, such as by the checksums that it sends."""

    def follow(self, before: Driver) -> None:
        """Know what the driver knew that read the same meter before the line was opened anew."""


class ProtocolPackage(Protocol):
    """What `drivers.<protocol>` offers."""

    Settings: type[ProtocolSettings]

    def open_driver(self, profile: "Profile", device: DeviceAddress, line: Any) -> Driver:
        """A driver for one meter on an open line of its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The keys every profile file has."""

    maker: Annotated[str, Meta(min_length=1, description="the maker's name")]
    model: Annotated[str, Meta(min_length=1, description="the model's name, as printed on it")]
    manual: Annotated[
        str, Meta(min_length=1, description="the document this profile was typed from")
    ]
    protocol: Annotated[str, Meta(description="the folder of drivers/ that speaks to it")]
    serial: Annotated[
        SerialSettings, Meta(description="serial settings as the meter leaves the factory")
    ] = field(default_factory=SerialSettings)
    max_power_w: Annotated[
        float, Meta(gt=0, description="the most the meter can carry, in W; more is a glitch")
    ]
    min_interval_s: Annotated[
        float, Meta(gt=0, description="reading more often than this gives nothing new")
    ] = 1.0
    sleeps: Annotated[
        bool,
        Meta(
            description="true where it has no power without sun, as an inverter: its silence at "
            "night is no fault"
        ),
    ] = False
    energy: Annotated[
        dict[Literal["energy_import_wh", "energy_export_wh"], Register],
        Meta(
            description="step and modulus of each energy register",
            min_length=1,
            extra_json_schema={"propertyNames": {"enum": list(ENERGY_QUANTITIES)}},
        ),
    ]
    sister: Annotated[
        str,
        Meta(
            description="profile of sister models, which is named where a meter refuses the energy "
            "registers of this one, or holds nothing in them"
        ),
    ] = ""
    notes: Annotated[str, Meta(description="what an installer should know")] = ""

    @staticmethod
    def stands_alone(_: tuple[str | int, ...]) -> bool:
        """Whether a mistake there is one whatever these keys say."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A profile that has been checked. `settings` is what its protocol's package made of its
    section.
    """

    id: str
    maker: str
    model: str
    manual: str
    protocol: str
    serial: SerialSettings
    max_power_w: float
    min_interval_s: float
    sleeps: bool
    energy: Mapping[str, Register]
    sister: str
    notes: str
    settings: Any

    @property
    def quantities(self) -> frozenset[str]:
        """What a reading of this model may hold."""
        return frozenset(self.settings.quantities())

    def source_of(self, quantity: str) -> str:
        """How an energy register is read, in words.

        It is stored with what was counted from it: another wording would be another register, to
        all files there are.
        """
        tell = getattr(self.settings, "source_of", None)
        where = quantity if tell is None else tell(quantity)
        return f"{self.protocol} {where}, step {self.energy[quantity].resolution_wh:g} Wh"

    @property
    def device(self) -> str:
        """The device that this is a part of, by the id of its profile or a name of its own; mostly
        it is one by itself.

        Parts of one device have one address: an inverter, and the meter that it passes on.
        """
        whole: str = getattr(self.settings, "part_of", "")
        return whole or self.id

    @property
    def takes_number(self) -> bool:
        """Whether a meter of this model may have to be called by its number."""
        return bool(getattr(self.settings, "takes_number", False))

    @property
    def may_encrypt(self) -> bool:
        """Whether a meter of this model may need a key."""
        return bool(getattr(self.settings, "may_encrypt", False))

    @property
    def credentials(self) -> Mapping[str, str]:
        """What a meter of this model may want to be told in secret: entry → what it is. Mostly
        nothing.
        """
        return credential_entries(self.protocol)

    def check_credentials(self, given: Mapping[str, str]) -> Iterator[str]:
        """What is wrong with the entries of a device's credentials file. Quotes nothing of it: a
        secret may stand in the wrong place, too.
        """
        known = self.credentials
        for name in given:
            if name not in known:
                yield f"has an entry that is not known — {nearest(name, known)}"
        for name in _package(self.protocol).check_credentials(given) if known else ():
            state = "is not what it has to be" if given.get(name) else "is missing"
            yield f"{name} {state}"

    @property
    def bus(self) -> str | None:
        """The bus on which this model takes turns with others by its address; None where it needs a
        line for itself.
        """
        name: str | None = getattr(_package(self.protocol), "BUS", None)
        return name

    def turn_s(self, char_s: float) -> tuple[float, float] | None:
        """Seconds a meter's turn takes where a character takes `char_s` (0: a network): energy and
        power alone, and everything.

        None where the meter takes no turns.
        """
        turn_s: tuple[float, float] | None = (
            None if self.bus is None else _package(self.protocol).turn_s(self.settings, char_s)
        )
        return turn_s

    @property
    def line_kind(self) -> LineKind:
        """The kind of line it is read over."""
        kind: LineKind = getattr(_package(self.protocol), "LINE", "bytes")
        return kind

    def unfit(self, line: LineUrl) -> tuple[str, str] | None:
        """Why a meter of this model cannot be read over that line: (message, hint); None where it
        may.
        """
        if line.kind == self.line_kind:
            return None
        example = EXAMPLES[self.line_kind]
        if line.scheme == "replay":
            message = f"there are no recordings of {self.protocol}: only bytes are recorded"
            return message, f"write the meter's own line, such as {example}"
        return f"{self.id} is not read over {line.scheme}:", f"its lines are such as {example}"

    def open_driver(self, device: DeviceAddress, line: AnyLine) -> Driver:
        """A driver for one meter of this model on an open line of its kind."""
        driver: Driver = _package(self.protocol).open_driver(self, device, line)
        return driver


class ProfileError(Exception):
    """A profile cannot be used; `problems` says all that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


_NOT_PROTOCOLS = {"net", "simulated"}
"""Folders of `drivers` that are no protocol: connections, and counterparts of the drivers."""


def _package(
    protocol: str,
) -> Any:  # what ProtocolPackage says; a module cannot be checked against it
    return importlib.import_module(f"drivers.{protocol}")


def protocols() -> list[str]:
    """The protocols there are: the packages in the folders of `drivers` (its `__path__`)."""
    there = {
        p.parent.name for folder in drivers.__path__ for p in Path(folder).glob("*/__init__.py")
    }
    return sorted(there - _NOT_PROTOCOLS)


def credential_entries(protocol: str) -> Mapping[str, str]:
    """What a meter of that protocol may want to be told in secret: entry → what it is."""
    entries: Mapping[str, str] = getattr(_package(protocol), "CREDENTIALS", {})
    return entries


def shipped_folder() -> Path:
    """Where the profiles that come with the software are."""
    beside = Path(__file__).parent.parent / "hardware_profiles"
    if beside.is_dir():
        return beside
    from importlib import resources  # with it come archives of all kinds: 1 MB in the daemon

    return Path(str(resources.files("hardware_profiles")))


def profile_ids(*folders: Path) -> list[str]:
    """The ids of all profiles in these folders (by default the shipped ones)."""
    found = {
        path.relative_to(folder).with_suffix("").as_posix()
        for folder in folders or (shipped_folder(),)
        for maker in entries(folder)
        for path in settings_files(maker)
    }
    return sorted(found)


def load_profile(profile_id: str, *folders: Path) -> Profile:
    """The profile of that id from the first folder that has it (by default the shipped ones).

    Raises ProfileError with every problem of the file, or with the nearest known id.
    """
    folders = folders or (shipped_folder(),)
    for folder in folders:
        if profile_id in profile_ids(folder):
            path = folder / f"{profile_id}.yaml"
            return _load_file(profile_id, path, folder, folders)
    for folder in filter(is_closed, folders):
        hint = "make it readable for the gateway's user, or run this as root (with sudo)"
        message = f"cannot be looked into for the profile {profile_id!r}: permission denied"
        raise ProfileError([Problem(str(folder), 0, "", message, hint)])
    hint = nearest(profile_id, profile_ids(*folders))
    raise ProfileError([Problem(profile_id, 0, "", f"there is no profile {profile_id!r}", hint)])


def _load_file(profile_id: str, path: Path, folder: Path, folders: tuple[Path, ...]) -> Profile:
    try:
        text, _ = read_bounded(path)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        hint = "make it readable for the gateway's user"
        raise ProfileError([Problem(str(path), 0, "", problem, hint)]) from error

    document = parse(text, str(path))
    _check_named(profile_id, document, folders)
    try:
        return decode_profile(profile_id, document)
    except ProfileError as error:
        if not is_borrowed(path, folder):
            raise
        problems = list(unquoted(error.problems, "a profile"))
    raise ProfileError(problems)


def _check_named(profile_id: str, document: Document, folders: tuple[Path, ...]) -> None:
    """Report where the file names another profile that is not there."""
    data = document.data if isinstance(document.data, dict) else {}
    protocol = str(data.get("protocol"))
    section = data.get(protocol)
    whole = section.get("part_of") if isinstance(section, dict) else None
    for path, named, what in (
        ((protocol, "part_of"), whole, "a part of"),
        (("sister",), data.get("sister"), "a sister of"),
    ):
        if not isinstance(named, str) or not named:
            continue
        if named == profile_id:
            hint = "name the profile of the other device, or remove this key"
            document.report(path, f"{named} cannot be {what} itself", hint)
        elif named not in (known := profile_ids(*folders)):
            message = f"there is no profile {named!r} that this could be {what}"
            document.report(path, message, nearest(named, known))


def decode_profile(profile_id: str, document: Document) -> Profile:
    """A profile from its parsed file. Raises ProfileError with every problem."""
    data = document.data
    file = None
    settings: Any = None
    if not document.problems and not isinstance(data, dict):
        document.report((), "expected key: value pairs", "see hardware_profiles/ for examples")
    if isinstance(data, dict):
        protocol = data.get("protocol")
        known = protocols()
        # Where the protocol's name is wrong, that one problem is reported, not its section besides.
        sections = [protocol] if protocol in known else [protocol, *known]
        common = {key: value for key, value in data.items() if key not in sections}
        file = decode(_File, document, (), common)
        if isinstance(protocol, str):
            if protocol not in known:
                document.report(
                    ("protocol",), f"there is no protocol {protocol!r}", nearest(protocol, known)
                )
            else:
                settings = decode(
                    _package(protocol).Settings, document, (protocol,), data.get(protocol) or {}
                )
                if settings is not None:
                    for path, message, hint in settings.check():
                        document.report((protocol, *path), message, hint)
    if file is not None and settings is not None:
        for path, message, hint in _check(file, settings):
            document.report(path, message, hint)
    elif isinstance(data, dict) and data.get("protocol") in known:
        _report_the_rest(document, data, common, settings)
    if document.problems or file is None:
        raise ProfileError(document.problems)
    return Profile(
        id=profile_id,
        settings=settings,
        **{name: getattr(file, name) for name in _File.__dataclass_fields__},
    )


_UNTOLD = {"maker": "?", "model": "?", "manual": "?", "max_power_w": 1.0}
"""What stands for keys that are missing or wrong, while the rest is looked at."""


def _report_the_rest(
    document: Document, data: dict[str, Any], common: dict[str, Any], settings: Any
) -> None:
    """What is wrong beside what could not be read, so that all mistakes are told in one round."""
    from drivers.sound_part import sound_part  # only mistakes need it

    protocol = data["protocol"]
    settings_class = _package(protocol).Settings
    untold = getattr(settings_class, "UNTOLD", None)
    section = sound_part(settings_class, data.get(protocol) or {}, untold)
    given = {key: value for key, value in common.items() if value is not None}
    file = sound_part(_File, {**_UNTOLD, **given}, _UNTOLD)
    if section is None:
        return

    told = set()
    for table, quantity in _unknown_names(data.get(protocol)):
        message = f"there is no quantity {quantity!r}"
        document.report((protocol, table, quantity), message, nearest(quantity, QUANTITIES))
        told.add(message)
    if settings is None:
        for path, message, hint in section.news(iter(section.settings.check())):
            document.report((protocol, *path), message, hint)
    if file is not None:
        mistakes = section.news(_check(file.settings, section.settings))
        for path, message, hint in file.news(mistakes):
            if message not in told:
                document.report(path, message, hint)


def _unknown_names(section: object) -> Iterator[tuple[str, str]]:
    """The names of rows that are no quantity's, by their tables, be the rows readable or not."""
    for table in ("registers", "sums"):
        rows = section.get(table) if isinstance(section, dict) else None
        for name in rows if isinstance(rows, dict) else ():
            if isinstance(name, str) and name not in QUANTITIES:
                yield table, name


def _check(file: _File, settings: ProtocolSettings) -> Iterator[tuple[tuple[str, ...], str, str]]:
    quantities = settings.quantities()
    for quantity in sorted(quantities - set(QUANTITIES)):
        yield (file.protocol,), f"there is no quantity {quantity!r}", nearest(quantity, QUANTITIES)
    for quantity in ENERGY_QUANTITIES:
        if quantity in quantities and quantity not in file.energy:
            yield (
                ("energy",),
                f"{quantity} lacks its resolution and modulus",
                "slot arithmetic needs both; see the manual",
            )
        if quantity in file.energy and quantity not in quantities:
            yield (
                ("energy", quantity),
                "the profile does not read this register",
                f"add it under {file.protocol} or remove it here",
            )
    for quantity, register in file.energy.items():
        if register.modulus_wh <= register.resolution_wh:
            hint = "write, in Wh, where the display starts again from 0: 99999.9 kWh are 100000000"
            yield (
                ("energy", quantity, "modulus_wh"),
                f"is not more than one step of {register.resolution_wh:g} Wh",
                hint,
            )
    check_energy = getattr(settings, "check_energy", None)
    if check_energy is not None:
        for quantity, message, hint in check_energy(file.energy):
            yield ("energy", quantity), message, hint


def profile_schema(protocol: str) -> dict[str, Any]:
    """The JSON Schema of a profile file of that protocol, for editors: the keys every profile has
    and the protocol's own section.
    """
    schema = json_schema(_File, f"Hardware profile ({protocol})")
    section = json_schema(_package(protocol).Settings, protocol)
    schema["$defs"] |= section["$defs"]
    file = schema["$defs"][_File.__name__]
    file["title"] = "Hardware profile"
    file["properties"]["protocol"]["const"] = protocol
    file["properties"][protocol] = {"$ref": section["$ref"]}
    if schema["$defs"][section["$ref"].rpartition("/")[2]].get("required"):
        file["required"].append(protocol)
    return schema
