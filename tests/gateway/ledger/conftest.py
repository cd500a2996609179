"""A home and a box for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.ledger.box import Box
from tests.gateway.ledger.home import Home, site


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path, site(tmp_path))
    yield made
    made.buffer.close_file()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.buffer.close_file()
