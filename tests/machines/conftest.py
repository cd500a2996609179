"""What the tests on booted machines share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.machines.debian import TOOLS
from tests.machines.world import World

ROOT = Path(__file__).parents[2]


@pytest.fixture
def as_root(required_tool: Callable[[str], str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can boot a machine: run make test-system with sudo")
    for tool in TOOLS:
        required_tool(tool)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """This machine's package, built once; with a suffix to its version, or with a daemon that ends
    as soon as it has begun.
    """
    made: dict[tuple[str, bool], Path] = {}

    def make(suffix: str, broken: bool) -> Path:
        key = suffix, broken
        if key not in made:
            folder = tmp_path_factory.mktemp("dist")
            is_plain = key == ("", False)
            made[key] = built(folder) if is_plain else _variant(make("", False), folder, *key)
        return made[key]

    return make


def built(folder: Path, architecture: str = "") -> Path:
    """The package of an architecture, or of this machine's, as `make deb` builds it."""
    here = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    words = [sys.executable, ".ci/package.py", "build", "--output", str(folder)]
    words += ["--architecture", architecture or here]
    subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (deb,) = folder.glob("*.deb")
    return deb


def _variant(deb: Path, folder: Path, suffix: str, broken: bool) -> Path:
    """The same files under another version, packed quickly."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", str(deb), str(tree)], check=True)
    for path in (tree / "DEBIAN").iterdir():
        path.write_text(path.read_text().replace("0.1.0", f"0.1.0{suffix}"))
    if broken:
        run = tree / "usr/lib/meter-gateway/gateway/cli/commands/run.py"
        text = run.read_text().replace("def run(args", "def _never(args")
        run.write_text(text + "\n\ndef run(args):\n    raise SystemExit('broken on purpose')\n")
        (tree / "DEBIAN/md5sums").unlink()
    file = folder / deb.name.replace("0.1.0", f"0.1.0{suffix}")
    words = ["dpkg-deb", "-Zgzip", "-z1", "--build", str(tree), str(file)]
    subprocess.run(words, check=True, capture_output=True)
    shutil.rmtree(tree)
    return file


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world
