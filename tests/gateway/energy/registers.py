"""One register that is read at equal distances, and the counter that follows it."""

from gateway.energy.belief import read
from gateway.energy.counter import UWH_PER_WH, Counter, Finding, integrate
from gateway.energy.counter import start as begin
from gateway.energy.register import Rules

FUSE_W = 17_250.0
TEN_S = 10_000
WH = UWH_PER_WH


def rules(
    resolution_wh: float = 1, *, modulus_wh: float | None = 100_000_000, float32: bool = False
) -> Rules:
    return Rules(
        round(resolution_wh * WH),
        None if modulus_wh is None else round(modulus_wh * WH),
        float32,
        FUSE_W,
    )


def start(at_ms: int, raw_uwh: int, power_w: float | None, known: Rules | None = None) -> Counter:
    return begin(at_ms, raw_uwh, power_w, known or rules())


def advance(
    counter: Counter,
    known: Rules,
    *,
    at_ms: int,
    raw_uwh: int | None,
    power_w: float | None,
    held: bool,
) -> tuple[Counter, Finding | None]:
    return read(
        integrate(counter, known, at_ms=at_ms, power_w=power_w, stale_ms=0 if held else 30_000),
        known,
        raw_uwh,
        stale_ms=30_000,
    )


def fold(
    counter: Counter,
    known: Rules,
    *raws_wh: float | None,
    power_w: float | None = 0.0,
    every_ms: int = TEN_S,
) -> tuple[Counter, list[Finding]]:
    """The counter after readings at equal distances, with what was found."""
    findings = []
    first_ms = counter.last_sample_ms
    for n, raw_wh in enumerate(raws_wh, 1):
        raw_uwh = None if raw_wh is None else round(raw_wh * WH)
        seen = integrate(
            counter, known, at_ms=first_ms + n * every_ms, power_w=power_w, stale_ms=3 * every_ms
        )
        counter, finding = read(seen, known, raw_uwh, stale_ms=3 * every_ms)
        if finding:
            findings.append(finding)
    return counter, findings


def in_its_step(counter: Counter, known: Rules) -> bool:
    step_uwh = known.step_uwh(counter.register_uwh - counter.offset_uwh)
    return counter.register_uwh <= counter.counter_uwh <= counter.register_uwh + step_uwh
