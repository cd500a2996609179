"""`meter-gateway check --try`: does everything once that the daemon will do, and says how it went.
Nothing waits for ever, and nothing is booked or delivered.
"""

import asyncio
import errno
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.line import LineError, MeterError, open_any_line
from drivers.line_protocol import LineHeld
from drivers.net.mqtt import Broker, MqttConnection
from drivers.net.tls import client_context
from drivers.port_users import port_taken
from drivers.sample import Reading
from gateway import MADE_S
from gateway.delivery.destination import spoken
from gateway.delivery.http_session import ExchangeError
from gateway.delivery.kinds import kind_of
from gateway.site.credentials import ConfigError
from gateway.site.devices import Device, lines_of
from gateway.site.settings import MqttSettings, Settings
from gateway.store.errors import StoreError
from gateway.store.opening import open_for_reading
from gateway.timing.clock import Clock
from gateway.timing.utc import utc_seconds

METER_S = 20.0
"""How long a meter may take, where it gives a value more often than that."""
LONGEST_S = 90.0
LOGIN_S = 15.0
LEAST_FREE_BYTES = 100_000_000

Mark = Literal["ok", "✗", "–"]


@dataclass(frozen=True, slots=True)
class Tried:
    """How one thing went. `–`: it could not be tried, which is no fault."""

    mark: Mark
    what: str
    said: str

    def __str__(self) -> str:
        return f"{self.mark:<3}{self.what}: {self.said}"


async def trials(settings: Settings, heard: dict[str, str]) -> AsyncIterator[Tried]:
    """Everything in turn; the lines at the same time. `heard` says of the meters of a running
    daemon when it heard them.
    """
    yield _clock(settings)
    for tried in _disk(settings.buffer_path):
        yield tried

    lines = lines_of(settings.devices).values()
    tasks = [asyncio.create_task(_line(devices, heard)) for devices in lines]
    for task in tasks:
        for tried in await task:
            yield tried

    for name in settings.destinations:
        yield await _destination(settings, name)
    if settings.grid_operator is not None:
        yield await _grid_operator(settings)
    if settings.mqtt is not None:
        yield await _broker(settings, settings.mqtt)
    yield _page(settings, runs=bool(heard))


def _clock(settings: Settings) -> Tried:
    clock = Clock(settings.clock.trust, made_s=MADE_S)
    if settings.clock.trust == "assured" and clock.trusted:
        says = utc_seconds(time.time())
        return Tried(
            "ok", "clock", f"you answer for it (clock: {{trust: assured}}); it says {says}"
        )
    return tried_clock(clock)


def tried_clock(clock: Clock) -> Tried:
    """Whether the clock is believed; and if not, why, and what to do."""
    if clock.trusted:
        return Tried("ok", "clock", "synchronised")
    if clock.refusal or time.time() < MADE_S:
        return Tried("✗", "clock", clock.why)
    hint = (
        "no slot closes until it is: timedatectl set-ntp true, and see: timedatectl timesync-status"
    )
    return Tried("✗", "clock", f"not synchronised — {hint}")


def _disk(buffer: Path) -> Iterator[Tried]:
    folder = buffer.parent
    if folder.exists() and not folder.is_dir():
        yield Tried("✗", str(folder), "is not a folder — name another one as buffer: {path: …}")
        return
    if not folder.is_dir():
        above = next(each for each in folder.parents if each.exists())
        if os.access(above, os.W_OK | os.X_OK):
            yield Tried("ok", str(folder), "is made at the first start")
        else:
            hint = f"make it, and run: chown meter-gateway: {folder}"
            yield Tried("✗", str(folder), f"is not there and cannot be made — {hint}")
        return

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        hint = f"check the disk with dmesg, or run: chown -R meter-gateway: {folder}"
        yield Tried("✗", str(folder), f"cannot be written: {error.strerror} — {hint}")
        return

    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if free < LEAST_FREE_BYTES:
        hint = "free space on this disk, or name another one as buffer: {path: …}"
        yield Tried("✗", str(folder), f"only {free / 1e6:.0f} MB are free — {hint}")
    else:
        yield Tried("ok", str(folder), f"can be written; {free / 1e6:,.0f} MB are free")

    if buffer.exists():
        try:
            if not os.access(buffer, os.R_OK | os.W_OK):
                raise StoreError("cannot be read and written; run: chown meter-gateway: it")
            open_for_reading(buffer).close_file()
            yield Tried("ok", str(buffer), "can be read")
        except StoreError as error:
            yield Tried("✗", str(buffer), str(error).removeprefix(f"{buffer}: "))


async def _line(devices: list[Device], heard: dict[str, str]) -> list[Tried]:
    """Every meter of one line, one after the other."""
    first = devices[0]
    try:
        async with asyncio.timeout(METER_S):
            line = await open_any_line(first.line, first.profile.serial)
    except TimeoutError:
        return [Tried("✗", d.name, f"{d.line}: does not open in {METER_S:g} s") for d in devices]
    except LineError as error:
        if _is_held(error) and heard:
            return [Tried("–", d.name, _held(d, heard)) for d in devices]
        return [Tried("✗", device.name, str(error)) for device in devices]

    found = []
    if first.line.scheme == "serial" and (taken := port_taken(first.line.target)):
        found.append(Tried("✗", str(first.line), taken))
    try:
        return [*found, *[await _meter(device, line) for device in devices]]
    finally:
        line.close()


def _is_held(error: LineError) -> bool:
    return isinstance(error, LineHeld)


def _held(device: Device, heard: dict[str, str]) -> str:
    when = heard.get(device.name, "it does not know this meter: start it anew")
    return f"{device.line} is held by the running daemon; {when}"


async def _meter(device: Device, line: object) -> Tried:
    limit_s = min(max(METER_S, 2 * device.profile.min_interval_s + METER_S / 2), LONGEST_S)
    try:
        driver = device.profile.open_driver(device.on_line, line)  # type: ignore[arg-type]
        async with asyncio.timeout(limit_s):
            reading = await driver.read(asyncio.get_running_loop().time())
    except TimeoutError:
        hint = "is it on, and are address and baud rate right? meter-gateway scan looks for it"
        return Tried("✗", device.name, f"{device.line}: no reading in {limit_s:g} s — {hint}")
    except (MeterError, LineError) as error:
        return Tried("✗", device.name, str(error))
    return Tried("ok", device.name, _read(device, reading))


def _read(device: Device, reading: Reading) -> str:
    parts = [f"{device.profile.id} on {device.line}"]
    if reading.serial_number:
        parts.append(f"serial number {reading.serial_number}")
    return ", ".join([*parts, *shown_values(reading.values)])


def shown_values(values: Mapping[str, float]) -> Iterator[str]:
    """What a person compares with a meter's display."""
    for quantity, what in (("energy_import_wh", "import"), ("energy_export_wh", "export")):
        if quantity in values:
            yield f"{what} {values[quantity] / 1000:,.3f} kWh"
    if "power_w" in values:
        yield f"{values['power_w']:,.0f} W"


async def _destination(settings: Settings, name: str) -> Tried:
    its_settings = settings.destinations[name]
    log_in = getattr(kind_of(its_settings), "log_in", None)
    if log_in is None:
        return Tried("–", spoken(name), "not tried: its kind has no login")
    return await _login(spoken(name), log_in(its_settings, settings, LOGIN_S))


async def _grid_operator(settings: Settings) -> Tried:
    from gateway.delivery.kinds.exchange import log_in
    from gateway.operator.settings import GridOperator

    assert isinstance(settings.grid_operator, GridOperator)
    account = settings.grid_operator.settings
    return await _login("the grid operator's account", log_in(account, settings, LOGIN_S))


async def _login(what: str, logging_in: Awaitable[str]) -> Tried:
    """One login. It says what else is worth knowing, or raises."""
    try:
        async with asyncio.timeout(LOGIN_S + 1):
            said = await logging_in
    except TimeoutError:
        return Tried("✗", what, f"no answer in {LOGIN_S:g} s — check its url")
    except ConfigError as error:
        return Tried("✗", what, "; ".join(map(str, error.problems)))
    except (OSError, ValueError, ExchangeError) as error:
        return Tried("✗", what, str(error))
    return Tried("ok", what, "; ".join(("takes the login", *filter(None, [said]))))


async def _broker(settings: Settings, mqtt: MqttSettings) -> Tried:
    what = f"mqtt {mqtt.host}:{mqtt.port}"
    try:
        login = settings.credentials(mqtt.credentials) if mqtt.credentials else None
        broker = Broker(
            mqtt.host,
            mqtt.port,
            tls=client_context(mqtt.ca_file) if mqtt.tls else None,
            # Not the daemon's own: a broker ends the connection of an earlier one of that name.
            client_id=f"meter-gateway-{settings.site}-check",
            username=login.username if login else None,
            password=login.password if login else None,
            login_from=mqtt.credentials or "mqtt.credentials",
        )
        connection = await MqttConnection.connect(broker)
    except ConfigError as error:
        return Tried("✗", what, "; ".join(map(str, error.problems)))
    except OSError as error:
        number = getattr(error, "errno", None)
        said = os.strerror(number) if number else str(error)
        return Tried("✗", what, f"{said} — see host, port and tls of mqtt:")
    connection.abort()
    return Tried("ok", what, "lets us in")


def _page(settings: Settings, *, runs: bool) -> Tried:
    host, port = settings.status.host, settings.status.port
    what = f"status page {host}:{port}"
    if error := why_not_bound(host, port):
        if error.errno == errno.EADDRINUSE:
            if runs:
                return Tried("–", what, "is held by the running daemon")
            hint = "another program has it (ss -ltnp names it): stop it, or name another port"
            return Tried("✗", what, f"in use — {hint}")
        hint = "name an address of this machine, and a port from 1024 on, in status:"
        return Tried("✗", what, f"cannot listen: {error.strerror or error} — {hint}")
    return Tried("ok", what, "is free")


def why_not_bound(host: str, port: int) -> OSError | None:
    """Why nobody can listen there now; None where one can."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        return error
    return None
