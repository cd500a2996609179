"""Which P1 dialect a telegram is in: the one that explains its lines best. Each profile says what
its telegrams hold (`values`, `others`) and what tells them from others (`marks`), so that a further
dialect is one more file.
"""

import functools
from collections.abc import Iterable, Sequence

import msgspec

from drivers.p1.layout import DataLine
from drivers.p1.reader import Reader
from drivers.p1.settings import Settings
from drivers.profile import load_profile, profile_ids, shipped_folder


class Dialect(msgspec.Struct, frozen=True):
    """A profile that tells its telegrams from others'."""

    id: str
    settings: Settings


# What speaks against a dialect, and for it, in lines that it does not explain.
_MARK = 2.0  # a mark that stands, or that should
_MAKER = 4.0  # a mark that is a meter's name, which only this dialect has
_TOTAL = 4.0  # a total that it would not have, for want of one of its tariffs
_ABSENT = 0.05  # a quantity that it may hold and this telegram does not


def recognise(raw: bytes, dialects: Iterable[Dialect]) -> Dialect | None:
    """The dialect that explains the lines of a telegram best; None where not one of its lines or
    its name is a mark of any.
    """
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    plain = raw.replace(b"*255(", b"(")  # an id may be written out
    reader = Reader()
    reader.read(raw)
    lines = reader.lines
    marked = [
        dialect
        for dialect in dialects
        if any(_stands(mark, plain) for mark in dialect.settings.marks)
        and any(line.is_used(dialect.settings.values) for line in lines)
    ]
    held = frozenset[str]().union(*(line.gives for line in lines))
    return min(marked, key=lambda each: _strangeness(each, plain, lines, held), default=None)


def _strangeness(
    dialect: Dialect, plain: bytes, lines: Sequence[DataLine], held: frozenset[str]
) -> float:
    """How badly a dialect explains a telegram."""
    settings = dialect.settings
    known = (*settings.others, *settings.marks)
    strange = sum(
        1.0
        for line in lines
        if not line.is_used(settings.values) and not _beginning(line).startswith(known)
    )
    for mark in settings.marks:
        stands = _stands(mark, plain)
        if mark.startswith("/"):
            strange -= _MAKER if stands else 0.0
        else:
            strange += -_MARK if stands else _MARK
    for direction in ("import", "export"):
        total = f"energy_{direction}_wh"
        tariffs = {f"energy_{direction}_t{n}_wh" for n in settings.summed_tariffs()}
        own = any(total in line.gives and line.gives <= {total} for line in lines)
        if not own and not tariffs <= held:
            strange += _TOTAL
    return strange + _ABSENT * len(settings.quantities() - held)


def _beginning(line: DataLine) -> str:
    """As profiles write it: without what may be left out, and `0-n` for whichever M-Bus channel."""
    medium, _, rest = line.id.removesuffix("*255").partition(":")
    if medium.startswith("0-") and medium != "0-0":
        medium = "0-n"
    return f"{medium}:{rest}("


def _stands(mark: str, raw: bytes) -> bool:
    text = mark.encode("latin-1", "replace")
    return raw.startswith(text) or b"\n" + text in raw


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
