"""Which P1 dialect a telegram is in: each profile's `marks` say it, so that a further dialect is
one more file.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from drivers.p1.settings import Settings
from drivers.profile import load_profile, profile_ids, shipped_folder


@dataclass(frozen=True, slots=True)
class Dialect:
    """A profile that tells its telegrams from others'."""

    id: str
    settings: Settings


def recognise(raw: bytes, dialects: Iterable[Dialect]) -> Dialect | None:
    """The dialect whose marks all begin lines of the telegram; of several the one with most of
    them.
    """
    found = [
        dialect
        for dialect in dialects
        if dialect.settings.marks and all(_stands(mark, raw) for mark in dialect.settings.marks)
    ]
    return max(found, key=lambda dialect: len(dialect.settings.marks), default=None)


def _stands(mark: str, raw: bytes) -> bool:
    text = mark.encode("latin-1", "replace")
    return raw.startswith(text) or b"\n" + text in raw or b"\r" + text in raw


@functools.cache
def shipped() -> tuple[Dialect, ...]:
    """The dialects that come with the software. Their files are read at the first call."""
    folder = shipped_folder()
    marked = [
        profile_id
        for profile_id in profile_ids(folder)
        if b"\n  marks:" in (folder / f"{profile_id}.yaml").read_bytes()
    ]
    loaded = ((profile_id, load_profile(profile_id, folder).settings) for profile_id in marked)
    return tuple(
        Dialect(profile_id, settings)
        for profile_id, settings in loaded
        if isinstance(settings, Settings)
    )
