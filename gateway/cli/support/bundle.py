"""What a person who helps from afar is sent: one archive, without secrets.

Secrets are taken out in three ways. Files of credentials are left out. What stands in them, in
whatever form, is masked wherever else it turns up, such as in a log or an exchange's answer. And
what a key calls a password, a token or a key is masked where nobody knew of it, as in a comment.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import yaml

from drivers.net.masking import MASK, SecretsInUse
from drivers.settings_file import read_bounded
from gateway.cli.main import main
from gateway.site.credentials import credential_path, proxy_secrets
from gateway.site.named_files import named_files
from gateway.site.service_unit import UNIT, service_unit

_JOURNAL_LINES = 3000
_PATIENCE_S = 30.0
_LEAST_CHARS = 4

_NAMED = re.compile(
    r"(?i)(\b[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|encryption_key|authentication_key|"
    r"api_?key|psk)\b[\"']?\s*[:=]\s*)(?![\s|>{\[]|$)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;}#]+)"
)
_BEARER = re.compile(r"(?i)\b((?:bearer|basic|jwt)\s+)[A-Za-z0-9._~+/=-]{8,}")
_USERINFO = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/@:]*:)[^\s/@]+(@)")

COMMANDS: Mapping[str, list[str]] = {
    "check.txt": ["check"],
    "status.json": ["status", "--json"],
    "slots.txt": ["slots", "--since", "2d"],
    "outbox.txt": ["outbox"],
    "forecast.txt": ["forecast"],
}
"""What is in the archive, and the command whose output it is."""


def write_bundle(path: Path, folder: Path, doctor: str) -> list[str]:
    """Write the archive, which only its owner can read. Returns what is in it. Raises OSError,
    also where there is such a file already.
    """
    masked = mask_of(folder)
    members = {"doctor.txt": doctor, **dict(_outputs(folder)), **dict(_settings(folder))}
    members["journal.txt"] = _journal()
    members["files.txt"] = _listing(folder)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with (
        os.fdopen(descriptor, "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz") as archive,
    ):
        for name, text in members.items():
            data = masked(text).encode()
            member = tarfile.TarInfo(f"meter-gateway/{name}")
            member.size, member.mtime, member.mode = len(data), int(time.time()), 0o600
            archive.addfile(member, io.BytesIO(data))
    return list(members)


def mask_of(folder: Path) -> Callable[[str], str]:
    """What takes this configuration's secrets out of a text."""
    secrets = SecretsInUse()
    for number, secret in enumerate(sorted(_secrets(folder))):
        secrets.use(str(number), secret)

    def masked(text: str) -> str:
        text = secrets.masked(text)
        text = _USERINFO.sub(rf"\1{MASK}\2", text)
        text = _BEARER.sub(rf"\1{MASK}", text)
        return _NAMED.sub(rf"\1{MASK}", text)

    return masked


def _secrets(folder: Path) -> set[str]:
    """Every value in every file of credentials, right or wrong, but for user names; and the logins
    of proxies.
    """
    found = set(proxy_secrets(os.environ))
    for path in _credential_files(folder):
        with contextlib.suppress(OSError):
            found |= set(_values(read_bounded(path)[0].decode(errors="replace")))
    return {each for each in found if len(each) >= _LEAST_CHARS}


def _credential_files(folder: Path) -> Iterator[Path]:
    for file in named_files(folder):
        if file.kind == "credentials":
            yield file.path
            yield credential_path(folder, file.name)
    # Also those that nothing names any more, or not yet.
    for pattern in ("*.credentials*", "*.key*"):
        yield from folder.rglob(pattern)
    for _, path in service_unit().credentials():
        if path is not None:
            yield path


def _values(text: str) -> Iterable[str]:
    """What stands in such a file. One that is no YAML is taken line by line."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        data = None
    if isinstance(data, dict):
        yield from (str(value) for key, value in data.items() if key != "username")
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() != "username":
            yield (value or key).strip().strip("'\"")


def _outputs(folder: Path) -> Iterator[tuple[str, str]]:
    for name, words in COMMANDS.items():
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                code = main([*words, "--config", str(folder)])
            except SystemExit as error:
                code = int(error.code or 0) if not isinstance(error.code, str) else 2
        yield name, f"$ meter-gateway {' '.join(words)}   (exit code {code})\n{out.getvalue()}"


def _settings(folder: Path) -> Iterator[tuple[str, str]]:
    """The files of the configuration, but for those of secrets."""
    for file in named_files(folder):
        if file.kind not in ("settings", "profile", "tariff"):
            continue
        try:
            data = read_bounded(file.path)[0]
            inside = file.path.resolve().relative_to(folder.resolve())
        except (OSError, ValueError):
            continue  # `check` names it
        yield f"configuration/{inside}", data.decode(errors="replace")


def _listing(folder: Path) -> str:
    """Names, modes, owners and sizes: of credentials nothing else is told."""
    lines = []
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            found = path.lstat()
            lines.append(
                f"{found.st_mode & 0o7777:04o} {found.st_uid}:{found.st_gid} {found.st_size:>9} "
                f"{path.relative_to(folder)}"
            )
    return "\n".join(lines) + "\n"


def _journal() -> str:
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        return "there is no journal on this machine\n"
    command = [journalctl, "--no-pager", "-u", UNIT, "-n", str(_JOURNAL_LINES), "-o", "short-iso"]
    try:
        done = subprocess.run(  # noqa: S603  nothing in it is anybody's input
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the journal cannot be read: {error}\n"
    return done.stdout + done.stderr
