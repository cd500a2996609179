"""How far each destination has accepted, in a small file beside the buffer, `<buffer>.accepted`.

What was sent and has no verdict yet counts, too. The exchange may have taken it, and the verdict
may never come.

The buffer itself cannot tell that it is an old copy: in it, what was accepted since is still owed,
or is settled anew, and differently. The marks tell, because they are not in it. They are written
down when the first number of a slot is sent or accepted, before the buffer says so, and cover
whatever of that slot is about to be sent to the same destination: one small write for each slot.

Who puts a copy of the whole folder back puts old marks back with it. So what was accepted is noted
in a second place, too: the service's cache folder, which no such copy touches. That file may be
lost at any time. An image of the whole card holds both; it is for `meter-gateway restore`.

Where the buffer is found to be behind the marks, its slots up to them are *assumed*: they count as
accepted, and are sent again only by a person's word. So it is where `meter-gateway restore` says
so.

They also say which boot of the machine the newest of them is of: where the buffer is lost, they are
all that tells a clock that is behind (`Clock.know`).

Bounds: a file beyond `MAX_BYTES` is not read; of what is not configured any more nothing is added.
"""

import contextlib
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.outbox.item import Subject, subject_of
from gateway.outbox.owed import Held
from gateway.timing.utc import utc_seconds

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 20

Series = tuple[str, str]
"""A destination, and the text of a subject."""

SECOND_NAME = "accepted"
"""The file in the cache folder (CacheDirectory= of systemd.exec(5))."""

_ABOUT = "the newest slot that each destination accepted; see: meter-gateway restore --help"


class _Written(msgspec.Struct, omit_defaults=True):
    """The file. Times are starts of slots, as people read them."""

    about: str = ""
    boot: str = ""
    accepted: dict[str, dict[str, str]] = {}
    assumed: dict[str, dict[str, str]] = {}
    assumed_before: str = ""
    to_apply: bool = False
    restored_in: str = ""


class AcceptedMarks(msgspec.Struct):
    """The marks of one buffer. Slots are named by their starts, Unix time."""

    path: Path
    """Of the file."""
    accepted: dict[Series, int] = msgspec.field(default_factory=dict)
    """The newest slot that was accepted, or was sent and may have been."""
    assumed: dict[Series, int] = msgspec.field(default_factory=dict)
    """The newest slot that is assumed to be accepted."""
    assumed_before_s: int = 0
    """Slots that start before then are assumed to be accepted, of whatever series."""
    to_apply: bool = False
    """What is pending in the buffer has not been looked through for it yet."""
    capped: bool = True
    """Whether it is sure that nothing is assumed of the time to come."""
    is_stored: bool = False
    """Whether the file says the same."""
    boot_id: str = ""
    """The boot in which the newest of them was noted; empty where that is not known."""
    this_boot: str = ""
    """The boot of now, once this is the daemon's."""
    restored_in: str = ""
    """The boot in which a copy was put in the place of the buffer. It may be another machine's: its
    boots tell nothing of when this one began.
    """
    second: Path | None = None
    """The second place for what was accepted, if there is one."""
    _told: bool = False

    # --- what they say ----------------------------------------------------------------------------

    def newest_s(self, destination: str) -> int | None:
        """The newest slot that a destination is known to have accepted."""
        found = (slot_s for (name, _), slot_s in self.accepted.items() if name == destination)
        return max(found, default=None)

    @property
    def newest_of_all_s(self) -> int | None:
        """The newest slot that any destination is known to have accepted."""
        return max(self.accepted.values(), default=None)

    def assumes(self, destination: str, subject: Subject, slot_s: int) -> bool:
        """Whether a slot counts as accepted, though this buffer does not know it to be."""
        if slot_s < self.assumed_before_s:
            return True
        return slot_s <= self.assumed.get((destination, str(subject)), -1)

    def is_maybe_later(self, held: Held) -> bool:
        """Whether a destination may hold a revision that this buffer does not know."""
        item = held.item
        is_known = self.assumes(item.destination, item.subject, item.slot_s)
        return is_known and held.energy_uwh is not None

    # --- what becomes of them ---------------------------------------------------------------------

    def note(self, destination: str, subjects: Iterable[Subject], slot_s: int) -> bool:
        """A slot of these subjects is accepted, or about to be. Returns whether that is news."""
        news = False
        for subject in subjects:
            series = destination, str(subject)
            if slot_s > self.accepted.get(series, -1):
                self.accepted[series] = slot_s
                news = True
        if news:
            self.boot_id = self.this_boot
            self.is_stored = False
        return news

    def assume(self, behind: Collection[Series]) -> bool:
        """What was accepted of these counts as accepted from now on, whatever the buffer says.
        Returns whether that is news.
        """
        news = False
        for series in behind:
            self.capped = False
            if self.assumed.get(series, -1) < self.accepted[series]:
                self.assumed[series] = self.accepted[series]
                news = True
        self.is_stored &= not news
        return news

    def assume_told(self, told: Mapping[Series, int]) -> None:
        """What a destination was seen to hold counts as accepted; all that was assumed before of
        whatever series, since nobody knew, does not.
        """
        self.assumed_before_s = 0
        self.assumed.update(told)
        self.is_stored, self.capped = False, False

    def move(self, moved: Mapping[str, str]) -> None:
        """Subjects have other names now, by their texts."""
        for marks in (self.accepted, self.assumed):
            found: dict[Series, int] = {}
            for (destination, subject), slot_s in marks.items():
                series = destination, moved.get(subject, subject)
                found[series] = max(slot_s, found.get(series, -1))
            self.is_stored &= found == marks
            marks.clear()
            marks.update(found)

    def cap(self, newest_s: int) -> None:
        """No slot after this one can have been accepted: a clock that was ahead may have claimed
        that.
        """
        self.capped = True
        for marks in (self.accepted, self.assumed):
            for series, slot_s in marks.items():
                if slot_s > newest_s:
                    marks[series] = newest_s
                    self.is_stored = False
        if self.assumed_before_s > newest_s + 1:
            self.assumed_before_s = newest_s + 1
            self.is_stored = False

    # --- the file ---------------------------------------------------------------------------------

    @classmethod
    def beside(cls, buffer: Path, environ: Mapping[str, str] = os.environ) -> "AcceptedMarks":
        """The marks of the buffer at that path, and what the second place says beyond; none where
        there is no such file, or none that can be read.
        """
        marks = cls._of(buffer.with_name(buffer.name + ".accepted"))
        cache = environ.get("CACHE_DIRECTORY", "").partition(":")[0]
        if cache:
            marks.second = Path(cache, SECOND_NAME)
            second = cls._of(marks.second)
            if (second.newest_of_all_s or 0) > (marks.newest_of_all_s or 0):
                marks.boot_id = second.boot_id
            for series, slot_s in second.accepted.items():
                if slot_s > marks.accepted.get(series, -1):
                    marks.accepted[series] = slot_s
                    marks.is_stored = False
        return marks

    @classmethod
    def _of(cls, path: Path) -> "AcceptedMarks":
        """What one file says."""
        marks = cls(path)
        try:
            written = msgspec.json.decode(_read(path), type=_Written)
            marks.boot_id = written.boot
            marks.accepted = _starts(written.accepted)
            for _, subject in marks.accepted:
                subject_of(subject)
            marks.assumed = _starts(written.assumed)
            marks.assumed_before_s = _start(written.assumed_before) if written.assumed_before else 0
            marks.to_apply = written.to_apply
            marks.restored_in = written.restored_in
            marks.is_stored = True
            marks.capped = not marks.to_apply
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("%s: cannot be read: %s; it is begun anew", path, error)
            return cls(path)
        return marks

    def store(self) -> None:
        """Write the file, where it does not say the same. Where the disk refuses, that is said
        once: deliveries do not wait for it. Raises nothing.
        """
        if self.is_stored or not (self.accepted or self.assumed or self.assumed_before_s):
            return
        refused = []
        if self.second is not None:
            try:
                written = _Written(_ABOUT, self.boot_id, _texts(self.accepted))
                _put(self.second, written, synced=False)
            except OSError as error:
                refused.append((self.second, error.strerror))
        try:
            self.write()
        except OSError as error:
            refused.append((self.path, error.strerror))

        if not self._told:
            for path, why in refused:
                log.warning("%s: cannot be written: %s; tried again later", path, why)
        self._told = bool(refused)

    def write(self, owner: os.stat_result | None = None) -> None:
        """Write the file, which is the old or the new one at any moment; it belongs to `owner`, if
        given. Raises OSError.
        """
        written = _Written(
            _ABOUT,
            self.boot_id,
            _texts(self.accepted),
            _texts(self.assumed),
            utc_seconds(self.assumed_before_s) if self.assumed_before_s else "",
            self.to_apply,
            self.restored_in,
        )
        _put(self.path, written, owner=owner)
        self.is_stored = True


def _put(
    path: Path, written: _Written, *, owner: os.stat_result | None = None, synced: bool = True
) -> None:
    """Raises OSError."""
    new = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    number = os.open(new, flags, 0o640)
    try:
        if owner is not None:
            with contextlib.suppress(PermissionError):
                os.fchown(number, owner.st_uid, owner.st_gid)
        os.write(number, msgspec.json.encode(written) + b"\n")
        if synced:
            os.fsync(number)
    finally:
        os.close(number)
    new.replace(path)


def _read(path: Path) -> bytes:
    """Raises OSError or ValueError."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if data is None or len(data) > MAX_BYTES:
        raise ValueError("it is no small file")
    return data


def _starts(written: Mapping[str, Mapping[str, str]]) -> dict[Series, int]:
    """Raises ValueError."""
    return {
        (destination, subject): _start(text)
        for destination, subjects in written.items()
        for subject, text in subjects.items()
    }


def _start(text: str) -> int:
    """Raises ValueError."""
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())


def _texts(marks: Mapping[Series, int]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (destination, subject), slot_s in sorted(marks.items()):
        found.setdefault(destination, {})[subject] = utc_seconds(slot_s)
    return found
