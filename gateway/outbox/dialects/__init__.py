"""How each kind of exchange is spoken to: one file per dialect.

A new dialect is one file in this folder (or in another one that `__path__` names): a module with a
class `Dialect` as `dialect.py` describes it. CONTRIBUTING.md takes you through it.
"""

import importlib
from pathlib import Path

from gateway.outbox.dialect import Dialect


def dialect_names() -> list[str]:
    """The dialects there are: the files of this package's folders."""
    return sorted({p.stem for folder in __path__ for p in Path(folder).glob("*.py")} - {"__init__"})


def load_dialect(name: str, canary_network: str, slot_s: int) -> Dialect:
    """The dialect of that name for one network. `name` is one of `dialect_names()`."""
    module = importlib.import_module(f"gateway.outbox.dialects.{name}")
    dialect: Dialect = module.Dialect(canary_network, slot_s)
    return dialect
