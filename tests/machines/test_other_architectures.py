"""The packages for other architectures, on a Debian of each under emulation (qemu-user): they
install, and run the demo. `make test-system` runs this, as root.
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
MOST_BYTES = 10_000_000
MOST_INSTALLED_BYTES = 45_000_000

COMPILED = """
import sys
sys.path.insert(0, "/usr/lib/meter-gateway")
import _cffi_backend as cffi
import msgspec, yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
box = AESGCM(bytes(16))
assert box.decrypt(bytes(12), box.encrypt(bytes(12), b"meter", None), None) == b"meter"
class Odd(msgspec.Struct):
    big: int
    small: float
    words: list[str]
odd = Odd(2**63 - 1, 1e-9, ["W", "Wh", "µ"])
assert msgspec.json.decode(msgspec.json.encode(odd), type=Odd) == odd
assert msgspec.msgpack.decode(msgspec.msgpack.encode(odd), type=Odd) == odd
double, whole = cffi.new_primitive_type("double"), cffi.new_primitive_type("int")
takes = cffi.new_function_type((double, whole), double, False)
assert cffi.load_library(None, 0).load_function(takes, "ldexp")(1.5, 4) == 24.0
read = yaml.load("{big: 9007199254740993, small: 1.5e-9, words: [W, µ]}", Loader=yaml.CSafeLoader)
assert read == {"big": 2**53 + 1, "small": 1.5e-9, "words": ["W", "µ"]}
with open("/proc/self/maps") as maps:
    mapped = maps.read()
for part in ("_cffi_backend.cpython-", "msgspec/_core.cpython-", "yaml/_yaml.cpython-"):
    assert part in mapped, part
print("all compiled parts work")
"""
"""What was compiled for it, used: whole numbers beyond 32 bits, numbers in registers of the FPU."""


@contextlib.contextmanager
def emulated(processor: str) -> Iterator[None]:
    """Programs of that processor run on this machine meanwhile (binfmt_misc of the kernel)."""
    name = f"qemu-{processor}"
    if (FORMATS / name).exists():
        yield
        return
    if not (FORMATS / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "none", str(FORMATS)], check=False)
    try:
        (FORMATS / "register").write_text(Path(f"/usr/lib/binfmt.d/{name}.conf").read_text())
    except OSError as error:
        pytest.skip(f"programs of {processor} cannot be run here: {error}")
    try:
        yield
    finally:
        (FORMATS / name).write_text("-1")


@pytest.mark.parametrize(
    ("architecture", "processor", "suite"),
    [
        ("arm64", "aarch64", "bookworm"),
        ("armhf", "arm", "bookworm"),
        ("armhf", "arm", "trixie"),
    ],
)
def test_another_architecture_installs_and_runs_the_demo(
    architecture: str,
    processor: str,
    suite: str,
    as_root: None,
    required_tool: Callable[[str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    required_tool(f"qemu-{processor}-static")
    if architecture == "armhf":
        required_tool("arm-linux-gnueabihf-gcc")
    deb = built(tmp_path, architecture)
    assert deb.stat().st_size <= MOST_BYTES
    with emulated(processor):
        root = tmp_path / suite
        made = base(suite, architecture, PACKAGES)
        subprocess.run(["cp", "-a", "--reflink=auto", str(made), str(root)], check=True)
        shutil.copy(deb, root / "root" / deb.name)
        assert _run(root, "dpkg", "--print-architecture").split()[0] == architecture
        offline = ["-o", "Acquire::http::Proxy=http://127.0.0.1:9", "--no-install-recommends"]
        said = _run(root, "apt-get", "install", "-y", *offline, f"/root/{deb.name}")
        assert "sudo meter-gateway init" in said
        there = (root / "usr/lib/meter-gateway", root / "usr/share/doc/meter-gateway")
        sizes = [p.stat().st_size for each in there for p in each.rglob("*") if p.is_file()]
        assert sum(sizes) <= MOST_INSTALLED_BYTES, "with bytecode"
        assert "meter-gateway 0.1.0" in _run(root, "meter-gateway", "--version")
        if architecture == "armhf":
            assert "all compiled parts work" in _run(root, "python3", "-I", "-c", COMPILED)
        # Its exit code says more than is asked here: under emulation it may take longer to begin
        # than the demo allows.
        said = _run(root, "meter-gateway", "demo", "--for", "120s", code=None)
        words = "agree|first slot late|missing|no slot|DIFFER"
        verdicts = re.findall(rf"[│|][^│|\n]*({words})", said)
        assert len(verdicts) == 3, said
        assert set(verdicts) <= {"agree", "first slot late"}, said
    with capsys.disabled():
        print(
            f"\n{suite} on {architecture}: {deb.stat().st_size / 1e6:.1f} MB, installed "
            f"{sum(sizes) / 1e6:.1f} MB, demo: {', '.join(verdicts)}"
        )


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
