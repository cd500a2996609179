"""A meter of this site: what its device file says, and what it is with its profile."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from drivers.line import LineUrl
from drivers.profile import DeviceAddress, Profile
from drivers.strict_yaml import Mistake, Seconds, nearest
from gateway.energy.assets import Direction

DEVICE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""Of a meter: the name of its file."""

SMALLEST_FUSE_W = 200.0
"""One ampere at 230 V, and something less. A smaller number is not a fuse in watts: no reading of
the meter would ever be believed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFile:
    """`devices/<name>.yaml`: one meter of this site."""

    profile: Annotated[
        str,
        Meta(
            description="what the meter is: maker/model of hardware_profiles/ (docs/meters.md)",
            examples=["eastron/sdm120"],
        ),
    ]
    line: Annotated[
        LineUrl,
        Meta(
            description="where the meter is: a serial port, a USB adapter or a network address",
            examples=["serial:/dev/ttyUSB0?baud=9600", "tcp:192.168.1.20:502"],
        ),
    ]
    address: Annotated[
        int,
        Meta(
            ge=0,
            le=255,
            description="Modbus address on its line, 1 to 247; on tcp: and tls: 0 or 255 is the "
            "device itself",
            examples=[2],
        ),
    ] = 1
    interval: Annotated[
        Seconds, Meta(description="time between samples, at most half a slot", examples=["10s"])
    ] = field(default_factory=lambda: Seconds(10))
    invert: Annotated[
        bool,
        Meta(description="true where the meter is wired the other way round", examples=[True]),
    ] = False
    max_power: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="the main fuse, in W; more is a glitch (default: what the profile says)",
            examples=[17250],
        ),
    ] = None
    seasonal: Annotated[
        bool,
        Meta(
            description="true where the meter may be silent for a whole season; the nights of an "
            "inverter need no such word",
            examples=[True],
        ),
    ] = False
    number: Annotated[
        str,
        Meta(
            pattern="^[0-9A-Za-z ]{0,32}$",
            description="the meter's own number, in quotes, where it answers only to a sign-on "
            "that carries it (IEC 62056-21 mode C), or sends to a group as others of its kind do",
            examples=["00123456"],
        ),
    ] = ""
    timeout: Annotated[
        Seconds | None,
        Meta(
            description="how long the meter may take to answer (default: what its profile or "
            "protocol says)",
            examples=["2s"],
        ),
    ] = None
    check_against: Annotated[
        str | None,
        Meta(
            description="name of another meter that measures the same; the deviation is shown",
            examples=["pv"],
        ),
    ] = None
    credentials: Annotated[
        str | None,
        Meta(
            description="file with what this meter is told in secret (its protocol says which "
            "entries), mode 0600, or a systemd credential of that name",
            examples=["grid.key"],
        ),
    ] = None
    key: Annotated[
        str | None,
        Meta(
            description="another name of credentials, for a meter that encrypts",
            examples=["grid.key"],
        ),
    ] = None

    def check(self, profile: Profile, others: Sequence[str]) -> Iterator[Mistake]:
        """What does not fit the model of the meter, and `others`: the names of the other meters."""
        if unfit := profile.unfit(self.line):
            yield Mistake(("line",), *unfit)

        if not 1 <= self.address <= 247 and not self._is_the_device_itself:
            hint = "1 to 247; 0 and 255 are the device itself, on tcp: and tls: alone"
            yield Mistake(("address",), f"{self.address} is no meter's address", hint)

        if self.interval < profile.min_interval_s:
            hint = f"{profile.id} gives a new value every {profile.min_interval_s:g} s"
            yield Mistake(("interval",), f"{self.interval:g} s is too short", hint)

        if self.number and not profile.takes_number:
            message = f"{profile.id} is not called by its number"
            yield Mistake(("number",), message, "remove this key")

        if self.max_power is not None and self.max_power < SMALLEST_FUSE_W:
            yield _no_fuse(self.max_power)

        if self.check_against is not None and self.check_against not in others:
            hint = nearest(self.check_against, others) if others else "there is no other meter"
            message = f"there is no other meter {self.check_against!r}"
            yield Mistake(("check_against",), message, hint)

        if self.key is not None and self.credentials is not None:
            hint = "credentials and key are two names of one thing: keep one of them"
            yield Mistake(("key",), "the file is named twice", hint)

        if self.key is not None and not profile.credentials:
            yield Mistake(("key",), f"{profile.id} is not encrypted", "remove this key")

        if self.credentials is not None and not profile.credentials:
            message = f"{profile.id} needs no credentials"
            yield Mistake(("credentials",), message, "remove this key")

    @property
    def _is_the_device_itself(self) -> bool:
        """Whether it is asked without regard to whom it may have behind it."""
        return self.address in (0, 255) and self.line.scheme in ("tcp", "tls", "replay")


def _no_fuse(max_power_w: float) -> Mistake:
    """A number that is too small for watts is one of kilowatts, or of amperes."""
    kilo, ampere_w = max_power_w * 1000, max_power_w * 230
    hint = (
        f"it is in W: write {kilo:g} if {max_power_w:g} kW are meant, or {ampere_w:.0f} for "
        f"{max_power_w:g} A at 230 V ({3 * ampere_w:.0f} on three phases)"
    )
    message = f"{max_power_w:g} W cannot be a main fuse"
    return Mistake(("max_power",), message, hint, is_borne=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A meter of this site, with its profile."""

    name: str
    file: str
    profile: Profile
    line: LineUrl
    address: int
    interval_s: float
    invert: bool
    max_power_w: float
    timeout_s: float | None
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    check_against: str | None = None
    """The meter that measures the same."""
    seasonal: bool = False
    """Whether it may be silent for a whole season."""
    number: str = ""
    """What it is called by, where it answers to that alone."""

    @property
    def may_sleep(self) -> bool:
        """Whether its silence may be no fault."""
        return self.seasonal or self.profile.sleeps

    @property
    def on_line(self) -> DeviceAddress:
        """What its driver must know of it."""
        return DeviceAddress(
            name=self.name,
            address=self.address,
            timeout_s=self.timeout_s,
            credentials=self.credentials,
            number=self.number,
        )

    def quantity(self, direction: Direction) -> str:
        """The register that counts this direction, on a meter that may be wired the other way
        round.
        """
        is_export = (direction == "export") != self.invert
        return "energy_export_wh" if is_export else "energy_import_wh"

    def measures(self, direction: Direction) -> bool:
        """Whether the meter counts energy in this direction."""
        return self.quantity(direction) in self.profile.quantities

    def check(self, earlier: Sequence["Device"]) -> Iterator[Mistake]:
        """What does not fit the line, and the meters before this one that are on it too."""
        on_line = [other for other in earlier if other.line.key == self.line.key]
        if not on_line:
            return
        first = on_line[0]
        bus, protocol = self.profile.bus, self.profile.protocol

        if first.line.scheme != self.line.scheme:
            message = f"{first.name} has this endpoint as {first.line.scheme}:"
            yield Mistake(("line",), message, "write both alike")

        elif bus is None and self.line.kind == "datagrams":
            yield from self._check_group(on_line)

        elif bus is None and protocol == first.profile.protocol:
            message = f"{first.name} already has this line"
            yield Mistake(("line",), message, "only Modbus meters take turns on a line")

        elif bus is None or bus != first.profile.bus:
            hint = (
                f"{first.name} speaks {first.profile.protocol}, this one {protocol}: they need a "
                "line each"
            )
            yield Mistake(("line",), "two protocols on one line", hint)

        else:
            yield from self._check_address(on_line)

    def _check_group(self, on_line: Sequence["Device"]) -> Iterator[Mistake]:
        """A group carries what all of its meters send: those of one kind are told apart by their
        numbers alone.
        """
        for other in on_line:
            alike = other.profile.protocol == self.profile.protocol
            if alike and (not self.number or not other.number or self.number == other.number):
                message = f"{other.name} already has this group"
                hint = "give each of the two its own number, number: '…' — or each its own group"
                if not self.profile.takes_number:
                    hint = f"meters of {self.profile.id} need a group each"
                yield Mistake(("line",), message, hint)
                return

    def _check_address(self, on_line: Sequence["Device"]) -> Iterator[Mistake]:
        for other in on_line:
            on_this_bus = other.profile.bus == self.profile.bus
            if (
                on_this_bus
                and other.line.scheme == self.line.scheme
                and other.address == self.address
                and not _are_parts_of_one(other.profile, self.profile)
            ):
                message = f"{other.name} already has address {self.address} on this line"
                hint = "give one of the meters another address, on the meter and here"
                yield Mistake(("address",), message, hint)
                return


def _are_parts_of_one(one: Profile, other: Profile) -> bool:
    """Whether the two are different parts of one device, which has one address: an inverter, and
    the meter behind it.
    """
    return one.device == other.device and one.id != other.id


def lines_of(devices: Iterable[Device]) -> dict[str, list[Device]]:
    """Meters by the line they take turns on."""
    lines: dict[str, list[Device]] = {}
    for device in devices:
        lines.setdefault(device.line.key, []).append(device)
    return lines
