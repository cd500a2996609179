"""The gateway itself, for an installer: lines, clock, store, forecasts, fees. Pure."""

from collections.abc import Callable

from gateway.monitoring.report import (
    ForecastReport,
    GridOperatorReport,
    LineReport,
    MarketReport,
    MeterReport,
    Report,
)
from gateway.page.frame import Reader, card, document, facts, table
from gateway.page.markup import Child, Markup, tag
from gateway.page.words import Words

MOST_UNUSED = 64
"""So many lines that are not used are named."""


def render(reader: Reader, report: Report) -> Markup:
    """The page of the gateway itself."""
    words = reader.words
    return document(
        reader,
        words("nav.technical"),
        _reasons(reader, report),
        tag("div", _machine(reader, report), _store(reader, report), class_="two"),
        _lines(reader, report),
        _meters(reader, report),
        _forecasts(reader, report),
        _fees(reader, report.grid_operator) if report.grid_operator else None,
        _addresses(reader),
    )


def _reasons(reader: Reader, report: Report) -> Child:
    if not (reasons := report.reasons()):
        return None
    items = tag("ul", *(tag("li", reason) for reason in reasons))
    return card(reader.words("technical.reasons"), items, key="reasons")


def _machine(reader: Reader, report: Report) -> Markup:
    words = reader.words
    clock = report.clock
    trusted = words("technical.trusted" if clock.trusted else "technical.not_trusted")
    pairs: list[tuple[str, Child]] = [
        (words("technical.version"), report.version),
        (words("technical.site"), report.site),
        (words("technical.started"), words.moment(report.started_s, seconds=True)),
        (words("technical.clock"), f"{trusted} ({clock.why})"),
        (
            words("technical.clock_step"),
            f"{words.number(clock.step_s, 1)} s" if clock.step_s is not None else None,
        ),
        (words("technical.slot"), words.duration(report.slot_length_s)),
        (words("technical.zone"), str(words.zone)),
        ("MQTT", f"{report.mqtt.name}: {report.mqtt.state}" if report.mqtt else None),
    ]
    return card(words("technical.machine"), facts(pairs), key="machine")


def _store(reader: Reader, report: Report) -> Markup:
    words = reader.words
    buffer = report.buffer
    mega = 1_000_000
    used = words(
        "technical.bytes",
        used=words.number(buffer.bytes / mega),
        most=words.number(buffer.max_bytes / mega),
    )
    a_day = None
    if buffer.bytes_written_per_day is not None:
        a_day = f"{words.number(buffer.bytes_written_per_day / mega)} MB"
    left_out = None
    if buffer.unallocated:
        left_out = words("technical.unallocated", n=buffer.unallocated) + (
            f" · {words.kwh(buffer.unallocated_wh, 3)}"
        )
    pairs: list[tuple[str, Child]] = [
        (words("technical.state"), buffer.state),
        (words("technical.file"), tag("code", buffer.path)),
        (words("technical.size"), used),
        (words("technical.samples"), words.number(buffer.samples)),
        (words("technical.slots"), words.number(buffer.slots)),
        (words("technical.unflushed"), words.number(buffer.unflushed)),
        (words("technical.written"), a_day),
        (words("technical.left_out"), left_out),
        (words("meter.last_error"), buffer.last_error),
    ]
    return card(words("technical.store"), facts(pairs), key="store")


def _lines(reader: Reader, report: Report) -> Child:
    if not report.lines:
        return None
    words = reader.words
    heads = [words(f"table.{key}") for key in ("line", "state", "carries", "meters")]
    rows = [_line_row(line, report, words) for line in report.lines]
    title = words("technical.lines")
    return card(title, table(heads, rows, name=title), key="lines")


def _line_row(line: LineReport, report: Report, words: Words) -> list[Child]:
    now_s, started_s = report.now_s, report.started_s
    well = line.healthy(now_s, started_s)
    state = words("line.connected" if well else "line.away")
    if well and not any(
        each.healthy(now_s, started_s) for each in report.meters if each.line == line.name
    ):
        state = words("line.silent")
    names = ", ".join(each.name for each in report.meters if each.line == line.name)
    return [tag("code", line.name), state, line.carries, names]


def _meters(reader: Reader, report: Report) -> Child:
    """What an installer asks of each meter beside its values."""
    if not report.meters:
        return None
    words = reader.words
    heads = [words(f"table.{key}") for key in ("meter", "state", "profile", "samples", "remarks")]
    rows = [_meter_row(meter, report, words) for meter in report.meters]
    title = words("nav.meters")
    return card(title, table(heads, rows, name=title, numbers=frozenset((3,))), key="meters")


def _meter_row(meter: MeterReport, report: Report, words: Words) -> list[Child]:
    remarks = []
    if meter.glitches:
        remarks.append(words("technical.glitches", n=meter.glitches))
    if meter.errors:
        remarks.append(words("technical.errors", n=meter.errors, last=meter.last_error or "–"))
    if meter.checksum:
        remarks.append(words("technical.checksum", checksum=meter.checksum))
    if meter.clock_offset_s is not None:
        offset = words.number(meter.clock_offset_s, 1)
        remarks.append(words("technical.clock_offset", seconds=offset))
    for name, off_wh in sorted(meter.cross_check_wh.items()):
        remarks.append(words("technical.cross_check", name=name, energy=words.wh(off_wh)))
    if meter.unused:
        listed = ", ".join(meter.unused[:MOST_UNUSED])
        remarks.append(words("technical.unused", n=len(meter.unused), listed=listed))
    if meter.unbelieved_why:
        remarks.append(meter.unbelieved_why)
    state = meter.asleep or meter.state
    if not meter.healthy(report.now_s, report.started_s):
        state = f"{state} · {words.moment(meter.last_success_s, seconds=True)}"
    profile = tag("code", meter.dialect or meter.profile)
    return [meter.name, state, profile, words.number(meter.samples), " · ".join(remarks)]


def _forecasts(reader: Reader, report: Report) -> Child:
    words = reader.words
    told = [(a.name, a.forecast) for a in report.assets if a.forecast is not None]
    if not told:
        return None
    heads = [
        words(f"table.{key}")
        for key in ("asset", "next", "last_expected", "off_by", "naive", "inside", "how")
    ]
    rows = [_forecast_row(name, each, report.now_s, words) for name, each in told]
    title = words("technical.forecasts")
    return card(title, table(heads, rows, name=title), key="forecasts")


def _forecast_row(name: str, each: ForecastReport, now_s: float, words: Words) -> list[Child]:
    upcoming = each.next_slot(now_s)
    coming = "–"
    if upcoming is not None:
        coming = words.wh(upcoming.energy_wh)
        if upcoming.low_wh is not None and upcoming.high_wh is not None:
            coming += f" ({words.wh(upcoming.low_wh)} – {words.wh(upcoming.high_wh)})"
    last = "–"
    if each.last is not None:
        last = words(
            "technical.came",
            expected=words.wh(each.last.energy_wh),
            came=words.wh(each.last_energy_wh),
        )
    judged = next((e for e in reversed(each.errors) if e.slots), None)
    off = naive = inside = "–"
    if judged is not None:
        off = words("technical.over", energy=words.wh(judged.mean_error_wh), n=judged.days)
        naive = words.wh(judged.naive_mean_error_wh.get(judged.best_naive))
        inside = words.percent(judged.inside_band)
    how = ", ".join(part for part in (each.by or each.method, each.words, each.sends) if part)
    return [name, coming, last, off, naive, inside, how]


def _fees(reader: Reader, operator: GridOperatorReport) -> Markup:
    words = reader.words
    heads = [words(f"table.{key}") for key in ("market", "fee", "next_fee", "state", "why")]

    def fee(value: float | None) -> str:
        if value is None:
            return "–"
        digits = 0 if value == round(value) else 2
        return f"{words.number(value, digits)}\xa0{operator.unit}"

    rows = [_fee_row(market, fee) for market in operator.markets]
    title = words("technical.fees")
    left = [tag("p", f"{name}: {why}") for name, why in sorted(operator.left_out.items())]
    dry = tag("p", words("technical.dry_run"), class_="soft") if operator.dry_run else None
    return card(title, table(heads, rows, name=title), *left, dry, key="fees")


def _fee_row(market: MarketReport, fee: Callable[[float | None], str]) -> list[Child]:
    why = " · ".join(part for part in (market.why, market.reason) if part)
    state = market.state.replace("_", " ")
    return [market.name, fee(market.fee), fee(market.next_fee), state, why]


def _addresses(reader: Reader) -> Markup:
    links = [
        tag("li", tag("a", f"/{name}", href=reader.root + name, class_="tap"))
        for name in ("status", "metrics", "healthz", "api/v1/now")
    ]
    return card(reader.words("technical.addresses"), tag("ul", *links), key="addresses")
