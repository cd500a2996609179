"""Logins and keys: read from files that only their owner can read, or from systemd's credentials;
shown nowhere.
"""

import contextlib
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import unquote

import yaml
from msgspec import Meta

from drivers.net.masking import Secrets, basic
from drivers.profile import Profile
from drivers.settings_file import read_bounded
from drivers.strict_yaml import MAX_FILE_BYTES, Problem, decode, parse


class ConfigError(Exception):
    """The configuration cannot be used; `problems` says all that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login. Its text form does not show the password."""

    username: str
    password: str = field(repr=False)


def read_credentials(folder: Path, name: str) -> tuple[Credentials | None, list[Problem]]:
    """A login from a systemd credential of that name, or else from a file (relative to the folder)
    that only its owner can read.
    """
    hint = "write exactly two lines, `username: '…'` and `password: '…'`, both in quotes"
    login, problems = _read(folder, name, _CredentialsFile, "a login", hint)
    return (Credentials(login.username, login.password) if login else None), problems


def read_device_credentials(
    folder: Path, name: str, profile: Profile
) -> tuple[Secrets, list[Problem]]:
    """What a meter of that profile is told in secret, from where `read_credentials` would take a
    login. Which entries there are, the profile's protocol says: keys, a login, a token.
    """
    entries = ", ".join(f"{entry}: '…' ({kind})" for entry, kind in profile.credentials.items())
    hint = f"write, each in quotes: {entries}"
    what = "a meter's credentials"
    found, problems = _read(folder, name, dict[str, str], what, hint)
    if found is None:
        return Secrets(), problems

    path = str(credential_path(folder, name))
    for why in profile.check_credentials(found):
        problems.append(Problem(path, 0, "", f"is not {what}: {why}", hint))
    return Secrets() if problems else Secrets(found), problems


def read_token(folder: Path, name: str) -> tuple[str | None, list[Problem]]:
    """The token of the status page, from where `read_credentials` would take a login."""
    hint = "make a new one with: meter-gateway token"
    found, problems = _read(folder, name, _TokenContents, "a token of the status page", hint)
    return (found.token if found else None), problems


def proxy_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What must not be shown of the proxies that the environment names: their logins."""
    found: list[str] = []
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for url in (environment.get(name, ""), environment.get(name.upper(), "")):
            login = url.rpartition("@")[0].rpartition("/")[2]
            username, _, password = map(unquote, login.partition(":"))
            with contextlib.suppress(UnicodeEncodeError):  # what is no text is sent nowhere
                if password:
                    found += (password, basic(username, password))
    return tuple(found)


T = TypeVar("T")


def _read(
    folder: Path, name: str, kind: type[T], what: str, hint: str
) -> tuple[T | None, list[Problem]]:
    path = credential_path(folder, name)
    if path != folder / name:
        hint += "; systemd passes this file on as the unit's LoadCredential= says, at each start"
    try:
        text, mode = read_bounded(path)
        document = parse(text, str(path))
    except OSError as error:
        message = f"{what} cannot be read: {error.strerror}"
        remedy = f"{hint}, and run: chmod 600 {path}"
        if error.errno == errno.EINVAL:
            remedy = f"put a file there: {hint}"
        elif error.errno in (errno.EACCES, errno.EPERM):
            remedy = (
                "its owner alone can: run this as root (with sudo); the file belongs to the "
                f"daemon's user: chown meter-gateway {path}"
            )
        elif error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            remedy = (
                "nothing is wrong with the file: the system gives no more; raise LimitNOFILE= of "
                "the unit, or free memory"
            )
        return None, [Problem(str(path), 0, "", message, remedy)]

    found = decode(kind, document)
    # What is wrong inside is told without quoting: it may be the password.
    lines = sorted({problem.line for problem in document.problems})
    if lines and cut_by_comments(text):
        hint += "; a # outside of quotes begins a comment"
    problems = [Problem(str(path), line, "", f"is not {what}", hint) for line in lines]

    # systemd sets the mode of what it passes on, and lets only this service see it.
    if path == folder / name and mode & 0o077:
        message = f"others can read this file (mode {mode:04o})"
        problems.append(Problem(str(path), 0, "", message, f"run: chmod 600 {path}"))
    return (found if not problems else None), problems


def cut_by_comments(text: bytes) -> list[tuple[int, str]]:
    """Values that are not in quotes and are followed by ` #`: for YAML they end there. Line and key
    of each.
    """
    try:
        whole = text[:MAX_FILE_BYTES].decode()
        node = yaml.compose(whole, Loader=yaml.SafeLoader)
    except (ValueError, OverflowError, yaml.YAMLError, RecursionError):
        return []

    found = []
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if not isinstance(value, yaml.ScalarNode) or value.style is not None:
            continue
        rest = whole[value.end_mark.index :].partition("\n")[0]
        if rest.lstrip(" \t:").startswith("#"):
            found.append((value.start_mark.line + 1, str(key.value)))
    return found


def credential_path(folder: Path, name: str) -> Path:
    """The systemd credential of that name where there is one, or else the file in the folder."""
    passed_folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if passed_folder:
        passed = Path(passed_folder) / Path(name).name
        with contextlib.suppress(OSError):  # where we may not look, there is nothing for us
            if passed.is_file():
                return passed
    return folder / name


@dataclass(frozen=True, slots=True, kw_only=True)
class _CredentialsFile:
    username: Annotated[str, Meta(min_length=1)]
    password: Annotated[str, Meta(min_length=1)]


LEAST_TOKEN_CHARS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenContents:
    token: Annotated[str, Meta(min_length=LEAST_TOKEN_CHARS, pattern=r"^[!-~]+$")]
