"""A house and a box for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.ledger.box import Box
from tests.gateway.ledger.house import House, site


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, site(tmp_path))
    yield made
    made.buffer.close_file()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.buffer.close_file()
