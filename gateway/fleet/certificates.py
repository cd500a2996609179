"""Client certificates of homes, signed by the fleet's own authority; what was made is in the
database.

<folder>/fleet-ca.pem   the authority, which the broker has to trust
<folder>/fleet-ca.key   its key, mode 0600: whoever has it can speak as any home
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from drivers.net.issuing import (
    Issued,
    client_certificate,
    new_authority,
    read_authority,
    revocation_list,
    write_whole,
)
from drivers.strict_yaml import Problem
from gateway.fleet.database import Connection, translated
from gateway.site.credentials import ConfigError

DAYS = 397
"""So long a home's certificate holds …"""
RENEW_DAYS = 30
"""… and so long before its end a new one is made."""

CA_FILE, KEY_FILE = "fleet-ca.pem", "fleet-ca.key"


@dataclass(frozen=True, slots=True)
class Ending:
    """A home's newest certificate, and when it ends."""

    site: str
    ends: datetime


def make_authority(folder: Path) -> bool:
    """Make the authority where there is none; whether one was made. Raises ConfigError."""
    certificate_file, key_file = folder / CA_FILE, folder / KEY_FILE
    if certificate_file.exists() or key_file.exists():
        authority(folder)
        return False
    made = new_authority("meter-gateway fleet authority")
    try:
        write_whole(key_file, made.key_pem, secret=True)
        write_whole(certificate_file, made.certificate_pem, secret=False)
    except OSError as error:
        raise ConfigError([_unwritten(folder, error)]) from error
    return True


def authority(folder: Path) -> Issued:
    """The fleet's authority. Raises ConfigError."""
    certificate_file, key_file = folder / CA_FILE, folder / KEY_FILE
    try:
        return read_authority(certificate_file, key_file)
    except (OSError, ValueError, TypeError) as error:
        hint = (
            "make one with: meter-gateway fleet init --ca"
            if not key_file.exists() and not certificate_file.exists()
            else "put both files back as they were made: another authority would shut all homes out"
        )
        message = f"cannot be used: {getattr(error, 'strerror', None) or error}"
        raise ConfigError([Problem(str(key_file), 0, "", message, hint)]) from error


def new_certificate(of: Issued, name: str) -> Issued:
    """Of a home, or of the collectors: whoever the broker is to know by that name."""
    return client_certificate(of, name, DAYS)


async def note(connection: Connection, site: str, made: Issued) -> None:
    """Keep that this was made for a home. Raises DatabaseError."""
    certificate = made.certificate
    with translated():
        await connection.execute(
            "INSERT INTO fleet.certificates (serial, site, ends_at) "
            "SELECT %s, id, %s FROM fleet.sites WHERE name = %s",
            (f"{certificate.serial_number:x}", certificate.not_valid_after_utc, site),
        )


async def ending(connection: Connection, days: int | None = RENEW_DAYS) -> list[Ending]:
    """The homes whose newest certificate ends within so many days, the first to end first; None:
    all that have one. Raises DatabaseError.
    """
    with translated():
        cursor = await connection.execute(
            "SELECT s.name, max(c.ends_at) FROM fleet.certificates c "
            "JOIN fleet.sites s ON s.id = c.site "
            "WHERE c.revoked_at IS NULL AND s.removed_at IS NULL GROUP BY s.name "
            "HAVING %s::int IS NULL OR max(c.ends_at) < now() + make_interval(days => %s) "
            "ORDER BY 2, 1",
            (days, days or 0),
        )
        return [Ending(*row) for row in await cursor.fetchall()]  # type: ignore[arg-type]


async def revoke(connection: Connection, sites: Sequence[str]) -> int:
    """No certificate of these counts any more; how many of them have not ended yet, and have to be
    on the broker's list. Raises DatabaseError.
    """
    with translated():
        cursor = await connection.execute(
            "UPDATE fleet.certificates c SET revoked_at = coalesce(c.revoked_at, now()) "
            "FROM fleet.sites s WHERE s.id = c.site AND s.name = ANY(%s) AND c.ends_at > now()",
            (list(sites),),
        )
        return cursor.rowcount


async def part_from(connection: Connection, site: str) -> int:
    """Leave the home's name off its certificates, none of which counts any more: what stays are the
    numbers of those that have not ended, for the broker's list. Gives how many these are. Raises
    DatabaseError.
    """
    await revoke(connection, [site])
    await _drop_ended(connection)
    with translated():
        cursor = await connection.execute(
            "UPDATE fleet.certificates c SET site = NULL FROM fleet.sites s "
            "WHERE s.id = c.site AND s.name = %s AND c.ends_at > now()",
            (site,),
        )
        return cursor.rowcount


async def _drop_ended(connection: Connection) -> None:
    """Those of homes that were forgotten, once they have ended. Raises DatabaseError."""
    with translated():
        await connection.execute(
            "DELETE FROM fleet.certificates WHERE site IS NULL AND ends_at <= now()"
        )


async def revoked(connection: Connection, of: Issued) -> bytes:
    """The list for the broker of what counts no more. Raises DatabaseError."""
    await _drop_ended(connection)
    with translated():
        cursor = await connection.execute(
            "SELECT serial FROM fleet.certificates WHERE revoked_at IS NOT NULL AND ends_at > now()"
        )
        rows = await cursor.fetchall()
    return revocation_list(of, [int(cast(str, row[0]), 16) for row in rows])


def _unwritten(folder: Path, error: OSError) -> Problem:
    hint = f"the authority is kept there: make {folder} writable for who runs init"
    return Problem(str(folder / KEY_FILE), 0, "", f"cannot be written: {error.strerror}", hint)
