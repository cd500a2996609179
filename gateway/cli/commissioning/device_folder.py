"""The `devices/` of a configuration folder: which meters have a file already, and new files for
those that are found.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from drivers.found import Found
from drivers.line import LineUrl
from drivers.scan import device_line
from drivers.settings_file import settings_files
from gateway.cli.commissioning.files import cannot_write, make_folder, write_settings
from gateway.cli.terminal import Refused
from gateway.site.config import load_device
from gateway.site.credentials import ConfigError
from gateway.site.device_files import Endpoint, device_file, endpoint_of, names

SITE_TO_BEGIN_WITH = """\
# Written by meter-gateway scan. What else can be said here, such as the exchange and its assets:
# see docs/examples/home/gateway.yaml. Or let it be asked: meter-gateway init
site: home
"""


class DeviceFolder:
    """Writes device files for the meters that have none yet, as they are found: an hour's search is
    not lost with its terminal.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is a configuration folder, or its `devices`. Raises Refused where it cannot be
        had.
        """
        self._folder = folder
        self.config, self._devices = (
            (folder.parent, folder) if folder.name == "devices" else (folder, folder / "devices")
        )
        self._waiting: list[Found] = []
        self._has_site = False
        try:
            make_folder(self._devices)
            self._known = list(_endpoints(self.config))
        except OSError as error:
            raise self._refused(error) from error
        if not os.access(self._devices, os.W_OK):
            raise self._refused(
                PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._devices))
            )

    def names(self) -> list[str]:
        """Of the meters that have a file, right or wrong."""
        return [path.stem for path in settings_files(self._devices)]

    def file_of(self, found: Found) -> Path | None:
        """The file of a meter that is there already."""
        endpoint = _endpoint(found)
        return next((path for known, path in self._known if endpoint.is_taken([known])), None)

    def write(self, name: str, found: Found, *, inverted: bool = False) -> Path:
        """Write the file of a meter under that name. Raises Refused."""
        try:
            return self._write_one(name, found, inverted=inverted)
        except OSError as error:
            raise self._refused(error) from error

    def add(self, found: Found) -> None:
        """Write its file under the name of its model, where it has none. What cannot be written now
        waits for `finish`.
        """
        self._waiting.append(found)
        with contextlib.suppress(OSError):
            self._write_waiting()

    def finish(self) -> None:
        """Write what waits. Raises Refused where that fails."""
        try:
            self._write_waiting()
        except OSError as error:
            raise self._refused(error) from error

    def _write_waiting(self) -> None:
        while self._waiting:
            found = self._waiting[0]
            path = self.file_of(found)
            if path is not None:
                print(f"    is there already: {path}", flush=True)
            else:
                ((name, _),) = names([found], {each.stem for each in self._devices.iterdir()})
                self._write_one(name, found)
            self._begin_site()
            self._waiting.pop(0)

    def _write_one(self, name: str, found: Found, *, inverted: bool = False) -> Path:
        path = self._devices / f"{name}.yaml"
        self._put(path, device_file(found, device_line(found), inverted=inverted))
        self._known.append((_endpoint(found), path))
        return path

    def _begin_site(self) -> None:
        """Write the file of the site, or say once that there is one."""
        path = self.config / "gateway.yaml"
        if self._has_site:
            return
        if path.exists():
            print(f"    is there already: {path}", flush=True)
        else:
            self._put(path, SITE_TO_BEGIN_WITH)
        self._has_site = True

    @staticmethod
    def _put(path: Path, text: str) -> None:
        write_settings(path, text)
        print(f"    written: {path}", flush=True)

    def _refused(self, error: OSError) -> Refused:
        if error.errno in (errno.EROFS, errno.EACCES):
            return cannot_write(Path(error.filename or self._folder), error)
        return Refused(
            f"{error.filename or self._folder}: cannot be written: {error.strerror} — write to "
            "another folder"
        )


def _endpoint(found: Found) -> Endpoint:
    return endpoint_of(found.profile, _port_of(found.line), found.address)


def _port_of(line: LineUrl) -> str:
    """A port has several names."""
    return line.key if line.port is not None else str(Path(line.target).resolve())


def _endpoints(config: Path) -> Iterator[tuple[Endpoint, Path]]:
    """Where the meters are that have a device file already, and that file. A file with mistakes is
    `check`'s to name.
    """
    for path in settings_files(config / "devices"):
        with contextlib.suppress(ConfigError):
            device = load_device(config, path.stem)
            endpoint = endpoint_of(
                device.profile,
                _port_of(device.line),
                device.address if device.profile.bus else None,
            )
            yield endpoint, path
