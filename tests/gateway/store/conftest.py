"""A store for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from tests.gateway.store.rig import NOW_S, SMALL


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Buffer]:
    opened = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    yield opened
    opened.close_file()
