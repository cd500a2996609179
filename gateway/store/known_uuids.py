"""Under which UUIDs an exchange was found to know assets that are written down by name, and whether
it was heard over websockets, in a small file beside the buffer, `<buffer>.uuids`. So a new start
delivers at once, notices that a UUID has changed since, and does not take an exchange whose
websockets are away for one that has none. It may be lost at any time: then all is found out anew.
"""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import msgspec

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 20

_ABOUT = (
    "the UUIDs in the exchange of assets that gateway.yaml has by name, and whether it was heard "
    "over websockets; found out by itself"
)


class _Written(msgspec.Struct):
    """The file: by destination, the UUID there of each one here."""

    about: str = _ABOUT
    uuids: dict[str, dict[UUID, UUID]] = {}
    heard: list[str] = []
    """Destinations that had a websocket."""


class KnownUuids:
    """Of one destination."""

    def __init__(self, buffer: Path, destination: str) -> None:
        self._path = buffer.with_name(f"{buffer.name}.uuids")
        self._destination = destination

    def read(self) -> dict[UUID, UUID]:
        """The UUID there of each one here; nothing where the file cannot be read."""
        return self._read().uuids.get(self._destination, {})

    def write(self, found: Mapping[UUID, UUID | None]) -> None:
        """Keep these. A disk that refuses costs a question at the next start."""
        known = {here: there for here, there in found.items() if there is not None}
        written = self._read()
        if written.uuids.get(self._destination, {}) == known:
            return
        written.uuids[self._destination] = known
        self._write(written)

    @property
    def was_heard(self) -> bool:
        """Whether it had a websocket."""
        return self._destination in self._read().heard

    def note_heard(self) -> None:
        """It has one."""
        written = self._read()
        if self._destination not in written.heard:
            written.heard.append(self._destination)
            self._write(written)

    def _write(self, written: _Written) -> None:
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            beside.write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")
            beside.replace(self._path)
        except OSError as error:
            log.debug("%s cannot be written: %s", self._path, error)
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    def _read(self) -> _Written:
        try:
            if self._path.stat().st_size > MAX_BYTES:
                return _Written()
            return msgspec.json.decode(self._path.read_bytes(), type=_Written)
        except (OSError, msgspec.MsgspecError, ValueError):
            return _Written()
