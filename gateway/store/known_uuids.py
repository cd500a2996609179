"""What is known of assets' UUIDs, in a small file beside the buffer, `<buffer>.uuids`.

Under which an exchange was found to know assets that are written down by name, and whether it was
heard over websockets: so a new start delivers at once, notices that a UUID has changed since, and
does not take an exchange whose websockets are away for one that has none. Under which every asset
is kept here: so it is noticed that gateway.yaml has another one. It may be lost at any time: then
all of the exchange is found out anew, and what was kept under another UUID stays there.
"""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.outbox.kept_assets import Kept, KeptAsset

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 20
MAX_ASSETS = 2000
"""Also those that are gone, after those that are there."""

_ABOUT = (
    "the UUIDs of assets: in the exchange, of those that gateway.yaml has by name; and here. And "
    "whether the exchange was heard over websockets. Found out by itself"
)


class _Written(msgspec.Struct):
    """The file."""

    about: str = _ABOUT
    uuids: dict[str, dict[UUID, UUID]] = {}
    """By destination, the UUID there of each one here."""
    heard: list[str] = []
    """Destinations that had a websocket."""
    assets: dict[str, KeptAsset] = {}
    """As gateway.yaml had them at the last start, by name."""


class _File:
    """That of one buffer."""

    def __init__(self, buffer: Path) -> None:
        self._path = buffer.with_name(f"{buffer.name}.uuids")

    def read(self) -> _Written:
        """What it says; nothing where it cannot be read."""
        try:
            if self._path.stat().st_size > MAX_BYTES:
                return _Written()
            return msgspec.json.decode(self._path.read_bytes(), type=_Written)
        except (OSError, msgspec.MsgspecError, ValueError):
            return _Written()

    def write(self, written: _Written) -> None:
        """Where the disk refuses, it stays as it was."""
        written.about = _ABOUT
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            beside.write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")
            beside.replace(self._path)
        except OSError as error:
            log.debug("%s cannot be written: %s", self._path, error)
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)


class KnownUuids:
    """Of one destination."""

    def __init__(self, buffer: Path, destination: str) -> None:
        self._file = _File(buffer)
        self._destination = destination

    def read(self) -> dict[UUID, UUID]:
        """The UUID there of each one here; nothing where the file cannot be read."""
        return self._file.read().uuids.get(self._destination, {})

    def write(self, found: Mapping[UUID, UUID | None]) -> None:
        """Keep these. A disk that refuses costs a question at the next start."""
        known = {here: there for here, there in found.items() if there is not None}
        written = self._file.read()
        if written.uuids.get(self._destination, {}) == known:
            return
        written.uuids[self._destination] = known
        self._file.write(written)

    @property
    def was_heard(self) -> bool:
        """Whether it had a websocket."""
        return self._destination in self._file.read().heard

    def note_heard(self) -> None:
        """It has one."""
        written = self._file.read()
        if self._destination not in written.heard:
            written.heard.append(self._destination)
            self._file.write(written)


class KnownAssets:
    """The assets as gateway.yaml had them at the last start."""

    def __init__(self, buffer: Path) -> None:
        self._file = _File(buffer)

    def read(self) -> dict[str, KeptAsset]:
        """By name; nothing where the file cannot be read."""
        return self._file.read().assets

    def write(self, assets: Kept) -> None:
        """Keep these, or the first `MAX_ASSETS` of them."""
        kept = dict(list(assets.items())[:MAX_ASSETS])
        written = self._file.read()
        if written.assets == kept:
            return
        written.assets = kept
        self._file.write(written)
