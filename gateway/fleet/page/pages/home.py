"""One home: how it is, its day, and what happened. Pure."""

from collections.abc import Mapping, Sequence

from gateway.fleet.page.answers import AssetRow, EventRow, HomeDay, MeterRow, StoreRow
from gateway.fleet.page.community import in_wh, total_uwh
from gateway.fleet.page.pages.days import steps
from gateway.fleet.page.parts import ago, percent, tags
from gateway.history.answers import Column, Day, Role, Sums
from gateway.page.energy import column_chart, home, home_chart, kinds_of, legend, worst_delivery
from gateway.page.frame import Reader, card, document, facts, table
from gateway.page.markup import Child, Markup, tag
from gateway.page.words import NOTHING, Words

_ROLES: Mapping[str, Role] = {
    "grid": "grid",
    "sun": "sun",
    "battery": "battery",
    "house": "house",
}


def render(reader: Reader, told: HomeDay, asset: str = "") -> Markup:
    """`asset` says which asset's picture is shown; empty: the whole home's."""
    name = told.judged.home.name
    day = as_day(told)
    return document(
        reader,
        name,
        tag("p", tags(reader, told.judged.troubles), class_="tags"),
        _what_to_do(reader, told),
        _chart(reader, told, day, asset),
        tag("div", _meters(reader, told), _gateway(reader, told), class_="two"),
        _events(reader, told.events),
        _stores(reader, told.stores),
        _not_taken(reader, told),
        _numbers(reader, told, day),
        here="site",
        live=False,
    )


def as_day(told: HomeDay) -> Day:
    """As the pictures of a box know a day."""
    assets = [_asset(each, told.slots) for each in told.assets]
    meters = [
        Column(
            id=f"{each.meter}.{each.direction}",
            title=each.meter,
            role=_ROLES.get(each.role, "other"),
            wh=in_wh(each.energy_uwh),
            uncertainty_wh=in_wh(each.uncertainty_uwh),
            quality=each.quality,
            delivery="k" * told.slots,
        )
        for each in told.meters
    ]
    return Day(
        day=told.day.isoformat(),
        zone="",
        start_s=told.start_s,
        slot_s=told.slot_s,
        slots=told.slots,
        assets=assets,
        meters=meters,
        sums=_sums(told.meters),
        is_today=told.day == told.today,
        earlier=None,
        later=None,
    )


def _asset(each: AssetRow, slots: int) -> Column:
    known = [uwh for uwh in each.energy_uwh if uwh]
    gives = bool(known) and all(uwh < 0 for uwh in known)
    return Column(
        id=each.asset,
        title=each.asset[:8],
        role="sun" if gives else "house",
        wh=in_wh(each.energy_uwh),
        uncertainty_wh=in_wh(each.uncertainty_uwh),
        quality=each.quality,
        delivery=each.delivery or "k" * slots,
        forecast_wh=in_wh(each.forecast_uwh),
    )


def _sums(meters: Sequence[MeterRow]) -> Sums:
    def total(role: str, direction: str) -> float | None:
        found = [
            total_uwh(each.energy_uwh)
            for each in meters
            if each.role == role and each.direction == direction
        ]
        known = [uwh for uwh in found if uwh is not None]
        return sum(known) / 1e6 if known else None

    came, went, sun = total("grid", "import"), total("grid", "export"), total("sun", "export")
    used = None if came is None else came + (sun or 0.0) - (went or 0.0)
    return Sums(used_wh=used, sun_wh=sun, from_grid_wh=came, to_grid_wh=went, coverage=1.0)


def _what_to_do(reader: Reader, told: HomeDay) -> Child:
    """What each state means, and what to do."""
    words = reader.words
    troubles = told.judged.troubles
    if not troubles:
        return None
    home_ = told.judged.home
    items: list[Child] = []
    for each in troubles:
        said = words(f"fleet.state.{each.kind}.do")
        if each.kind == "twin":
            said = f"{home_.warning} {said}"
        if each.kind == "problem" and home_.told is not None:
            said = f"{said} {', '.join(_problem(words, id_) for id_ in home_.told.problems)}."
        items += [tag("dt", words(f"fleet.state.{each.kind}")), tag("dd", said)]
    return card(words("fleet.home.what"), tag("dl", *items, class_="facts"), key="do")


def _problem(words: Words, id_: str) -> str:
    key = f"problem.{id_}.title"
    return words(key) if words.has(key) else id_


def _chart(reader: Reader, told: HomeDay, day: Day, asset: str) -> Markup:
    words = reader.words
    name = told.judged.home.name
    path = f"sites/{name}/"
    when = words.long_day(told.day)
    inside: list[Child] = [steps(reader, path, told.day, told.today)]
    column = next((each for each in day.assets if each.id == asset), None)
    given = home(day)
    if column is None and given is None:
        column = next(iter(day.assets), None)
    if column is None and given is None:
        inside.append(tag("p", words("day.nothing")))
        if told.first_day is not None:
            inside.append(tag("p", words("fleet.home.since", day=words.long_day(told.first_day))))
        return card(when, *inside, key="day")
    inside.append(_switch(reader, told, day, column))
    if column is not None:
        delivery = column.delivery
        colour = "from" if column.role == "grid" else column.role
        kinds = kinds_of([colour], column.quality, delivery)
        if any(wh is not None for wh in column.forecast_wh):
            kinds.append("expected")
        picture = column_chart(day, column, words, root=None)
        inside += [picture, legend(kinds, words, hatch=colour)]
    elif given is not None:
        delivery = worst_delivery(day.assets, day.slots)
        layers = ["sun"] if any(given.sun_here_wh) else []
        layers += ["from"] + (["to"] if any(given.to_grid_wh) else [])
        picture = home_chart(day, given, words, links=False, root="")
        inside += [picture, legend(kinds_of(layers, given.quality, delivery), words)]
    if told.first_day is not None:
        said = words("fleet.home.since", day=words.long_day(told.first_day))
        inside.append(tag("p", said, class_="soft after"))
    return card(when, *inside, key="day")


def _switch(reader: Reader, told: HomeDay, day: Day, column: Column | None) -> Child:
    words = reader.words
    path = f"sites/{told.judged.home.name}/{told.day.isoformat()}"
    choices = [(words("day.home"), path, column is None)] if home(day) is not None else []
    choices += [
        (each.title, f"{path}?asset={each.id}", column is not None and each.id == column.id)
        for each in day.assets
    ]
    if len(choices) < 2:
        return None
    items = [
        tag(
            "li",
            tag("a", text, href=reader.root + href, aria_current="true" if on else None),
        )
        for text, href, on in choices
    ]
    return tag("ul", *items, class_="pills", aria_label=words("day.switch"))


def _meters(reader: Reader, told: HomeDay) -> Markup:
    words = reader.words
    if not told.meters:
        return card(words("nav.meters"), tag("p", words("fleet.home.no_meters")), key="meters")
    rows: list[list[Child]] = [
        [
            f"{each.meter} {words(f'fleet.direction.{each.direction}')}",
            words.kwh(_kwh(total_uwh(each.energy_uwh)), 3),
            words.kwh(_kwh(each.end_register_uwh), 1),
            NOTHING
            if each.coverage_permille is None
            else percent(words, each.coverage_permille, 1000),
        ]
        for each in told.meters
    ]
    heads = [words(f"fleet.head.{head}") for head in ("meter", "day_energy", "register", "heard")]
    numbers = frozenset((1, 2, 3))
    made = table(heads, rows, name=words("nav.meters"), numbers=numbers)
    return card(words("nav.meters"), made, key="meters")


def _kwh(uwh: int | None) -> float | None:
    return None if uwh is None else uwh / 1e6


def _gateway(reader: Reader, told: HomeDay) -> Markup:
    words = reader.words
    home_, at_s = told.judged.home, words.at_s
    said = home_.told
    pairs: list[tuple[str, Child]] = [
        (words("fleet.home.message"), ago(words, home_.last_message_s, at_s)),
        (words("fleet.home.slot"), words.moment(home_.last_slot_s)),
        (words("fleet.home.deliver"), words(f"fleet.deliver.{home_.deliver or 'direct'}")),
        (words("fleet.head.version"), home_.version or NOTHING),
        (words("fleet.head.coverage"), percent(words, home_.known, home_.expected)),
        (
            words("fleet.home.lag"),
            None if home_.lag_s is None else f"{words.number(home_.lag_s, 1)}\xa0s",
        ),
        (words("fleet.home.added"), words.moment(home_.added_s)),
    ]
    if home_.certificate_ends_s is not None:
        pairs.append((words("fleet.home.certificate"), words.moment(home_.certificate_ends_s)))
    if said is not None:
        pairs += [
            (
                words("fleet.home.connected"),
                words("fleet.yes" if said.online else "fleet.no"),
            ),
            (words("fleet.home.told"), ago(words, said.at_s, at_s)),
            (words("fleet.home.owed"), words.number(said.owed)),
            (words("fleet.home.memory"), _megabytes(words, said.rss_bytes)),
            (words("fleet.home.disk"), _megabytes(words, said.disk_free_bytes)),
            (words("fleet.home.wear"), _megabytes(words, said.disk_written_per_day_bytes)),
            (words("fleet.home.config"), tag("code", said.config) if said.config else None),
        ]
    return card(words("fleet.home.gateway"), facts(pairs), key="gateway")


def _megabytes(words: Words, size_bytes: int) -> str | None:
    if not size_bytes:
        return None
    if size_bytes >= 10 * 1024**3:
        return f"{words.number(size_bytes / 1024**3)}\xa0GB"
    return f"{words.number(size_bytes / 1024**2)}\xa0MB"


def _events(reader: Reader, events: Sequence[EventRow]) -> Child:
    words = reader.words
    if not events:
        return None
    items: list[Child] = []
    for each in events:
        now_is = each.now_is
        key = f"fleet.event.{each.what}"
        if each.what in ("online", "clock"):
            key += f".{now_is}"
        if each.what in ("problem", "solved"):
            text = words(key, problem=_problem(words, each.now_is or each.was))
        else:
            text = words(key, was=each.was, now=now_is)
        bad = key in ("fleet.event.online.false", "fleet.event.clock.false", "fleet.event.problem")
        head = tag("strong", words.moment(each.at_s))
        items.append(tag("li", head, " ", text, class_="warn" if bad else None))
    return card(words("fleet.home.events"), tag("ul", *items, class_="time"), key="events")


def _stores(reader: Reader, stores: Sequence[StoreRow]) -> Child:
    words = reader.words
    if len(stores) < 2:
        return None
    rows: list[list[Child]] = [
        [
            tag("span", each.name[:12], title=each.name),
            words.moment(each.first_s),
            words.moment(each.last_s),
            each.version or NOTHING,
        ]
        for each in stores
    ]
    heads = [words(f"fleet.head.{head}") for head in ("store", "first", "last", "version")]
    return card(
        words("fleet.home.stores"),
        tag("p", words("fleet.home.stores_what"), class_="soft before"),
        table(heads, rows, name=words("fleet.home.stores")),
        key="stores",
    )


def _not_taken(reader: Reader, told: HomeDay) -> Child:
    """What the fleet, or the exchange, did not take."""
    words = reader.words
    if not told.refused and not told.reasons:
        return None
    rows: list[list[Child]] = [
        [words("fleet.by.exchange"), words.moment(at_s), f"{words(f'fleet.not.{state}')}: {reason}"]
        for at_s, state, reason in told.reasons
    ]
    rows += [
        [words("fleet.by.fleet"), words.moment(each.last_s), f"{each.why} ({each.times}×)"]
        for each in told.refused
    ]
    heads = [words(f"fleet.head.{head}") for head in ("by", "last", "why")]
    title = words("fleet.home.not_taken")
    return card(title, table(heads, rows, name=title), key="refused")


def _numbers(reader: Reader, told: HomeDay, day: Day) -> Child:
    """All slots of all assets."""
    words = reader.words
    if not day.assets:
        return None
    rows: list[list[Child]] = []
    for n in range(day.slots):
        if all(each.quality[n] == "." for each in day.assets):
            continue
        cells: list[Child] = [words.clock(day.start_s + n * day.slot_s)]
        for each in day.assets:
            known = words(f"quality.{each.quality[n]}")
            cells.append(
                words.wh(each.wh[n])
                if each.quality[n] in "m."
                else f"{words.wh(each.wh[n])}, {known}"
            )
        rows.append(cells)
    heads: list[str] = [words("table.start"), *(each.title for each in day.assets)]
    name = words("day.table", day=words.long_day(told.day))
    made = table(
        heads, rows, name=name, numbers=frozenset(range(1, len(heads))), fold=len(heads) > 4
    )
    names = facts([(each.asset[:8], tag("code", each.asset)) for each in told.assets])
    inside = tag("details", tag("summary", words("day.as_table")), names, made)
    return card(words("day.numbers"), inside, key="numbers")
