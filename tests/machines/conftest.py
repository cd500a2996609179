"""What the tests on booted machines share."""

import os
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


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """Builds this machine's package, with a suffix to its version; or one whose program ends."""

    def make(suffix: str, broken: bool) -> Path:
        folder = tmp_path_factory.mktemp("dist")
        words = [sys.executable, ".ci/package.py", "build", "--output", str(folder)]
        architecture = subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()
        words += ["--architecture", architecture, "--suffix", suffix]
        subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        (deb,) = folder.glob("*.deb")
        return _broken(deb) if broken else deb

    return make


def _broken(deb: Path) -> Path:
    """The same, with a daemon that ends as soon as it has begun."""
    tree = deb.parent / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", str(deb), str(tree)], check=True)
    run = tree / "usr/lib/meter-gateway/gateway/cli/commands/run.py"
    text = run.read_text().replace("def run(args", "def _never(args")
    run.write_text(text + "\n\ndef run(args):\n    raise SystemExit('broken on purpose')\n")
    (tree / "DEBIAN/md5sums").unlink(missing_ok=True)
    subprocess.run(["dpkg-deb", "--build", str(tree), str(deb)], check=True, capture_output=True)
    return deb


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world
