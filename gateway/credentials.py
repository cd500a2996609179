"""Logins: read from files that only their owner can read, or from systemd's credentials; shown nowhere."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from drivers.strict_yaml import Problem, decode, parse


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
    """A login from a systemd credential of that name, or else from a file (relative to the folder) that only its owner can read."""
    passed = Path(os.environ.get("CREDENTIALS_DIRECTORY", "")) / Path(name).name
    path = passed if os.environ.get("CREDENTIALS_DIRECTORY") and passed.is_file() else folder / name
    try:
        mode = path.stat().st_mode
        document = parse(path.read_bytes(), str(path))
    except OSError as error:
        hint = "write `username: …` and `password: …` into it and run: chmod 600 " + str(path)
        return None, [Problem(str(path), 0, "", f"credentials cannot be read: {error.strerror}", hint)]
    login = decode(_CredentialsFile, document) if document.data is not None else None
    # What is wrong inside is told without quoting: it may be the password.
    lines = sorted({problem.line for problem in document.problems})
    hint = "write exactly two lines, `username: '…'` and `password: '…'`, both in quotes"
    problems = [Problem(str(path), line, "", "is not a login", hint) for line in lines]
    if path is not passed and stat.S_IMODE(mode) & 0o077:
        problems.append(Problem(str(path), 0, "", f"others can read this file (mode {stat.S_IMODE(mode):04o})", f"run: chmod 600 {path}"))
    return (Credentials(login.username, login.password) if login and not problems else None), problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _CredentialsFile:
    username: Annotated[str, Meta(min_length=1)]
    password: Annotated[str, Meta(min_length=1)]
