"""A home with four days of history, made once."""

from pathlib import Path

import pytest

from gateway.history.history import History
from gateway.history.opening import open_history
from gateway.site.settings import Settings
from tests.gateway.history.rig import fill, report, write_home

DAYS = 4


@pytest.fixture(scope="session")
def home_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with its store. Nobody may write to it."""
    folder = tmp_path_factory.mktemp("home")
    write_home(folder)
    fill(folder / "buffer.sqlite", DAYS)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The same configuration, of a test's own."""
    return write_home(tmp_path / "home")


@pytest.fixture
def history(home_folder: Path, settings: Settings) -> History:
    """Questions to that home."""
    path = home_folder / "buffer.sqlite"
    return open_history(settings, path, lambda: report(settings), frozenset())
