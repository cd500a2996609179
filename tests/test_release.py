"""What a release has to set, beside the changelog."""

import re
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import MADE_S, __version__

ROOT = Path(__file__).parents[1]


def newest_release(changelog: str) -> tuple[str, float] | None:
    """Number and date (Unix time) of the newest version in it."""
    found = re.search(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    if found is None:
        return None
    return found[1], datetime.fromisoformat(found[2]).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# Changelog\n\n## [Unreleased]\n", None),
        (
            "## [Unreleased]\n\n## [0.2.0] - 2026-03-01\n\n## [0.1.0] - 2026-01-01\n",
            ("0.2.0", 1_772_323_200.0),
        ),
    ],
)
def test_the_newest_release_stands_first(text: str, found: tuple[str, float] | None) -> None:
    assert newest_release(text) == found


def test_the_number_and_the_time_are_those_of_the_newest_release() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
    assert time.time() >= MADE_S, "no clock would be believed"
    release = newest_release((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if release is not None:
        assert release[0] == __version__
        assert release[1] == MADE_S
