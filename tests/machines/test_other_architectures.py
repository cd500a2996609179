"""The package for another architecture, on a Debian of it under emulation (qemu-user): it installs,
and runs the demo. `make test-system` runs this, as root.
"""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.machines.conftest import built
from tests.machines.debian import base

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("machines")]

PACKAGES = "systemd,python3,ca-certificates"
FORMATS = Path("/proc/sys/fs/binfmt_misc")
QEMU = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """Programs of arm64 run on this machine meanwhile (binfmt_misc of the kernel)."""
    if (FORMATS / "qemu-aarch64").exists():
        yield
        return
    if not (FORMATS / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "none", str(FORMATS)], check=False)
    try:
        (FORMATS / "register").write_text(QEMU.read_text())
    except OSError as error:
        pytest.skip(f"programs of arm64 cannot be run here: {error}")
    try:
        yield
    finally:
        (FORMATS / "qemu-aarch64").write_text("-1")


def test_arm64_installs_and_runs_the_demo(
    as_root: None, required_tool: Callable[[str], str], tmp_path: Path
) -> None:
    required_tool("qemu-aarch64-static")
    deb = built(tmp_path, "arm64")
    with emulated():
        root = tmp_path / "arm64"
        made = base("bookworm", "arm64", PACKAGES)
        subprocess.run(["cp", "-a", "--reflink=auto", str(made), str(root)], check=True)
        shutil.copy(deb, root / "root" / deb.name)
        assert _run(root, "uname", "-m").startswith("aarch64")
        offline = ["-o", "Acquire::http::Proxy=http://127.0.0.1:9", "--no-install-recommends"]
        said = _run(root, "apt-get", "install", "-y", *offline, f"/root/{deb.name}")
        assert "sudo meter-gateway init" in said
        assert "meter-gateway 0.1.0" in _run(root, "meter-gateway", "--version")
        # Its exit code says more than is asked here: under emulation it may take longer to begin
        # than the demo allows.
        said = _run(root, "meter-gateway", "demo", "--for", "120s", code=None)
        verdicts = re.findall(r"(?:│|\|)[^│|]*(agree|first slot late|missing|no slot|DIFFER)", said)
        assert len(verdicts) == 3, said
        assert set(verdicts) <= {"agree", "first slot late"}, said


def _run(root: Path, *words: str, code: int | None = 0) -> str:
    """What a program in that Debian says. None: any exit code will do."""
    done = subprocess.run(
        ["systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "--pipe",
         "--setenv=DEBIAN_FRONTEND=noninteractive", "--setenv=COLUMNS=160",
         f"--directory={root}", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=1200,
    )  # fmt: skip
    assert code in (None, done.returncode), f"{' '.join(words)}: {done.returncode}\n{done.stdout}"
    return done.stdout
