"""The steps of `meter-gateway init`, in their order. Each looks at what is there already, so that
whoever was interrupted, or changes something, begins again.
"""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from gateway import MADE_S
from gateway.cli.commissioning import starting
from gateway.cli.commissioning.device_folder import SITE_TO_BEGIN_WITH
from gateway.cli.commissioning.exchange_step import ExchangeStep
from gateway.cli.commissioning.files import cannot_write, set_aside, write_settings
from gateway.cli.commissioning.meters_step import MetersStep
from gateway.cli.commissioning.site_file import AssetLine, ExchangeLines, SiteLines, site_text
from gateway.cli.commissioning.step import Step
from gateway.cli.terminal import Refused
from gateway.cli.trial import why_not_bound
from gateway.delivery import kinds
from gateway.site.config import DEFAULT_FOLDER
from gateway.site.credentials import ConfigError
from gateway.site.devices import Device
from gateway.site.settings import Settings, StatusSettings
from gateway.site.timezone import TimezoneName, machine_timezone
from gateway.timing.utc import utc_seconds

_PORTS = range(8080, 8100)
_MAX_SITE_NAME = 64


class FirstHour(Step):
    """What an installer does in it."""

    def run(self) -> int:
        """Returns 0 where nothing is left to do. Raises Refused."""
        self._tell_clock()
        devices = MetersStep(self.folder, self.args, self.ask, self.left).run()
        path = self.folder / "gateway.yaml"
        if self._writes(path):
            text = site_text(self._site(devices), datetime.now(UTC).date().isoformat())
            self._put(path, text)
        settings = self._checked()
        if settings is not None:
            starts = starting.is_service(self.folder) and not self.args.no_start
            self.left.extend(starting.begin(settings, starts=starts))
        for text in self.left:
            print(f"Left to do: {text}")
        return 1 if self.left else 0

    def _tell_clock(self) -> None:
        now_s = time.time()
        if now_s < MADE_S:
            print(
                f"This machine believes that it is {utc_seconds(now_s)}. Until its clock is right "
                "no login succeeds (certificates are not valid yet) and no slot is dated: connect "
                "it to the network, or set it: timedatectl set-time '2026-11-29 21:00'"
            )

    # --- the site's file ---

    def _writes(self, path: Path) -> bool:
        """Whether `gateway.yaml` is to be written."""
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return True
        except OSError as error:
            raise Refused(f"{path}: cannot be read: {error.strerror} — run this with sudo") from (
                error
            )
        if self.args.anew or text == SITE_TO_BEGIN_WITH:
            return True
        print(f"There is a configuration already: {path}")
        return not self.ask.agrees("Keep it?", proposed=True)

    def _site(self, devices: Sequence[Device]) -> SiteLines:
        """Ask for all that stands in it."""
        args, ask = self.args, self.ask
        proposed = args.site or _site_name(socket.gethostname())
        name = ask.text("Name of this site", proposed, "--site", _check_site)
        zone = args.timezone or machine_timezone().name
        zone = ask.text("Time zone", zone, "--timezone", TimezoneName.parse)
        exchange: ExchangeLines | None = None
        assets: list[AssetLine] = []
        if not args.no_exchange and (
            args.canary_network or ask.agrees("Deliver to an exchange?", proposed=True)
        ):
            step = ExchangeStep(self.folder, args, ask, self.left)
            exchange, assets = step.run(devices)
        return SiteLines(
            name=name,
            timezone=zone,
            slot=args.slot.as_written(),
            exchange=exchange,
            assets=assets,
            buffer="" if self.folder == Path(DEFAULT_FOLDER) else "buffer.sqlite",
            page_port=self._page_port(),
            is_clock_assured=args.clock == "assured",
        )

    # --- writing, checking, starting ---

    def _page_port(self) -> int | None:
        """The port of the page, where it is not the usual one. Another program may have that."""
        status = StatusSettings()
        usual = status.port
        with suppress(ConfigError):
            there = kinds.load(self.folder, logins=False).status.port
            return None if there == usual else there
        if starting.is_service(self.folder) or why_not_bound(status.host, usual) is None:
            return None
        free = (each for each in _PORTS if why_not_bound(status.host, each) is None)
        port = next(free, None)
        if port is not None:
            print(f"Another program has port {usual}: the status page gets {port}.")
        return port

    def _put(self, path: Path, text: str) -> None:
        try:
            if path.exists() and path.read_text(encoding="utf-8") != SITE_TO_BEGIN_WITH:
                print(f"    kept: {set_aside(path, time.time())}")
            write_settings(path, text)
        except OSError as error:
            raise cannot_write(path, error) from error
        print(f"    written: {path}")

    def _checked(self) -> Settings | None:
        """The configuration as the daemon sees it. None where it has mistakes, which are told."""
        try:
            return kinds.load(self.folder)
        except ConfigError as error:
            for problem in error.problems:
                print(problem)
            self.left.append("mend these, and run init again")
            return None


def _site_name(host: str) -> str:
    """A machine's name, as a site's can be."""
    plain = "".join(
        each if each.isascii() and (each.isalnum() or each in "-_.") else "-" for each in host
    )
    return plain.strip("-._")[:_MAX_SITE_NAME] or "home"


def _check_site(text: str) -> None:
    if _site_name(text) != text:
        raise ValueError(f"letters, digits, dot, - and _, at most {_MAX_SITE_NAME} of them")
