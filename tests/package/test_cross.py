"""`.ci/cross.py`: what has no wheel for armhf is compiled, with tools that stand in for Debian's.
The real ones make the package that tests/machines/test_other_architectures.py runs.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.package.small_checkout import AMD64, Checkout, elf

pytestmark = pytest.mark.xdist_group("package")

COMPILER = """#!/bin/sh
echo "$@" >> {folder}/asked
test -e src/msgspec/_core.c || exit 1
while [ "$1" != -o ]; do shift; done
cp {folder}/compiled "$2"
"""
APT = """#!/bin/sh
case "$*" in
    indextargets*) cat {folder}/archive ;;
    *download*) cp {folder}/*.deb . ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all programs that are found: a compiler and an apt that stand in."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("dpkg-deb", "git", "tar", "xz", "rm", "sh", "cat", "cp"):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    for name, text in (("arm-linux-gnueabihf-gcc", COMPILER), ("apt-get", APT)):
        (folder / name).write_text(text.format(folder=folder))
        (folder / name).chmod(0o755)
    (folder / "archive").write_text("file:///archive/\n")
    (folder / "compiled").write_bytes(elf(40))
    _pack_headers(tmp_path / "headers", folder / "headers.deb")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def _pack_headers(root: Path, deb: Path) -> None:
    for python, size in (("3.11", 4), ("3.13", 8)):
        folder = root / f"usr/include/arm-linux-gnueabihf/python{python}"
        folder.mkdir(parents=True)
        (folder / "pyconfig.h").write_text(f"#define SIZEOF_TIME_T {size}\n")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(
        "Package: headers\nVersion: 1\nArchitecture: all\nMaintainer: us\nDescription: small\n"
    )
    words = ["dpkg-deb", "--build", str(root), str(deb)]
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def checkout(checkout: Checkout) -> Checkout:
    """One whose only compiled library has no wheel for armhf, but sources."""
    lock = checkout.folder / "systemd/debian/wheels.sha256"
    lock.write_text("".join(line for line in lock.read_text().splitlines(True) if "plain" in line))
    for python in ("311", "313"):
        checkout.add_wheel(
            f"msgspec-9-cp{python}-cp{python}-manylinux_2_17_x86_64.whl",
            {
                "msgspec/__init__.py": b"",
                f"msgspec/_core.cpython-{python}-x86_64-linux-gnu.so": elf(AMD64),
                "msgspec-9.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: not-this-one\n",
                "msgspec-9.dist-info/RECORD": b"",
            },
        )
    path = checkout.folder / "build/wheels/msgspec-9.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("msgspec-9/src/msgspec/_core.c")
        archive.addfile(info, BytesIO(b""))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (checkout.folder / "systemd/debian/sources.sha256").write_text(f"{digest}  {path.name}\n")
    return checkout


def refusal(checkout: Checkout) -> str:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        checkout.build(architecture="armhf")
    said: str = failed.value.stderr
    assert "Traceback" not in said
    assert "no wheels for armhf of: msgspec 9 for Python 3.11; msgspec 9 for Python 3.13" in said
    assert not list((checkout.folder / "build/wheels").glob("*armv7l*")), "nothing half-made"
    return said


def test_it_is_the_wheel_of_amd64_with_its_compiled_part_anew(
    checkout: Checkout, tools: Path
) -> None:
    deb = checkout.build(architecture="armhf")
    said = subprocess.run(["dpkg-deb", "-c", deb], check=True, capture_output=True, text=True)
    for python in ("311", "313"):
        assert f"msgspec/_core.cpython-{python}-arm-linux-gnueabihf.so" in said.stdout
    assert "x86_64" not in said.stdout
    # Debian 13's armhf has a time of 64 bits, Debian 12's has not.
    first, second = (tools / "asked").read_text().splitlines()
    assert "/python3.11 " in first and "-D_TIME_BITS=64" not in first
    assert "/python3.13 " in second and "-D_TIME_BITS=64" in second


def test_what_was_made_is_a_wheel_like_any_other(checkout: Checkout, tools: Path) -> None:
    checkout.build(architecture="armhf")
    file = checkout.folder / "build/wheels/msgspec-9-cp313-cp313-linux_armv7l.whl"
    before = file.read_bytes()
    with zipfile.ZipFile(file) as wheel:
        about = wheel.read("msgspec-9.dist-info/WHEEL").decode()
        assert about == "Wheel-Version: 1.0\nTag: cp313-cp313-linux_armv7l\n"
        lines = wheel.read("msgspec-9.dist-info/RECORD").decode().splitlines()
        listed = {name: digest for name, digest, _ in (line.split(",") for line in lines)}
        assert listed.keys() == set(wheel.namelist())
        for name, digest in listed.items():
            if digest:
                made = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest())
                assert digest == f"sha256={made.decode().rstrip('=')}"
    file.unlink()
    checkout.build(architecture="armhf")
    assert file.read_bytes() == before, "the same compiler gives the same bytes"


def test_tools_that_are_missing_are_named_by_their_packages(
    checkout: Checkout, tools: Path
) -> None:
    (tools / "arm-linux-gnueabihf-gcc").unlink()
    (tools / "apt-get").unlink()
    said = refusal(checkout)
    assert "not on this machine: apt, gcc-arm-linux-gnueabihf. On Debian: sudo apt install" in said
    assert "pip wheel" in said, "and what to do elsewhere"


def test_where_apt_knows_no_debian_it_says_so(checkout: Checkout, tools: Path) -> None:
    (tools / "archive").write_text("")
    assert "build this on Debian, after 'sudo apt update'" in refusal(checkout)


def test_what_the_compiler_says_is_passed_on(checkout: Checkout, tools: Path) -> None:
    (tools / "arm-linux-gnueabihf-gcc").write_text("#!/bin/sh\necho no such header >&2; exit 1\n")
    assert "no such header" in refusal(checkout)


def test_a_library_that_it_does_not_know_is_named(checkout: Checkout, tools: Path) -> None:
    for path in (checkout.folder / "systemd/debian").glob("*.sha256"):
        path.write_text(path.read_text().replace("msgspec-9", "other-9"))
    for path in (checkout.folder / "build/wheels").glob("msgspec-9*"):
        path.rename(path.with_name(path.name.replace("msgspec", "other")))
    with pytest.raises(subprocess.CalledProcessError) as failed:
        checkout.build(architecture="armhf")
    assert "how other is compiled is not known" in failed.value.stderr
