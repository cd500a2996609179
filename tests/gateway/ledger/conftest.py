"""A home for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.ledger.home import (
    Home,
    site,
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path, site(tmp_path))
    yield made
    made.buffer.close_file()
