"""Reads an SML meter: it pushes telegrams by itself, and a reading is the first proper one that
began when it was due.
"""

from typing import TYPE_CHECKING

from drivers.line import BadReply
from drivers.listen import Hints, PushDriver, Unusable
from drivers.sample import Reading
from drivers.sml.settings import Settings
from drivers.sml.transport import Damaged, Frame, Framer, diagnose
from drivers.sml.values import WHOLE_KWH, SmlError, Values, id_of, read_values

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Profile


class SmlDriver(PushDriver[Frame | Damaged]):
    """One SML meter on an open line. `read` also raises BadReply where the meter shows whole kWh
    because its PIN is missing.
    """

    own = frozenset({"sml"})
    hints = Hints(
        silent="does the optical head sit on the meter's diode, the right way up, and does the "
        "meter send (some need their PIN or a setting for that)?",
        fell_silent="has the optical head moved?",
        cut_off="seat the head anew",
    )

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "Line") -> None:
        settings: Settings = profile.settings
        super().__init__(line, device, Framer(), settings.period_s)
        self._profile_id = profile.id
        self._wanted = settings.quantities()
        self._fine = False  # the meter has shown more than whole kWh
        self._steps_wh = {name: register.resolution_wh for name, register in profile.energy.items()}

    def _damage(self, event: Frame | Damaged) -> str | None:
        return f"{event.reason} (it begins {event.text})" if isinstance(event, Damaged) else None

    def _reading(self, event: Frame | Damaged, taken_s: float) -> Reading:
        """Raises BadReply where the PIN is missing."""
        assert isinstance(event, Frame)
        try:
            values = read_values(event.payload)
        except SmlError as error:
            raise Unusable(str(error)) from error

        self._check_steps(values)
        quantities = {
            name: value for name, value in values.quantities.items() if name in self._wanted
        }
        if not quantities:
            held = ", ".join(sorted(values.quantities)) or "nothing we know"
            raise Unusable(
                f"a telegram holds none of the profile's quantities but {held}: is the profile "
                "the right one?"
            )
        unwanted = (id_of(name) for name in values.quantities if name not in self._wanted)
        return Reading(
            taken_s,
            quantities,
            values.serial_number,
            dialect=self._profile_id,
            checksum="right",
            unused=(*values.unused, *unwanted),
            widened=values.widened,
        )

    def _diagnose(self, noise: bytes) -> str:
        return diagnose(noise)

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
