"""`meter-gateway status`: the running daemon's status in the terminal."""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.monitoring.report import (
        AssetReport,
        DestinationReport,
        LineReport,
        MeterReport,
        Part,
        Report,
    )

SUMMARY = "the running daemon's status: what is well, what was delivered, what waits"

DEFAULT_URL = "http://127.0.0.1:8080"
_PATIENCE_S = 5.0
_WATCH_S = 5.0
_MAX_BYTES = 16_000_000

_HEALTHY, _UNHEALTHY, _NOT_REACHABLE = 0, 1, 2


class NotReachable(Exception):
    """Nobody answers there, or not as a gateway does. The text says what to do."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Asks the running daemon and shows what it says. The exit code is 0 where every part had "
        "recent success, 1 where one had not, "
        "and 2 where the daemon cannot be reached."
    )
    parser.epilog = "examples:\n  meter-gateway status\n  meter-gateway status --watch"
    parser.add_argument(
        "--url",
        help=f"address of the daemon's page (default: as gateway.yaml says, or {DEFAULT_URL})",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON, as /status has it"
    )
    parser.add_argument(
        "--watch", action="store_true", help="show it anew every 5 seconds until Ctrl-C"
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0 healthy, 1 unhealthy, 2 not reachable."""
    url = args.url or _configured_url(args)
    if args.watch:
        return _watch(url, as_json=args.json)
    try:
        body = _fetch(url)
        report = _parsed(url, body)
    except NotReachable as error:
        print(error, file=sys.stderr)
        return _NOT_REACHABLE
    if args.json:
        print(body.decode())
    else:
        from gateway.cli.terminal import console

        console().print(_rendered(report))
    return _UNHEALTHY if report.unhealthy() else _HEALTHY


def report_of(args: argparse.Namespace) -> "Report":
    """What the daemon of this configuration says now. Raises NotReachable."""
    url = _configured_url(args)
    return _parsed(url, _fetch(url))


def _watch(url: str, *, as_json: bool) -> int:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    code = _NOT_REACHABLE
    shown: RenderableType = Text("")
    with Live(shown, auto_refresh=False, screen=False) as live:
        try:
            while True:
                try:
                    body = _fetch(url)
                    report = _parsed(url, body)
                    code = _UNHEALTHY if report.unhealthy() else _HEALTHY
                    shown = Text(body.decode()) if as_json else _rendered(report)
                    live.update(shown, refresh=True)
                except NotReachable as error:
                    code = _NOT_REACHABLE
                    live.update(
                        Group(
                            Text(str(error), style="bold red"), Text("what it said last:"), shown
                        ),
                        refresh=True,
                    )
                time.sleep(_WATCH_S)
        except KeyboardInterrupt:
            return code


def _configured_url(args: argparse.Namespace) -> str:
    """The address in gateway.yaml. A configuration with mistakes is no reason not to show the
    status.
    """
    from gateway.delivery import kinds
    from gateway.site.credentials import ConfigError

    try:
        status = kinds.load(args.config, logins=False).status
    except ConfigError:
        return DEFAULT_URL
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(status.host, status.host)  # noqa: S104  compared, not bound to
    return f"http://[{host}]:{status.port}" if ":" in host else f"http://{host}:{status.port}"


def _fetch(url: str) -> bytes:
    """The body of `/status`. Raises NotReachable."""
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    if not url.startswith(("http://", "https://")):
        raise NotReachable(f"{url!r} is not an address; write it as in {DEFAULT_URL}")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # a proxy does not know this machine's localhost
    try:
        with opener.open(url.rstrip("/") + "/status", timeout=_PATIENCE_S) as reply:
            body: bytes = reply.read(_MAX_BYTES)
            return body
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode(errors="replace").strip()
        raise NotReachable(
            f"{url} answers {error.code}: {said}\nIs this the gateway's address? Give the right "
            "one with --url."
        ) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NotReachable(
            f"The daemon cannot be reached at {url}: "
            f"{getattr(reason, 'strerror', None) or reason}\n"
            "Does it run? See: systemctl status meter-gateway, or start it with: meter-gateway "
            "run\n"
            "Does its page have another address? Give it with --url, or the configuration folder "
            "with --config."
        ) from error


def _parsed(url: str, body: bytes) -> "Report":
    import msgspec

    from gateway.monitoring.report import Report

    try:
        return Report.from_json(body)
    except msgspec.DecodeError as error:
        raise NotReachable(
            f"{url} answers, but not as this version of the gateway does ({error})\n"
            "Is it the gateway's address? Was the gateway updated and not restarted? Then: "
            "systemctl restart meter-gateway"
        ) from error


def _rendered(report: "Report") -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    wrong = report.unhealthy()
    head = Text(
        f"{report.site}  meter-gateway {report.version}, up "
        f"{_span(report.now_s - report.started_s)}",
        style="bold",
    )
    mood = (
        Text(f"! {len(wrong)} of its parts had no recent success", style="bold red")
        if wrong
        else Text("✓ all is well", style="bold green")
    )
    return Group(
        head,
        mood,
        *(Text(f"  {reason}", style="red") for reason in wrong),
        Text(""),
        *_tables(report),
    )


def _tables(report: "Report") -> Iterator["RenderableType"]:
    from rich.text import Text

    yield _table(
        "Assets",
        ["asset", "last slot", "#energy", "quality", "delivery", "#waiting", "last 24 h"],
        map(_asset_row, report.assets),
    )
    meters = (_meter_row(report, meter) for meter in report.meters)
    yield _table(
        "Meters",
        ["meter", "state", "last heard", "#power", "#import", "#export", "#errors", "last error"],
        meters,
    )
    links = [
        *(_destination_row(report, destination) for destination in report.destinations),
        *(_line_row(report, line) for line in report.lines),
        *([_part_row(report, report.mqtt)] if report.mqtt else []),
    ]
    yield _table(
        "Exchange and lines",
        ["part", "state", "last success", "#errors", "last error", "notes"],
        links,
    )
    clock, buffer = report.clock, report.buffer
    yield Text(
        f"clock   {'trusted' if clock.trusted else 'NOT TRUSTED'}: {clock.why}",
        style="" if clock.trusted else "red",
    )
    size = f"{buffer.bytes / 1e6:,.1f} of {buffer.max_bytes / 1e6:,.0f} MB"
    yield Text(
        f"buffer  {buffer.state}: {buffer.path}, {size}, {buffer.slots:,} slots, "
        f"{buffer.samples:,} samples"
    )
    if buffer.unallocated:
        what = (
            f"{buffer.unallocated_wh:.3f} Wh are in no slot, {buffer.unallocated} times; "
            "meter-gateway allocate lists them"
        )
        yield Text(f"energy  {what}", style="yellow")
    yield from (Text(f"event   {event}", style="yellow") for event in buffer.events)


def _table(title: str, columns: list[str], rows: Any) -> "RenderableType":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix("#"),
            justify="right" if column.startswith("#") else "left",
            overflow="fold",
        )
    for row in rows:
        # Text, not str: square brackets in a meter's name are no markup.
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def _asset_row(asset: "AssetReport") -> list[Any]:
    from rich.text import Text

    mood = {"accepted": "green", "pending": "yellow", "rejected": "red", "missed": "red"}
    quality = {"measured": "green", "estimated": "yellow", "partial": "yellow", "missing": "red"}
    ended = f"{asset.accepted} accepted, {asset.rejected} rejected, {asset.missed} missed"
    return [
        asset.name,
        _slot(asset.last_slot_s),
        "–" if asset.last_energy_wh is None else f"{asset.last_energy_wh:,.1f} Wh",
        Text(asset.last_quality or "–", style=quality.get(asset.last_quality, "")),
        Text(asset.last_delivery or "–", style=mood.get(asset.last_delivery, "")),
        str(asset.pending),
        f"{ended} ({asset.last_reason})" if asset.last_reason else ended,
    ]


def _meter_row(report: "Report", meter: "MeterReport") -> list[Any]:
    name, state, age, errors, last_error, _ = _part_row(report, meter)
    power = meter.values.get("power_w")
    registers = [meter.values.get(f"energy_{direction}_wh") for direction in ("import", "export")]
    shown = ["–" if value is None else f"{value / 1000:,.3f} kWh" for value in registers]
    return [
        name,
        state,
        age,
        "–" if power is None else f"{power:,.0f} W",
        *shown,
        errors,
        last_error,
    ]


def _destination_row(report: "Report", destination: "DestinationReport") -> list[Any]:
    notes = f"{destination.url} ({destination.dialect}); {destination.backlog} waiting"
    if destination.sent:
        notes += f", {destination.sent} not answered yet"
    if destination.oldest_undelivered_s is not None:
        notes += f", oldest {_slot(destination.oldest_undelivered_s)}"
    if destination.next_deadline_s is not None:
        notes += f", next deadline in {_span(destination.next_deadline_s - report.now_s)}"
    if destination.read_back:
        notes += f"; read back: {destination.read_back}, {destination.unconfirmed} unconfirmed"
    if destination.disputed:
        notes += f", {destination.disputed} HELD OTHERWISE: meter-gateway outbox --state disputed"
    return [*_part_row(report, destination)[:-1], notes]


def _line_row(report: "Report", line: "LineReport") -> list[Any]:
    from rich.text import Text

    return [*_part_row(report, line)[:-1], Text(line.carries, style="red" if line.too_slow else "")]


def _part_row(report: "Report", part: "Part") -> list[Any]:
    from rich.text import Text

    age_s = part.age_s(report.now_s)
    state = Text(
        part.state, style="green" if part.healthy(report.now_s, report.started_s) else "red"
    )
    return [
        part.name,
        state,
        "never yet" if age_s is None else f"{_span(age_s)} ago",
        str(part.errors),
        part.last_error,
        "",
    ]


def _slot(start_s: float | None) -> str:
    """The start of a slot in this machine's zone."""
    if start_s is None:
        return "–"
    from datetime import datetime

    return datetime.fromtimestamp(start_s).astimezone().strftime("%a %H:%M:%S %Z")


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{round(whole / 60)} min"
    return f"{whole / 3600:.1f} h" if whole < 129_600 else f"{round(whole / 86_400)} days"
