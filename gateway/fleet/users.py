"""Who may look at the manager's page: names in the database, with a hash of each password."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from gateway.fleet.database import Connection, translated

MIN_PASSWORD = 10
"""Characters. Five tries a minute are allowed for each address."""
MAX_PASSWORD = 200

_N, _R, _P = 1 << 15, 8, 1
"""scrypt (RFC 7914): 32 MB and some 100 ms for each try."""
_MAX_N = 1 << 20


@dataclass(frozen=True, slots=True)
class User:
    """One who may look."""

    name: str
    hash: str = field(repr=False)
    generation: str = field(repr=False)
    """Another one with each password."""
    added: datetime
    changed: datetime


def why_not_name(name: str) -> str:
    """What is wrong with a user's name; empty where nothing is."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name):
        return ""
    return f"{name[:70]!a} cannot be a user's name: up to 64 letters, digits, and . _ @ -"


def why_not_password(password: str) -> str:
    """What is wrong with a password; empty where nothing is."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        return f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters"
    return ""


def hashed(password: str) -> str:
    """What is kept of a password. Takes some 100 ms."""
    salt = secrets.token_bytes(16)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(_scrypt(password, salt, _N, _R, _P))}"


def matches(password: str, kept: str) -> bool:
    """Whether it is the password of that hash. What is no hash is nobody's."""
    found = re.fullmatch(r"scrypt\$(\d+)\$(\d+)\$(\d+)\$([^$]+)\$([^$]+)", kept)
    if found is None or not 1 < int(found[1]) <= _MAX_N or not password:
        return False
    try:
        salt, of = base64.b64decode(found[4]), base64.b64decode(found[5])
        brought = _scrypt(password, salt, int(found[1]), int(found[2]), int(found[3]))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(brought, of)


NOBODY = f"scrypt${_N}${_R}${_P}${'A' * 22}==${'A' * 43}="
"""For names that are not there: they take as long, and no password is known for it."""


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode(errors="surrogateescape")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def put(connection: Connection, name: str, password: str) -> bool:
    """Add a user, or give one another password, which ends the logins of before. Whether the user
    is new. Raises DatabaseError.
    """
    with translated():
        cursor = await connection.execute(
            "INSERT INTO fleet.users (name, hash) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET "
            "hash = excluded.hash, generation = excluded.generation, changed_at = now() "
            "RETURNING xmax = 0",
            (name, hashed(password)),
        )
        row = await cursor.fetchone()
    return bool(row and row[0])


async def remove(connection: Connection, names: list[str]) -> list[str]:
    """Take users away; their logins end at once. Gives those that were there. Raises
    DatabaseError.
    """
    with translated():
        cursor = await connection.execute(
            "DELETE FROM fleet.users WHERE name = ANY(%s) RETURNING name", (names,)
        )
        return sorted(str(row[0]) for row in await cursor.fetchall())


async def listed(connection: Connection) -> list[User]:
    """All of them, by name. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(
            "SELECT name, hash, generation, added_at, changed_at FROM fleet.users ORDER BY name"
        )
        return [User(*row) for row in await cursor.fetchall()]  # type: ignore[arg-type]
