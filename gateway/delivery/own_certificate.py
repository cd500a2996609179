"""The certificate with which a receiver knows this site: from when to when it holds."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from drivers.net.validity import Validity, validity_of
from drivers.settings_file import read_bounded
from gateway.monitoring.report import certificate_words


class OwnCertificate:
    """Its file may be replaced at any time; it is read again where it was."""

    def __init__(self, path: Path) -> None:
        """`path`: a PEM file."""
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._validity: Validity | None = None

    def validity(self) -> Validity | None:
        """None where it cannot be read: the next connection says why."""
        try:
            found = self.path.stat()
            seen = found.st_ino, found.st_size, found.st_mtime_ns
            if seen != self._seen:
                self._validity = None
                self._seen = seen
                self._validity = validity_of(read_bounded(self.path)[0])
        except (OSError, ValueError):
            return None
        return self._validity


def certificates_told(
    folder: Path, destinations: Mapping[str, object], now_s: float
) -> Iterator[str]:
    """What is to be said of the certificates that destinations name, in words. `folder`: that of
    the configuration. `now_s`: Unix time.
    """
    for name, settings in destinations.items():
        file = getattr(settings, "certificate", None)
        if isinstance(file, str):
            own = OwnCertificate(folder / file)
            begins_s, ends_s = own.validity() or (None, None)
            if said := certificate_words(name, str(own.path), begins_s, ends_s, now_s):
                yield said
