"""`meter-gateway check`: is the configuration right?"""

import argparse
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.net.addresses import is_loopback
from drivers.profile import profile_schema, protocols

if TYPE_CHECKING:
    from gateway.delivery.kinds.exchange import Settings as ExchangeSettings
    from gateway.site.service_unit import Account, ServiceUnit
    from gateway.site.settings import Settings

SUMMARY = "check the configuration: every mistake at once, or what will be read and sent"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Reads every file of the configuration folder and names every mistake in it, with file, "
        "line, key and the nearest right word. "
        "Says of every line that meters share how much of its time they need. "
        "Run as root, it also says what the user of the service could not read or write. "
        "Exit code 0 where there is no mistake and every line can keep up, else 1. It opens no "
        "port and asks no exchange, unless --try or --online is given."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway check\n"
        "  meter-gateway --config ./docs/examples/home check\n"
        "  sudo meter-gateway check --try                       (before the first start)\n"
        "  sudo meter-gateway check --online                    (what the exchange says of the "
        "assets)\n"
        "  meter-gateway check --schema device > device.json    (JSON Schema: an editor "
        "completes and checks with it)\n"
        "  meter-gateway check --markdown                       (the reference of every key)"
    )
    parser.add_argument(
        "--try",
        dest="tries",
        action="store_true",
        help="then do it once, as the user of the service where root runs this: read each meter, "
        "log in, look at the clock and the disk; a line for each, and exit code 1 where one fails",
    )
    parser.add_argument(
        "--online",
        action="store_true",
        help="then log in to each exchange and compare its registry with gateway.yaml: assets that "
        "are missing, renamed, there twice, of another kind or switched off; and a grid operator's "
        "markets that are not there, not the account's, or another aggregator's",
    )
    parser.add_argument(
        "--schema",
        choices=schema_names(),
        help="print the JSON Schema of that kind of file, and check nothing",
    )
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="print the reference of every key as a Markdown page, and check nothing",
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0 where the configuration can be used, and every line can carry what it is to
    carry.
    """
    from gateway.cli.terminal import json_text

    if args.markdown:
        print(_page(), end="")
        return 0
    if args.schema:
        print(json_text(schema_of(args.schema), indent=2))
        return 0
    code = _check(args.config, tries=args.tries)
    return _compare(args.config) or code if args.online else code


def _compare(folder: Path) -> int:
    """Compare gateway.yaml with the registries of its exchanges. Returns 0 where they agree."""
    from gateway.cli import registry_comparison as comparison
    from gateway.cli.terminal import Refused
    from gateway.delivery.destination import spoken
    from gateway.operator.loading import load
    from gateway.site.credentials import ConfigError

    try:
        settings = load(folder)
    except ConfigError:
        print("No exchange has been asked: mend this first.")
        return 1
    failed = 0
    for name in comparison.exchanges_of(settings):
        try:
            nodes = comparison.nodes_of(settings, name)
        except Refused as error:
            print(f"problem: {error}")
            failed = 1
            continue
        found = comparison.differences(settings, nodes)
        for problem in comparison.problems(settings, found):
            print(problem)
        for text in comparison.silent(settings, nodes):
            print(f"warning: {text}")
        if not found:
            print(f"The registry of {spoken(name)} has every asset as gateway.yaml has it.")
        failed |= bool(found)
    return _compare_markets(settings) or int(failed)


def _compare_markets(settings: "Settings") -> int:
    """Compare the grid operator's markets with the registry. Returns 0 where they agree."""
    operator = settings.grid_operator
    if operator is None:
        return 0
    from gateway.cli.markets_comparison import compared
    from gateway.cli.terminal import Refused
    from gateway.operator.settings import GridOperator

    assert isinstance(operator, GridOperator)
    try:
        found = compared(settings, operator)
    except Refused as error:
        print(f"problem: {error}")
        return 1
    for problem in found.problems:
        print(problem)
    for text in found.warnings:
        print(f"warning: {text}")
    names = ", ".join(market.name for market in found.markets) or "no market"
    print(f"By the registry, grid fees are set of: {names}.")
    return int(bool(found.problems))


def _check(folder: Path, *, tries: bool) -> int:
    """Look the folder over, and try what it says."""
    from drivers.strict_yaml import Problem
    from gateway.cli.as_service import passed_credentials
    from gateway.operator.loading import load
    from gateway.site.access import access_problems
    from gateway.site.credentials import ConfigError
    from gateway.site.service_unit import account_of, service_unit

    unit = service_unit()
    account = account_of(unit) if os.geteuid() == 0 else None
    settings = None
    problems: list[Problem] = []
    unfit: list[str] = []
    with passed_credentials(unit, None) as passed:
        if passed is not None:
            os.environ.setdefault("CREDENTIALS_DIRECTORY", str(passed))
        try:
            settings = load(folder)
            problems = list(settings.borne)
        except ConfigError as error:
            problems = error.problems
    if account is not None:
        problems = [*problems, *access_problems(folder, settings, unit, account)]

    for problem in problems:
        went_on = " (the daemon starts with it, and warns)" if problem.is_borne else ""
        print(f"{problem}{went_on}")
    if not problems:
        assert settings is not None
        unfit = _tell(settings)
    if os.geteuid() == 0:
        print(_judged(unit, account))
    if problems:
        count = len(problems)
        print(f"{count} {'mistake' if count == 1 else 'mistakes'} in {folder}")
    if tries and settings is not None:
        failed = _try(settings, unit, account)
        return failed or int(bool(problems or unfit))
    if tries:
        print("Nothing has been tried: mend this first.")
    return 1 if problems or unfit else 0


def _tell(settings: "Settings") -> list[str]:
    """Say what the daemon is told to do, and what is suspected. Returns what will not
    work, though nothing is written wrongly.
    """
    from gateway.cli.as_service import TOLD_VARIABLE
    from gateway.site.suspicions import suspicions

    if TOLD_VARIABLE not in os.environ:
        for line in _told(settings):
            print(line)
        for suspicion in suspicions(settings):
            print(f"suspect: {suspicion}")
        for text in _cut_fees(settings):
            print(f"suspect: {text}")
        for text in _warnings(settings):
            print(f"warning: {text}")
    found = list(_unusable(settings))
    found += [f"{text}: it cannot keep up — {hint}" for text, hint in _loads(settings) if hint]
    found += _foreign(settings.buffer_path)
    for text in found:
        print(f"problem: {text}")
    return found


def _judged(unit: "ServiceUnit", account: "Account | None") -> str:
    """As whom."""
    if account is None:
        return (
            f"There is no user {unit.user} on this machine yet (systemd-sysusers makes it): "
            "judged as root, who runs this."
        )
    return f"Judged as {account.name}, as the service runs ({unit.path or 'no unit installed'})."


def _try(settings: "Settings", unit: "ServiceUnit", account: "Account | None") -> int:
    """Do it once. Returns 0 where all went well."""
    import asyncio
    import logging

    from gateway.cli.as_service import run_as
    from gateway.cli.trial import trials

    if account is not None and account.uid != os.geteuid():
        return run_as(
            ["--config", str(settings.folder.absolute()), "check", "--try"], unit, account
        )

    logging.disable(logging.WARNING)
    print(f"Tried as {pwd.getpwuid(os.geteuid()).pw_name}:")

    async def work() -> int:
        failed = 0
        async for tried in trials(settings, _heard(settings)):
            print(f"  {tried}", flush=True)
            failed += tried.mark == "✗"
        return failed

    failed = asyncio.run(work())
    print(f"{failed} of these failed" if failed else "All of it works.")
    return 1 if failed else 0


def _heard(settings: "Settings") -> dict[str, str]:
    """When a running daemon heard each meter; nothing where none runs."""
    from gateway.cli.commands.status import last_heard

    return last_heard(settings)


def _unusable(settings: "Settings") -> Iterator[str]:
    """What of this machine's environment (proxies, authorities) the clients cannot use: each is
    made as the daemon makes it.
    """
    from drivers.net.environment import authorities
    from drivers.net.http import HttpError
    from gateway.delivery.http_session import client_for
    from gateway.delivery.kinds.exchange import Settings as Exchange
    from gateway.delivery.kinds.fleet_mqtt import Settings as Fleet

    for name, destination in settings.destinations.items():
        if isinstance(destination, Exchange):
            try:
                client_for(destination.url, masked=settings.secrets.masked).prepare()
            except HttpError as error:
                yield f"delivery to {name}: {error}"
        elif isinstance(destination, Fleet) and destination.tls:
            try:
                destination.trusts(settings.folder)
            except OSError as error:
                yield f"delivery to {name}: {error}"
    if settings.mqtt is not None and settings.mqtt.tls:
        try:
            authorities(settings.mqtt.ca_file)
        except OSError as error:
            yield f"mqtt {settings.mqtt.host}: {error}"


def _warnings(settings: "Settings") -> Iterator[str]:
    """What can be used, and is hardly meant, or not for long."""
    from gateway.delivery.own_certificate import certificates_told
    from gateway.store.volatile import volatile

    if told := volatile(settings.buffer_path):
        yield told
    yield from certificates_told(settings.folder, settings.destinations, time.time())


def _foreign(buffer: Path) -> Iterator[str]:
    """A file in the buffer's place that the daemon would not open."""
    from gateway.store.errors import StoreError
    from gateway.store.ownership import refuse_foreign

    try:
        refuse_foreign(buffer)
    except StoreError as error:
        yield f"{error}. The daemon will not start"
    except OSError:
        pass  # only the daemon's user can tell


def schema_names() -> list[str]:
    """The kinds of files that have a schema."""
    return ["gateway", "device", *(f"profile-{protocol}" for protocol in protocols())]


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of that kind of file."""
    from gateway.operator.schema import with_operator
    from gateway.site import config

    if name.startswith("profile-"):
        return profile_schema(name.removeprefix("profile-"))
    kinds = destination_kinds() if name == "gateway" else {}
    found = config.schema(name, kinds)  # type: ignore[arg-type]  # argparse lets no other through
    return with_operator(found) if name == "gateway" else found


def _page() -> str:
    """The reference of every key."""
    from drivers.profile import credential_entries
    from drivers.settings_schema import json_schema
    from gateway.cli.configuration_page import page
    from gateway.operator.models import settings_by_model

    return page(
        schema_of("gateway"),
        schema_of("device"),
        {kind: json_schema(settings, kind) for kind, settings in destination_kinds().items()},
        {name: json_schema(settings, name) for name, settings in settings_by_model().items()},
        {protocol: credential_entries(protocol) for protocol in protocols()},
    )


def destination_kinds() -> dict[str, type]:
    """The settings of each kind of destination, found by name."""
    from gateway.delivery import kinds

    return kinds.settings_by_kind()


def _told(settings: "Settings") -> Iterator[str]:
    """What the daemon is told to do, in a few lines."""
    yield (
        f"{settings.folder}: no mistakes. Site {settings.site}, slots of "
        f"{_length(settings.market.slot)}."
    )
    yield f"Time zone {settings.timezone.name} ({settings.timezone.source})."
    yield "Reads:" if settings.devices else "Reads no meter."
    for device in settings.devices:
        where = (
            f"{device.line} address {device.address}" if device.profile.bus else str(device.line)
        )
        energy = " and ".join(
            sorted(q.removeprefix("energy_").removesuffix("_wh") for q in device.profile.energy)
        )
        turned = ", inverted" if device.invert else ""
        count = len(device.profile.quantities)
        yield (
            f"  {device.name}: {device.profile.id} on {where}, every "
            f"{_length(device.interval_s)}: {energy}{turned}; {count} quantities"
        )
        if device.profile.may_encrypt and not device.credentials:
            yield (
                "    no key, which it needs if its telegrams are encrypted: ask the network "
                "operator, and name its file here as key: FILE"
            )
    for text, _ in _loads(settings):
        yield f"  {text}"
    yield from _sends(settings)
    yield f"Keeps {settings.buffer_path}, at most {settings.buffer.max_size / 1e6:g} MB."
    yield from _status(settings)
    if settings.mqtt is not None:
        yield (
            f"Publishes to {settings.mqtt.host}:{settings.mqtt.port} "
            f"({'TLS' if settings.mqtt.tls else 'not encrypted'})."
        )
        in_clear = settings.mqtt.credentials and not settings.mqtt.tls
        if in_clear and not is_loopback(settings.mqtt.host):
            yield "  warning: the broker's login travels in clear: set tls: true"


def _status(settings: "Settings") -> Iterator[str]:
    """Where the page is, and who may read it."""
    host, port = settings.status.host, settings.status.port
    shown = f"[{host}]" if ":" in host else host
    whom = {"local": "for this machine only", "token": "for whoever has the token"}
    told = whom.get(settings.page_access or "", "for everybody on the network")
    yield f"Status on http://{shown}:{port}/, {told}."
    yield from (f"  warning: {warning}" for warning in settings.warnings())


def _numbers(settings: "Settings", exchange: "ExchangeSettings") -> str:
    """What an exchange is sent of each slot, in words."""
    from gateway.delivery.kinds.exchange import dialect_of
    from gateway.energy.forecast_words import share_words
    from gateway.outbox.quantiles import MEDIAN

    how = str(exchange.forecast)
    if exchange.forecast_prices is not None:
        how += ", the quantile that costs least by forecast_prices"
    elif exchange.bias != MEDIAN:
        how += f", {share_words(exchange.forecast_bias.share)}"
    kinds = dialect_of(exchange, int(settings.market.slot)).kinds
    told = ["a measurement"] if "measurement" in kinds else []
    if "forecast" in kinds and (exchange.forecast != "none" or not told):
        told.append(f"a forecast ({how})")
    return " and ".join(told)


def _sends(settings: "Settings") -> Iterator[str]:
    """What goes where."""
    from gateway.delivery.kinds.exchange import settings_of
    from gateway.outbox.item import EXCHANGE

    exchange = settings_of(settings)
    if not settings.destinations:
        yield "Sends nothing: there is no exchange in gateway.yaml."
    if exchange is not None:
        yield (
            f"Sends to {exchange.url} (dialect {exchange.dialect}), network "
            f"{exchange.canary_network}, per slot {_numbers(settings, exchange)}:"
        )
        quiet_s = exchange.quiet_s(settings.site, settings.market.slot)
        if quiet_s:
            yield f"  beginning {quiet_s:.1f} s into each slot, the turn of a site of this name"
    for asset in settings.assets:
        kind = asset.kind if asset.delivered_as is None else f"{asset.kind} as {asset.delivered_as}"
        where = "found by its name" if asset.is_by_name else asset.uuid
        yield f"  {asset.name} ({kind}, {where}) = {asset.energy}"
    if exchange is not None:
        if exchange.aggregator is not None:
            yield f"  all assets in one request, by way of the aggregator {exchange.aggregator}"
        who = (
            "once its engine's verdict says so" if exchange.hears_verdicts else "once HTTP says so"
        )
        yield f"  accepted {who} (verdicts: {'on' if exchange.hears_verdicts else 'off'})"
    yield from _operates(settings)
    others = [name for name in settings.destinations if exchange is None or name != EXCHANGE]
    if others:
        yield f"Sends to these destinations, too: {', '.join(others)}."


def _operates(settings: "Settings") -> Iterator[str]:
    """Whose fees are set, and how."""
    operator = settings.grid_operator
    if operator is None:
        return
    from gateway.operator.settings import GridOperator

    assert isinstance(operator, GridOperator)
    keys, bounds = operator.settings, operator.bounds
    named = "every market that the registry gives the account"
    markets = ", ".join(keys.markets) or named
    verb = "Decides the grid fees (dry_run: none is sent)" if keys.dry_run else "Sets the grid fees"
    yield f"{verb} of {markets} at {keys.url}, as the aggregator {keys.aggregator}:"

    step = f", at most {bounds.step} a slot" if bounds.step else ""
    yield f"  from {bounds.lowest} to {bounds.highest}{step}; model {operator.default.kind}"
    for name, model in operator.models.items():
        yield f"  but for {name}: {model.kind}"
    slots = f"{bounds.fallback_after} slot{'s in a row' * (bounds.fallback_after > 1)}"
    yield f"  fallback {bounds.fallback}, once a model has lacked what it needs for {slots}"


def _cut_fees(settings: "Settings") -> Iterator[str]:
    """Models that want what their bounds never let them have."""
    operator = settings.grid_operator
    if operator is None:
        return
    from gateway.operator.model import OfFees
    from gateway.operator.settings import GridOperator

    assert isinstance(operator, GridOperator)
    bounds = operator.bounds
    for name, model in {"model": operator.default, **operator.models}.items():
        fees = model.every_fee if isinstance(model, OfFees) else ()
        if fees and max(fees) > bounds.highest:
            yield f"grid_operator, {name}: it has {max(fees)}; highest: {bounds.highest} cuts it"
        if fees and min(fees) < bounds.lowest:
            yield f"grid_operator, {name}: it has {min(fees)}; lowest: {bounds.lowest} raises it"


def _loads(settings: "Settings") -> Iterator[tuple[str, str]]:
    """What each line on which meters take turns has to carry, and, where that is too much, what to
    do.
    """
    from gateway.collect.line_load import load_of
    from gateway.site.devices import lines_of

    for devices in lines_of(settings.devices).values():
        load = load_of(devices)
        if load is None or (len(devices) == 1 and not load.too_much):
            continue
        names = ", ".join(device.name for device in devices)
        yield f"{devices[0].line} ({names}) {load}", load.hint if load.too_much else ""


def _length(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds:g} s"
