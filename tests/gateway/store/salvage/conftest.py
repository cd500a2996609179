"""A whole file, made once, and the path of the one under test."""

from pathlib import Path

import pytest

from tests.gateway.store.salvage.rig import Content, fill


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Content]:
    path = tmp_path_factory.mktemp("whole") / "buffer.sqlite"
    found = fill(path)
    return path.read_bytes(), found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "buffer.sqlite"
