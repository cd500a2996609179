"""What `meter-gateway fleet` does, for people: files, tables and words around `gateway/fleet`."""

import argparse
import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from gateway.cli.fleet import certificates, storage, users
from gateway.cli.fleet.files import some, write
from gateway.cli.terminal import Refused, print_table
from gateway.fleet import migrating, provisioning, sites
from gateway.fleet.aggregator.aggregator import Aggregator
from gateway.fleet.aggregator.findings import findings
from gateway.fleet.broker import broker_of, deals_out, words
from gateway.fleet.certificates import authority
from gateway.fleet.collector import GC_THRESHOLDS, Collector
from gateway.fleet.database import Connection, DatabaseError, NotReady, connect
from gateway.fleet.packing import Packing
from gateway.fleet.page.serving import FleetPage
from gateway.fleet.page.states import SILENT_SLOTS
from gateway.fleet.page.telling import Telling
from gateway.fleet.provisioning import Login
from gateway.fleet.settings import FleetSettings, load
from gateway.site.credentials import ConfigError

DYNAMIC = "dynamic-security"


def act(args: argparse.Namespace) -> int:
    """Returns the exit code. Raises Refused, ConfigError."""
    settings = load(args.config)
    if args.action in ("init", "sites", "forget") and args.output is None:
        args.output = Path("fleet-files")
    try:
        match args.action:
            case "init":
                return asyncio.run(_init(settings, args))
            case "check":
                return asyncio.run(_check(settings))
            case "run":
                return _run(settings, args)
            case "users":
                return asyncio.run(users.act(settings, args))
            case "pack":
                return asyncio.run(storage.pack(settings))
            case "report":
                return asyncio.run(storage.report(settings, args))
            case "export":
                return asyncio.run(storage.export(settings, args))
            case "forget":
                return asyncio.run(storage.forget(settings, args))
            case _:
                return asyncio.run(_sites(settings, args))
    except DatabaseError as error:
        database = settings.file.database
        raise Refused(f"the database {database.name} on {database.host}: {error}") from error


# --- run ------------------------------------------------------------------------------------------


def _run(settings: FleetSettings, args: argparse.Namespace) -> int:
    form = "%(levelname)s %(message)s"
    if sys.stdout.isatty():
        form = f"%(asctime)s {form}"
    logging.basicConfig(level=args.log_level.upper(), format=form, stream=sys.stdout)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    asyncio.run(_collect(settings))
    return 0


async def _collect(settings: FleetSettings) -> None:
    """Until SIGTERM or Ctrl-C. Raises ConfigError."""
    collector = Collector(settings)
    page = settings.file.page
    parts: list[Collector | Packing | FleetPage | Aggregator] = [collector, Packing(settings)]
    if page is not None:
        parts.append(FleetPage(settings, page, Telling(collector)))
    if (exchange := settings.file.exchange) is not None:
        parts.append(Aggregator(settings, exchange, collector.name, collector.tell))
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(part.run())
    counts = collector.writer.counts
    logging.getLogger(__name__).info(
        "ends: %d messages, %d rows stored in %d commits; what is not acknowledged comes again",
        counts.messages,
        counts.rows,
        collector.health.batches,
    )


# --- init -----------------------------------------------------------------------------------------


async def _init(settings: FleetSettings, args: argparse.Namespace) -> int:
    database = settings.file.database
    admin = settings
    if args.admin is not None:
        login = str(args.admin)
        admin = replace(
            settings,
            file=replace(settings.file, database=replace(database, credentials=login)),
        )
    login_of = settings.login(settings.file.broker.credentials)
    own_login = Login(login_of.username, login_of.password) if login_of else None
    name = own_login.username if own_login else "fleet-collector"
    async with _connected(admin) as connection:
        done = await migrating.migrate(connection)
        print(f"The schema `fleet` in {database.name} has number {migrating.newest()}", end="")
        print(f" (new: {', '.join(done)})." if done else "; there was nothing to do.")
        await _roles(connection)
        if args.admin is not None and (own := settings.login(database.credentials)) is not None:
            await migrating.grant(connection, own.username)
            print(f"User {own.username} has the role {migrating.COLLECTOR_ROLE}.")
        made = await migrating.add_months(connection)
        print(f"There are partitions up to two months ahead ({made} months new).")
        if await migrating.set_timezone(connection, settings.file.timezone, _counted):
            print(f"\rDays are those of {settings.file.timezone} now.          ")
        if (exchange := settings.file.exchange) is not None:
            await migrating.set_slot_length(connection, exchange.slot)
        await migrating.set_group(connection, secrets.token_hex(8))
        if args.ca:
            await certificates.begin(settings, connection, name, args.output)
    _write_for_broker(settings, own_login, name, args.output)
    print("Next: meter-gateway fleet check, then fleet sites add, and fleet run.")
    return 0


def _write_for_broker(
    settings: FleetSettings, own_login: Login | None, name: str, output: Path
) -> None:
    write(output / "mosquitto.acl", provisioning.acl_file(settings.topic, name))
    # Known by a certificate they are a user there all the same, whose password nobody knows.
    login = own_login or provisioning.new_login(name)
    commands = provisioning.collector_commands(settings.topic, login)
    write(output / f"{DYNAMIC}.json", provisioning.as_request(commands), secret=True)
    if own_login is not None:
        _add_password(output / "mosquitto.passwd", [own_login])
    print(f"What the broker gets is in {output}:")
    print("  mosquitto.acl           for acl_file; it holds for all homes, present and to come")
    print("  mosquitto.passwd        lines for password_file; then: systemctl reload mosquitto")
    print(_dynamic_hint(output / f"{DYNAMIC}.json"))


def _counted(done: int, of: int) -> None:
    if sys.stdout.isatty():
        print(f"\rDays counted anew: {done} of {of} ", end="", flush=True)


async def _roles(connection: Connection) -> None:
    try:
        made = await migrating.make_roles(connection)
    except NotReady as error:
        raise Refused(
            f"roles of {', '.join(migrating.ROLES)} are missing, and this user may not make them "
            f"({error}). Have an administrator run: "
            f"{' '.join(f'CREATE ROLE {role};' for role in migrating.ROLES)} GRANT "
            f"{migrating.PAGE_ROLE} TO {migrating.COLLECTOR_ROLE}; or name a login that may with "
            "--admin. What was done so far stays; run init again afterwards"
        ) from error
    print(f"Its roles: {', '.join(migrating.ROLES)}", end="")
    print(f" (new: {', '.join(made)})." if made else ".")


# --- check ----------------------------------------------------------------------------------------


async def _check(settings: FleetSettings) -> int:
    """All of it, also where something is wrong."""
    bad = 0
    broker = settings.file.broker
    where = f"broker {broker.host}:{broker.port}"
    try:
        name = f"meter-gateway-fleet-check-{secrets.token_hex(4)}"
        dealt = await deals_out(broker_of(settings, name), settings.topic)
        print(f"ok   {where}: it lets us in")
        print(
            "ok   it deals messages out among collectors"
            if dealt
            else "note it does not deal messages out among collectors: each takes some of the sites"
        )
    except (OSError, ConfigError) as error:
        bad += 1
        print(f"BAD  {where}: {words(error)}")
    try:
        async with _connected(settings) as connection:
            await migrating.require(connection)
            print(f"ok   database {settings.file.database.name}: schema {migrating.newest()}")
            zone = await migrating.timezone_of(connection)
            if zone != settings.file.timezone:
                bad += 1
                print(
                    f"BAD  its days are those of {zone}, and fleet.yaml says "
                    f"{settings.file.timezone}: run fleet init"
                )
            exchange = settings.file.exchange
            length_s = await migrating.slot_length_of(connection)
            if exchange is not None and length_s != exchange.slot:
                bad += 1
                print(
                    f"BAD  its slots are of {length_s} s where a home has sent none, and "
                    f"fleet.yaml says {exchange.slot} s: run fleet init"
                )
            for text in [*await _troubles(connection), *await certificates.troubles(connection)]:
                bad += 1
                print(f"BAD  {text}")
            for finding in await findings(connection, settings.file.exchange, time.time()):
                bad += finding.is_bad
                print(f"{'BAD ' if finding.is_bad else 'ok  '} {finding.text}")
    except DatabaseError as error:
        bad += 1
        print(f"BAD  database {settings.file.database.name}: {error}")
    return 1 if bad else 0


async def _troubles(connection: Connection) -> list[str]:
    found = []
    rows = await sites.listed(connection)
    clashing = [row.name for row in rows if row.clashes]
    if clashing:
        found.append(
            f"numbers came again with another value: {some(clashing)}; both are kept (table "
            "fleet.clashes). Was a card copied, or a backup restored?"
        )
    refused = [row.name for row in rows if row.refused]
    if refused:
        found.append(f"something was refused: {some(refused)}; see the table fleet.refused")
    if not await migrating.collectors_alive(connection):
        found.append("no collector runs: start one with fleet run")
    return found


# --- sites ----------------------------------------------------------------------------------------


async def _sites(settings: FleetSettings, args: argparse.Namespace) -> int:
    action, *names = args.words or ["list"]
    if action not in ("list", "add", "remove", "renew"):
        args.usage_error(f"sites {action}: list, add, remove or renew")
    if action == "list" and names:
        args.usage_error("sites list takes no names")
    if action == "remove" and not names:
        args.usage_error("sites remove: which?")
    if action == "add" and bool(names) == (args.csv is not None):
        args.usage_error("sites add: give names, or --csv FILE")
    for name in names:
        if why := sites.why_not(name):
            raise Refused(" — ".join(why))
    async with _connected(settings) as connection:
        await migrating.require(connection)
        match action:
            case "list":
                return await _list(connection)
            case "add":
                wanted: dict[str, tuple[UUID, ...]] = dict.fromkeys(names, ())
                if args.csv:
                    wanted = sites.read_csv(args.csv)
                if args.certificates:
                    authority(settings.folder)  # before anything is added
                return await _add(settings, connection, wanted, args)
            case "renew":
                return await certificates.renew(settings, connection, names, args.output)
            case _:
                code = await _remove(connection, names, args.output)
                await certificates.take_away(settings, connection, names, args.output)
                return code


async def _add(
    settings: FleetSettings,
    connection: Connection,
    wanted: dict[str, tuple[UUID, ...]],
    args: argparse.Namespace,
) -> int:
    output: Path = args.output
    try:
        new = await sites.add(connection, wanted)
    except sites.TakenAsset as error:
        raise Refused(f"{error} — nothing was added") from error
    logins = [provisioning.new_login(name) for name in wanted]
    commands = []
    for login in logins:
        commands += provisioning.site_commands(settings.topic, login)
    write(output / f"{DYNAMIC}-add.json", provisioning.as_request(commands), secret=True)
    print(f"{len(wanted)} sites are in the fleet, {len(new)} of them new. In {output}:")
    if args.certificates:
        await certificates.give(settings, connection, list(wanted), output)
        print(_dynamic_hint(output / f"{DYNAMIC}-add.json"))
        return 0
    for login in logins:
        folder = output / login.username
        write(folder / "fleet.credentials", provisioning.credentials_file(login), secret=True)
        section = provisioning.gateway_section(settings, login.username)
        write(folder / "gateway.yaml.fleet", section)
    _add_password(output / "mosquitto.passwd", logins)
    print("  NAME/                   for each home: fleet.credentials, and a section for its")
    print("                          gateway.yaml. Logins of before are of no use any more.")
    print("  mosquitto.passwd        lines for password_file; then: systemctl reload mosquitto")
    print(_dynamic_hint(output / f"{DYNAMIC}-add.json"))
    return 0


async def _remove(connection: Connection, names: list[str], output: Path) -> int:
    gone = await sites.remove(connection, names)
    missing = sorted({*names} - {*gone})
    if gone:
        commands = [each for name in gone for each in provisioning.removal_commands(name)]
        write(output / f"{DYNAMIC}-remove.json", provisioning.as_request(commands))
        print(f"Nothing is taken any more from: {', '.join(gone)}. What they sent stays.")
        print("Take their logins from the broker as well: their lines of password_file, or")
        print(_dynamic_hint(output / f"{DYNAMIC}-remove.json"))
    if missing:
        print(f"not in the fleet: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


async def _list(connection: Connection) -> int:
    rows = await sites.listed(connection)
    if not rows:
        print("There are no sites yet: meter-gateway fleet sites add NAME")
        return 0
    now = datetime.now(UTC)
    print_table(
        ["site", "state", "last message", "last slot (UTC)", "version", "clashes", "refused"],
        [
            [
                row.name,
                _state(row, now),
                _ago(row.last_message, now),
                row.last_slot.strftime("%Y-%m-%d %H:%M") if row.last_slot else "–",
                row.version or "–",
                str(row.clashes),
                str(row.refused),
            ]
            for row in rows
        ],
        right=["clashes", "refused"],
        spare=["version", "last message"],
    )
    return 0


def _state(row: sites.SiteRow, now: datetime) -> str:
    if row.last_message is None:
        return "never heard" if row.online is None else "connected, no data"
    if (now - row.last_message).total_seconds() > SILENT_SLOTS * row.slot_length_s:
        return "connected, no data" if row.online else "silent"
    if row.lag_s is not None and abs(row.lag_s) > 60:
        return f"its clock is {abs(row.lag_s):.0f} s {'behind' if row.lag_s > 0 else 'ahead'}"
    return "ok"


def _ago(when: datetime | None, now: datetime) -> str:
    if when is None:
        return "–"
    seconds = max((now - when).total_seconds(), 0)
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"


# --- files ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _connected(settings: FleetSettings) -> AsyncIterator[Connection]:
    connection = await connect(settings)
    try:
        yield connection
    finally:
        await connection.close()


def _dynamic_hint(path: Path) -> str:
    return (
        f"  {path.name:<23} for the dynamic-security plugin instead: mosquitto_pub -u admin\n"
        f"                          -P … -t '$CONTROL/dynamic-security/v1' -f {path}"
    )


def _add_password(path: Path, logins: Iterable[Login]) -> None:
    """Adds these to a password_file; users that are there already get a new line in its place."""
    new = {login.username: provisioning.password_line(login) for login in logins}
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in before if line.partition(":")[0] not in new]
    write(path, "\n".join([*kept, *new.values()]) + "\n", secret=True)
