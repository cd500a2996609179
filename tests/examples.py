"""The examples of docs/examples, for the tests that follow CONTRIBUTING.md."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
PROFILE, PROTOCOL, DIALECT = EXAMPLES / "profile", EXAMPLES / "protocol", EXAMPLES / "dialect"


@contextmanager
def found_in(package: ModuleType, folder: Path) -> Iterator[None]:
    """Let a package find its parts in a further folder too."""
    before = set(sys.modules)
    package.__path__.append(str(folder))
    try:
        yield
    finally:
        package.__path__.remove(str(folder))
        for name in [
            name for name in set(sys.modules) - before if name.startswith(f"{package.__name__}.")
        ]:
            if str(sys.modules[name].__file__).startswith(str(folder)):
                del sys.modules[name]
