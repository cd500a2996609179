"""`meter-gateway check`: is the configuration right?"""

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from drivers.profile import profile_schema, protocols

if TYPE_CHECKING:
    from gateway.site.settings import Settings

SUMMARY = "check the configuration: every mistake at once, or what will be read and sent"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Reads every file of the configuration folder and names every mistake in it, with file, "
        "line, key and the nearest right word. "
        "Says of every line that meters share how much of its time they need. "
        "Exit code 0 where there is no mistake and every line can keep up, else 1. It opens no "
        "port and asks no exchange."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway check\n"
        "  meter-gateway --config ./docs/examples/home check\n"
        "  meter-gateway check --schema device > device.json    (JSON Schema: an editor "
        "completes and checks with it)\n"
        "  meter-gateway check --markdown                       (the reference of every key)"
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
    from gateway.delivery import kinds
    from gateway.site.credentials import ConfigError

    if args.markdown:
        print(_page(), end="")
        return 0
    if args.schema:
        print(json.dumps(schema_of(args.schema), indent=2, ensure_ascii=False))
        return 0
    try:
        settings = kinds.load(args.config)
    except ConfigError as error:
        for problem in error.problems:
            print(problem)
        count = len(error.problems)
        print(f"{count} {'mistake' if count == 1 else 'mistakes'} in {args.config}")
        return 1
    for line in _told(settings):
        print(line)
    unusable = list(_unusable(settings))
    for text in unusable:
        print(f"problem: {text}")
    slow = [(text, hint) for text, hint in _loads(settings) if hint]
    for text, hint in slow:
        print(f"problem: {text}: it cannot keep up — {hint}")
    return 1 if slow or unusable else 0


def _unusable(settings: "Settings") -> Iterator[str]:
    """What of this machine's environment (proxies, authorities) the clients cannot use: each is
    made as the daemon makes it.
    """
    from drivers.net.environment import authorities
    from drivers.net.http import HttpError
    from gateway.delivery.http_session import client_for
    from gateway.delivery.kinds.exchange import Settings as Exchange

    for name, destination in settings.destinations.items():
        if isinstance(destination, Exchange):
            try:
                client_for(destination.url).prepare()
            except HttpError as error:
                yield f"delivery to {name}: {error}"
    if settings.mqtt is not None and settings.mqtt.tls:
        try:
            authorities(settings.mqtt.ca_file)
        except OSError as error:
            yield f"mqtt {settings.mqtt.host}: {error}"


def schema_names() -> list[str]:
    """The kinds of files that have a schema."""
    return ["gateway", "device", *(f"profile-{protocol}" for protocol in protocols())]


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of that kind of file."""
    from gateway.site import config

    if name.startswith("profile-"):
        return profile_schema(name.removeprefix("profile-"))
    return config.schema(name, destination_kinds())  # type: ignore[arg-type]  # argparse lets no other through


def _page() -> str:
    """The reference of every key."""
    from drivers.profile import credential_entries
    from drivers.settings_schema import json_schema
    from gateway.cli.configuration_page import page

    return page(
        schema_of("gateway"),
        schema_of("device"),
        {kind: json_schema(settings, kind) for kind, settings in destination_kinds().items()},
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
    yield "Reads:"
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
    yield f"Status on http://{settings.status.host}:{settings.status.port}/."
    if settings.mqtt is not None:
        yield (
            f"Publishes to {settings.mqtt.host}:{settings.mqtt.port} "
            f"({'TLS' if settings.mqtt.tls else 'not encrypted'})."
        )


def _sends(settings: "Settings") -> Iterator[str]:
    """What goes where."""
    from gateway.delivery.kinds.exchange import settings_of
    from gateway.outbox.dialects import load_dialect
    from gateway.outbox.item import EXCHANGE

    exchange = settings_of(settings)
    if not settings.destinations:
        yield "Sends nothing: there is no exchange in gateway.yaml."
    if exchange is not None:
        kinds = load_dialect(
            exchange.dialect, str(exchange.canary_network), settings.market.slot
        ).kinds
        forecast = (
            f" and a forecast ({exchange.forecast})"
            if "forecast" in kinds and exchange.forecast != "none"
            else ""
        )
        yield (
            f"Sends to {exchange.url} (dialect {exchange.dialect}), network "
            f"{exchange.canary_network}, per slot a measurement{forecast}:"
        )
        quiet_s = exchange.quiet_s(settings.site, settings.market.slot)
        if quiet_s:
            yield f"  beginning {quiet_s:.1f} s into each slot, the turn of a site of this name"
    for asset in settings.assets:
        yield f"  {asset.name} ({asset.kind}, {asset.uuid}) = {asset.energy}"
    others = [name for name in settings.destinations if exchange is None or name != EXCHANGE]
    if others:
        yield f"Sends to these destinations, too: {', '.join(others)}."


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
