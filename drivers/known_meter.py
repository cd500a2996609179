"""What is known of the meter whose text telegrams come on a line: its name, its number, and whether
it sends checksums. Pure.
"""

import re

from drivers.listen import Unusable
from drivers.sample import Checksum
from drivers.text_telegram import ChecksumPolicy, Telegram, fault, has_rewritten_ends

_NAME = re.compile(rb"[^\r\n]*[\r\n]")


class KnownMeter:
    """One meter, until another one is on its line.

    A meter that has once sent a right checksum is not believed without one. Damage changes names,
    too: so a meter without checksums has taken the place of one with them only when it shows its
    name twice.
    """

    def __init__(self) -> None:
        self.is_bare = False
        """The last telegram that was taken had no checksum, and needed none."""
        self.checksum: Checksum = ""
        """Of the last telegram that was taken."""
        self._proved = False  # a telegram has come with a right checksum
        self._name: bytes | None = None  # the first line of its telegrams
        self._stranger = b""  # that of another, which lacked the checksum that this one sends
        self._number: str | None = None

    def is_met(self, raw: bytes) -> bool:
        """Whether a telegram is of this meter."""
        return self._name is not None and raw.startswith(self._name)

    def take(self, telegram: Telegram, policy: ChecksumPolicy) -> None:
        """A telegram of this meter, or of one that has taken its place, whose model has that
        policy. Raises Unusable where its checksum is not as it has to be.
        """
        match = None if self.is_met(telegram.raw) else _NAME.match(telegram.raw)
        name = match[0] if match else None
        proved = self._proved and (name is None or name != self._stranger)

        if proved and telegram.checksum is None and policy != "ignored":
            self._stranger = name or b""
            raise Unusable("no checksum after '!', but this meter has sent one before")
        if reason := fault(telegram, policy):
            raise Unusable(reason)

        self._name, self._stranger = name or self._name, b""
        self.is_bare = telegram.checksum is None
        self.checksum = _checksum(telegram, policy)
        self._proved = proved or not (self.is_bare or policy == "ignored")

    def note_number(self, serial_number: str | None) -> None:
        """Another number under the same name is another meter, which may speak otherwise."""
        if self._number is not None and serial_number != self._number:
            self._name = None
        self._number = serial_number


def _checksum(telegram: Telegram, policy: ChecksumPolicy) -> Checksum:
    """What is known of the checksum of a telegram in which there is no fault."""
    if policy == "ignored":
        return "not looked at"
    if telegram.checksum is None:
        return "none"
    return "right over CR LF" if has_rewritten_ends(telegram) else "right"
