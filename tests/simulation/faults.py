"""Every fault of `scenario.FAULTS`, as what it does to a world: the table APPLY, from the fault's
name to a function.

Such a function applies the fault now. It returns how to take it away again, which is done when the
event's time is over, or None where nothing is to be undone.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.strict_yaml import Seconds
from gateway.store.errors import InUse
from gateway.timing.clock import BATTERY_S
from tests.simulation.applying import Apply, Undo
from tests.simulation.exchange_faults import EXCHANGE_FAULTS
from tests.simulation.fee_faults import FEE_APPLY
from tests.simulation.fleet_faults import FLEET_APPLY
from tests.simulation.home import profile_of
from tests.simulation.learned_faults import learned_lost, slot_changed
from tests.simulation.page_fault import page_asked
from tests.simulation.process import RESTART_S
from tests.simulation.register_faults import REGISTER_FAULTS, lying_meter
from tests.simulation.scenario import Fault, FaultEvent
from tests.simulation.truth import MJ_PER_WH
from tests.simulation.wires import Flood, Trouble
from tests.simulation.word_faults import WORD_FAULTS

if TYPE_CHECKING:
    from tests.simulation.world import World

AWAY_S = 120.0
"""Whoever swaps a meter takes at least so long."""
EVERY_S = 60.0
"""So often somebody tries to start a second daemon."""
CUT_WITHIN_S = 600.0
"""A daemon that writes nothing for so long loses power all the same."""

# --- line -----------------------------------------------------------------------------------------


def _trouble(world: "World", event: FaultEvent, **changes: object) -> Undo:
    trouble = world.home.wire_of[event.on].trouble
    plain = Trouble()
    for name, value in changes.items():
        setattr(trouble, name, value)

    def undo() -> None:
        for name in changes:
            setattr(trouble, name, getattr(plain, name))

    return undo


def _by_amount(name: str) -> Apply:
    """Trouble of a wire, as much as the event says."""
    return lambda world, event: _trouble(world, event, **{name: event.amount})


def _switched_on(name: str) -> Apply:
    """Trouble of a wire that is there or not."""
    return lambda world, event: _trouble(world, event, **{name: True})


def _line_floods(world: "World", event: FaultEvent) -> Undo:
    wire = world.home.wire_of[event.on]
    before = wire.floods
    undo = _trouble(world, event, flood=_FLOODS[int(event.amount)])

    def dry() -> None:
        undo()
        world.fault_log.felt[event.fault] += wire.floods - before

    return dry


_FLOODS: tuple[Flood, ...] = ("noise", "answers")


def _port_vanishes(world: "World", event: FaultEvent) -> Undo:
    world.home.wire_of[event.on].vanish()
    return _trouble(world, event, gone=True)


# --- meter ----------------------------------------------------------------------------------------


def _rollover(world: "World", event: FaultEvent) -> None:
    meter = world.home.meters[event.on]
    energy = profile_of(event.on).energy
    for direction in meter.streams:
        modulus_wh = round(energy[f"energy_{direction}_wh"].modulus_wh)
        counted_wh = meter.energy_mj(direction, world.time.ms()) // MJ_PER_WH
        meter.shown_wh[direction] = modulus_wh - int(event.amount) - counted_wh


def _register_reset(world: "World", event: FaultEvent) -> None:
    world.fault_log.reset_ms[event.on] = world.time.ms()
    lying_meter(world, event).begin_anew(world.time.ms(), 0)


def _meter_swapped(world: "World", event: FaultEvent) -> None:
    trouble = world.home.wire_of[event.on].trouble
    trouble.silent = True
    meter = lying_meter(world, event)
    number = str(int(meter.serial_number[-8:]) + 1).rjust(8, "1")

    def swapped() -> None:
        lying_meter(world, event).begin_anew(
            world.time.ms(),
            world.rng.randrange(1000, 9_000_000),
            meter.serial_number[:-8] + number,
        )
        trouble.silent = False

    world.later(max(event.lasts, AWAY_S), swapped)


def _meter_clock_off(world: "World", event: FaultEvent) -> Undo:
    meter = world.home.meters[event.on]
    meter.clock_error_s = int(event.amount)
    return partial(setattr, meter, "clock_error_s", 0)


def _register_pauses(world: "World", event: FaultEvent) -> Undo:
    meter = lying_meter(world, event)
    now_ms = world.time.ms()
    meter.frozen_at_ms = now_ms
    pauses_ms = world.fault_log.pauses_ms.setdefault(event.on, [])
    pauses_ms.append((now_ms, now_ms + round(event.lasts * 1000)))

    def wake() -> None:
        meter.frozen_at_ms = None
        lying_meter(world, event)

    return wake


def _power_gain(world: "World", event: FaultEvent) -> Undo:
    meter = world.home.meters[event.on]
    meter.power_factor = event.amount
    return partial(setattr, meter, "power_factor", 1.0)


def _both_ways(world: "World", _: FaultEvent) -> None:
    world.home.meters["grid"].streams.update({"import": "consumption", "export": "pv"})


# --- host -----------------------------------------------------------------------------------------


def _kill(world: "World", event: FaultEvent) -> None:
    if not world.process.power_off:
        world.process.die(event.lasts)


def _restart(world: "World", event: FaultEvent) -> None:
    if not world.process.power_off:
        world.process.restart(event.lasts)


def _second_daemon(world: "World", event: FaultEvent) -> None:
    """Where the first is dead, the second is what has its place: it is started at once."""
    until_s = world.time.s() + event.lasts

    def start() -> None:
        if world.process.power_off or not world.settings.buffer_path.exists():
            pass  # there is no box, or no buffer to share
        elif world.process.is_running:
            try:
                world.start_another()
            except InUse:
                world.fault_log.felt[event.fault] += 1
            else:
                world.process.crashes.append("a second daemon was let on to the same buffer")
        else:
            world.process.start_now()

        if world.time.s() + EVERY_S <= until_s:
            world.later(EVERY_S, start)

    start()


def _power_cut(world: "World", event: FaultEvent) -> None:
    boot = partial(world.machine.boot, error_s=-max(event.lasts, RESTART_S))
    _cut_power(world, event, boot)


def _clock_wrong_at_boot(world: "World", event: FaultEvent) -> None:
    begin = partial(
        world.machine.boot, error_s=event.amount, synchronised_after_s=max(event.lasts, 60.0)
    )

    def boot() -> None:
        # What no clock can say after what was stored, none is believed to say.
        tellable_s = world.time.s() - _newest_stored_s(world.settings.buffer_path) + BATTERY_S
        if world.scenario.trust == "assured" and event.amount > -tellable_s:
            world.fault_log.untrue_ms.append((world.time.ms(), abs(round(event.amount * 1000))))
        begin()

    # The power comes back at once; `lasts` and `amount` are the clock's.
    _cut_power(world, FaultEvent(at=event.at, fault=event.fault), boot)


def _newest_stored_s(path: Path) -> float:
    """The time of the newest sample that a process finds which starts now: the daemon may have been
    away before, or its disk have refused for hours. 0 where nothing can be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(path.with_name(path.name + suffix), folder)
        try:
            with contextlib.closing(sqlite3.connect(Path(folder, path.name))) as copy:
                (newest_ms,) = copy.execute("SELECT max(utc_ms) FROM samples").fetchone()
        except sqlite3.DatabaseError:
            return 0.0
    return (newest_ms or 0) / 1000


def _cut_power(world: "World", event: FaultEvent, boot: Callable[[], None]) -> None:
    process = world.process
    if process.power_off:
        return
    process.power_off = True
    done = False

    def dark() -> None:
        world.process.others.end()
        process.disk.cut_power(world.rng)

    def gone() -> None:
        nonlocal done
        if done:
            return
        done = True
        process.disk.stop_at(None, lambda: None)
        off_s = max(event.lasts, RESTART_S)
        process.die(off_s, dark)

        def back() -> None:
            process.power_off = False
            boot()

        world.later(off_s - 0.001, back)

    def stopped() -> None:
        process.sever()
        world.loop.call_soon(gone)

    process.disk.stop_at(process.disk.writes + 1 + int(event.amount), stopped)
    world.later(CUT_WITHIN_S, gone)


def _disk(name: str) -> Apply:
    """A state of the disk that is there or not."""

    def apply(world: "World", _: FaultEvent) -> Undo:
        setattr(world.process.disk, name, True)
        return partial(setattr, world.process.disk, name, False)

    return apply


def _ruin(world: "World", event: FaultEvent, damage: Callable[[Path], None]) -> None:
    """Kill the daemon, and damage its database before it is started again."""

    def ruin() -> None:
        path = world.settings.buffer_path
        if path.exists():
            damage(path)
            world.fault_log.lost_store_ms.append(world.time.ms())

    if not world.process.power_off:
        world.process.die(event.lasts, ruin)


def _store_truncated(world: "World", event: FaultEvent) -> None:
    def halve(path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)

    _ruin(world, event, halve)


def _store_noise(world: "World", event: FaultEvent) -> None:
    def scribble(path: Path) -> None:
        data = bytearray(path.read_bytes())
        for at in range(0, len(data), 512):
            if world.rng.random() < event.amount:
                data[at : at + 512] = world.rng.randbytes(512)
        path.write_bytes(data)

    _ruin(world, event, scribble)


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _store_deleted(world: "World", event: FaultEvent) -> None:
    def delete(path: Path) -> None:
        _delete(path)
        world.fault_log.restored_ms.append((0, world.time.ms()))

    _ruin(world, event, delete)


def _restored(of: Callable[[Path], list[Path]]) -> Apply:
    """Copy the files of a buffer that `of` names, and put the copies back later. Nothing else runs
    while they are copied: they are of one moment.
    """

    def copy(world: "World", _: FaultEvent) -> Undo:
        copies = {each: each.read_bytes() for each in of(world.settings.buffer_path)}
        copied_ms = world.time.ms()

        def put_back(path: Path) -> None:
            _delete(path)
            for each in of(path):
                each.unlink()
            for each, data in copies.items():
                each.write_bytes(data)
            world.fault_log.restored_ms.append((copied_ms, world.time.ms()))

        # Only the copy takes the time in `lasts`: the daemon is away for a moment.
        return lambda: _ruin(world, FaultEvent(at=Seconds(0), fault=Fault("kill")), put_back)

    return copy


def _database(path: Path) -> list[Path]:
    files = (path, path.with_name(path.name + "-wal"))
    return [each for each in files if each.exists()]


def _state_folder(path: Path) -> list[Path]:
    """All that is kept beside a buffer, its marks of what was accepted, too."""
    return sorted(
        each for each in path.parent.glob(path.name + "*") if not each.name.endswith("-shm")
    )


def _store_log_left(world: "World", event: FaultEvent) -> None:
    _ruin(world, event, Path.unlink)


def _meanwhile(damage: Callable[[Path], None]) -> Apply:
    """Damage the database while the daemon has it open."""

    def apply(world: "World", _: FaultEvent) -> None:
        path = world.settings.buffer_path
        if path.exists() and not world.process.power_off:
            world.fault_log.lost_store_ms.append(world.time.ms())
            damage(path)

    return apply


def _remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _cut_log(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    if log.exists():
        _empty(log)


def _store_locked(world: "World", event: FaultEvent) -> Undo | None:
    path = world.settings.buffer_path
    if world.process.power_off or not path.exists():
        return None
    let_go = world.process.others.lock()
    disk = world.process.disk
    before = disk.waits

    def undo() -> None:
        let_go()
        world.fault_log.felt[event.fault] += disk.waits - before

    return undo


def _clock_step(world: "World", event: FaultEvent) -> Undo:
    # Linux: whoever sets the clock makes the kernel forget that it was synchronised (ntp_clear),
    # until the time server says so again.
    machine = world.machine
    machine.error_s += event.amount
    if world.scenario.trust == "kernel":
        machine.synchronised = False
    else:
        world.fault_log.untrue_ms.append((world.time.ms(), abs(round(event.amount * 1000))))
    boots = len(machine.boots)

    def put_right() -> None:
        if len(machine.boots) == boots:
            machine.synchronise()

    return put_right


def _clock_never_synchronised(world: "World", event: FaultEvent) -> Undo | None:
    machine = world.machine
    machine.hears_no_time_server = True

    def heard() -> None:
        machine.hears_no_time_server = False
        if not world.process.power_off:  # else the next boot hears it
            machine.synchronise()

    return heard if event.lasts else None


def _suspended(world: "World", event: FaultEvent) -> None:
    world.time.skip(event.lasts)


def _leap_smear(world: "World", event: FaultEvent) -> None:
    world.machine.smear = (world.time.s(), max(event.lasts, 3600.0))
    world.fault_log.untrue_ms.append((world.time.ms(), 500))


APPLY: Mapping[str, Apply] = {
    "line_noise": _by_amount("noise"),
    "lost_bytes": _by_amount("lost"),
    "wrong_checksum": _by_amount("checksum"),
    "silent_meter": _switched_on("silent"),
    "late_answers": _by_amount("late_s"),
    "stranger_answers": _by_amount("stranger"),
    "port_vanishes": _port_vanishes,
    "half_open": _switched_on("half_open"),
    "line_floods": _line_floods,
    **REGISTER_FAULTS,
    "rollover": _rollover,
    "register_reset": _register_reset,
    "meter_swapped": _meter_swapped,
    "meter_clock_off": _meter_clock_off,
    "register_pauses": _register_pauses,
    "power_gain": _power_gain,
    "both_ways": _both_ways,
    "kill": _kill,
    "restart": _restart,
    "second_daemon": _second_daemon,
    "power_cut": _power_cut,
    "disk_full": _disk("full"),
    "disk_read_only": _disk("read_only"),
    "disk_fails": _disk("failing"),
    "store_truncated": _store_truncated,
    "store_noise": _store_noise,
    "store_deleted": _store_deleted,
    "store_unlinked": _meanwhile(_delete),
    "store_folder_removed": _meanwhile(_remove_folder),
    "store_emptied": _meanwhile(_empty),
    "store_log_cut": _meanwhile(_cut_log),
    "store_restored": _restored(_database),
    "state_folder_restored": _restored(_state_folder),
    "store_log_left": _store_log_left,
    "learned_lost": learned_lost,
    "slot_changed": slot_changed,
    "store_locked": _store_locked,
    "page_asked": page_asked,
    "clock_wrong_at_boot": _clock_wrong_at_boot,
    "clock_never_synchronised": _clock_never_synchronised,
    "clock_step": _clock_step,
    "suspended": _suspended,
    "leap_smear": _leap_smear,
    **EXCHANGE_FAULTS,
    **WORD_FAULTS,
    **FEE_APPLY,
    **FLEET_APPLY,
}
"""What each fault does."""
