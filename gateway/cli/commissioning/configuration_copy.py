"""The configuration folder in a copy of the box: what is taken along, and how it is put onto a new
card.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from drivers.settings_file import read_bounded
from gateway.cli.commissioning.files import cannot_write, make_folder, set_aside, write_kept
from gateway.cli.terminal import Refused
from gateway.site.named_files import named_files
from gateway.site.service_unit import UNIT, service_unit
from gateway.store.carried_files import CarriedFile

SITE = "gateway.yaml"
MOST_BYTES = 1 << 20
"""Of one file: what is larger is no configuration."""
MOST_FILES = 2000


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken along of a configuration."""

    files: Sequence[CarriedFile]
    left_out: Sequence[str]
    """What belongs to it and is not, and why, for people."""


def take(folder: Path, buffer: Path) -> Taken:
    """Every file of the folder, but for the buffer's own. Raises Refused where one cannot be read:
    a copy that lacks the login looks whole until it is needed.
    """
    files: list[CarriedFile] = []
    left_out: list[str] = []
    for path in sorted(_files_in(folder)):
        if path.name.startswith(buffer.name) and path.parent.samefile(buffer.parent):
            continue
        try:
            data, mode = read_bounded(path, MOST_BYTES)
        except OSError as error:
            raise Refused(
                f"{path}: cannot be read: {error.strerror} — run this with sudo; or leave the "
                "configuration out: --buffer-only"
            ) from error
        if len(data) > MOST_BYTES:
            left_out.append(f"{path} (more than 1 MiB)")
            continue
        files.append(CarriedFile(str(path.relative_to(folder)), data, not mode & 0o077))
        if len(files) > MOST_FILES:
            raise Refused(
                f"{folder}: has more than {MOST_FILES} files — move away what is no configuration, "
                "or leave it out: --buffer-only"
            )
    return Taken(files, [*left_out, *_elsewhere(folder)])


def _files_in(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not is_hidden:
            yield path


def _elsewhere(folder: Path) -> Iterator[str]:
    """What the configuration names, or the unit is changed by, in other folders."""
    for file in named_files(folder):
        if file.path.is_file() and not file.path.absolute().is_relative_to(folder.absolute()):
            yield f"{file.path} (another folder)"
    unit = service_unit()
    for name, path in unit.credentials():
        if unit.runs(folder) and path is not None and not path.is_relative_to(folder):
            yield f"{path} (passed on by systemd as {name})"
    for path in sorted(Path("/etc/systemd/system", f"{UNIT}.d").glob("*.conf")):
        if unit.runs(folder):
            yield f"{path} (systemctl edit)"


def put(folder: Path, files: Sequence[CarriedFile]) -> list[str]:
    """Write them into a folder that has no `gateway.yaml`, and that last: until then nothing
    starts with half a configuration. A file that is there and says otherwise is kept beside it.
    Returns what was done, for people. Raises Refused.
    """
    said: list[str] = []
    for file in sorted(files, key=lambda each: (each.name == SITE, each.name)):
        name = PurePosixPath(file.name)
        if name.is_absolute() or ".." in name.parts:
            raise Refused(f"{file.name!r}: this is no file of a configuration folder")
        path = folder / name
        try:
            make_folder(path.parent)
            if path.exists():
                if path.read_bytes() == file.data:
                    continue
                said.append(f"    kept: {set_aside(path, time.time())}")
            write_kept(path, file.data, is_secret=file.is_secret)
        except OSError as error:
            raise cannot_write(path, error) from error
        said.append(f"    written: {path}")
    return said


def is_there(folder: Path) -> bool:
    """Whether that folder has a configuration."""
    return os.path.lexists(folder / SITE)
