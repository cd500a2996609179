"""Reads an SML meter: it pushes telegrams by itself, and a reading is the first proper one that
began when it was due.
"""

from typing import TYPE_CHECKING

from drivers.line import BadReply, MeterError, NoReply
from drivers.listen import PushDriver
from drivers.sample import Reading
from drivers.sml.settings import Settings
from drivers.sml.transport import Damaged, Frame, Framer, diagnose
from drivers.sml.values import WHOLE_KWH, SmlError, Values, read_values

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Profile


class SmlDriver(PushDriver[Frame | Damaged]):
    """One SML meter on an open line. `read` also raises BadReply where the meter shows whole kWh
    because its PIN is missing.
    """

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "Line") -> None:
        settings: Settings = profile.settings
        self._framer = Framer()
        super().__init__(line, device, self._framer, settings.period_s)
        self._wanted = settings.quantities()
        self._fine = False  # the meter has shown more than whole kWh
        self._steps_wh = {name: register.resolution_wh for name, register in profile.energy.items()}

    def _take(self, due_s: float) -> Reading | None:
        """A reading from what has come, if it holds one; the rest of it stays for the next. Raises
        BadReply where the PIN is missing.
        """
        while self._listener.events:
            event, taken_s = self._listener.events.popleft()
            if isinstance(event, Damaged):
                self._note(f"{event.reason} (it begins {event.text})")
            elif taken_s >= due_s and (values := self._parse(event)) is not None:
                self._check_steps(values)
                quantities = {
                    name: value for name, value in values.quantities.items() if name in self._wanted
                }
                if quantities:
                    return Reading(taken_s, quantities, values.serial_number)
                held = ", ".join(sorted(values.quantities)) or "nothing we know"
                self._note(
                    f"a telegram holds none of the profile's quantities but {held}: is the "
                    "profile the right one?"
                )
        return None

    def _parse(self, frame: Frame) -> Values | None:
        try:
            return read_values(frame.payload)
        except SmlError as error:
            self._note(str(error))
            return None

    def _check_steps(self, values: Values) -> None:
        """Raises BadReply where the registers are coarser than the profile says: slots would claim
        what nobody has measured.
        """
        self._fine |= not values.rounded
        for name, resolution_wh in self._steps_wh.items():
            step_wh = values.steps_wh.get(name, 0.0)
            if values.rounded and not self._fine and name in values.steps_wh:
                step_wh = max(step_wh, WHOLE_KWH)
            if step_wh <= resolution_wh:
                continue
            if step_wh >= WHOLE_KWH:
                raise BadReply(
                    "PIN missing: the meter shows whole kWh only and no power — enter its PIN "
                    "(your grid operator has it) and switch the "
                    "full data set on (InF on), or use the profile sml/no_pin, whose slots are "
                    "coarse"
                )
            raise BadReply(
                f"{name} comes in steps of {step_wh:g} Wh, but the profile says "
                f"{resolution_wh:g}: copy it with resolution_wh {step_wh:g}"
            )

    def _complaint(self, waited_s: float, damaged_before: int, offset_before: int) -> MeterError:
        damaged, came = self.damaged - damaged_before, self._framer.offset - offset_before
        if not came:
            return NoReply(
                f"no byte for {waited_s:.0f} s: does the optical head sit on the meter's diode, "
                "the right way up, and does the meter send "
                "(some need their PIN or a setting for that)?"
            )
        if damaged:
            return BadReply(
                f"{damaged} damaged and no proper telegram in {waited_s:.0f} s; the last: "
                f"{self.last_damage}"
            )
        if self._framer.open_start is not None:
            return BadReply(
                f"a telegram began and did not end: {self._framer.open_bytes} bytes of it in "
                f"{waited_s:.0f} s; seat the head anew"
            )
        if self._framer.noise_sample:
            return BadReply(
                f"{came} bytes but no telegram in {waited_s:.0f} s: "
                f"{diagnose(self._framer.noise_sample)}"
            )
        return NoReply(
            f"no telegram in {waited_s:.0f} s, though the meter sent before: has the optical "
            "head moved?"
        )
