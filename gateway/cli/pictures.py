"""What the pages with pictures have in common: no scripts, nothing from elsewhere, light and dark.
Pure.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

WIDTH, HEIGHT = 960, 220
LEFT, RIGHT = 56, 12

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which all can tell apart."""

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.4 system-ui, sans-serif; max-width: 1000px; margin: 1.5em auto; padding: 0 1em }
svg { width: 100%; height: auto } text { font-size: 12px; fill: currentColor }
table { border-collapse: collapse } td, th { padding: .2em .7em; text-align: right }
th { font-weight: 600; border-bottom: 1px solid }
td:first-child, th:first-child { text-align: left }
.key { display: inline-block; width: 1.6em; height: .3em; vertical-align: middle; margin: 0 .4em }
.grid { stroke: currentColor; opacity: .15 } .bar { fill: currentColor; opacity: .35 }
"""


def head(title: str, more_style: str = "") -> str:
    """How such a page begins. `title` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{STYLE}{more_style}</style>\n"
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Values → pixels, from `low` at the bottom to `high` at the top."""

    low: float
    high: float
    top: float
    height: float

    def y(self, value: float) -> float:
        """Downwards from the top of the picture."""
        span = self.high - self.low or 1
        return round(self.top + self.height * (self.high - value) / span, 1)


@dataclass(frozen=True, slots=True)
class Times:
    """Unix times → pixels, over the width of the picture."""

    begin_s: float
    end_s: float

    def x(self, at_s: float) -> float:
        """From the left of the picture."""
        share = (at_s - self.begin_s) / (self.end_s - self.begin_s)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def round_up(value: float) -> float:
    """The next number that begins with 1, 2 or 5."""
    if value <= 0:
        return 1
    power = math.pow(10, math.floor(math.log10(value)))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= value)


def grid(scale: Scale, unit: str) -> Iterator[str]:
    """Lines across, with their values."""
    for n in range(5):
        value = scale.low + (scale.high - scale.low) * n / 4
        y = scale.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:g}</text>'
    yield f'<text x="{LEFT + 4}" y="{scale.top + 12}">{unit}</text>'


def utc_minute(at_s: float) -> str:
    """For a person: 2026-03-29 01:15."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")
