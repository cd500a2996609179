"""The homes of a fleet, in its database."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID

from drivers.strict_yaml import Problem
from gateway.fleet.checking import uuid_of
from gateway.fleet.database import Connection, translated
from gateway.fleet.migrating import is_site_name
from gateway.site.credentials import ConfigError

MAX_SITES = 100_000
"""Of a CSV file."""


@dataclass(frozen=True, slots=True)
class SiteRow:
    """A home, as a manager sees it."""

    name: str
    added: datetime
    version: str
    """Of its gateway; empty where it has never sent anything."""
    last_message: datetime | None
    last_slot: datetime | None
    slot_length_s: int
    lag_s: float | None
    online: bool | None
    """None: it has not said so."""
    stores: int
    """How many buffers it has had."""
    clashes: int
    refused: int


class TakenAsset(Exception):
    """An asset belongs to another site already; the text says which."""


async def add(connection: Connection, sites: Mapping[str, tuple[UUID, ...]]) -> list[str]:
    """Add sites, or take removed ones in again, with the assets that are theirs; gives those that
    were new. Raises DatabaseError, TakenAsset; then none was added.
    """
    new = []
    with translated():
        async with connection.transaction():
            for name, assets in sites.items():
                cursor = await connection.execute(
                    "INSERT INTO fleet.sites (name) VALUES (%s) ON CONFLICT (name) DO UPDATE "
                    "SET removed_at = NULL RETURNING id, xmax = 0",
                    (name,),
                )
                row = await cursor.fetchone()
                assert row is not None
                if row[1]:
                    new.append(name)
                await _give(connection, name, cast(int, row[0]), assets)
    return new


async def _give(connection: Connection, name: str, site: int, assets: Iterable[UUID]) -> None:
    for asset in assets:
        await connection.execute(
            "INSERT INTO fleet.assets (site, uuid) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (site, asset),
        )
        cursor = await connection.execute(
            "SELECT s.name FROM fleet.assets a JOIN fleet.sites s ON s.id = a.site "
            "WHERE a.uuid = %s AND a.site <> %s",
            (asset, site),
        )
        if row := await cursor.fetchone():
            raise TakenAsset(f"asset {asset} belongs to {row[0]}; it cannot be {name}'s as well")


async def remove(connection: Connection, names: Iterable[str]) -> list[str]:
    """Take nothing from these any more; what they sent stays. Gives those that were there. Raises
    DatabaseError.
    """
    with translated():
        cursor = await connection.execute(
            "UPDATE fleet.sites SET removed_at = now() "
            "WHERE name = ANY(%s) AND removed_at IS NULL RETURNING name",
            (list(names),),
        )
        return sorted(str(row[0]) for row in await cursor.fetchall())


async def listed(connection: Connection) -> list[SiteRow]:
    """All that are in, by name. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(_LIST)
        return [SiteRow(*row) for row in await cursor.fetchall()]  # type: ignore[arg-type]


def read_csv(path: Path) -> dict[str, tuple[UUID, ...]]:
    """Sites and their assets: a column `site`, and, if there is one, a column `assets` with UUIDs
    and spaces between them. Raises ConfigError with every mistake, and OSError.
    """
    problems: list[Problem] = []
    found: dict[str, tuple[UUID, ...]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if "site" not in (rows.fieldnames or ()):
            hint = "its first line names the columns: site,assets"
            raise ConfigError([Problem(str(path), 1, "", "there is no column `site`", hint)])
        for row in rows:
            site = (row["site"] or "").strip()
            at = rows.line_num
            if why := why_not(site):
                problems.append(Problem(str(path), at, "site", *why))
            elif site in found:
                problems.append(
                    Problem(str(path), at, "site", f"{site} is there twice", "keep one")
                )
            assets = []
            for text in (row.get("assets") or "").split():
                try:
                    assets.append(uuid_of(text))
                except ValueError:
                    hint = "write UUIDs, with spaces between them"
                    message = f"{text[:40]!a} is no UUID"
                    problems.append(Problem(str(path), at, "assets", message, hint))
            found[site] = tuple(assets)
            if len(found) > MAX_SITES:
                hint = "divide it"
                problems.append(Problem(str(path), at, "", f"more than {MAX_SITES} sites", hint))
                break
    if problems:
        raise ConfigError(problems)
    return found


def why_not(site: str) -> tuple[str, str] | None:
    """What is wrong with a site's name, and what to do."""
    if is_site_name(site):
        return None
    hint = "as `site:` in gateway.yaml: up to 64 letters, digits, dots, - and _"
    return f"{site[:70]!a} cannot be a site's name", hint


_LIST = """
SELECT s.name, s.added_at, coalesce(last.version, ''), last.last_at, last.last_slot,
    l.length_s, last.lag_s, status.online, coalesce(many.stores, 0), coalesce(c.clashes, 0),
    coalesce(r.refused, 0)
FROM fleet.sites s JOIN fleet.slot_lengths l ON l.site = s.id
LEFT JOIN LATERAL (
    SELECT * FROM fleet.stores WHERE site = s.id ORDER BY last_at DESC LIMIT 1) last ON true
LEFT JOIN (SELECT site, count(*) AS stores FROM fleet.stores GROUP BY site) many
    ON many.site = s.id
LEFT JOIN fleet.status ON status.site = s.id
LEFT JOIN (SELECT site, count(*) AS clashes FROM fleet.clashes GROUP BY site) c ON c.site = s.id
LEFT JOIN (SELECT site, sum(times)::bigint AS refused FROM fleet.refused GROUP BY site) r
    ON r.site = s.name
WHERE s.removed_at IS NULL ORDER BY s.name
"""
