"""A search for meters, as it is shown to a person while it goes on."""

import sys
from pathlib import Path

from drivers.found import Found
from drivers.line import LineUrl
from drivers.profile import Profile, ProfileError, load_profile, profile_ids
from drivers.scan import Note, Progress, device_line
from gateway.cli.commissioning.device_folder import DeviceFolder
from gateway.site.config import profile_folders
from gateway.site.device_files import summary


def usable(config: Path) -> list[Profile]:
    """The profiles that can be used; a site's broken one is named and left out."""
    folders = profile_folders(config)
    profiles = []
    for profile_id in profile_ids(*folders):
        try:
            profiles.append(load_profile(profile_id, *folders))
        except ProfileError as error:
            print(error, file=sys.stderr)
    return profiles


class Shown:
    """Prints what is found as it is found, writes its device file where that is wanted, and keeps
    it.
    """

    def __init__(self, files: DeviceFolder | None) -> None:
        self.files = files
        self.founds: list[Found] = []
        self._told: dict[LineUrl, str] = {}
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, event: Found | Note | Progress, /) -> None:
        self.clear()
        if isinstance(event, Found):
            self.founds.append(event)
            address = f" address {event.address}" if event.address is not None else ""
            print(
                f"{device_line(event)}{address}: {event.profile.id}, {summary(event)}", flush=True
            )
            if event.also:
                print(f"    it might also be {' or '.join(event.also)}", flush=True)
            if self.files is not None:
                self.files.add(event)
        elif isinstance(event, Note):
            print(f"{event.line}: {event.text}", file=sys.stderr, flush=True)
        elif self._is_terminal:
            share = 100 * event.done // max(event.total, 1)
            print(
                f"\r\x1b[2K{event.line}: {event.text} ({share} %)",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif self._told.get(event.line) != (
            stage := event.text.partition(",")[0] if "," in event.text else event.text.split()[0]
        ):
            self._told[event.line] = stage
            print(f"{event.line}: {stage}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the progress off the terminal."""
        if self._is_terminal:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
