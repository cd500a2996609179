"""Who may read the status page: this machine alone, whoever has the token, or (for one version
more) anybody.

Beyond this machine the page asks for a token. `meter-gateway token` makes one, in a file of mode
0600 beside gateway.yaml; a systemd credential of that name goes before it.

An installation that opened its page to the network before there were tokens goes on for one
version, with a warning wherever it speaks. It is one whose buffer was there before this version
ran. Once this version has run, a note beside the buffer says how it was: a page that was not open
to all then does not become so later.
"""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from drivers.net.addresses import address_of, is_loopback
from drivers.yaml_words import found_text
from gateway.site.credentials import credential_path, read_token

_log = logging.getLogger(__name__)

TOKEN_FILE = "status.credentials"  # noqa: S105  its name
"""Where the token is, unless gateway.yaml says otherwise."""

NOTE = "page-access"
"""The note's name, beside the buffer."""

Access = Literal["local", "token", "open"]

OPEN_WARNING = (
    "everybody on the network can read the status page: it listens on {host} and there is no "
    "token; the next version will not start like this — make a token: meter-gateway token"
)

_INTERFACE = re.compile(r"(lo|any|all|(eth|en[opsx]|wl|br|docker|veth|tun|tap|wg|ppp|usb)[\w-]*)")


class ListenHost(str):
    """The address on which the status page listens, without brackets; or the name of one."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "title": "address",
        "description": "an address of this machine, such as 127.0.0.1",
        "type": "string",
        "minLength": 1,
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "ListenHost":
        """Raises ValueError where nothing can listen there."""
        if not isinstance(raw, str):
            raise ValueError(f"expected an address, found {found_text(raw)} — such as 127.0.0.1")
        if not raw.strip() or raw == "*":
            what = "is empty" if raw != "*" else "'*' is no address"
            raise ValueError(f"{what} — write 127.0.0.1 for this machine only, {_EVERYWHERE}")

        address = address_of(raw)
        if address is not None:
            if address.is_multicast:
                raise ValueError(f"{raw} is the address of a group — {_OWN}")
            return cls(raw.removeprefix("[").removesuffix("]"))

        if "/" in raw or re.fullmatch(r"[^:]*:\d*|\[.*\]:\d*", raw):
            raise ValueError(f"{raw!r} is more than an address — the port goes to port:")
        if _INTERFACE.fullmatch(raw):
            raise ValueError(f"{raw!r} is the name of an interface — {_OWN}, or {_EVERYWHERE}")
        if re.fullmatch(r"[0-9.]+|0[xX].*|.*:.*", raw):
            raise ValueError(f"{raw!r} is not an address — {_OWN}")
        if len(raw) > 253 or not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?", raw):
            raise ValueError(f"{raw!r} is not the name of a host — {_OWN}")
        return cls(raw)


_EVERYWHERE = "0.0.0.0 for the whole network (:: for IPv6)"
_OWN = "write an address of this machine, as `ip address` shows it"


def access_of(host: str, folder: Path, token_file: str, buffer_path: Path) -> Access | None:
    """Who may read the page; None where it must not be opened like this."""
    if is_loopback(host):
        return "local"
    if _is_there(credential_path(folder, token_file)):
        return "token"
    return "open" if _was_open(buffer_path) else None


def note_access(access: Access, buffer_path: Path) -> None:
    """Write down how this version runs, for the next start. Where that cannot be written, the next
    start sees what this one saw.
    """
    note = buffer_path.with_name(NOTE)
    text = f"{access}\n"
    try:
        if not note.is_file() or note.read_text() != text:
            note.write_text(text)
    except (OSError, ValueError):
        return


def _was_open(buffer_path: Path) -> bool:
    """Whether the page was open to all before: as this version has noted, or with an earlier
    version, which has left its buffer and no note.
    """
    try:
        return buffer_path.with_name(NOTE).read_text(errors="replace").strip() == "open"
    except FileNotFoundError:
        return _is_there(buffer_path)
    except OSError:
        return True


def _is_there(path: Path) -> bool:
    """Whether there is such a file. One that must not be looked for may be there."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


class TokenFile:
    """The token as it is in its file now. It is read again when the file changes: a new token opens
    the page at once, and the one before does not any more.
    """

    def __init__(self, folder: Path, name: str, use: Callable[[str, str], None]) -> None:
        """`use` is told of each token, with what it is for: it must be shown nowhere."""
        self._folder = folder
        self._name = name
        self._use = use
        self._seen: tuple[int, int, int] | None = None
        self._token: str | None = None

    def __call__(self) -> str | None:
        """None where there is none that could be used."""
        try:
            stat = credential_path(self._folder, self._name).stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
        except OSError:
            self._seen = self._token = None
            return None

        if seen != self._seen:
            self._token, problems = read_token(self._folder, self._name)
            self._seen = seen
            for problem in problems:
                _log.warning("%s; until then the status page lets nobody in", problem)
            if self._token is not None:
                self._use("the status page", self._token)
        return self._token
