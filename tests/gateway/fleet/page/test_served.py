"""The manager's page, asked for over HTTP, with its answers from a real PostgreSQL."""

import html
import re
import ssl
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql

from gateway.cli.desk_certificates import server_context
from gateway.fleet import migrating, users
from gateway.fleet.database import DatabaseError, connect
from gateway.fleet.page.asking import Asking
from gateway.fleet.page.settings import PageSettings
from gateway.fleet.settings import FleetSettings
from tests.gateway.fleet.page.community import CAME_UWH, SITES, SUN_UWH, WENT_UWH, YESTERDAY
from tests.gateway.fleet.page.conftest import PASSWORD, USER, Visitor, served
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.page.html import Shown

pytestmark = pytest.mark.xdist_group("postgres")

MOST_BYTES = 60_000


def words_of(answer: httpx.Response) -> str:
    """What is on it, after it was seen that its elements end as they began."""
    assert Shown(answer.text).text
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", answer.text)).split())


async def test_nobody_is_let_in_without_a_login(visitor: Visitor) -> None:
    for path in ("/", "/days", "/sites/home-1", "/server", "/nothing"):
        answer = await visitor.get(path)
        assert answer.status_code == 401
        assert "asks for a login" in answer.text
        assert "home-1" not in answer.text
        assert "Sunny" not in answer.text
    for path in ("/", "/metrics"):
        assert (await visitor.client.get(path)).status_code == 401


async def test_five_wrong_passwords_a_minute(visitor: Visitor) -> None:
    for n in range(5):
        assert (await visitor.log_in(password=f"wrong {n}")).status_code == 401
    answer = await visitor.log_in()
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 30


async def test_a_login_ends_with_the_user_and_with_another_password(
    own_settings: FleetSettings,
) -> None:
    async with served(own_settings) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        await _ends(Visitor(client), own_settings)


async def _ends(visitor: Visitor, settings: FleetSettings) -> None:
    answer = await visitor.log_in()
    assert answer.status_code == 303
    kept = answer.headers["Set-Cookie"]
    assert "HttpOnly" in kept and "SameSite=Strict" in kept
    assert PASSWORD not in kept
    assert (await visitor.get("/")).status_code == 200

    connection = await connect(settings)
    assert not await users.put(connection, USER, "another password")
    assert (await visitor.get("/")).status_code == 401
    assert (await visitor.log_in()).status_code == 401
    assert (await visitor.log_in(password="another password")).status_code == 303
    assert (await visitor.get("/")).status_code == 200
    assert await users.remove(connection, [USER, "nobody"]) == [USER]
    await connection.close()
    assert (await visitor.get("/")).status_code == 401


async def test_a_cookie_that_was_changed_lets_nobody_in(visitor: Visitor) -> None:
    kept = (await visitor.log_in()).headers["Set-Cookie"].partition(";")[0]
    visitor.client.cookies.clear()
    name, _, value = kept.partition("=")
    said, mac = value.rsplit(".", 1)
    for changed in (f"{said}.{'0' * len(mac)}", said, "", f"x{value}", "a.b.c.d", "é.1.2.3"):
        cookie = f"{name}={changed}".encode()
        answer = await visitor.client.get("/", headers={"Cookie": cookie})
        assert answer.status_code == 401, changed
    again = await visitor.client.get("/", headers={"Cookie": f"{name}={value}"})
    assert again.status_code == 200


async def test_homes_by_their_state(visitor: Visitor) -> None:
    await visitor.log_in()
    answer = await visitor.get("/")
    assert len(answer.content) < MOST_BYTES
    text = words_of(answer)
    assert "3 of 5 homes need somebody" in text  # home-4's refusal is one
    for state in ("silent 1", "connected, no data 1", "refused 1", "incomplete 1", "never heard 1"):
        assert state in text
    assert "Sunny <Street>" in text
    only = words_of(await visitor.get("/?state=silent"))
    assert "1 home of these" in only and "home-2 silent" in only
    found = words_of(await visitor.get("/?q=HOME-3"))
    assert "home-3 connected, no data" in found and "home-2 silent" not in found
    assert "no home of that kind" in words_of(await visitor.get("/?q=%3Cb%3E&state=x&page=9"))


@pytest.mark.parametrize(
    ("language", "said"), [("de-AT", "brauchen jemanden"), ("nl", "hebben iemand nodig")]
)
async def test_it_speaks_the_readers_language(visitor: Visitor, language: str, said: str) -> None:
    await visitor.log_in()
    assert said in words_of(await visitor.get("/", **{"Accept-Language": language}))


async def test_a_home_that_is_not_complete(visitor: Visitor) -> None:
    await visitor.log_in()
    answer = await visitor.get(f"/sites/home-4/{YESTERDAY.isoformat()}")
    text = words_of(answer)
    assert "Of yesterday less than 99 % is known" in text
    assert "a slot of <b>1970</b> is not taken" in text
    assert "grid import 4.800 kWh" in text  # 48 slots of 100 Wh
    assert "<path" in answer.text
    assert len(answer.content) < MOST_BYTES
    assert "This home" not in text
    missing = await visitor.get("/sites/nobody")
    assert missing.status_code == 404
    assert (await visitor.get("/sites/home-4/yesterday")).status_code == 404
    assert "Nothing is kept" in words_of(await visitor.get("/sites/home-4/2024-01-01"))


async def test_what_changes_in_what_a_home_says_is_kept_and_shown(
    own_settings: FleetSettings, postgres: Postgres
) -> None:
    name = own_settings.file.database.name
    said = (
        (True, '{"config": "c0ffee", "problems": ["meter_silent"]}'),
        (True, '{"config": "beef", "problems": ["disk"], "clock_trusted": false}'),
        (False, '{"config": "beef", "problems": ["disk"], "clock_trusted": false}'),
    )
    with postgres.connect(name) as connection:
        connection.execute("SET ROLE fleet_collector")
        for online, told in said:
            connection.execute(
                "UPDATE fleet.status SET online = %s, told = %s FROM fleet.sites s "
                "WHERE s.id = site AND s.name = 'home-1'",
                (online, told),
            )
    async with served(own_settings) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        visitor = Visitor(client)
        await visitor.log_in()
        text = words_of(await visitor.get("/sites/home-1"))
    for event in (
        "problem: A meter does not answer", "solved: A meter does not answer", "connection lost",
        "configuration changed (c0ffee → beef)", "its clock is not believed",
    ):  # fmt: skip
        assert event in text
    with postgres.connect(name) as connection:
        for n in range(600):
            connection.execute("SELECT fleet.note_event(1, 'online', NULL, %s)", (str(n),))
    rows = postgres.rows("SELECT count(*), max(now_is::int) FROM fleet.events WHERE site = 1 "
                         "AND now_is ~ '^[0-9]+$'", dbname=name)  # fmt: skip
    assert rows == [(500, 599)], "the oldest go"


async def test_the_communitys_day_is_the_sum_of_its_meters(visitor: Visitor) -> None:
    await visitor.log_in()
    text = words_of(await visitor.get(f"/days/{YESTERDAY.isoformat()}"))
    slots = 3 * 96 + 48
    for uwh in (CAME_UWH, SUN_UWH, WENT_UWH):
        assert f"{slots * uwh / 1e9:,.1f} kWh" in text
    assert "Meters at the grid 4" in text
    assert "Known 88 %" in text  # home-5 has no assets; of home-4's day one half is there


async def test_the_least_complete_days_come_first(visitor: Visitor) -> None:
    await visitor.log_in()
    rows = [row for row in (await visitor.get("/coverage")).text.split("<tr>") if "home-4" in row]
    day = YESTERDAY.isoformat()
    assert any(f"sites/home-4/{day}" in row and "48/96" in row for row in rows)
    before = (YESTERDAY - timedelta(days=1)).isoformat()
    assert any(f"sites/home-4/{before}" in row and "0/96" in row for row in rows)


async def test_the_server_says_what_runs_and_what_was_not_taken(visitor: Visitor) -> None:
    await visitor.log_in()
    text = words_of(await visitor.get("/server"))
    assert "one runs" in text
    assert "a slot of <b>1970</b> is not taken" in text
    assert "gateways do so themselves" in text


async def test_prometheus_brings_a_name_and_a_password(visitor: Visitor) -> None:
    answer = await visitor.client.get("/metrics", auth=(USER, "wrong password"))
    assert answer.status_code == 401
    answer = await visitor.client.get("/metrics", auth=(USER, PASSWORD))
    assert answer.status_code == 200
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert values["meter_gateway_fleet_sites", "bad"] == 3
    assert values["meter_gateway_fleet_sites_with", "silent"] == 1
    assert values["meter_gateway_fleet_site_coverage_ratio", "home-4"] == 0.5
    assert values["meter_gateway_fleet_site_coverage_ratio", "home-1"] == 1
    assert values["meter_gateway_fleet_collectors",] == 1
    online = {site: values["meter_gateway_fleet_site_online", site] for site in SITES}
    assert list(online.values()) == [1, 0, 1, 1, 0]


async def test_the_pages_connection_can_only_read(settings: FleetSettings) -> None:
    asking = Asking(settings, 5.0)
    assert await asking.rows("SELECT current_user::text") == [(migrating.PAGE_ROLE,)]
    for forbidden in ("DELETE FROM fleet.sites", "INSERT INTO fleet.users (name) VALUES ('x')"):
        with pytest.raises(DatabaseError, match=r"read-only|permission"):
            await asking.rows(forbidden)  # type: ignore[arg-type]
    # Not even where it is told to write.
    await asking.rows("SELECT set_config('default_transaction_read_only', 'off', false)")
    with pytest.raises(DatabaseError, match="permission"):
        await asking.rows("DELETE FROM fleet.sites")
    await asking.close()


async def test_a_question_that_takes_too_long_is_given_up_and_the_next_is_answered(
    settings: FleetSettings, postgres: Postgres
) -> None:
    asking = Asking(settings, 0.3)
    with pytest.raises(DatabaseError, match="statement timeout"):
        await asking.rows("SELECT pg_sleep(20)")
    assert await asking.rows("SELECT 1") == [(1,)]
    # The server has ended the connection: the next question goes over a new one.
    postgres.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
        settings.file.database.name,
    )
    assert await asking.rows("SELECT 2") == [(2,)]
    await asking.close()


async def test_the_page_says_that_the_database_is_away(
    own_settings: FleetSettings, postgres: Postgres
) -> None:
    name = own_settings.file.database.name
    async with served(own_settings) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        visitor = Visitor(client)
        await visitor.log_in()
        with postgres.connect() as admin:
            admin.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name))
            )
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
        answer = await visitor.get("/")
        assert answer.status_code == 503
        assert "Nothing is lost" in answer.text
        assert (await client.get("/healthz")).status_code == 503


async def test_tls_and_the_cookie_is_for_tls_alone(settings: FleetSettings, tmp_path: Path) -> None:
    _, authority = server_context(tmp_path / "pki", ["127.0.0.1"])
    page = PageSettings(port=0, certificate="pki/server.pem")
    verify = ssl.create_default_context(cafile=str(authority))
    async with (
        served(settings, page) as url,
        httpx.AsyncClient(base_url=url, verify=verify, timeout=30) as client,
    ):
        assert url.startswith("https://")
        visitor = Visitor(client)
        answer = await visitor.log_in()
        assert "; Secure" in answer.headers["Set-Cookie"]
        assert (await visitor.get("/")).status_code == 200


async def test_behind_a_proxy_tries_are_those_of_whom_it_names(settings: FleetSettings) -> None:
    page = PageSettings(port=0, proxy=True)
    async with (
        served(settings, page) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        visitor = Visitor(client)
        visitor.headers |= {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
        for n in range(5):
            await visitor.log_in(password=f"wrong {n}")
        assert (await visitor.log_in()).status_code == 429
        visitor.headers |= {"X-Forwarded-For": "203.0.113.9, 198.51.100.8"}
        assert (await visitor.log_in()).status_code == 303
