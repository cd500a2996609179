"""The tariff files of a configuration folder, each read once."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from drivers.strict_yaml import Problem
from gateway.operator.fee import FeeType
from gateway.operator.model import TariffError

if TYPE_CHECKING:  # what reads a file of one form is imported where there is such a file
    from gateway.operator.tariffs.cells import Findings
    from gateway.operator.tariffs.day import DayTariff
    from gateway.operator.tariffs.thresholds import ThresholdTariff

T = TypeVar("T")


class Tariffs:
    """Reads tariff files, for a network of that fee type."""

    def __init__(self, folder: Path, fee_type: FeeType) -> None:
        self._folder = folder
        self._fee_type: FeeType = fee_type
        self._days: dict[Path, DayTariff] = {}
        self._thresholds: dict[Path, ThresholdTariff] = {}

    def day(self, name: str) -> "DayTariff":
        """Fees by the quarter of an hour. Raises TariffError with all that is wrong."""
        path = self._folder / name
        if path not in self._days:
            self._days[path] = self._read_day(path)
        return self._days[path]

    def _read_day(self, path: Path) -> "DayTariff":
        suffix = _suffix(path, ".csv", ".xlsx")
        from gateway.operator.tariffs.cells import Findings
        from gateway.operator.tariffs.day import day_tariff
        from gateway.operator.tariffs.files import read_csv, read_xlsx

        found = Findings(str(path))
        sheets = read_csv(path) if suffix == ".csv" else read_xlsx(path)
        return _sound(day_tariff(sheets, self._fee_type, found), found)

    def thresholds(self, name: str) -> "ThresholdTariff":
        """Fees by what flows. Raises TariffError with all that is wrong."""
        path = self._folder / name
        if path not in self._thresholds:
            self._thresholds[path] = self._read_thresholds(path)
        return self._thresholds[path]

    def _read_thresholds(self, path: Path) -> "ThresholdTariff":
        suffix = _suffix(path, ".json", ".xlsx")
        from gateway.operator.tariffs.cells import Findings
        from gateway.operator.tariffs.files import read_text, read_xlsx
        from gateway.operator.tariffs.thresholds import thresholds_in_json, thresholds_in_sheets

        found = Findings(str(path))
        if suffix == ".json":
            tariff = thresholds_in_json(read_text(path), self._fee_type, found)
        else:
            tariff = thresholds_in_sheets(read_xlsx(path), self._fee_type, found)
        return _sound(tariff, found)


def _suffix(path: Path, *known: str) -> str:
    """The suffix of the file's name. Raises TariffError."""
    suffix = path.suffix.lower()
    if suffix not in known:
        message = f"its name ends in {suffix!r}" if suffix else "its name has no ending"
        hint = f"such a tariff is a file {' or '.join(known)}"
        raise TariffError([Problem(str(path), 0, "", message, hint)])
    return suffix


def _sound(tariff: T | None, found: "Findings") -> T:
    if tariff is None or found.problems:
        raise TariffError(found.told)
    return tariff
