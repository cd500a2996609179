"""Tariff models: one file each, found by name. Each is pure, and has

    class Settings                  a frozen dataclass of its keys in gateway.yaml
        def check(self, site, fee_type)     what does not fit together, without any tariff file
    def build(settings, given)      → Model. Raises TariffError, of a file that cannot be used, and
                                      ModelError, of keys that do not fit it

In gateway.yaml the file's name is its `kind`: `model: {kind: fixed, fee: 3}`.
"""

import importlib
from pathlib import Path
from types import ModuleType


def model_names() -> list[str]:
    """The models there are: the files of this folder."""
    return sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - {"__init__"})


def settings_by_model() -> dict[str, type]:
    """The dataclass of each model's keys."""
    return {name: model_of(name).Settings for name in model_names()}


def model_of(name: str) -> ModuleType:
    """The module of that model, which is one of `model_names()`."""
    return importlib.import_module(f"{__name__}.{name}")
