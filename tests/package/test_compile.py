"""The bytecode that the package makes when it is installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMPILER = Path(__file__).parents[2] / "systemd/debian/compile.py"

SOURCE = '''\
"""What the module is."""
from __future__ import annotations
import dataclasses

@dataclasses.dataclass
class Kept:
    """What the class is."""
    size: int = 0

    def only(self):
        """Nothing but this."""

async def works(size):
    """What it does."""
    assert size, "asserts stay"
    return size
'''

LOOK = """\
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
import sample
try:
    asyncio.run(sample.works(0))
except AssertionError as error:
    told = str(error)
print(json.dumps([sample.__doc__, sample.works.__doc__, sample.Kept.only.__doc__,
    sample.Kept.__doc__, sample.Kept().only(), asyncio.run(sample.works(3)), told]))
"""


def compiled(folder: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-I", "-X", "no_debug_ranges", COMPILER, folder]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sample.py").write_text(SOURCE)
    return tmp_path


def test_what_only_readers_need_is_left_out_and_the_rest_runs(folder: Path) -> None:
    assert compiled(folder).returncode == 0
    words = [sys.executable, "-I", "-c", LOOK, str(folder)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == [None] * 3 + ["What the class is.", None, 3, "asserts stay"]


def test_a_source_that_has_changed_since_is_what_counts(folder: Path) -> None:
    assert compiled(folder).returncode == 0
    (folder / "sample.py").write_text(SOURCE.replace("return size", "return 10 * size"))
    words = [sys.executable, "-I", "-c", LOOK, str(folder)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert json.loads(said)[1:6] == [
        "What it does.",
        "Nothing but this.",
        "What the class is.",
        None,
        30,
    ]


def test_what_is_no_python_is_named_and_the_others_are_done(folder: Path) -> None:
    (folder / "alone.py").write_text("def (:\n")
    done = compiled(folder)
    assert done.returncode == 1
    assert "alone.py" in done.stderr and "Traceback" not in done.stderr
    assert len(list((folder / "__pycache__").iterdir())) == 1
