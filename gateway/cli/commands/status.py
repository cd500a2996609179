"""`meter-gateway status`: the running daemon's status in the terminal."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import tzinfo

    from rich.console import RenderableType

    from gateway.monitoring.report import (
        AssetReport,
        DestinationReport,
        ForecastReport,
        GridOperatorReport,
        LineReport,
        MeterReport,
        Part,
        Report,
    )
    from gateway.site.settings import Settings

SUMMARY = "the running daemon's status: what is well, what was delivered, what waits"

DEFAULT_URL = "http://127.0.0.1:8080"
_PATIENCE_S = 5.0
_WATCH_S = 5.0
_MAX_BYTES = 16_000_000

Token = Callable[[], str | None]
"""The page's token, as it is at that moment."""

_HEALTHY, _UNHEALTHY, _NOT_REACHABLE = 0, 1, 2


class NotReachable(Exception):
    """Nobody answers there, or not as a gateway does. The text says what to do."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Asks the running daemon and shows what it says. The exit code is 0 where every part had "
        "recent success, 1 where one had not, or has not been heard from yet since the start, "
        "and 2 where the daemon cannot be reached."
    )
    parser.epilog = "examples:\n  meter-gateway status\n  meter-gateway status --watch"
    parser.add_argument(
        "--url",
        help=f"address of the daemon's page (default: as gateway.yaml says, or {DEFAULT_URL})",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="the file with the page's token, as meter-gateway token makes it (default: the one of "
        "the configuration; it is sent to an --url on this machine only)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON, as /status has it"
    )
    parser.add_argument(
        "--watch", action="store_true", help="show it anew every 5 seconds until Ctrl-C"
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0 healthy, 1 unhealthy, 2 not reachable."""
    from gateway.cli.terminal import console, json_escaped

    try:
        url, token = _page(args)
    except NotReachable as error:
        print(error, file=sys.stderr)
        return _NOT_REACHABLE
    if args.watch:
        return _watch(url, token, as_json=args.json)
    try:
        body = _fetch(url, token)
        report = _parsed(url, body)
    except NotReachable as error:
        print(error, file=sys.stderr)
        return _NOT_REACHABLE
    if args.json:
        print(json_escaped(body.decode()))
    else:
        console().print(_rendered(report))
    return _HEALTHY if report.verdict == "well" else _UNHEALTHY


def report_of(args: argparse.Namespace) -> "Report":
    """What the daemon of this configuration says now. Raises NotReachable."""
    url, token = _configured_page(args)
    return _parsed(url, _fetch(url, token))


def report_of_page(settings: "Settings") -> "Report":
    """What the daemon at the page that these settings name says now. Raises NotReachable."""
    url, token = _page_of(settings)
    return _parsed(url, _fetch(url, token))


def told_by_page(settings: "Settings") -> "tuple[Report, list[str]]":
    """The same, and its problems in the words of the page; none where it is of an earlier version.
    Raises NotReachable.
    """
    from msgspec import Struct, json

    class Problem(Struct):
        """What is read of one."""

        what: str = ""
        itself: str = ""
        do: str = ""

    class Told(Struct):
        """What is read of the page's JSON."""

        problems: list[Problem] = []

    url, token = _page_of(settings)
    body = _fetch(url, token)
    report = _parsed(url, body)
    told = json.decode(body, type=Told).problems
    texts = [" ".join(part for part in (p.what, p.itself, p.do) if part) for p in told]
    return report, [text for text in texts if text]


def _watch(url: str, token: Token, *, as_json: bool) -> int:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from gateway.cli.terminal import console

    code = _NOT_REACHABLE
    shown: RenderableType = Text("")
    with Live(shown, console=console(), auto_refresh=False, screen=False) as live:
        try:
            while True:
                try:
                    body = _fetch(url, token)
                    report = _parsed(url, body)
                    code = _HEALTHY if report.verdict == "well" else _UNHEALTHY
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


def last_heard(settings: "Settings") -> dict[str, str]:
    """What the running daemon of these settings says of each meter; nothing where none runs."""
    try:
        report = report_of_page(settings)
    except NotReachable:
        return {}
    ages = {meter.name: meter.age_s(report.now_s) for meter in report.meters}
    return {
        name: "it has not heard it yet" if age_s is None else f"it heard it {_span(age_s)} ago"
        for name, age_s in ages.items()
    }


def _page(args: argparse.Namespace) -> tuple[str, Token]:
    """Where the page is, and its token now. Raises NotReachable."""
    url, token = _configured_page(args)
    if args.url:
        url, is_elsewhere = args.url, not _is_this_machine(args.url)
        token = _no_token if is_elsewhere else token
    if args.token_file:
        token = _token_in(Path(args.token_file))
    return url, token


def _configured_page(args: argparse.Namespace) -> tuple[str, Token]:
    """As gateway.yaml says. A configuration with mistakes is no reason not to show the status."""
    from gateway.delivery import kinds
    from gateway.site.credentials import ConfigError

    try:
        return _page_of(kinds.load(args.config, logins=False))
    except ConfigError:
        return DEFAULT_URL, _no_token


def _page_of(settings: "Settings") -> tuple[str, Token]:
    from gateway.monitoring.server import page_url

    return page_url(settings.status.host, settings.status.port), settings.page_token()


def _no_token() -> None:
    return None


def _token_in(path: Path) -> Token:
    """The token in that file. Raises NotReachable."""
    from gateway.site.credentials import read_token

    token, problems = read_token(path.parent, path.name)
    if token is None:
        raise NotReachable("\n".join(map(str, problems)))
    return lambda: token


def _is_this_machine(url: str) -> bool:
    from urllib.parse import urlsplit

    from drivers.net.addresses import is_loopback

    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _fetch(url: str, token: Token = _no_token) -> bytes:
    """The body of `/status`. Raises NotReachable."""
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    if not url.lower().startswith(("http://", "https://")):
        raise NotReachable(f"{url!r} is not an address; write it as in {DEFAULT_URL}")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # a proxy does not know this machine's localhost
    try:
        asked = urllib.request.Request(url.rstrip("/") + "/status")  # noqa: S310  http, see above
        if secret := token():
            # Not to where the answer may redirect to.
            asked.add_unredirected_header("Authorization", f"Bearer {secret}")
        with opener.open(asked, timeout=_PATIENCE_S) as reply:
            body: bytes = reply.read(_MAX_BYTES)
            return body
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode(errors="replace").strip()
        if error.code == HTTPStatus.UNAUTHORIZED:
            raise NotReachable(_asked_for_token(url, sent=bool(secret))) from error
        if error.code == HTTPStatus.TOO_MANY_REQUESTS:
            raise NotReachable(_asked_too_often(url, error.headers.get("Retry-After"))) from error
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


def _asked_too_often(url: str, retry_after: str | None) -> str:
    """429 is what the gateway itself says to wrong tokens: it lives, and this is its address."""
    wait = f"{retry_after} s" if retry_after and retry_after.isdigit() else "a minute"
    return (
        f"{url} answers 429: several wrong tokens came from this address, so it takes none from it "
        f"for now. It is up.\nTry again in {wait}, with the token of that gateway. "
        "If that goes on, look which monitor or open page has an old one."
    )


def _asked_for_token(url: str, *, sent: bool) -> str:
    if sent:
        return f"{url} does not take this token. Is it the token of that gateway, and the new one?"
    return (
        f"{url} asks for its token. Run this as root (with sudo), who can read it, or give its "
        "file with --token-file."
    )


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

    head = Text(
        f"{report.site}  meter-gateway {report.version}, up "
        f"{_span(report.now_s - report.started_s)}",
        style="bold",
    )
    told = [] if report.verdict == "starting" else report.reasons()
    mark, colour = {"well": ("✓", "green"), "starting": ("…", "yellow"), "unwell": ("!", "red")}[
        report.verdict
    ]
    if report.verdict == "well" and told:
        mark, colour = "!", "yellow"
    return Group(
        head,
        Text(f"{mark} {report.headline()}", style=f"bold {colour}"),
        *(Text(f"! {warning}", style="bold yellow") for warning in report.warnings),
        *(Text(f"  {reason}", style=colour) for reason in told),
        Text(""),
        *_tables(report),
    )


def _tables(report: "Report") -> Iterator["RenderableType"]:
    from rich.text import Text

    from gateway.cli.terminal import table

    yield table(
        ["asset", "last slot", "energy", "quality", "delivery", "waiting", "last 24 h"],
        [_asset_row(asset, _zone(report)) for asset in report.assets],
        title="Assets",
        right=["energy", "waiting"],
        spare=["last 24 h", "waiting", "quality"],
    )
    yield from _forecasts(report)
    meters = (_meter_row(report, meter) for meter in report.meters)
    yield table(
        ["meter", "state", "last heard", "power", "import", "export", "errors", "last error"],
        meters,
        title="Meters",
        right=["power", "import", "export", "errors"],
        spare=["errors", "export", "import", "power"],
    )
    links = [
        *(_destination_row(report, destination) for destination in report.destinations),
        *(_line_row(report, line) for line in report.lines),
        *([_part_row(report, report.mqtt)] if report.mqtt else []),
        *([_operator_row(report, report.grid_operator)] if report.grid_operator else []),
    ]
    yield table(
        ["part", "state", "last success", "errors", "last error", "notes"],
        links,
        title="Exchange and lines",
        right=["errors"],
        spare=["errors", "last success", "notes"],
    )
    if report.grid_operator and report.grid_operator.markets:
        yield _market_table(report.grid_operator, _zone(report))
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


def _energy(asset: "AssetReport") -> str:
    if asset.last_energy_wh is None:
        return "–"
    told = f"{asset.last_energy_wh:,.1f}"
    if asset.last_uncertainty_wh is not None:
        told += f" ± {asset.last_uncertainty_wh:,.1f}"
    return f"{told} Wh"


def _asset_row(asset: "AssetReport", zone: "tzinfo | None") -> list[Any]:
    from rich.text import Text

    mood = {"accepted": "green", "pending": "yellow", "rejected": "red", "missed": "red"}
    quality = {"measured": "green", "estimated": "yellow", "partial": "yellow", "missing": "red"}
    ended = f"{asset.accepted} accepted, {asset.rejected} rejected, {asset.missed} missed"
    return [
        asset.name,
        _slot(asset.last_slot_s, zone),
        _energy(asset),
        Text(asset.last_quality or "–", style=quality.get(asset.last_quality, "")),
        Text(asset.last_delivery or "–", style=mood.get(asset.last_delivery, "")),
        str(asset.pending),
        f"{ended} ({asset.last_reason})" if asset.last_reason else ended,
    ]


def _forecasts(report: "Report") -> "Iterator[RenderableType]":
    from rich.text import Text

    from gateway.cli.terminal import table

    told = [(asset.name, each) for asset in report.assets if (each := asset.forecast)]
    if not told:
        return
    yield table(
        ["asset", "next slot", "expected", "last: expected", "came", "mean error", "best naive",
         "over", "in the band", "sums"],
        [_forecast_row(name, forecast, report) for name, forecast in told],
        title="Forecasts",
        right=["expected", "last: expected", "came", "mean error", "best naive", "in the band"],
        spare=["sums", "in the band", "came", "last: expected", "over", "best naive"],
    )  # fmt: skip
    yield from (Text(f"{name}: {forecast.words}") for name, forecast in told)
    yield from (Text(f"{name}: {text}") for name, each in told if (text := _sent_text(each)))
    yield Text("")


def _sent_text(forecast: "ForecastReport") -> str:
    """What another quantile than the median costs; empty where the median is sent."""
    from gateway.energy.forecast_words import sent_words

    if not forecast.sends:
        return ""
    told = [each for each in forecast.errors if each.sent]
    main = next((each for each in told if each.days == 7), told[0] if told else None)
    if main is None or main.sent is None:
        return sent_words(forecast.sends)
    sent = main.sent
    over = "1 day" if main.days == 1 else f"{main.days} days"
    return sent_words(
        forecast.sends,
        over,
        sent.slots,
        (sent.mean_error_wh, sent.median_mean_error_wh),
        (sent.sums_off_by, sent.median_sums_off_by),
    )


def _forecast_row(name: str, forecast: "ForecastReport", report: "Report") -> list[Any]:
    from gateway.energy.forecast_words import off_words

    coming, last = forecast.next_slot(report.now_s), forecast.last
    judged = [each for each in forecast.errors if each.slots]
    errors = next((each for each in judged if each.days == 7), judged[0] if judged else None)
    row = [
        name,
        _slot(coming.start_s if coming else None, _zone(report)),
        _wh(coming.energy_wh if coming else None),
        _wh(last.energy_wh if last else None),
        _wh(forecast.last_energy_wh if last else None),
    ]
    if errors is None:
        return [*row, *"–––––"]
    best, inside, off = errors.best_naive, errors.inside_band, errors.sums_off_by
    return [
        *row,
        _wh(errors.mean_error_wh),
        f"{_wh(errors.naive_mean_error_wh.get(best))} ({best.replace('_', ' ')})",
        "1 day" if errors.days == 1 else f"{errors.days} days",
        "–" if inside is None else f"{100 * inside:.0f} %",
        "–" if off is None else off_words(off),
    ]


def _wh(energy_wh: float | None) -> str:
    return "–" if energy_wh is None else f"{energy_wh:,.1f} Wh"


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
        notes += f", oldest {_slot(destination.oldest_undelivered_s, _zone(report))}"
    if destination.next_deadline_s is not None:
        notes += f", next deadline in {_span(destination.next_deadline_s - report.now_s)}"
    if destination.refuses:
        notes += f"; refused: {', '.join(sorted(destination.refuses))}"
    if destination.verdicts:
        notes += f"; verdicts: {destination.verdicts}"
    if destination.unheard:
        notes += f"; NO VERDICT on: {', '.join(sorted(destination.unheard))}"
    if destination.registry:
        notes += f"; see the registry of: {', '.join(sorted(destination.registry))}"
    if destination.read_back:
        notes += f"; read back: {destination.read_back}, {destination.unconfirmed} unconfirmed"
    if destination.disputed:
        notes += f", {destination.disputed} HELD OTHERWISE: meter-gateway outbox --state disputed"
    return [*_part_row(report, destination)[:-1], notes]


def _operator_row(report: "Report", operator: "GridOperatorReport") -> list[Any]:
    notes = f"{operator.url}; aggregator {operator.aggregator}; {len(operator.markets)} markets"
    if operator.dry_run:
        notes += "; DRY RUN: nothing is sent"
    for name, text in sorted(operator.left_out.items()):
        notes += f"; {name}: {text}" if name else f"; {text}"
    return [*_part_row(report, operator)[:-1], notes]


def _market_table(operator: "GridOperatorReport", zone: "tzinfo | None") -> "RenderableType":
    from rich.text import Text

    from gateway.cli.terminal import table

    mood = {"taken": "green", "refused": "red", "kept_old": "red", "silent": "red"}
    return table(
        ["market", "now", "next", "from", "state", "load", "model", "why"],
        [
            [
                market.name,
                _fee(market.fee),
                _fee(market.next_fee),
                _slot(market.next_slot_s, zone),
                Text(market.state or "–", style=mood.get(market.state, "")),
                "–" if market.load_percent is None else f"{market.load_percent:.1f} %",
                market.model,
                market.reason or market.why,
            ]
            for market in operator.markets
        ],
        title=f"Grid fees, {operator.unit}",
        right=["now", "next", "load"],
        spare=["model", "why", "from", "load"],
    )


def _fee(fee: float | None) -> str:
    return "–" if fee is None else f"{fee:g}"


def _line_row(report: "Report", line: "LineReport") -> list[Any]:
    from rich.text import Text

    return [*_part_row(report, line)[:-1], Text(line.carries, style="red" if line.too_slow else "")]


def _part_row(report: "Report", part: "Part") -> list[Any]:
    from rich.text import Text

    age_s = part.age_s(report.now_s)
    style = "green" if part.healthy(report.now_s, report.started_s) else "red"
    if part.is_awaited and style == "green":
        style = "yellow"
    return [
        part.name,
        Text(part.asleep or part.state, style=style),
        "never yet" if age_s is None else f"{_span(age_s)} ago",
        str(part.errors),
        part.last_error,
        "",
    ]


def _slot(start_s: float | None, zone: "tzinfo | None") -> str:
    """The start of a slot in that zone, or in this machine's."""
    if start_s is None:
        return "–"
    from datetime import UTC, datetime

    return datetime.fromtimestamp(start_s, UTC).astimezone(zone).strftime("%a %H:%M:%S %Z")


def _zone(report: "Report") -> "tzinfo | None":
    """The site's, where it says so."""
    from gateway.site.timezone import is_known, zone_of

    return zone_of(report.zone) if report.zone and is_known(report.zone) else None


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{round(whole / 60)} min"
    return f"{whole / 3600:.1f} h" if whole < 129_600 else f"{round(whole / 86_400)} days"
