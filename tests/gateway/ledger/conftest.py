"""A house for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.ledger.home import (
    House,
    site,
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, site(tmp_path))
    yield made
    made.buffer.close_file()
