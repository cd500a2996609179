"""One simulated meter of any profile on a line of its own, for whoever wants to try the gateway, or a program of their own, against it."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from drivers.line import LineUrl
from drivers.profile import Profile
from gateway.sandbox.house import meter_values
from gateway.sandbox.meters import Clock, ModbusTwin, Twin, modbus_rtu, modbus_tcp, p1_meter
from gateway.sandbox.push_p1 import push_p1
from gateway.sandbox.push_text import push_text
from gateway.sandbox.sml import household
from gateway.sandbox.sunspec import INVERTER, METER, SunSpecTwin
from gateway.sandbox.telegram import GridReading, telegram
from gateway.sandbox.wire import paced_line

SERIAL_NUMBER = 12345678
P1_SERIAL_NUMBER = "E0031007000012345"
SML_SERVER_ID = bytes.fromhex("0a0153494d00") + SERIAL_NUMBER.to_bytes(4, "big")
"""1SIM0012345678"""
DSMR = "dsmr/dsmr5"
"""The P1 profile whose telegrams are written line by line, gas and all; the others' are made of their profiles."""

_IMPORT_WH, _EXPORT_WH = 1_234_567, 7_654
"""What the registers show at the start: a meter that has been hanging there for a while."""

_VOLTAGES_V = (229.8, 230.4, 231.1)


@dataclass(frozen=True, slots=True)
class Load:
    """A steady load since `since_s` (UTC): `power_w`, import positive, spread over one phase or three."""

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


def twin_of(profile: Profile, load: Load, now: Clock, serial_number: int = SERIAL_NUMBER) -> Twin | None:
    """The profile's simulated meter; None where its protocol has none on a Modbus line."""

    def values() -> dict[str, float]:
        return load.values(now())

    if profile.protocol == "modbus":
        return ModbusTwin(profile, values, serial_number)
    if profile.protocol == "sunspec":
        return SunSpecTwin(METER if profile.settings.part == "meter" else INVERTER, values, serial_number)
    return None


def telegram_of(profile: Profile, load: Load) -> Callable[[int], bytes] | None:
    """What the profile's simulated meter pushes at each UTC second; None where it pushes nothing that is known here."""
    if profile.id == DSMR:
        return load.telegram

    def values(now_s: int) -> dict[str, float]:
        return {name: value for name, value in load.values(now_s).items() if name in profile.quantities}

    if profile.protocol == "p1":
        period_s = int(profile.settings.period_s)
        return lambda now_s: b"" if now_s % period_s else push_p1(profile.settings, load.values(now_s), P1_SERIAL_NUMBER, now_s)
    if profile.protocol == "sml":
        whole_kwh = profile.energy["energy_import_wh"].resolution_wh >= 1000
        return lambda now_s: household(values(now_s), SML_SERVER_ID, whole_kwh=whole_kwh)
    if profile.protocol == "iec62056" and profile.settings.mode == "d":
        return lambda now_s: push_text(values(now_s), str(SERIAL_NUMBER))
    return None


@contextlib.asynccontextmanager
async def serving(profile: Profile, line: LineUrl | None, address: int, load: Load, now: Clock) -> AsyncIterator[LineUrl]:
    """The meter answers for as long as the context; gives the line by which it is reached. None is a new pseudo-terminal.

    Raises ValueError where this profile cannot be simulated there, RuntimeError or OSError where the line cannot be had.
    """
    twin = twin_of(profile, load, now)
    pushed = telegram_of(profile, load) if twin is None else None
    if twin is None and pushed is None:
        raise ValueError(f"{profile.id}: there is no simulated {profile.protocol} meter but those that push")
    if line is not None and line.port is not None:
        if twin is None:
            raise ValueError(f"{profile.id} is simulated on a serial port only — write serial:/dev/… or pty")
        async with modbus_tcp({address: twin}, host=line.target, port=line.port, rtu=line.framing == "rtu") as port:
            yield LineUrl(line.scheme, line.target, port)
        return
    serial = profile.serial if line is None else line.serial_settings(profile.serial)
    async with contextlib.AsyncExitStack() as stack:
        if line is None:
            wire = await stack.enter_async_context(paced_line(serial.char_s))
            path, reached = wire.meter_end, LineUrl("serial", wire.gateway_end)
        else:
            path, reached = line.target, line
        if twin is not None:
            await stack.enter_async_context(modbus_rtu({address: twin}, path, serial))
        elif pushed is not None:
            await stack.enter_async_context(p1_meter(path, pushed, now))
        yield reached
