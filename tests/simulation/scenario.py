"""A scenario: a simulated home, the faults applied to it, and what must come out. Plain data, read
from YAML or made from a seed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from drivers.strict_yaml import Document, Problem, Seconds, decode, nearest, parse
from gateway import MADE_S
from tests.simulation import fleet_events
from tests.simulation.exchange_words import EXCHANGE_WORDS
from tests.simulation.fee_events import AGENT_SHARE, FEE_FAULTS, drawn
from tests.simulation.fleet_events import FLEET_FAULTS, FLEET_SHARE

QUIET_S = 5400.0
"""No fault begins or ends in the last hour and a half of a random scenario, so that what is owed
can be delivered.
"""

FAULTS: Mapping[str, str] = {
    # line
    "line_noise": "bits are turned round in a share `amount` of the frames",
    "lost_bytes": "a byte is missing in a share `amount` of the frames",
    "wrong_checksum": "a share `amount` of the frames has a wrong checksum",
    "silent_meter": "the meter does not answer",
    "late_answers": "answers come `amount` seconds later, so in the middle of the next request",
    "stranger_answers": "another address answers a share `amount` of the requests",
    "port_vanishes": "the adapter is unplugged; at the end it is back, as another ttyUSB",
    "half_open": "the TCP connection is dead, and nobody says so",
    "line_floods": "the other end of a TCP connection sends 10 MB a second: noise, or where "
    "`amount` is 1, answers to nothing that was asked",
    # meter
    "bogus_zero": "the next `amount` readings show registers of 0",
    "bit_flip": "one bit of the registers is turned round in the next reading; `amount` is its "
    "number",
    "zeros_and_silence": "four readings show registers of 0, and then the meter does not answer",
    "register_back": "the registers show `amount` steps less than they hold",
    "register_high": "the registers show `amount` Wh more than they hold",
    "register_underflow": "the registers show `amount` steps less than 0, but without a sign: "
    "that is a little less than their modulus",
    "register_jitters": "half of the readings show registers that are up to `amount` steps off",
    "registers_vanish": "the registers show what they show where they are not implemented: "
    "mostly 0",
    "rollover": "from the start: the registers stand `amount` Wh before their modulus",
    "register_reset": "the registers start again from 0",
    "meter_swapped": "another device hangs there: a new serial number, other registers",
    "meter_clock_off": "the meter's own clock is `amount` seconds off",
    "register_pauses": "the registers stand still, and then jump",
    "power_gain": "the power reading is off by the factor `amount`",
    "both_ways": "from the start: the meter counts what it imports on one phase and exports on "
    "another at the same time",
    # host
    "kill": "SIGKILL; it is started again after the time in `lasts`, 5 s at least",
    "restart": "systemctl restart",
    "second_daemon": "somebody starts another daemon on the same buffer, every minute",
    "power_cut": "the power goes, at the next write but `amount`; it comes back after the time "
    "in `lasts`",
    "disk_full": "the disk is full",
    "disk_read_only": "the file system is read-only",
    "disk_fails": "every write fails",
    "store_truncated": "the daemon is killed, and half of the database file is gone",
    "store_noise": "the daemon is killed, and a share `amount` of the database's pages is noise",
    "store_deleted": "the daemon is killed, and the database is gone",
    "store_unlinked": "somebody deletes the database while the daemon has it open",
    "store_folder_removed": "somebody deletes the database's folder while the daemon has it open",
    "store_emptied": "somebody empties the database while the daemon has it open",
    "store_log_cut": "somebody empties the database's log while the daemon has it open",
    "store_restored": "the daemon is killed, and the database replaced by a copy of `lasts` before",
    "state_folder_restored": "the daemon is killed, and its state folder is replaced by a copy "
    "that was made `lasts` before",
    "store_log_left": "the daemon is killed, and the database is gone, but not its log",
    "learned_lost": "the daemon is killed, and what it had learned for forecasts is cut short "
    "(`amount` 0), of another version (1) or of another formula (2)",
    "slot_changed": "gateway.yaml gets slots of `amount` seconds, with a restart; so at the end",
    "store_locked": "another program holds the database's lock, so that nobody else can write",
    "page_asked": "somebody looks at every page and every answer of the API, every five minutes",
    "clock_wrong_at_boot": "power cut; after it the clock is off by `amount` seconds until the "
    "time in `lasts` has passed",
    "clock_never_synchronised": "from the start: no time server is heard, so the clock stays wrong "
    "and the kernel never says that it is right, until the time in `lasts` has passed; 0: never",
    "clock_step": "the clock is set wrong by `amount` seconds, and put right after the time in "
    "`lasts`",
    "suspended": "the machine sleeps for the time in `lasts`",
    "leap_smear": "the time server smears a leap second over the time in `lasts`",
    # exchange
    "exchange_down": "connections are refused",
    "exchange_silent": "packets vanish",
    "exchange_slow": "an answer takes `amount` seconds",
    "exchange_status": "everything is answered with the status `amount`",
    "exchange_refuses": "everything is answered with the status `amount`, and a reason in JSON",
    "exchange_refuses_asset": "everything for the meter's own asset is answered 404, and a reason "
    "in JSON",
    "exchange_error_body": "everything is answered 200, with an error in JSON",
    "exchange_busy": "429 with Retry-After of `amount` seconds",
    "exchange_busy_until": "429 with Retry-After as a date, `amount` seconds on, by a clock that "
    "is an hour ahead",
    "exchange_packs": "every answer is packed with gzip, and nobody asked for it",
    "exchange_html": "everything is answered 200 with a web page",
    "exchange_drops": "requests are obeyed, and the connection dropped before the answer",
    "exchange_partial": "requests are obeyed, and the connection lost in the middle of the answer",
    "exchange_forgets_logins": "every token is void at once",
    "exchange_unauthorized": "401 to everything but a login",
    "dns_gone": "the exchange's name cannot be looked up",
    "wrong_certificate": "the exchange shows a certificate of another host",
    "password_changed": "the password is changed, and corrected in the credential file at the end",
    # what the exchange says beside its replies, and how it knows us
    **EXCHANGE_WORDS,
    # what a grid operator's agent meets
    **FEE_FAULTS,
    # what a member of a fleet meets
    **FLEET_FAULTS,
}
"""Every fault, and what it does."""

FROM_THE_START = ("rollover", "both_ways", "clock_never_synchronised")
"""Faults that are there when the gateway first starts, or never."""


REGISTER_AMOUNTS: Mapping[str, tuple[int, ...]] = {
    "zeros_and_silence": (0,),
    "register_back": (1, 2, 3, 7, 500),
    "register_high": (5, 300, 2_000_000),
    "register_underflow": (1, 16, 200),
    "register_jitters": (1,),
    "registers_vanish": (0,),
}
"""Ways in which registers show what they do not hold, and by how much."""

LYING_SHARE = 0.5
"""Of the random days, those on which registers do so."""


class Fault(str):
    """The name of a fault."""

    json_schema: ClassVar[Mapping[str, Any]] = {"enum": list(FAULTS)}
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "Fault":
        """Raises ValueError where there is no such fault."""
        if raw not in FAULTS:
            raise ValueError(f"there is no fault {raw!r} — {nearest(str(raw), FAULTS)}")
        return cls(raw)


HEARING_SHARE = 0.5
"""Of the random days with the dialect sdk, those on which the engine's verdicts are heard."""

ASSURED_SHARE = 0.125
"""Of the random days, sites whose operator answers for the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEvent:
    """One fault: when, for how long, to whom, how much."""

    at: Annotated[Seconds, Meta(description="time from the start")]
    fault: Fault
    lasts: Seconds = field(default_factory=lambda: Seconds(0))
    on: Annotated[str, Meta(description="the meter, where it is a fault of one")] = "grid"
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """What must come out, beside the laws. None: not looked at."""

    measured: Annotated[
        int | None, Meta(description="at least so many slots of meters are measured")
    ] = None
    estimated: Annotated[int | None, Meta(description="at most so many are estimated")] = None
    lost: Annotated[int | None, Meta(description="at most so many are partial or missing")] = None
    missed: Annotated[
        int | None, Meta(description="at most so many slots of assets were not delivered")
    ] = None
    rejected: Annotated[int | None, Meta(description="at most so many were rejected")] = 0
    events: Annotated[
        Mapping[str, int] | None,
        Meta(description="exactly these events are noted: how many of each kind"),
    ] = None
    felt: Annotated[
        Mapping[str, int] | None,
        Meta(description="at least so often the gateway met these faults"),
    ] = None
    unallocated_wh: Annotated[
        float | None, Meta(description="at most so much energy is in no slot")
    ] = None
    foretold: Annotated[
        int | None, Meta(description="of at least so many slots of assets something was expected")
    ] = None
    starts: Annotated[int | None, Meta(description="how often the daemon was started, exactly")] = (
        None
    )
    off_wh: Annotated[float | None, Meta(description="no measured slot is off by more")] = None
    within: Annotated[
        Seconds | None,
        Meta(
            description="so soon after its slot's end every number of an asset was first accepted"
        ),
    ] = None
    late: Annotated[
        int, Meta(description="at most so many were first accepted later than that")
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A home, and what happens to it."""

    about: str
    lasts: Seconds
    seed: int = 1
    starts: Annotated[str, Meta(description="UTC, to the second")] = "2026-03-10T06:00:00"
    dialect: Literal["sdk", "rest"] = "sdk"
    slot: Seconds = field(default_factory=lambda: Seconds(900))
    interval: Seconds = field(default_factory=lambda: Seconds(10))
    look_back: Seconds | None = None
    verdicts: Annotated[bool, Meta(description="the engine's verdicts are heard; sdk only")] = False
    by_name: Annotated[bool, Meta(description="gateway.yaml has no UUIDs of assets")] = False
    aggregator: Annotated[bool, Meta(description="all goes by way of one; sdk only")] = False
    grid_operator: Annotated[
        bool, Meta(description="the gateway sets the fees of the network's markets, too")
    ] = False
    fleet: Annotated[bool, Meta(description="a fleet is delivered to, too")] = False
    trust: Literal["kernel", "assured"] = "kernel"
    synchronised_after: Annotated[
        Seconds, Meta(description="so long after a boot the kernel's clock is right")
    ] = field(default_factory=lambda: Seconds(20))
    happens: tuple[FaultEvent, ...] = ()
    must: Must = field(default_factory=Must)

    @property
    def start_s(self) -> int:
        """Its start as Unix time. Raises ValueError."""
        return int(datetime.fromisoformat(self.starts + "+00:00").timestamp())


class ScenarioError(Exception):
    """A scenario cannot be read; the text says file, line and key of each mistake."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))


def read(text: str | bytes, file: str) -> Scenario:
    """A scenario from YAML. Raises ScenarioError."""
    document = parse(text, file)
    scenario = decode(Scenario, document)
    if scenario is not None:
        _check(scenario, document)
    if scenario is None or document.problems:
        raise ScenarioError(document.problems)
    return scenario


def _check(scenario: Scenario, document: Document) -> None:
    try:
        _ = scenario.start_s
    except ValueError:
        document.report(
            ("starts",), f"{scenario.starts!r} is not a time", "write 2026-03-10T06:00:00"
        )
    for n, each in enumerate(scenario.happens):
        if each.at + each.lasts > scenario.lasts:
            document.report(
                ("happens", n), "ends after the scenario", "make the scenario last longer"
            )


_SWITCHES = ("verdicts", "by_name", "aggregator", "grid_operator", "fleet")


def written(scenario: Scenario) -> str:
    """The scenario as YAML: what `read` reads."""
    about = scenario.about.replace("'", "''")
    lines = [
        f"about: '{about}'",
        f"seed: {scenario.seed}",
        f"starts: '{scenario.starts}'",
        f"lasts: {_length(scenario.lasts)}",
    ]
    plain = Scenario(about="", lasts=Seconds(0))
    for name in ("dialect", "slot", "interval", "look_back", "trust", "synchronised_after"):
        value = getattr(scenario, name)
        if value != getattr(plain, name):
            lines.append(f"{name}: {_length(value) if isinstance(value, float) else value}")
    lines += [f"{name}: true" for name in _SWITCHES if getattr(scenario, name)]
    lines.append("happens:" if scenario.happens else "happens: []")
    for each in scenario.happens:
        parts = [f"at: {_length(each.at)}", f"fault: {each.fault}"]
        parts += [f"lasts: {_length(each.lasts)}"] if each.lasts else []
        parts += [f"on: {each.on}"] if each.on != "grid" else []
        parts += [f"amount: {each.amount:.10g}"] if each.amount else []
        lines.append(f"  - {{{', '.join(parts)}}}")
    if musts := list(_musts(scenario.must)):
        lines += ["must:", *musts]
    return "\n".join(lines) + "\n"


def _musts(must: Must) -> Iterator[str]:
    plain = Must()
    for each in fields(must):
        value = getattr(must, each.name)
        if value == getattr(plain, each.name):
            continue
        if isinstance(value, Seconds):
            value = _length(value)
        elif isinstance(value, Mapping):
            value = f"{{{', '.join(f'{kind}: {count}' for kind, count in value.items())}}}"
        yield f"  {each.name}: {'null' if value is None else value}"


def _length(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def at_random(seed: int, lasts_s: float = 86_400.0) -> Scenario:
    """A scenario that depends on nothing but its seed: a day by default, with a handful of faults
    of all kinds.
    """
    rng = Random(seed)
    start_s = 1_773_100_800 + rng.randrange(365) * 86_400 + rng.randrange(86_400)
    happens = [
        _random_event(rng, lasts_s - QUIET_S)
        for _ in range(rng.choice((2, 4, 6, 9)) * max(1, round(lasts_s / 86_400)))
    ]
    # Of its own, so that the other days stay what they were.
    isolated = Random(f"trust {seed}")
    trust: Literal["kernel", "assured"] = "kernel"
    if isolated.random() < ASSURED_SHARE:
        trust = "assured"
        happens = [
            *(_as_isolated(each, start_s, isolated) for each in happens),
            _wrong_at_boot(isolated, start_s, lasts_s - QUIET_S),
        ]
    lying = Random(f"registers {seed}")
    if lying.random() < LYING_SHARE:
        times = lying.choice((1, 1, 2, 3))
        happens += (_lying_registers(lying, lasts_s - QUIET_S) for _ in range(times))
    dialect: Literal["sdk", "rest"] = rng.choice(("sdk", "sdk", "sdk", "rest"))
    words = Random(f"words {seed}")
    hears = dialect == "sdk" and words.random() < HEARING_SHARE
    if hears:
        times = words.choice((1, 2, 3))
        happens += (_of_words(words, lasts_s - QUIET_S) for _ in range(times))
    fees = Random(f"fees {seed}")
    is_operator = fees.random() < AGENT_SHARE
    if is_operator:
        times = fees.choice((1, 2, 3))
        happens += (_of_fees(fees, lasts_s - QUIET_S) for _ in range(times))
    community = Random(f"fleet {seed}")
    is_member = community.random() < FLEET_SHARE
    if is_member:
        times = community.choice((1, 2, 3))
        happens += (_of_the_fleet(community, lasts_s - QUIET_S) for _ in range(times))
    return Scenario(
        about=f"random scenario {seed}",
        lasts=Seconds(lasts_s),
        seed=seed,
        starts=datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        dialect=dialect,
        verdicts=hears,
        by_name=hears and words.random() < 0.5,
        aggregator=hears and words.random() < 0.5,
        grid_operator=is_operator,
        fleet=is_member,
        interval=Seconds(rng.choice((30, 60, 60, 120, 120, 300, 300, 300))),
        trust=trust,
        synchronised_after=Seconds(rng.choice((0, 20, 20, 300))),
        happens=tuple(sorted(happens, key=lambda each: each.at)),
        must=Must(rejected=None),  # what may be, the laws say
    )


def _as_isolated(event: FaultEvent, start_s: int, rng: Random) -> FaultEvent:
    """As it is on a site whose operator answers for the clock: what nobody can tell from a clock
    that is right is the operator's fault, and is not drawn.
    """
    if event.fault == "clock_step":
        return replace(event, amount=rng.choice((-1, 1)))
    if event.fault == "clock_wrong_at_boot":
        return replace(event, amount=_behind(start_s + event.at, rng))
    return event


def _wrong_at_boot(rng: Random, start_s: int, until_s: float) -> FaultEvent:
    """A box without a battery."""
    at_s = rng.randrange(60, int(until_s))
    return FaultEvent(
        at=Seconds(at_s),
        fault=Fault("clock_wrong_at_boot"),
        lasts=Seconds(round(min(until_s - at_s, rng.choice((60, 600, 3600, 3 * 3600))), 1)),
        amount=_behind(start_s + at_s, rng),
    )


def _lying_registers(rng: Random, until_s: float) -> FaultEvent:
    """Registers that show for a while what they do not hold."""
    fault = rng.choice(["bogus_zero", *REGISTER_AMOUNTS])
    at_s = float(rng.randrange(60, int(until_s)))
    meters = ("grid", "pv", "heat-pump")
    if fault in ("register_underflow", "registers_vanish"):
        meters = ("pv", "heat-pump", "pv")  # no telegram has room for that
    return FaultEvent(
        at=Seconds(at_s),
        fault=Fault(fault),
        lasts=Seconds(round(min(until_s - at_s, rng.choice((60, 600, 3600, 9000))), 1)),
        on=rng.choice(meters),
        # Zeros end with the other faults, at the longest interval.
        amount=rng.choice(REGISTER_AMOUNTS.get(fault, _zeros(until_s - at_s))),
    )


def _of_words(rng: Random, until_s: float) -> FaultEvent:
    """What an exchange says beside its replies."""
    at_s = float(rng.randrange(60, int(until_s)))
    fault = rng.choice(list(EXCHANGE_WORDS))
    return FaultEvent(
        at=Seconds(at_s),
        fault=Fault(fault),
        lasts=Seconds(round(min(until_s - at_s, rng.choice((60, 600, 3600, 3 * 3600))), 1)),
        on=rng.choice(("grid", "pv", "heat-pump")),
        amount=rng.choice((5, 20, 60, 400)) if fault == "engine_leads" else 0.0,
    )


def _of_fees(rng: Random, until_s: float) -> FaultEvent:
    """What a grid operator's agent meets."""
    fault, at_s, lasts_s, amount = drawn(rng, until_s)
    return FaultEvent(at=Seconds(at_s), fault=Fault(fault), lasts=Seconds(lasts_s), amount=amount)


def _of_the_fleet(rng: Random, until_s: float) -> FaultEvent:
    """What a fleet's member meets."""
    fault, at_s, lasts_s, amount = fleet_events.drawn(rng, until_s)
    return FaultEvent(at=Seconds(at_s), fault=Fault(fault), lasts=Seconds(lasts_s), amount=amount)


def _zeros(within_s: float) -> tuple[int, ...]:
    return tuple(max(1, min(many, int(within_s / 300))) for many in (5, 20, 200))


def _behind(at_s: float, rng: Random) -> float:
    """How wrong a clock without a battery is that begins then: in 1970, at the day the system was
    made, or where it was last saved.
    """
    return -rng.choice((at_s, at_s - MADE_S, 20 * 365 * 86_400, 30 * 86_400, 86_400, 3600, 1800))


def _random_event(rng: Random, until_s: float) -> FaultEvent:
    others = {*REGISTER_AMOUNTS, *EXCHANGE_WORDS, *FEE_FAULTS, *FLEET_FAULTS}
    by_themselves = {*others, "slot_changed", "page_asked"}
    fault = rng.choice([fault for fault in FAULTS if fault not in by_themselves])
    at_s = 0.0 if fault in FROM_THE_START else float(rng.randrange(60, int(until_s)))
    long_s = until_s - at_s
    lasts_s = min(long_s, rng.choice((30, 120, 600, 1800, 3600, 3 * 3600)) * rng.uniform(0.5, 1.5))
    meter = rng.choice(("grid", "pv", "heat-pump"))
    amounts: Mapping[str, float] = {
        "line_noise": rng.choice((0.01, 0.1, 0.5)),
        "lost_bytes": rng.choice((0.01, 0.1, 0.5)),
        "wrong_checksum": rng.choice((0.01, 0.1, 0.5)),
        "late_answers": rng.choice((0.5, 1.1, 2.5)),
        "stranger_answers": rng.choice((0.05, 0.5)),
        "line_floods": rng.choice((0, 1)),
        "bogus_zero": rng.choice((1, 1, 2)),
        "bit_flip": rng.choice((3, 8, 12, 16, 20, 24)),
        "rollover": rng.choice((50, 2000, 9000)),
        "meter_clock_off": rng.choice((-7200, 5, 3600)),
        "power_gain": rng.choice((0.98, 1.02)),
        "power_cut": rng.randrange(40),
        "store_noise": rng.choice((0.01, 0.2)),
        "learned_lost": rng.choice((0, 1, 2)),
        "clock_wrong_at_boot": rng.choice((-20 * 365 * 86400, -86400, -600, 600, 86400)),
        "clock_step": rng.choice((-86400, -3600, -60, -1, 1, 60, 3600, 86400)),
        "exchange_slow": rng.choice((3, 30)),
        "exchange_status": rng.choice((500, 502, 503)),
        "exchange_refuses": rng.choice((400, 404, 422)),
        "exchange_busy": rng.choice((5, 60, 600)),
        "exchange_busy_until": rng.choice((5, 60, 600)),
    }
    lasts_s = min(lasts_s, 3600.0) if fault == "suspended" else lasts_s
    if fault in ("half_open", "line_floods"):
        meter = "heat-pump"
    return FaultEvent(
        at=Seconds(round(at_s, 1)),
        fault=Fault(fault),
        lasts=Seconds(round(lasts_s, 1)),
        on=meter,
        amount=amounts.get(fault, 0.0),
    )
