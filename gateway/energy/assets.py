"""What the exchange knows: assets, each a sum of meters' directions. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import msgspec

Direction = Literal["import", "export"]

_TERM = re.compile(r"\s*([+-]?)\s*([A-Za-z][A-Za-z0-9_-]*)\.([A-Za-z]+)\s*")


class Term(msgspec.Struct, frozen=True):
    """One meter's direction, added (+1) or subtracted (−1)."""

    sign: int
    device: str
    direction: Direction


class Formula(msgspec.Struct, frozen=True):
    """A sum and difference of meters' directions, such as `grid.import - grid.export +
    pv.export`.
    """

    terms: tuple[Term, ...]

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "string",
        "description": "sums and differences of <device>.import and <device>.export, such as "
        "grid.import - grid.export + pv.export",
        "pattern": r"^\s*[+-]?\s*[A-Za-z][A-Za-z0-9_-]*\.(import|export)"
        r"(\s*[+-]\s*[A-Za-z][A-Za-z0-9_-]*\.(import|export))*\s*$",
    }

    @classmethod
    def parse(cls, raw: object) -> "Formula":
        """Raises ValueError("what is wrong — what to do") where `raw` is not a formula."""
        hint = (
            "write sums and differences of <device>.import and <device>.export, such as "
            "grid.import - pv.export"
        )
        if not isinstance(raw, str) or not raw.strip():
            raise ValueError(f"expected a formula, found {raw!r} — {hint}")
        raw = " ".join(raw.split())  # many blanks would be tried in many ways
        terms: list[Term] = []
        at = 0
        while at < len(raw):
            match = _TERM.match(raw, at)
            if match is None or (terms and not match[1]):
                raise ValueError(f"cannot read {raw[at:].strip()[:40]!r} in the formula — {hint}")
            if match[3] not in ("import", "export"):
                raise ValueError(f"{match[2]}.{match[3]}: a meter has .import and .export — {hint}")
            direction: Direction = "import" if match[3] == "import" else "export"
            terms.append(Term(-1 if match[1] == "-" else 1, match[2], direction))
            at = match.end()
        return cls(tuple(terms))

    def __str__(self) -> str:
        text = " ".join(
            f"{'-' if t.sign < 0 else '+'} {t.device}.{t.direction}" for t in self.terms
        )
        return text.removeprefix("+ ")

    @property
    def devices(self) -> frozenset[str]:
        """The meters it names."""
        return frozenset(term.device for term in self.terms)

    def total(self, energy_uwh: Mapping[tuple[str, Direction], int]) -> int:
        """The sum, in the unit of the given energies. Raises KeyError where one is missing: missing
        is not zero.
        """
        return sum(term.sign * energy_uwh[term.device, term.direction] for term in self.terms)


def involved(formulas: Iterable[Formula], device: str) -> list[Formula]:
    """The formulas that name a device."""
    return [formula for formula in formulas if device in formula.devices]
