"""Reads a P1 meter: it pushes telegrams by itself, and a reading is the first proper one that began
when it was due.

`read` listens all the time, also before a reading is due: telegrams that come too early are only
framed, not decrypted, checked or parsed. Where the profile is `p1/auto`, the port is listened to
with one setting after the other until telegrams come, and the first proper one of a meter tells the
dialect: the rules of that profile hold for this meter from then on, and whatever it sends is taken.
"""

import asyncio
from typing import TYPE_CHECKING

from drivers.foreign import BY_SIGHT, foreign
from drivers.known_meter import KnownMeter
from drivers.line import BadReply, SerialSettings
from drivers.listen import Hints, PushDriver, Unusable
from drivers.p1.detect import SETTINGS, Search
from drivers.p1.dialects import Dialect, recognise, shipped
from drivers.p1.keys import Keys
from drivers.p1.reader import Leftovers, Reader
from drivers.p1.settings import Settings
from drivers.p1.telegram import Event, Framer, Sealed, diagnose, garbled
from drivers.sample import Reading
from drivers.text_telegram import (
    BARE_END_S,
    LATE_CHECKSUM_S,
    ChecksumPolicy,
    Damaged,
    Telegram,
    excerpt,
)
from drivers.widths import Widths

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.p1.cipher import Opened
    from drivers.profile import DeviceAddress, Driver, Profile

# Between two telegrams a line is silent for longer, even where they come every second; within one
# it is not.
GAP_S = 0.3


def _short(settings: SerialSettings) -> str:
    """Such as 9600 7E1."""
    return f"{settings.baud} {settings.data_bits}{settings.parity[0].upper()}{settings.stop_bits}"


class _Locked(Unusable):
    """A frame that the keys do not open; the text says what to do."""


def _inside(opened: "Opened") -> Telegram:
    """The telegram inside an encrypted frame."""
    framer = Framer()
    events = framer.feed(opened.text) + framer.silence()
    if len(events) != 1 or not isinstance(events[0], Telegram):
        raise Unusable(
            "an encrypted frame holds no whole telegram: it was damaged, or the meter is of a "
            "kind that is not known"
        )
    return events[0]


class P1Driver(PushDriver[Event]):
    """One P1 meter on an open line.

    `damaged` counts the telegrams that came damaged (while a reading was due; of earlier ones,
    those without a proper beginning and end), `last_damage` says what was wrong with the last, and
    `noise_bytes` counts what came outside telegrams.
    """

    own = frozenset({"p1"})
    hints = Hints(
        silent="is the cable in the P1 port, the port enabled by the network operator, and its "
        "request line (RTS or +5 V) powered?",
        fell_silent="does its request line (RTS or +5 V) drop?",
        cut_off="check the cable",
        damaged="damaged or unreadable",
    )

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "Line") -> None:
        settings: Settings = profile.settings
        self._framer = Framer()
        super().__init__(line, device, self._framer, settings.period_s)
        self._dialect = Dialect(profile.id, settings)
        self._recognises = settings.detect
        self._meter = KnownMeter()
        self._leftovers = Leftovers()
        self._widths = Widths()
        self._wanted = settings.quantities()
        self._reader = Reader(settings.summed_tariffs(), settings.utc_offset_h)
        self._keys = Keys.of(device.credentials)
        self._line = line
        self._search = (
            Search(line.settings) if settings.detect and line.settings is not None else None
        )
        self._locked = False  # the last unreadable one was a frame that the keys do not open

    @property
    def dialect(self) -> str:
        """The id of the profile by which telegrams are read: of `p1/auto` the one that was
        recognised, once it is.
        """
        return self._dialect.id

    def follow(self, before: "Driver") -> None:
        """Know of the meter what was known before the line was opened anew."""
        if not isinstance(before, P1Driver):
            return
        self._meter, self._widths = before._meter, before._widths
        if before._dialect.id != self._dialect.id:
            self._adopt(before._dialect)

    async def _listen(self, deadline_s: float) -> None:
        """Where the port's settings are not known to be right, change them after a burst of
        garbage. Raises LineError.
        """
        self._await_checksum()
        if self._search is None:
            await super()._listen(deadline_s)
            return
        before = self._framer.offset
        await self._listener.listen(min(deadline_s, asyncio.get_running_loop().time() + GAP_S))
        if self._framer.offset > before or self._foreign() is not None:
            return

        noise = self._framer.noise_bytes - self._search.noise_bytes
        self._search.noise_bytes = self._framer.noise_bytes
        burst = self._framer.noise_sample[-noise:] if noise else b""
        burst += self._framer.open_sample
        settings = self._search.silence(burst)
        if garbled(burst):
            self._framer.forget()
        if settings is not None:
            self._framer.noise_sample = b""
            await self._line.configure(settings)

    def _damage(self, event: Event) -> str | None:
        return f"{event.reason} (it begins {event.text!r})" if isinstance(event, Damaged) else None

    def _reading(self, event: Event, taken_s: float) -> Reading:
        """Raises BadReply where a key is missing."""
        assert not isinstance(event, Damaged)
        try:
            reading = self._read_telegram(event, taken_s)
        except Unusable as unusable:
            self._locked = isinstance(unusable, _Locked)
            if isinstance(event, Telegram):
                stranger = foreign(event.raw, self.own) if event.checksum is None else None
                hint = f"; {stranger.text}" if stranger else ""
                raise Unusable(f"{unusable}{hint} (it begins {excerpt(event.raw)!r})") from None
            raise
        self._search = None
        return reading

    def _read_telegram(self, event: Telegram | Sealed, taken_s: float) -> Reading:
        """Raises Unusable with the reason, and BadReply where a key is missing."""
        opened = None
        if isinstance(event, Sealed):
            opened = self._opened(event)
            event = _inside(opened)
        # What no authentication key confirms, the checksum inside must.
        unproven = opened is not None and not opened.proven
        self._meet(event, "required" if unproven else None)
        values = self._reader.read(event.raw)
        quantities = {
            name: value for name, value in values.quantities.items() if name in self._wanted
        }
        # Nothing but its own completeness confirms a telegram without a checksum.
        alone = self._meter.checksum in ("none", "not looked at")
        if alone and "energy_import_wh" in self._wanted and "energy_import_wh" not in quantities:
            raise Unusable(
                "a telegram without checksum lacks the energy register: truncated, or not this "
                "profile's"
            )
        if alone and (reason := self._widths.fault(event.raw)):
            raise Unusable(reason)
        if not quantities:
            raise Unusable(
                "a telegram holds none of the profile's quantities: is the profile the right one?"
            )
        serial_number = values.serial_number or (opened.serial_number if opened else None)
        self._meter.note_number(serial_number)
        return Reading(
            taken_s,
            quantities,
            serial_number,
            meter_utc_s=values.meter_utc_s,
            dialect=self._dialect.id,
            checksum=self._meter.checksum,
            unused=self._leftovers.of(self._reader.lines, self._wanted),
            widened=values.widened,
        )

    def _opened(self, sealed: Sealed) -> "Opened":
        if (stranger := foreign(self._listener.heard, BY_SIGHT)) is not None:
            raise BadReply(f"no telegram: {stranger.text}")
        if self._keys is None:
            raise BadReply(
                "the telegrams are encrypted and there is no key: ask the network operator for "
                "it, write it as `encryption_key: '…'` into "
                "a file of mode 0600 and name that file in the device file as `key:`"
            )
        from drivers.p1.cipher import CipherError, decrypt  # 10 MB that only encrypted meters need

        known = self._dialect.settings.authentication_key
        try:
            return decrypt(sealed.raw, self._keys, bytes.fromhex(known) or None)
        except CipherError as error:
            raise _Locked(str(error)) from None

    def _meet(self, telegram: Telegram, policy: ChecksumPolicy | None) -> None:
        """Look whose telegram it is, and whether its checksum is as it has to be (by `policy`, or
        what the dialect says). Raises Unusable.
        """
        dialect = None
        if self._recognises and not self._meter.is_met(telegram.raw):
            dialect = recognise(telegram.raw, shipped())

        self._meter.take(telegram, policy or (dialect or self._dialect).settings.checksum)
        if dialect is not None:
            self._adopt(dialect)

    def _await_checksum(self) -> None:
        """How long a telegram's checksum may come after its `!`: until the next telegram begins,
        unless this meter is known to send none, or nobody looks at it.
        """
        settings = self._dialect.settings
        known_bare = self._meter.is_bare and self._meter.is_met(self._framer.open_sample)
        at_once = known_bare or settings.checksum == "ignored"
        late_s = max(settings.period_s, LATE_CHECKSUM_S)
        self._framer.silence_s = BARE_END_S if at_once else late_s

    def _adopt(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._reader = Reader(dialect.settings.summed_tariffs(), dialect.settings.utc_offset_h)

    def _noise(self) -> tuple[bytes, str]:
        if self._search is None:
            return self._framer.noise_sample, ""
        tried = f" (tried: {', '.join(map(_short, SETTINGS))})"
        return self._framer.noise_sample or self._search.garbage, tried

    def _remedy(self) -> str:
        return "" if self._locked else "; check the cable"

    def _diagnose(self, noise: bytes) -> str:
        return diagnose(noise)
