"""Runs one scenario: a simulated home, its gateway's machine and the exchange, under virtual time.
Gives out what is left to be judged.

The gateway is the product's own, built by `app.Gateway` from an ordinary configuration folder; what
is simulated is handed to it at its three seams (lines, HTTP, time), and its SQLite file lies on a
simulated disk.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from math import pi, sin
from pathlib import Path
from random import Random
from uuid import UUID

from drivers.line import LineUrl, SerialSettings
from drivers.profile import Profile, load_profile
from gateway.app import Gateway
from gateway.delivery.simulated.exchange import StrictExchange
from gateway.energy.assets import Direction
from gateway.site import config
from gateway.store.errors import StoreError
from gateway.timing.clock import Clock, Sources
from tests.simulation.disk import Disk
from tests.simulation.network import Network, Outage
from tests.simulation.scenario import Happening, Scenario
from tests.simulation.truth import Home, Stream, TrueMeter
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.wires import ModbusMeter, SimulatedLine, Trouble, Wire, push_p1

P1_PERIOD_S = 10
RARELY_S = 300
"""Where meters are read as rarely as this, the P1 meter pushes …"""
RARE_P1_PERIOD_S = 60
"""… this rarely, since nobody listens to the others: what they cost is half of a long run."""
RESTART_S = 5.0
"""RestartSec of the unit: so long after it died the daemon is started again."""
MAX_CRASHES = 5
"""After so many it is not started again: the run is lost anyway."""
AWAY_S = 120.0
"""Whoever swaps a meter takes at least so long."""
_HISTORY_S = 7200
"""The home has a past of so long before the scenario."""

ASSETS: Mapping[str, tuple[str, str]] = {
    "Grid": ("smart_meter", "grid.import"),
    "PV": ("pv", "pv.export"),
    "Heat pump": ("heat_pump", "heat-pump.import"),
    "House": ("load", "grid.import - grid.export + pv.export - heat-pump.import"),
}
"""name: (kind, energy)"""


@dataclass(frozen=True, slots=True)
class MeterPlan:
    """A meter of the simulated home: its device file and what it counts."""

    profile: str
    line: str
    address: int
    streams: Mapping[Direction, Stream]
    shown_wh: Mapping[Direction, int]
    serial_number: str
    phases: int = 1


METERS: Mapping[str, MeterPlan] = {
    "grid": MeterPlan(
        "dsmr/dsmr4",
        "serial:/dev/serial/by-id/usb-p1",
        1,
        {"import": "grid_import", "export": "grid_export"},
        {"import": 12_345_678, "export": 3_456_789},
        "E0031007000012345",
        3,
    ),
    "pv": MeterPlan(
        "eastron/sdm120",
        "serial:/dev/serial/by-id/usb-rs485?baud=9600",
        2,
        {"import": "nothing", "export": "pv"},
        {"import": 4_321, "export": 15_432_109},
        "19040002",
    ),
    "heat-pump": MeterPlan(
        "eastron/sdm630",
        "tcp:192.0.2.20:502",
        1,
        {"import": "heat_pump", "export": "nothing"},
        {"import": 8_765_432, "export": 0},
        "20110001",
        3,
    ),
}


@dataclass(slots=True)
class Boot:
    """One boot of the machine, as it truly was."""

    boot_id: str
    booted_ms: int
    """True time."""


@dataclass(slots=True)
class Machine:
    """The box: its clock, as it is believed to be and as it is."""

    true_s: Callable[[], float]
    booted_s: float
    error_s: float = 0.0
    smear: tuple[float, float] | None = None
    """A smeared leap second: when it began, how long it takes (true time)."""
    synchronised: bool = False

    def sources(self, boot_id: str) -> Sources:
        """What the gateway is told."""
        return Sources(
            utc_s=lambda: self.true_s() + self.wrong_s(),
            boottime_s=lambda: self.true_s() - self.booted_s,
            synchronised=lambda: self.synchronised,
            boot_id=lambda: boot_id,
        )

    def wrong_s(self) -> float:
        """What its clock is off by now."""
        if self.smear is None:
            return self.error_s
        part = min(max((self.true_s() - self.smear[0]) / self.smear[1], 0.0), 1.0)
        return self.error_s + 0.5 * sin(pi * part)


@dataclass(slots=True)
class Remains:
    """What a run leaves behind, to be judged."""

    scenario: Scenario
    settings: config.Settings
    home: Home
    meters: Mapping[str, TrueMeter]
    exchange: StrictExchange
    assets: Mapping[str, UUID]
    boots: Mapping[str, Boot]
    trusted_ms: int | None = None
    """When the gateway could first trust the clock (true time)."""
    end_ms: int = 0
    starts: int = 0
    crashes: list[str] = field(default_factory=list)
    lost_store_ms: list[int] = field(default_factory=list)
    """When the database was damaged or deleted."""
    register_faults_ms: dict[str, list[int]] = field(default_factory=dict)
    """When a meter's registers were made to lie, by meter."""
    pauses_ms: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """From when to when a meter's registers stood still, by meter."""
    untrue_ms: list[tuple[int, int]] = field(default_factory=list)
    """When the clock was wrong although the kernel called it right (a smear), and by how much at
    most.
    """


@cache
def _profile(name: str) -> Profile:
    return load_profile(name)


class World:
    """One run of one scenario in an empty folder."""

    def __init__(self, scenario: Scenario, folder: Path, disk: Disk) -> None:
        self.scenario = scenario
        self.disk = disk
        self._folder = folder
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop
        self._true_minus_loop_s = scenario.start_s - self._loop.time()
        self._rng = Random(scenario.seed)
        origin_s = (scenario.start_s - _HISTORY_S) // 60 * 60
        home = Home(scenario.seed, origin_s)
        self._ids = Random(scenario.seed + 1)
        assets = {name: self._uuid() for name in ASSETS}
        self.exchange = StrictExchange(
            self._uuid(),
            {uuid: name for name, uuid in assets.items()},
            slot_s=int(scenario.slot),
            now=self.true_s,
            max_history=None,
        )
        self.meters = {
            name: TrueMeter(
                name,
                home,
                dict(plan.streams),
                dict(plan.shown_wh),
                round(_profile(plan.profile).energy["energy_import_wh"].resolution_wh),
                plan.serial_number,
            )
            for name, plan in METERS.items()
        }
        self._wires = {
            LineUrl.parse(plan.line).key: Wire(name, self._now_ms, self._rng)
            for name, plan in METERS.items()
        }
        self._of = {
            name: self._wires[LineUrl.parse(plan.line).key] for name, plan in METERS.items()
        }
        for name, plan in METERS.items():
            if plan.profile != "dsmr/dsmr4":
                self._of[name].meters[plan.address] = ModbusMeter(
                    _profile(plan.profile), self.meters[name], plan.phases
                )
        self._write_folder(assets)
        settings = config.load(folder)
        self.machine = Machine(self.true_s, self.true_s())
        self.remains = Remains(scenario, settings, home, self.meters, self.exchange, assets, {})
        self._network: Network = Network(self.exchange)
        self._outage: Outage = ""
        self._task: asyncio.Task[None] | None = None
        self._start_at_s = 0.0
        self._after_death: Callable[[], None] | None = None
        self._power_off = False
        self._sync_timer: asyncio.TimerHandle | None = None

    # --- time -------------------------------------------------------------------------------------

    def true_s(self) -> float:
        """UTC as it truly is."""
        return self._true_minus_loop_s + self._loop.time()

    def _now_ms(self) -> int:
        return round(self.true_s() * 1000)

    # --- the run ----------------------------------------------------------------------------------

    async def run(self) -> Remains:
        """To the scenario's end, and until the daemon has stopped."""
        async with asyncio.TaskGroup() as group:
            self._boot(error_s=-3600.0)
            period_s = P1_PERIOD_S if self.scenario.interval < RARELY_S else RARE_P1_PERIOD_S
            # Also where only one telegram in six is sent, it comes while the gateway listens:
            # within the period of the profile.
            phase_s = self._rng.uniform(0, P1_PERIOD_S)
            pushing = group.create_task(
                push_p1(self._of["grid"], self.meters["grid"], period_s, phase_s)
            )
            life = group.create_task(self._life())
            for each in self.scenario.happens:
                self._later(each.at, partial(self._befall, each))
            await asyncio.sleep(self.scenario.lasts)
            self._loop.deliver(signal.SIGTERM)
            self._start_at_s = float("inf")
            if self._task is not None:
                await asyncio.wait([self._task], timeout=120)
            for task in (pushing, life):
                task.cancel()
        self.remains.end_ms = self._now_ms()
        return self.remains

    async def _life(self) -> None:
        """The daemon, started again whenever it ends, as systemd does."""
        while True:
            while (wait_s := self._start_at_s - self._loop.time()) > 0:
                await asyncio.sleep(min(wait_s, 3600.0))
            await self._start()
            self._start_at_s = max(self._start_at_s, self._loop.time() + RESTART_S)

    async def _start(self) -> None:
        self.remains.starts += 1
        self._network = Network(self.exchange, self._outage)
        boot_id = list(self.remains.boots)[-1]
        try:
            gateway = Gateway(
                self.remains.settings,
                Clock(self.scenario.trust, self.machine.sources(boot_id)),
                open_a_line=self._open_line,
                transport=self._network,
                rng=Random(self._rng.random()),
            )
            self._task = self._loop.create_task(gateway.run())
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                self.remains.crashes.append("".join(traceback.format_exception(error)[-12:]))
                if len(self.remains.crashes) >= MAX_CRASHES:
                    self._start_at_s = float("inf")
        except StoreError:
            pass  # the daemon said so and ended; systemd starts it again
        finally:
            if self._task is not None and not self._task.done():
                self._task.cancel()
            self._task = None
            gateway = None  # type: ignore[assignment]  # what the dead process held must not outlive it
            gc.unfreeze()
            gc.collect()
            if self._after_death is not None:
                self._after_death()
                self._after_death = None
            self.disk.revive()

    async def _open_line(self, url: LineUrl, defaults: SerialSettings) -> SimulatedLine:
        return await self._wires[url.key].open(url, defaults)

    def _boot(self, error_s: float, synchronised_after_s: float | None = None) -> None:
        boot_id = str(self._uuid())
        assured = (
            self.scenario.trust == "assured"
        )  # by a clock with a battery, and no time server: that is what the operator answers for
        self.machine.booted_s = self.true_s()
        self.machine.error_s = 0.0 if assured else error_s
        self.machine.synchronised = False
        self.remains.boots = {**self.remains.boots, boot_id: Boot(boot_id, self._now_ms())}
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        if assured:
            self.remains.trusted_ms = self.remains.trusted_ms or self._now_ms()
            return
        after_s = (
            self.scenario.synchronised_after
            if synchronised_after_s is None
            else synchronised_after_s
        )
        self._sync_timer = self._loop.call_later(after_s, self._synchronise)

    def _synchronise(self) -> None:
        self.machine.error_s = 0.0
        self.machine.synchronised = True
        if self.remains.trusted_ms is None:
            self.remains.trusted_ms = self._now_ms()

    # --- what befalls it --------------------------------------------------------------------------

    def _later(self, delay_s: float, work: Callable[[], None]) -> None:
        self._loop.call_later(delay_s, work)

    def _befall(self, each: Happening) -> None:
        undo = getattr(self, f"_{each.fault}")(each)
        if undo is not None:
            self._later(each.lasts, undo)

    def _trouble(self, each: Happening, **changes: object) -> Callable[[], None]:
        trouble = self._of[each.on].trouble
        plain = Trouble()
        for name, value in changes.items():
            setattr(trouble, name, value)

        def undo() -> None:
            for name in changes:
                setattr(trouble, name, getattr(plain, name))

        return undo

    def _line_noise(self, each: Happening) -> Callable[[], None]:
        return self._trouble(each, noise=each.amount)

    def _lost_bytes(self, each: Happening) -> Callable[[], None]:
        return self._trouble(each, lost=each.amount)

    def _wrong_checksum(self, each: Happening) -> Callable[[], None]:
        return self._trouble(each, checksum=each.amount)

    def _silent_meter(self, each: Happening) -> Callable[[], None]:
        return self._trouble(each, silent=True)

    def _late_answers(self, each: Happening) -> Callable[[], None]:
        return self._trouble(each, late_s=each.amount)

    def _stranger_answers(self, each: Happening) -> Callable[[], None]:
        return self._trouble(each, stranger=each.amount)

    def _port_vanishes(self, each: Happening) -> Callable[[], None]:
        self._of[each.on].vanish()
        return self._trouble(each, gone=True)

    def _half_open(self, each: Happening) -> Callable[[], None]:
        return self._trouble(each, half_open=True)

    def _lies(self, each: Happening) -> TrueMeter:
        self.remains.register_faults_ms.setdefault(each.on, []).append(self._now_ms())
        return self.meters[each.on]

    def _bogus_zero(self, each: Happening) -> None:
        self._lies(each).zeros = int(each.amount) or 1

    def _bit_flip(self, each: Happening) -> None:
        meter = self._lies(each)
        meter.flips, meter.flip_bit = 1, int(each.amount)

    def _rollover(self, each: Happening) -> None:
        meter = self.meters[each.on]
        for direction in meter.streams:
            modulus_wh = round(
                _profile(METERS[each.on].profile).energy[f"energy_{direction}_wh"].modulus_wh
            )
            counted_wh = meter.energy_mj(direction, self._now_ms()) // 3_600_000
            meter.shown_wh[direction] = modulus_wh - int(each.amount) - counted_wh

    def _register_reset(self, each: Happening) -> None:
        self._lies(each).begin_anew(self._now_ms(), 0)

    def _meter_swapped(self, each: Happening) -> Callable[[], None]:
        self._of[each.on].trouble.silent = True
        meter = self._lies(each)
        serial = str(int(meter.serial_number[-8:]) + 1).rjust(8, "1")

        def swapped() -> None:
            self._lies(each).begin_anew(
                self._now_ms(),
                self._rng.randrange(1000, 9_000_000),
                meter.serial_number[:-8] + serial,
            )
            self._of[each.on].trouble.silent = False

        self._later(max(each.lasts, AWAY_S), swapped)
        return lambda: None

    def _meter_clock_off(self, each: Happening) -> Callable[[], None]:
        meter = self.meters[each.on]
        meter.clock_error_s = int(each.amount)
        return lambda: setattr(meter, "clock_error_s", 0)

    def _register_pauses(self, each: Happening) -> Callable[[], None]:
        meter = self._lies(each)
        meter.frozen_at_ms = self._now_ms()
        self.remains.pauses_ms.setdefault(each.on, []).append(
            (self._now_ms(), self._now_ms() + round(each.lasts * 1000))
        )

        def wake() -> None:
            meter.frozen_at_ms = None
            self._lies(each)

        return wake

    def _power_gain(self, each: Happening) -> Callable[[], None]:
        meter = self.meters[each.on]
        meter.power_factor = each.amount
        return lambda: setattr(meter, "power_factor", 1.0)

    def _both_ways(self, each: Happening) -> None:  # noqa: ARG002 — as all of them
        self.meters["grid"].streams.update({"import": "consumption", "export": "pv"})

    def _die(self, off_s: float, then: Callable[[], None] | None = None) -> None:
        """The daemon is gone at this instant; `then` happens before it is started again."""
        self._start_at_s = self._loop.time() + max(off_s, RESTART_S)
        if self._task is None:
            if then is not None:
                then()
            return
        self._network.severed = True
        self._after_death = then
        self.disk.kill()
        self._loop.call_soon(self._task.cancel)

    def _kill(self, each: Happening) -> None:
        if not self._power_off:
            self._die(each.lasts)

    def _restart(self, each: Happening) -> None:
        if not self._power_off:
            self._start_at_s = self._loop.time() + max(each.lasts, 0.1)
            self._loop.deliver(signal.SIGTERM)

    def _power_cut(self, each: Happening) -> None:
        self._cut(each, lambda: self._boot(error_s=-max(each.lasts, RESTART_S)))

    def _cut(self, each: Happening, again: Callable[[], None]) -> None:
        if self._power_off:
            return
        self._power_off = True
        done = False

        def gone() -> None:
            nonlocal done
            if done:
                return
            done = True
            self.disk.stop_at(None, lambda: None)
            off_s = max(each.lasts, RESTART_S)
            self._die(off_s, lambda: self.disk.cut_power(self._rng))

            def back() -> None:
                self._power_off = False
                again()

            self._later(off_s - 0.001, back)

        def stopped() -> None:
            self._network.severed = True
            self._loop.call_soon(gone)

        self.disk.stop_at(self.disk.writes + 1 + int(each.amount), stopped)
        self._later(600, gone)  # a daemon that writes nothing is cut all the same

    def _disk_full(self, _: Happening) -> Callable[[], None]:
        self.disk.full = True
        return lambda: setattr(self.disk, "full", False)

    def _disk_read_only(self, _: Happening) -> Callable[[], None]:
        self.disk.read_only = True
        return lambda: setattr(self.disk, "read_only", False)

    def _disk_fails(self, _: Happening) -> Callable[[], None]:
        self.disk.failing = True
        return lambda: setattr(self.disk, "failing", False)

    def _ruin(self, each: Happening, how: Callable[[Path], None]) -> None:
        def ruin() -> None:
            path = self.remains.settings.buffer_path
            if path.exists():
                how(path)
                self.remains.lost_store_ms.append(self._now_ms())

        if not self._power_off:
            self._die(each.lasts, ruin)

    def _store_truncated(self, each: Happening) -> None:
        def halve(path: Path) -> None:
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)

        self._ruin(each, halve)

    def _store_noise(self, each: Happening) -> None:
        def scribble(path: Path) -> None:
            data = bytearray(path.read_bytes())
            for at in range(0, len(data), 512):
                if self._rng.random() < each.amount:
                    data[at : at + 512] = self._rng.randbytes(512)
            path.write_bytes(data)

        self._ruin(each, scribble)

    def _store_unlinked(self, _: Happening) -> None:
        path = self.remains.settings.buffer_path
        if path.exists() and not self._power_off:
            self.remains.lost_store_ms.append(self._now_ms())
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    def _store_deleted(self, each: Happening) -> None:
        def delete(path: Path) -> None:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

        self._ruin(each, delete)

    def _clock_wrong_at_boot(self, each: Happening) -> None:
        again = partial(self._boot, error_s=each.amount, synchronised_after_s=max(each.lasts, 60.0))
        self._cut(Happening(at=each.at, fault=each.fault), again)

    def _clock_step(self, each: Happening) -> Callable[[], None]:
        # Linux: whoever sets the clock makes the kernel forget that it was synchronised
        # (ntp_clear), until the time server says so again.
        self.machine.error_s += each.amount
        if self.scenario.trust == "kernel":
            self.machine.synchronised = False
        else:
            self.remains.untrue_ms.append((self._now_ms(), abs(round(each.amount * 1000))))
        boots = len(self.remains.boots)
        return lambda: self._synchronise() if len(self.remains.boots) == boots else None

    def _suspended(self, each: Happening) -> None:
        self._true_minus_loop_s += each.lasts

    def _leap_smear(self, each: Happening) -> Callable[[], None]:
        self.machine.smear = (self.true_s(), max(each.lasts, 3600.0))
        self.remains.untrue_ms.append((self._now_ms(), 500))
        return lambda: None

    def _away(self, outage: Outage) -> Callable[[], None]:
        self._outage = self._network.outage = outage

        def back() -> None:
            self._outage = self._network.outage = ""

        return back

    def _exchange_down(self, _: Happening) -> Callable[[], None]:
        return self._away("refused")

    def _exchange_silent(self, _: Happening) -> Callable[[], None]:
        return self._away("no_answer")

    def _dns_gone(self, _: Happening) -> Callable[[], None]:
        return self._away("name")

    def _wrong_certificate(self, _: Happening) -> Callable[[], None]:
        return self._away("certificate")

    def _misbehave(self) -> Callable[[], None]:
        return lambda: self.exchange.mode("ok")

    def _exchange_slow(self, each: Happening) -> Callable[[], None]:
        self.exchange.mode("slow", seconds=each.amount)
        return self._misbehave()

    def _exchange_status(self, each: Happening) -> Callable[[], None]:
        self.exchange.mode("status", status=int(each.amount))
        return self._misbehave()

    def _exchange_busy(self, each: Happening) -> Callable[[], None]:
        self.exchange.mode("status", status=429, retry_after_s=each.amount)
        return self._misbehave()

    def _exchange_html(self, _: Happening) -> Callable[[], None]:
        self.exchange.mode("html")
        return self._misbehave()

    def _exchange_drops(self, _: Happening) -> Callable[[], None]:
        self.exchange.mode("drop_after_accept")
        return self._misbehave()

    def _exchange_partial(self, _: Happening) -> Callable[[], None]:
        self.exchange.mode("partial")
        return self._misbehave()

    def _exchange_forgets_logins(self, _: Happening) -> None:
        self.exchange.revoke_tokens()

    def _exchange_unauthorized(self, _: Happening) -> Callable[[], None]:
        self.exchange.mode("unauthorized")
        return self._misbehave()

    def _password_changed(self, _: Happening) -> Callable[[], None]:
        self.exchange.password = f"changed-{self._rng.randrange(10**6)}"
        self.exchange.revoke_tokens()
        return self._write_credentials

    # --- its folder -------------------------------------------------------------------------------

    def _uuid(self) -> UUID:
        return UUID(int=self._ids.getrandbits(128), version=4)

    def _write_folder(self, assets: Mapping[str, UUID]) -> None:
        (self._folder / "devices").mkdir(parents=True)
        scenario = self.scenario
        self._write_credentials()
        lines = [
            "site: simulated-home",
            f"market: {{slot: {scenario.slot:g}s}}",
            f"exchange: {{dialect: {scenario.dialect}, url: 'http://127.0.0.1:9', "
            f"canary_network: {self.exchange.network}, "
            "credentials: exchange.credentials}",
            "assets:",
            *(
                (
                    f"  - {{name: {name}, uuid: {uuid}, kind: {ASSETS[name][0]}, energy: "
                    f"{ASSETS[name][1]}}}"
                )
                for name, uuid in assets.items()
            ),
            "buffer: {path: buffer.sqlite}",
            "status: {port: 0}",
            f"clock: {{trust: {scenario.trust}}}",
        ]
        (self._folder / "gateway.yaml").write_text("\n".join(lines) + "\n")
        for name, plan in METERS.items():
            text = (
                f"profile: {plan.profile}\nline: {plan.line}\naddress: "
                f"{plan.address}\ninterval: {scenario.interval:g}s\n"
            )
            (self._folder / "devices" / f"{name}.yaml").write_text(text)

    def _write_credentials(self) -> None:
        path = self._folder / "exchange.credentials"
        path.touch(mode=0o600)
        path.write_text(f"username: {self.exchange.username}\npassword: {self.exchange.password}\n")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _room(disk: Disk) -> Iterator[None]:
    """The system says of the room on the disk what SQLite finds there."""
    real = os.statvfs

    def statvfs(path: str | Path) -> os.statvfs_result:
        found, free_bytes = real(path), disk.free_bytes
        if free_bytes is None or not Path(path).is_relative_to(disk.folder):
            return found
        blocks = free_bytes // found.f_frsize
        return os.statvfs_result((*found[:3], blocks, blocks, *found[5:]))

    os.statvfs = statvfs  # type: ignore[assignment]  # of a folder, never of a descriptor
    try:
        yield
    finally:
        os.statvfs = real


def run(scenario: Scenario, folder: Path, *, quiet: bool = True) -> Remains:
    """Run a scenario in an empty folder. The same scenario gives the same run."""

    async def work(disk: Disk) -> Remains:
        return await World(scenario, folder, disk).run()

    folder.mkdir(exist_ok=True)
    with (
        Disk(folder) as disk,
        _room(disk),
        _quiet() if quiet else contextlib.nullcontext(),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        return runner.run(work(disk))
