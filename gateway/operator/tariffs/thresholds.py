"""Fees by how much flows through a market, as the exchange's template has them. Pure.

    {"Grid": [{"Import / Export threshold": 10, "Grid fee": 0.9}, …], …}

or a spreadsheet with a sheet for each market, `Threshold | Grid fee`. A sheet without any number
is a placeholder, and stands for no market.
"""

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct

from drivers.strict_yaml import Document, parse
from drivers.yaml_words import found_text, shortened
from gateway.operator.fee import Fee, FeeError, FeeType, number_of
from gateway.operator.tariffs.cells import Cell, Findings, Row, Sheet, cell_at, filled, is_number

THRESHOLD = "Import / Export threshold"
FEE = "Grid fee"

HINT = f'{{"Grid": [{{"{THRESHOLD}": 10, "{FEE}": 0.9}}]}}'


class Threshold(Struct, frozen=True):
    """Up to so many kWh in a slot, that fee."""

    kwh: float
    fee: Fee


class ThresholdTariff(Struct, frozen=True):
    """The thresholds of each market, the lowest first."""

    thresholds: Mapping[str, Sequence[Threshold]]


class _Object(list[tuple[str, object]]):
    """A JSON object, with the keys that are there twice."""


class _Pair(Struct, frozen=True):
    """A threshold and its fee, as they are written."""

    kwh: Cell
    fee: Cell


def thresholds_in_sheets(
    sheets: Sequence[Sheet], type_: FeeType, found: Findings
) -> ThresholdTariff | None:
    """The tariff of a spreadsheet. None where it has mistakes, all of which are noted."""
    pairs = {}
    for sheet in sheets:
        rows = list(filled(sheet.rows))
        if not any(is_number(cell) for row in rows for cell in row):
            continue
        pairs[sheet.name.strip()] = _pairs_of_sheet(sheet.name, rows, found)
    if not sheets or (not pairs and not found.problems):
        found.note_line(
            0, "no sheet has a number", "one sheet for each market: Threshold, Grid fee"
        )
    return _tariff(pairs, type_, found)


def _pairs_of_sheet(name: str, rows: Sequence[Row], found: Findings) -> list[_Pair]:
    header = [cell.text.lower() for cell in rows[0]]
    of_kwh = [n for n, text in enumerate(header) if text.endswith("threshold")]
    of_fee = [n for n, text in enumerate(header) if text == FEE.lower()]
    if len(of_kwh) != 1 or len(of_fee) != 1:
        hint = f"its first row names the columns Threshold and {FEE}, once each"
        found.note(rows[0][0], f"the sheet {shortened(name)} has no such columns", hint)
        return []
    pairs = [_Pair(cell_at(row, of_kwh[0]), cell_at(row, of_fee[0])) for row in rows[1:]]
    return [pair for pair in pairs if not (pair.kwh.is_empty and pair.fee.is_empty)]


def thresholds_in_json(text: str, type_: FeeType, found: Findings) -> ThresholdTariff | None:
    """The tariff of a JSON file. None where it has mistakes, all of which are noted."""
    if not text.strip():
        found.note_line(0, "the file is empty", HINT)
        return None
    try:
        raw = json.loads(text, object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        found.note_line(error.lineno, f"not valid JSON: {error.msg}", "check commas and brackets")
        return None
    except (ValueError, RecursionError) as error:
        found.note_line(0, f"not valid JSON: {shortened(str(error))}", HINT)
        return None

    draft = Findings(found.file)
    tariff = _tariff(_pairs_of_json(raw, Document(found.file), draft), type_, draft)
    if not draft.problems:
        return tariff
    # JSON is YAML, whose reader knows the lines; but for tabs, and those stand between values only.
    lines = parse(text.replace("\t", " "), found.file)
    return _tariff(_pairs_of_json(raw, lines, found), type_, found)


def _pairs_of_json(raw: object, lines: Document, found: Findings) -> Mapping[str, list[_Pair]]:
    pairs: dict[str, list[_Pair]] = {}
    for name, rows in raw if isinstance(raw, _Object) else ():
        line = lines.line((name,))
        if name.strip() in pairs:
            message = f"the market {shortened(name)} is there twice"
            found.note_line(line, message, "keep one of them")
        elif isinstance(rows, _Object) or not isinstance(rows, list):
            found.note_line(line, f"expected a list of thresholds, found {_what(rows)}", HINT, name)
        else:
            read = [_pair(name, n, row, lines, found) for n, row in enumerate(rows)]
            pairs[name.strip()] = [pair for pair in read if pair is not None]
    if not pairs and not found.problems:
        found.note_line(1, "there is no market", HINT)
    return pairs


def _what(raw: object) -> str:
    return found_text(dict(raw) if isinstance(raw, _Object) else raw)


def _pair(name: str, n: int, raw: object, lines: Document, found: Findings) -> _Pair | None:
    line, at = lines.line((name, n)), f"{name}[{n}]"
    if not isinstance(raw, _Object):
        message = f"expected a threshold and a fee, found {_what(raw)}"
        found.note_line(line, message, HINT, at=at)
        return None

    cells: dict[str, Cell] = {}
    for key, value in raw:
        known = {THRESHOLD.lower(): THRESHOLD, "threshold": THRESHOLD, FEE.lower(): FEE}
        word = known.get(" ".join(key.lower().split()))
        where = f"{at}.{key}"
        if word is None:
            hint = f"a threshold has {THRESHOLD!r} and {FEE!r}"
            found.note_line(lines.line((name, n, key)), "unknown key", hint, at=where)
        elif word in cells:
            found.note_line(lines.line((name, n, key)), "is there twice", "keep one", at=where)
        else:
            cells[word] = Cell(value, lines.line((name, n, key)), where)

    for word in (THRESHOLD, FEE):
        if word not in cells:
            found.note_line(line, f"key {word!r} is missing", HINT, at=at)
    return _Pair(cells[THRESHOLD], cells[FEE]) if len(cells) == 2 else None


def _tariff(
    pairs: Mapping[str, Sequence[_Pair]], type_: FeeType, found: Findings
) -> ThresholdTariff | None:
    """The thresholds in order, or what is wrong with them."""
    thresholds: dict[str, list[Threshold]] = {}
    for name, written in pairs.items():
        steps = thresholds.setdefault(name, [])
        for pair in written:
            kwh, fee = _kwh(pair.kwh, found), found.fee(pair.fee, type_)
            if kwh is None:
                continue
            if steps and kwh <= steps[-1].kwh:
                message = f"{kwh:g} kWh is not more than the one before it, {steps[-1].kwh:g} kWh"
                found.note(pair.kwh, message, "thresholds go upwards")
            elif fee is not None:
                steps.append(Threshold(kwh, fee))
        if not written and not found.problems:
            found.note_line(0, f"the market {shortened(name)} has no threshold", HINT)
    return None if found.problems else ThresholdTariff(thresholds)


def _kwh(cell: Cell, found: Findings) -> float | None:
    """Raises nothing: what is wrong is noted."""
    if cell.is_empty:
        found.note(cell, "there is no threshold", "write kWh in a slot, such as 10")
        return None
    try:
        kwh = number_of(cell.value)
    except FeeError as error:
        message, _, hint = str(error).partition(" — ")
        found.note(cell, message, hint)
        return None
    if kwh < 0:
        found.note(cell, f"a threshold of {kwh:g} kWh", "imports and exports are counted from 0 up")
        return None
    return float(kwh)
