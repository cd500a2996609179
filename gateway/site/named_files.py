"""Which files a configuration folder is made of, and which others it names: for whoever looks
them over. Files with mistakes are `config`'s to name; what they say is taken as far as it can be.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from drivers.line_url import LineUrl
from drivers.settings_file import entries, read_bounded, settings_files
from drivers.strict_yaml import parse
from gateway.site.config import profile_folders

Kind = Literal["settings", "profile", "credentials", "certificate", "tariff"]


class NamedFile(msgspec.Struct, frozen=True):
    """A file that the daemon reads."""

    path: Path
    kind: Kind
    name: str = ""
    """Of credentials: as they are named, which is also what systemd may pass them as."""


def named_files(folder: Path) -> Iterator[NamedFile]:
    """Every file of the folder, and every one that they name, whether it is there or not."""
    gateway = folder / "gateway.yaml"
    yield NamedFile(gateway, "settings")
    keys = _keys(gateway)
    yield from _named_by(keys, folder)
    yield from _tariffs(keys.get("grid_operator"), folder)

    for path in settings_files(folder / "devices"):
        yield NamedFile(path, "settings")
        yield from _named_by({"device": _keys(path)}, folder)
        yield from _certificates(_keys(path).get("line"))

    for maker in entries(profile_folders(folder)[0]):
        yield from (NamedFile(path, "profile") for path in settings_files(maker))


def _keys(path: Path) -> dict[str, object]:
    try:
        data = parse(read_bounded(path)[0], str(path)).data
    except OSError:
        return {}
    return data if isinstance(data, dict) else {}


def _named_by(sections: dict[str, object], folder: Path) -> Iterator[NamedFile]:
    """What the sections of a file name, those of `destinations:` too."""
    destinations = sections.get("destinations")
    inner = destinations.values() if isinstance(destinations, dict) else ()
    for section in (*sections.values(), *inner):
        if not isinstance(section, dict):
            continue
        for key in ("credentials", "key", "token"):
            if isinstance(name := section.get(key), str):
                yield NamedFile(folder / name, "credentials", name)
        for key in ("ca_file", "certificate"):
            if isinstance(name := section.get(key), str):
                yield NamedFile(folder / name, "certificate")


def _tariffs(section: object, folder: Path) -> Iterator[NamedFile]:
    """What the grid operator's models name."""
    if not isinstance(section, dict):
        return
    own = section.get("models")
    for model in (section.get("model"), *(own.values() if isinstance(own, dict) else ())):
        if isinstance(model, dict) and isinstance(name := model.get("file"), str):
            yield NamedFile(folder / name, "tariff")


def _certificates(line: object) -> Iterator[NamedFile]:
    try:
        url = LineUrl.parse(line)
    except ValueError:
        return
    for name in (url.ca_file, url.cert_file, url.key_file):
        if name is not None:
            yield NamedFile(Path(name), "certificate")
