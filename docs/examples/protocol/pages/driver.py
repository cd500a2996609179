"""Reads a meter's web page."""

import asyncio
from typing import TYPE_CHECKING

from drivers.line_protocol import BadReply
from drivers.sample import Reading

from .page import read_page
from .settings import Settings

if TYPE_CHECKING:
    from drivers.line_protocol import HttpLine
    from drivers.profile import DeviceAddress, Profile


class PagesDriver:
    """One meter on its line."""

    def __init__(self, profile: "Profile", device: "DeviceAddress", line: "HttpLine") -> None:
        self._settings: Settings = profile.settings
        self._timeout_s = device.timeout_s or self._settings.timeout_s
        self._credentials = device.credentials
        self._line = line

    async def read(self, due_s: float) -> Reading:
        """One reading, dated by the question.

        Raises NoReply, BadReply, or LineError where the meter cannot be reached.
        """
        loop = asyncio.get_running_loop()
        if due_s > loop.time():
            await asyncio.sleep(due_s - loop.time())
        asked_s = loop.time()
        path = self._settings.path
        reply = await self._line.get(path, self._timeout_s, self._credentials)
        if reply.status in (401, 403):
            raise BadReply(
                f"{path} answers {reply.status}: the meter wants a login, or another one — write "
                "it into a file of mode 0600, and name that in the device file as credentials:"
            )
        if reply.status != 200:
            raise BadReply(f"{path} answers {reply.status}: is the profile the right one?")
        try:
            values, serial_number = read_page(reply.body, self._settings.values)
        except ValueError as error:
            raise BadReply(f"{path} cannot be read: {error}") from error
        if not values:
            raise BadReply(f"{path} has none of the profile's numbers: is it the right one?")
        return Reading(asked_s, values, serial_number)
