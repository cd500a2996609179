"""Where this machine's apt gets new versions from: the update channel. It lies with apt, and not in
gateway.yaml: the daemon may not change what is installed.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.terminal import Refused

CHANNELS = ("stable", "testing")
UNATTENDED = Path("usr/bin/unattended-upgrade")

_SOURCES = Path("etc/apt/sources.list.d/meter-gateway.sources")
_UNATTENDED = Path("etc/apt/apt.conf.d/52meter-gateway")
_KEYS = Path("etc/apt/keyrings")
_KEY = "meter-gateway"
_MOST_KEY_BYTES = 1 << 16
_ARMOURED = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_SCHEMES = ("https://", "http://", "file:/")

_ABOUT = "Written by meter-gateway updates, which also removes it: meter-gateway updates none"


@dataclass(frozen=True, slots=True)
class Channel:
    """Which versions come, and from where."""

    name: str
    repository: str

    def sources(self, key: Path) -> str:
        """The file of apt's sources (sources.list(5), "DEB822-STYLE FORMAT")."""
        return (
            f"# {_ABOUT}\nTypes: deb\nURIs: {self.repository}\nSuites: {self.name}\n"
            f"Components: main\nSigned-By: {key}\n"
        )


def channel_of(root: Path = Path("/")) -> Channel | None:
    """The one that is set; None where versions are installed by hand. Raises OSError."""
    try:
        text = (root / _SOURCES).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return Channel(fields.get("Suites", ""), fields.get("URIs", ""))


def choose(name: str, repository: str | None, key: Path | None, root: Path = Path("/")) -> Channel:
    """Set it. Without a repository or a key those that are set already stay. Raises Refused,
    OSError; nothing has been changed then.
    """
    before = channel_of(root)
    url = repository or (before.repository if before else "")
    if not url:
        raise Refused(
            "from where? Name the repository, and the file with its public key: meter-gateway "
            f"updates {name} --repository https://… --key meter-gateway.gpg"
        )
    if not url.startswith(_SCHEMES) or len(url.split()) != 1:
        raise Refused(f"{url!r}: is no address of a repository — https://… or file:/…")
    there = sorted((root / _KEYS).glob(f"{_KEY}.*"))
    if key is None and not there:
        raise Refused("apt believes no repository without its public key — name it: --key FILE")
    channel = Channel(name, url)
    place = there[0] if key is None else _keep_key(key, root)
    path = Path("/") / place.relative_to(root)
    _write(
        root / _UNATTENDED,
        f'// {_ABOUT}\nUnattended-Upgrade::Origins-Pattern {{ "origin=meter-gateway"; }};\n',
    )
    _write(root / _SOURCES, channel.sources(path))
    return channel


def _keep_key(key: Path, root: Path) -> Path:
    """Put the public key where apt looks for it. Raises Refused, OSError."""
    data = key.read_bytes()[: _MOST_KEY_BYTES + 1]
    is_armoured = _ARMOURED in data
    # The first packet of a binary key is a public key (RFC 4880, 4.2 and 5.5.1.1).
    is_binary = data[:1] in (b"\x98", b"\x99", b"\xc6")
    if len(data) > _MOST_KEY_BYTES or not (is_armoured or is_binary):
        raise Refused(f"{key}: is no public key of gpg — the repository has it: meter-gateway.gpg")
    place = root / _KEYS / f"{_KEY}.{'asc' if is_armoured else 'gpg'}"
    for other in (root / _KEYS).glob(f"{_KEY}.*"):
        other.unlink()
    _write(place, data)
    return place


def _write(path: Path, data: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data if isinstance(data, bytes) else data.encode())
    new.chmod(0o644)
    new.replace(path)


def leave(root: Path = Path("/")) -> None:
    """From now on versions are installed by hand. Raises OSError."""
    for path in (root / _SOURCES, root / _UNATTENDED, *(root / _KEYS).glob(f"{_KEY}.*")):
        path.unlink(missing_ok=True)


def versions() -> str:
    """What is installed and what apt would install, in its words; empty where it cannot say."""
    apt_cache = shutil.which("apt-cache")
    if apt_cache is None:
        return ""
    command = [apt_cache, "policy", "meter-gateway"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    found = [line.strip() for line in done.stdout.splitlines()[1:3]]
    return ", ".join(found)
