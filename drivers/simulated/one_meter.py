"""One simulated meter of any profile on a line of its own, for whoever wants to try the gateway, or
a program of their own, against it.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from drivers.line import LineUrl, SerialSettings
from drivers.profile import Profile
from drivers.simulated.home import meter_values
from drivers.simulated.meters import ModbusTwin, Twin, modbus_rtu, modbus_tcp, modbus_udp
from drivers.simulated.push import Clock, p1_meter, p1_server
from drivers.simulated.push_p1 import push_p1
from drivers.simulated.push_text import data_lines, push_text
from drivers.simulated.readout import readout_meter
from drivers.simulated.sml import household
from drivers.simulated.sunspec import INVERTER, METER, SunSpecTwin
from drivers.simulated.telegram import GridReading, telegram
from drivers.simulated.wire import paced_line

SERIAL_NUMBER = 12345678
P1_SERIAL_NUMBER = "E0031007000012345"
SML_SERVER_ID = bytes.fromhex("0a0153494d00") + SERIAL_NUMBER.to_bytes(4, "big")
"""1SIM0012345678"""
DSMR = "dsmr/dsmr5"
"""The P1 profile whose telegrams are written line by line, gas and all; the others' are made of
their profiles.
"""

_IMPORT_WH, _EXPORT_WH = 1_234_567, 7_654
"""What the registers show at the start: a meter that has been hanging there for a while."""

_VOLTAGES_V = (229.8, 230.4, 231.1)


@dataclass(frozen=True, slots=True)
class Load:
    """A steady load since `since_s` (UTC): `power_w`, import positive, spread over one phase or
    three.
    """

    power_w: int
    since_s: float
    phases: int = 3

    def energies_wh(self, now_s: float) -> tuple[int, int]:
        """Import and export registers."""
        wh = int(abs(self.power_w) * (now_s - self.since_s) / 3600)
        return (_IMPORT_WH + wh, _EXPORT_WH) if self.power_w >= 0 else (_IMPORT_WH, _EXPORT_WH + wh)

    def phases_w(self) -> tuple[int, ...]:
        """Whole watts per phase, whose sum is `power_w`."""
        share_w = self.power_w // self.phases
        return (share_w,) * (self.phases - 1) + (self.power_w - share_w * (self.phases - 1),)

    def values(self, now_s: float) -> dict[str, float]:
        """Everything a meter of this load measures, by quantity."""
        return meter_values(self.phases_w(), _VOLTAGES_V[: self.phases], *self.energies_wh(now_s))

    def telegram(self, now_s: int) -> bytes:
        """The telegram of a DSMR 5 meter."""
        imported_wh, exported_wh = self.energies_wh(now_s)
        l1_w, l2_w, l3_w = self.phases_w()
        return telegram(
            GridReading(
                utc_s=now_s,
                serial_number=P1_SERIAL_NUMBER,
                import_wh=(imported_wh, 0),
                export_wh=(exported_wh, 0),
                tariff=1,
                phases_w=(l1_w, l2_w, l3_w),
                voltages_v=_VOLTAGES_V,
                gas_l=4_321_000,
            )
        )


def twin_of(
    profile: Profile, load: Load, now: Clock, serial_number: int = SERIAL_NUMBER
) -> Twin | None:
    """The profile's simulated meter; None where its protocol has none on a Modbus line."""

    def values() -> dict[str, float]:
        return load.values(now())

    if profile.protocol == "modbus":
        return ModbusTwin(profile, values, serial_number)
    if profile.protocol == "sunspec":
        return SunSpecTwin(
            METER if profile.settings.part == "meter" else INVERTER, values, serial_number
        )
    return None


def telegram_of(profile: Profile, load: Load) -> Callable[[int], bytes] | None:
    """What the profile's simulated meter pushes at each UTC second; None where it pushes nothing
    that is known here.
    """
    if profile.id == DSMR:
        return load.telegram

    if profile.protocol == "p1":
        period_s = int(profile.settings.period_s)
        return lambda now_s: (
            b""
            if now_s % period_s
            else push_p1(profile.settings, load.values(now_s), P1_SERIAL_NUMBER, now_s)
        )
    if profile.protocol == "sml":
        whole_kwh = profile.energy["energy_import_wh"].resolution_wh >= 1000
        return lambda now_s: household(
            _known(profile, load, now_s), SML_SERVER_ID, whole_kwh=whole_kwh
        )
    if profile.protocol == "iec62056" and profile.settings.mode == "d":
        return lambda now_s: push_text(_known(profile, load, now_s), str(SERIAL_NUMBER))
    return None


@contextlib.asynccontextmanager
async def serving(
    profile: Profile, line: LineUrl | None, address: int, load: Load, now: Clock
) -> AsyncIterator[LineUrl]:
    """The meter answers for as long as the context; gives the line by which it is reached. None is
    a new pseudo-terminal.

    Raises ValueError where this profile cannot be simulated there, RuntimeError, OSError or
    LineError where the line cannot be had.
    """
    if line is not None and line.kind != "bytes":
        raise ValueError(
            f"nothing is simulated on {line.scheme}: — write tcp:, serial:/dev/… or pty"
        )
    if (twin := twin_of(profile, load, now)) is not None:
        async with serving_bus({address: twin}, line, profile.serial) as reached:
            yield reached
        return
    pushed = telegram_of(profile, load)
    if line is not None and line.port is not None:
        if pushed is None or line.scheme not in ("tcp", "rtu+tcp"):
            raise ValueError(
                f"{profile.id} is not simulated on {line.scheme}: — write serial:/dev/…, pty"
                + (" or tcp:" if pushed else "")
            )
        async with p1_server(pushed, now, host=line.target, port=line.port) as port:
            yield LineUrl(line.scheme, line.target, port)
        return
    async with _wired(line, profile.serial) as (path, serial, reached):
        if pushed is not None:
            async with p1_meter(path, pushed, now):
                yield reached
        else:
            async with readout_meter(
                path, serial, lambda: data_lines(_known(profile, load, now()), str(SERIAL_NUMBER))
            ):
                yield reached


@contextlib.asynccontextmanager
async def serving_bus(
    twins: Mapping[int, Twin], line: LineUrl | None, defaults: SerialSettings
) -> AsyncIterator[LineUrl]:
    """Meters by address take turns on one Modbus line; `defaults` is how its port is set where the
    line does not say.
    """
    if line is None or line.port is None:
        async with (
            _wired(line, defaults) as (path, serial, reached),
            modbus_rtu(twins, path, serial),
        ):
            yield reached
        return
    if line.scheme == "tls":
        raise ValueError(
            "nothing is simulated on tls: — write tcp:, rtu+tcp:, rtu+udp:, serial:/dev/… or pty"
        )
    serve = (
        modbus_udp if line.scheme == "rtu+udp" else partial(modbus_tcp, rtu=line.framing == "rtu")
    )
    async with serve(twins, host=line.target, port=line.port) as port:
        yield LineUrl(line.scheme, line.target, port)


@contextlib.asynccontextmanager
async def _wired(
    line: LineUrl | None, defaults: SerialSettings
) -> AsyncIterator[tuple[str, SerialSettings, LineUrl]]:
    """The port on which the meter is, how it is set, and the line by which the meter is reached."""
    if line is not None:
        yield line.target, line.serial_settings(defaults), line
        return
    async with paced_line(defaults.char_s) as wire:
        yield wire.meter_end, defaults, LineUrl("serial", wire.gateway_end)


def _known(profile: Profile, load: Load, now_s: float) -> dict[str, float]:
    """Of what a meter of this load measures, what the profile reads."""
    return {name: value for name, value in load.values(now_s).items() if name in profile.quantities}
