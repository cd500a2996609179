"""Kinds of destinations: one file each, found by name.

A new kind is one file in this folder (or in another one that `__path__` names): a module with

    class Settings                       a frozen dataclass of the keys of its section; its
        def check(self, site)            `check` says what does not fit together
    def open(settings, opening)          → Destination, or a Delivery of its own
    async def log_in(settings, site, within_s)   (optional) logs in once, for `check --try`;
                                         → what is wrong, and what to do, or ""

CONTRIBUTING.md takes you through it. In gateway.yaml the file's name is its `kind`:

    destinations:
      somewhere: {kind: <name>, …}

`exchange:` stands for a destination named `exchange` of the kind `exchange`.
"""

import importlib
from pathlib import Path
from types import ModuleType

from drivers.strict_yaml import Mistake, nearest
from gateway.site import config
from gateway.site.settings import DestinationSection, DestinationSettings, Settings


def kind_names() -> list[str]:
    """The kinds there are: the files of this package's folders."""
    return sorted({p.stem for folder in __path__ for p in Path(folder).glob("*.py")} - {"__init__"})


def settings_by_kind() -> dict[str, type]:
    """The dataclass of each kind's keys."""
    return {name: _kind(name).Settings for name in kind_names()}


def load(folder: Path, *, logins: bool = True) -> Settings:
    """The settings of a configuration folder, with those of its destinations. Raises ConfigError
    with every mistake of every file. Without `logins` the credential files are not looked at.
    """
    return config.load(folder, logins=logins, decode_destination=decode_destination)


def decode_destination(section: DestinationSection) -> DestinationSettings | None:
    """The settings of one destination. None where it has mistakes, which are noted."""
    if section.kind not in kind_names():
        message = f"there is no kind of destination {section.kind!r}"
        section.report([Mistake(("kind",), message, nearest(section.kind, kind_names()))])
        return None
    settings: DestinationSettings | None = section.decode(_kind(section.kind).Settings)
    return settings


def kind_of(settings: DestinationSettings) -> ModuleType:
    """The kind whose settings these are."""
    for name in kind_names():
        if type(settings) is _kind(name).Settings:
            return _kind(name)
    raise TypeError(f"{type(settings).__name__} are the settings of no kind of destination")


def _kind(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
