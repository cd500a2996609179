"""Reads a pulse meter: a question mark there, one line back."""

import asyncio
from typing import TYPE_CHECKING

from drivers.line import BadReply, NoReply
from drivers.sample import Reading

from .reply import END, MAX_REPLY_BYTES, read_reply
from .settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Profile

QUESTION = b"?" + END


class PulseDriver:
    """One pulse meter on an open line, which it has for itself: the protocol knows no addresses."""

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "Line") -> None:
        settings: Settings = profile.settings
        self._fields = settings.fields
        self._timeout_s = settings.timeout_s if device.timeout_s is None else device.timeout_s
        self._line = line

    async def read(self, due_s: float) -> Reading:
        """One reading, dated by the question: the meter looks at its registers when that arrives.

        Raises NoReply, BadReply, or LineError where the line is gone.
        """
        loop = asyncio.get_running_loop()
        if due_s > loop.time():
            await asyncio.sleep(due_s - loop.time())
        self._line.drain()  # a late answer to an earlier question must not pass for this one's
        await self._line.write(QUESTION)
        asked_s = loop.time()
        reply = await self._one_line(asked_s + self._timeout_s)
        try:
            return Reading(asked_s, read_reply(reply, self._fields))
        except ValueError as error:
            raise BadReply(f"the reply cannot be read: {error}") from error

    async def _one_line(self, deadline_s: float) -> bytes:
        """What came before the end of the line. It may come in any pieces; what is kept of it has a
        bound.
        """
        came = b""
        while END not in came:
            if len(came) > MAX_REPLY_BYTES:
                raise BadReply(
                    f"{len(came)} bytes and no end of the line: is this a pulse meter, and are "
                    "baud and parity right?"
                )
            more = await self._line.read(deadline_s)
            if not more:
                what = f"only {came!r} came" if came else "no byte came"
                raise NoReply(
                    f"{what} within {self._timeout_s:g} s: is the meter on, and the cable in the "
                    "right port?"
                )
            came += more
        return came.partition(END)[0]
