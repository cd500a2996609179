"""A community in a database of its own: homes in every state, with their truth."""

from datetime import UTC, datetime, timedelta

from gateway.fleet.database import Connection

SITES = ("home-1", "home-2", "home-3", "home-4", "home-5")
"""well; silent; connected without data; half of yesterday; never heard."""

NOW = datetime.now(UTC).replace(microsecond=0)
YESTERDAY = (NOW - timedelta(days=1)).date()
SUN_UWH, CAME_UWH, WENT_UWH = 300_000_000, 100_000_000, 250_000_000
"""Of each slot of each home."""


async def settle(connection: Connection) -> None:
    """The homes, as collectors would have left them. Days are those of UTC."""
    await connection.execute(
        "INSERT INTO fleet.sites (name, added_at) "
        "SELECT name, now() - interval '30 days' FROM unnest(%s::text[]) name",
        (list(SITES),),
    )
    await connection.execute(
        "INSERT INTO fleet.stores (site, name, last_at, last_slot, lag_s, version) "
        "SELECT id, 'store-' || name, now(), now() - interval '16 min', 0.3, '0.2.0' "
        "FROM fleet.sites WHERE name <> 'home-5'"
    )
    await connection.execute(
        "UPDATE fleet.stores SET last_at = now() - interval '5 hours', "
        "last_slot = now() - interval '5 hours' WHERE name IN ('store-home-2', 'store-home-3')"
    )
    await connection.execute(
        "INSERT INTO fleet.status (site, online, told) SELECT id, name <> 'home-2', "
        "jsonb_build_object('mood', 'well', 'config', 'c0ffee', 'disk_free_bytes', 8000000000) "
        "FROM fleet.sites WHERE name <> 'home-5'"
    )
    await connection.execute(
        "INSERT INTO fleet.assets (site, uuid) "
        "SELECT id, md5(name)::uuid FROM fleet.sites WHERE name <> 'home-5'"
    )
    await connection.execute(
        "INSERT INTO fleet.series (site, meter, direction, serial) "
        "SELECT id, m, d::\"char\", '4711' FROM fleet.sites, "
        "(VALUES ('grid', 'i'), ('grid', 'e'), ('pv', 'e')) v (m, d) WHERE name <> 'home-5'"
    )
    await connection.execute("SELECT fleet.add_month(now() - interval '1 day')")
    await connection.execute(_ASSET_SLOTS, (YESTERDAY, YESTERDAY))
    await connection.execute(_METER_SLOTS, (WENT_UWH, CAME_UWH, SUN_UWH, YESTERDAY, YESTERDAY))
    await connection.execute(
        "SELECT fleet.count_again(array_agg(id), array_agg(%s::date)) FROM fleet.assets",
        (YESTERDAY,),
    )
    await connection.execute(
        "INSERT INTO fleet.refused (site, why, payload) "
        "VALUES ('home-4', 'a slot of <b>1970</b> is not taken', '')"
    )
    await connection.execute(
        "INSERT INTO fleet.collectors (name, version, shared) VALUES ('one', '0.2.0', true)"
    )


_ASSET_SLOTS = """
INSERT INTO fleet.asset_slots (slot, energy_uwh, asset, store, length_s, revision, kind, quality)
SELECT g, 150000000, a.id, 1, 900, 0, 'm', 'm' FROM fleet.assets a
JOIN fleet.sites s ON s.id = a.site,
generate_series(%s::timestamptz, %s::timestamptz + interval '23 h 45 min', interval '15 min') g
WHERE s.name <> 'home-4' OR extract(hour FROM g) < 12
"""

_METER_SLOTS = """
INSERT INTO fleet.meter_slots (slot, energy_uwh, begin_register_uwh, end_register_uwh, series,
    store, length_s, samples, largest_gap_ms, revision, coverage_permille, quality, method, clock)
SELECT g, CASE WHEN n.direction = 'e' AND n.meter = 'grid' THEN %s WHEN n.meter = 'grid' THEN %s
    ELSE %s END, 0, 5000000000, n.id, 1, 900, 90, 10000, 0, 1000, 'm', 'c', 'k'
FROM fleet.series n JOIN fleet.sites s ON s.id = n.site,
generate_series(%s::timestamptz, %s::timestamptz + interval '23 h 45 min', interval '15 min') g
WHERE s.name <> 'home-4' OR extract(hour FROM g) < 12
"""
