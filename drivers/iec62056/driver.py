"""Reads IEC 62056-21 meters: those that push (mode D), and those that are read out on request
(modes A, B and C).
"""

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard

from drivers.foreign import foreign
from drivers.iec62056.settings import Settings
from drivers.iec62056.telegram import (
    Framer,
    Identification,
    diagnose,
    find_block,
    find_identification,
    seven_bits,
)
from drivers.iec62056.values import Values, id_of, read_values
from drivers.known_meter import KnownMeter
from drivers.line import BadReply, LineError, NoReply
from drivers.listen import NAP_S, Hints, PushDriver, Unusable
from drivers.sample import Checksum, Reading
from drivers.text_telegram import Damaged, Telegram, excerpt
from drivers.widths import Widths

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

WHOLE_KWH = 1000

SIGN_ON = b"/?%b!\r\n"
"""With the meter's number, where it answers to that alone (6.3.1)."""
# 6.3.14: a meter answers within 1.5 s, and a character follows the one before within 1.5 s. Half a
# second more for adapters and networks.
ANSWER_S = 2.0
# 6.3.14: what answers a meter lets 200 ms pass first, so that its optical head can turn round.
REACTION_S = 0.3
READOUT_S = 55.0
"""How long a readout may take, where the device file does not allow for more: 9,500 bytes at 9600
baud take 10 s.
"""
SLOW_READOUT_S = 115.0
"""Where the bytes come at 300 baud: 3,450 of them take that long."""
SLOW_BYTES_PER_S = 60
"""Twice what comes at 300 baud."""

MAX_IDENTIFICATION_BYTES = 256
"""More than this after a sign-on, and no identification in it, is noise."""


class _Judge:
    """What a profile makes of a data block."""

    def __init__(self, profile: "Profile") -> None:
        self._profile_id = profile.id
        self._settings: Settings = profile.settings
        self._wanted = self._settings.quantities()
        self._steps_wh = {name: register.resolution_wh for name, register in profile.energy.items()}

    def reading(self, text: bytes, taken_s: float, checksum: Checksum) -> Reading | None:
        """The reading in it, proved by that checksum; None where it has none of the profile's
        quantities.

        Raises BadReply where energy registers are too coarse, or lack a unit.
        """
        values = read_values(text, self._settings.energy_unit)
        if values.lacks_unit and not values.steps_wh:
            raise BadReply(
                f"energy registers come without a unit (they begin {excerpt(text)!r}): see on "
                "the meter's display whether it counts kWh or "
                "Wh, and copy the profile with energy_unit: kWh (meter-gateway profiles new "
                "--from …)"
            )
        quantities = {
            name: value for name, value in values.quantities.items() if name in self._wanted
        }
        if not quantities:
            return None
        self._check_steps(values)
        unwanted = (id_of(name) for name in values.quantities if name not in self._wanted)
        return Reading(
            taken_s,
            quantities,
            values.serial_number,
            dialect=self._profile_id,
            checksum=checksum,
            unused=(*values.unused, *unwanted),
            widened=values.widened,
        )

    def lacks_energy(self, reading: Reading) -> bool:
        """Whether the register is missing that such a meter always tells: part of a telegram, which
        has no checksum, may be lost.
        """
        return "energy_import_wh" in self._wanted and "energy_import_wh" not in reading.values

    def _check_steps(self, values: Values) -> None:
        for name, resolution_wh in self._steps_wh.items():
            step_wh = values.steps_wh.get(name, 0.0)
            if step_wh <= resolution_wh:
                continue
            pin = "if the meter has a PIN, enter it; else " if step_wh >= WHOLE_KWH else ""
            remedy = f"{pin}copy the profile with resolution_wh {step_wh:g}"
            raise BadReply(
                f"{name} comes in steps of {step_wh:g} Wh, but the profile says "
                f"{resolution_wh:g}: {remedy}"
            )


class ModeDDriver(PushDriver[Telegram | Damaged]):
    """One meter of mode D on an open line. `read` also raises BadReply for registers in coarser
    steps than the profile says.

    The norm has no checksum, but what P1 ports send there has one: it must be right, and stay.
    """

    own = frozenset({"d0", "p1"})
    hints = Hints(
        silent="does the optical head sit on the meter's diode, the right way up, and does the "
        "meter send by itself? if not, try iec62056/mode_c",
        fell_silent="has the optical head moved?",
        cut_off="seat the head anew",
    )

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "Line") -> None:
        settings: Settings = profile.settings
        super().__init__(line, device, Framer(), settings.period_s)
        self._judge = _Judge(profile)
        self._meter = KnownMeter()
        self._widths = Widths()

    def follow(self, before: "Driver") -> None:
        """Know of the meter what was known before the line was opened anew."""
        if isinstance(before, ModeDDriver):
            self._meter, self._widths = before._meter, before._widths

    def _damage(self, event: Telegram | Damaged) -> str | None:
        return f"{event.reason} (it begins {event.text!r})" if isinstance(event, Damaged) else None

    def _reading(self, event: Telegram | Damaged, taken_s: float) -> Reading:
        assert isinstance(event, Telegram)
        try:
            return self._proper(event, taken_s)
        except Unusable as unusable:
            raise Unusable(f"{unusable} (it begins {excerpt(event.raw)!r})") from None

    def _proper(self, telegram: Telegram, taken_s: float) -> Reading:
        """The reading in a telegram that is whole and undamaged. Raises Unusable."""
        self._meter.take(telegram, "optional")
        checked = telegram.checksum is not None

        reading = self._judge.reading(telegram.raw, taken_s, self._meter.checksum)
        if reading is None:
            raise Unusable(
                "a telegram holds none of the profile's quantities: is the profile the right one?"
            )
        if not checked and self._judge.lacks_energy(reading):
            raise Unusable("a telegram holds no energy register: truncated?")
        if not checked and (reason := self._widths.fault(telegram.raw)) is not None:
            raise Unusable(reason)

        self._meter.note_number(reading.serial_number)
        return reading

    def _diagnose(self, noise: bytes) -> str:
        return diagnose(noise)


class _FellSilent(NoReply):
    """Nothing proper came after the identification."""


class _OtherRate(NoReply):
    """The same, and the meter is asked for another rate now."""


class ReadoutDriver:
    """One meter of mode A, B or C on an open line: signed on to at its slow rate, read out at the
    rate that it offers.
    """

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "Line") -> None:
        self._judge = _Judge(profile)
        self._line = line
        self._slow = line.settings or profile.serial
        self._sign_on = SIGN_ON % device.number.encode("ascii")
        self._is_called = bool(device.number)
        self._stays = False  # it went on at its slow rate though it was asked for a faster one
        self._has_tried_both = False  # at its slow rate and at the one that it offers
        self._readout_s = max(READOUT_S, device.timeout_s or 0.0)

    async def read(self, due_s: float) -> Reading:
        """One readout, asked for at `due_s`; `taken_s` is when its data began to come.

        Raises NoReply where the meter does not answer, falls silent for 2 s, or is not through in
        55 s (115 s where it sends at 300 baud, or in the device's timeout, if that is longer),
        BadReply where what it says cannot be
        right, LineError where the line is gone.
        """
        await asyncio.sleep(due_s - asyncio.get_running_loop().time())
        try:
            block, taken_s = await self._readout()
        except _OtherRate:
            if self._has_tried_both:
                raise
            self._has_tried_both = True
            block, taken_s = await self._readout()

        reading = self._judge.reading(block, taken_s, "right")
        if reading is None:
            raise BadReply(
                f"the data hold none of the profile's quantities; they begin {excerpt(block)!r}: "
                "is the profile the right one?"
            )
        return reading

    async def _readout(self) -> tuple[bytes, float]:
        """The data block of one readout, and when it began to come."""
        identification = None
        try:
            await self._line.configure(self._slow)
            self._line.drain()
            await self._line.write(self._sign_on)
            identification = await self._identification()
            await self._agree(identification)
            return await self._block(identification)
        except _FellSilent as error:
            if not self._may_stay(identification):
                raise
            # Nothing proper came at the rate that was agreed: next time it is asked to stay.
            self._stays = not self._stays
            rate = self._slow.baud if self._stays else identification.baud
            raise _OtherRate(f"{error}; the next readout is asked for at {rate} baud") from None
        finally:
            with contextlib.suppress(LineError):  # that it is gone has been told
                await self._line.configure(self._slow)

    def _may_stay(self, identification: Identification | None) -> TypeGuard[Identification]:
        """Whether the meter may have gone on at another rate than agreed."""
        return (
            identification is not None
            and identification.acknowledged
            and self._line.settings is not None
            and identification.baud != self._slow.baud
        )

    async def _identification(self) -> Identification:
        came = b""
        deadline_s = (
            asyncio.get_running_loop().time() + len(self._sign_on) * self._line.char_s + ANSWER_S
        )
        while (found := find_identification(came)) is None:
            data = await self._some(deadline_s)
            came += data
            echo = seven_bits(came)[0].strip(b"\0") == self._sign_on
            if len(came) > MAX_IDENTIFICATION_BYTES or (
                not data and came.strip(b"\0") and not echo
            ):
                stranger = foreign(came)
                what = stranger.text if stranger else diagnose(came)
                raise BadReply(f"no identification came, but {len(came)} bytes: {what}")
            if not data:
                only = " (only the echo of our own)" if echo else ""
                called = (
                    "is the number in its device file the one that it is called by? "
                    if self._is_called
                    else "some meters answer only to their number: write number: '…' into the "
                    "device file; "
                )
                raise NoReply(
                    f"no answer to the sign-on in {ANSWER_S:g} s{only}: does the optical head "
                    f"sit on the meter's diode, the right way up? {called}"
                    "a meter that pushes by itself is read with iec62056/mode_d"
                )
            deadline_s = asyncio.get_running_loop().time() + ANSWER_S
        return found

    async def _agree(self, identification: Identification) -> None:
        """Answer the identification, and go on at the meter's rate (6.3.2: mode C by
        acknowledgement, mode B by itself, mode A never).
        """
        fixed = (
            self._line.settings is None
        )  # a network: we cannot set the rate of the adapter behind it
        if identification.acknowledged:
            letter = b"0" if fixed or self._stays else identification.baud_letter
            await asyncio.sleep(REACTION_S)
            await self._line.write(b"\x060" + letter + b"0\r\n")
        elif fixed and identification.baud != self._slow.baud:
            raise BadReply(
                f"the meter ({identification.text}) goes on at {identification.baud} baud by "
                "itself, which a network adapter cannot "
                "follow: use a serial line"
            )
        if not fixed and not (self._stays and identification.acknowledged):
            await self._line.configure(replace(self._slow, baud=identification.baud))

    async def _block(self, identification: Identification) -> tuple[bytes, float]:
        """The data block, and when it began to come."""
        now_s = asyncio.get_running_loop().time
        came, taken_s = b"", 0.0
        began_s = now_s()
        until_s = began_s + self._readout_s
        while now_s() < until_s:
            data = await self._some(min(now_s() + ANSWER_S, until_s))
            if not data:
                what = f"{len(came)} bytes of its data came and no end" if came else "no data came"
                raise _FellSilent(
                    f"the meter ({identification.text}) fell silent: {what}; seat the head anew, "
                    "and check the baud rate"
                )
            taken_s = taken_s or now_s()
            came += data
            if len(came) < (now_s() - taken_s) * SLOW_BYTES_PER_S:
                until_s = max(until_s, began_s + SLOW_READOUT_S)
            try:
                block = find_block(came)
            except ValueError as error:
                raise BadReply(
                    f"{error} (meter {identification.text}, {len(came)} bytes)"
                ) from None
            if block is not None:
                return block, taken_s
        raise NoReply(
            f"the meter ({identification.text}) is not through in {until_s - began_s:.0f} s, after "
            f"{len(came)} bytes: give it a longer timeout "
            "in its device file"
        )

    async def _some(self, deadline_s: float) -> bytes:
        """What comes until the deadline: the first of it, and what follows in a moment (each waking
        up costs more than its bytes).
        """
        data = await self._line.read(deadline_s)
        if not data:
            return b""
        await asyncio.sleep(NAP_S)
        return data + await self._line.read(0.0)
