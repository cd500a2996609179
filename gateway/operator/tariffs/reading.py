"""The tariff files of a configuration folder, each read once."""

from pathlib import Path
from typing import TypeVar

from gateway.operator.fee import FeeType
from gateway.operator.tariffs.cells import Findings
from gateway.operator.tariffs.day import DayTariff, day_tariff
from gateway.operator.tariffs.files import TariffError, read_csv, read_text, read_xlsx
from gateway.operator.tariffs.thresholds import (
    ThresholdTariff,
    thresholds_in_json,
    thresholds_in_sheets,
)

T = TypeVar("T")


class Tariffs:
    """Reads tariff files, for a network of that fee type."""

    def __init__(self, folder: Path, fee_type: FeeType) -> None:
        self._folder = folder
        self._fee_type: FeeType = fee_type
        self._days: dict[Path, DayTariff] = {}
        self._thresholds: dict[Path, ThresholdTariff] = {}

    def day(self, name: str) -> DayTariff:
        """Fees by the quarter of an hour. Raises TariffError with all that is wrong."""
        path = self._folder / name
        if path not in self._days:
            found = Findings(str(path))
            kind = _kind(path, found, ".csv", ".xlsx")
            sheets = read_csv(path) if kind == ".csv" else read_xlsx(path)
            self._days[path] = _sound(day_tariff(sheets, self._fee_type, found), found)
        return self._days[path]

    def thresholds(self, name: str) -> ThresholdTariff:
        """Fees by what flows. Raises TariffError with all that is wrong."""
        path = self._folder / name
        if path not in self._thresholds:
            found = Findings(str(path))
            if _kind(path, found, ".json", ".xlsx") == ".json":
                tariff = thresholds_in_json(read_text(path), self._fee_type, found)
            else:
                tariff = thresholds_in_sheets(read_xlsx(path), self._fee_type, found)
            self._thresholds[path] = _sound(tariff, found)
        return self._thresholds[path]


def _kind(path: Path, found: Findings, *known: str) -> str:
    """The suffix of the file's name. Raises TariffError."""
    suffix = path.suffix.lower()
    if suffix not in known:
        message = f"its name ends in {suffix!r}" if suffix else "its name has no ending"
        found.note_line(0, message, f"such a tariff is a file {' or '.join(known)}")
        raise TariffError(found.told)
    return suffix


def _sound(tariff: T | None, found: Findings) -> T:
    if tariff is None or found.problems:
        raise TariffError(found.told)
    return tariff
