"""A changed configuration, used without a restart of the process (`systemctl reload`).

It is read and checked while the daemon goes on. Where it has a mistake, or changes what only a
restart can, the old one stays in use, and the status that systemd shows begins with why. Else the
daemon's parts are made anew between two readings of its meters, so that none of them is missed.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from drivers.profile import ProfileError
from gateway.site.credentials import ConfigError
from gateway.site.settings import Settings

log = logging.getLogger(__name__)

REST_S = 1.5
"""So long before the next reading the parts may be made anew: they are there again by then, unless
the buffer is large.
"""
PATIENCE_S = 20.0
"""For so long such a pause is waited for: where meters are read all the time there is none."""
LOOK_S = 0.02
"""How often it is looked for one."""


class Reload:
    """Waits for SIGHUP, and decides what becomes of the configuration."""

    def __init__(self, folder: Path, settings: Settings, load: Callable[[Path], Settings]) -> None:
        """`settings` is what is in use. `load` raises ConfigError or ProfileError."""
        self.settings = settings
        self._folder = folder
        self._load = load
        self._asked = asyncio.Event()
        self._refusal = ""

    def listen(self) -> None:
        """Take SIGHUP as the wish for a reload, from now on."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)

    def told(self, summary: str) -> str:
        """How all is, with what is wrong with the last reload in front."""
        if not self._refusal:
            return summary
        return f"reload refused, the old configuration goes on: {self._refusal}; {summary}"

    async def accepted(self, rest_s: Callable[[], float]) -> None:
        """Returns once a changed configuration is to be used: it is in `settings` then. `rest_s`
        says how long no meter will be asked.
        """
        while True:
            await self._asked.wait()
            self._asked.clear()
            await _pause(rest_s)  # reading the files takes a moment as well
            try:
                wanted = self._load(self._folder)
            except (ConfigError, ProfileError) as error:
                self._refuse(str(error))
                continue
            if fixed := fixed_changes(self.settings, wanted):
                self._refuse(f"{fixed}: systemctl restart meter-gateway")
                continue
            await _pause(rest_s)
            log.info("reload: the configuration in %s is used from now on", self._folder)
            self.settings, self._refusal = wanted, ""
            return

    def _refuse(self, text: str) -> None:
        log.error("reload refused, the old configuration goes on: %s", text)
        lines = text.splitlines()
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        self._refusal = f"{lines[0]}{more}"


def fixed_changes(old: Settings, new: Settings) -> str:
    """What a reload cannot change, and would have to; empty where there is nothing."""
    found = []
    if old.buffer_path != new.buffer_path:
        found.append("buffer.path")
    if old.market.slot != new.market.slot:
        found.append("market.slot")
    return f"{' and '.join(found)} can only change with a restart" if found else ""


async def _pause(rest_s: Callable[[], float]) -> None:
    for _ in range(round(PATIENCE_S / LOOK_S)):
        if rest_s() >= REST_S:
            return
        await asyncio.sleep(LOOK_S)
