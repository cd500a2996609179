"""`.ci/package.py`: what is in a package, and what cannot become one."""

import ctypes
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from importlib import util
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from tests.package.small_checkout import AMD64, ROOT, Checkout, elf

pytestmark = pytest.mark.xdist_group("package")


@pytest.fixture(scope="module")
def builder() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / ".ci"))
    spec = util.spec_from_file_location("package_builder", ROOT / ".ci" / "package.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / ".ci"))


def files_of(deb: Path) -> dict[str, tarfile.TarInfo]:
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(tar.stdout)) as archive:
        return {each.name: each for each in archive}


def test_compiled_parts_of_both_pythons_lie_side_by_side(checkout: Checkout) -> None:
    files = files_of(checkout.build())
    tree = "./usr/lib/meter-gateway"
    for python in ("311", "313"):
        assert f"{tree}/quick/core.cpython-{python}-x86_64-linux-gnu.so" in files
    assert f"{tree}/plain/__init__.py" in files
    assert f"{tree}/gateway/cli/entry.py" in files
    assert f"{tree}/quick-2.0.dist-info/METADATA" in files, "it states the licence"
    assert not [name for name in files if "aarch64" in name or name.endswith((".pyi", "RECORD"))]
    assert files["./usr/bin/meter-gateway"].mode == 0o755
    assert files["./usr/lib/systemd/system/meter-gateway.service"].mode == 0o644
    assert {(each.uid, each.gid) for each in files.values()} == {(0, 0)}


def test_nothing_in_etc_is_the_packages_own(checkout: Checkout) -> None:
    """A question about a changed file of the package would hold unattended upgrades."""
    deb = checkout.build()
    assert not [name for name in files_of(deb) if name.startswith("./etc")]
    control = subprocess.run(["dpkg-deb", "--ctrl-tarfile", deb], check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(control.stdout)) as archive:
        assert "./conffiles" not in archive.getnames()


def test_the_same_sources_and_wheels_give_the_same_bytes(
    new_checkout: Callable[[Path], Checkout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    first = new_checkout(tmp_path / "one").build()
    before = os.umask(0o077)
    try:
        other = new_checkout(tmp_path / "another place")
        cache = other.folder / "gateway" / "__pycache__"
        cache.mkdir()
        (cache / "entry.cpython-311.pyc").write_bytes(b"stale")
        (other.folder / "gateway/cli/.entry.py.swp").write_text("an editor's")
        second = other.build()
    finally:
        os.umask(before)
    assert first.read_bytes() == second.read_bytes()


def test_arm64_is_put_together_here(checkout: Checkout) -> None:
    deb = checkout.build(architecture="arm64")
    fields = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True)
    assert "Architecture: arm64\n" in fields.stdout
    assert [name for name in files_of(deb) if name.endswith("aarch64-linux-gnu.so")]


def test_the_maintainer_is_who_builds_it_says(checkout: Checkout) -> None:
    """An address that nobody reads would look like one that somebody does."""
    words = ["dpkg-deb", "-f", checkout.build(), "Maintainer"]
    field = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert "@" not in field
    words[2] = checkout.build("+b", maintainer="Energy Co-op <it@coop.example>")
    field = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert field == "Energy Co-op <it@coop.example>\n"


def refusal(checkout: Checkout, architecture: str = "amd64") -> str:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        checkout.build(architecture=architecture)
    said: str = failed.value.stderr
    assert "Traceback" not in said
    return said


def test_where_there_are_no_wheels_it_says_which_and_what_to_do(checkout: Checkout) -> None:
    said = refusal(checkout, "armhf")
    assert "no wheels for armhf of: quick 2.0 for Python 3.11; quick 2.0 for Python 3.13" in said
    assert "sources.sha256 lists no sources of them" in said
    assert "pip wheel" in said
    assert "plain" not in said


def test_wheels_that_somebody_built_are_used(checkout: Checkout) -> None:
    lock = checkout.folder / "systemd/debian/wheels.sha256"
    before = lock.read_text()
    for python in ("311", "313"):
        name = f"quick-2.0-cp{python}-cp{python}-linux_armv7l.whl"
        checkout.add_wheel(name, {f"quick/core.cpython-{python}.so": elf(40)})
    lock.write_text(before)
    assert checkout.build(architecture="armhf").is_file()


def test_compiled_parts_of_another_machine_are_refused(checkout: Checkout) -> None:
    wheel = {"odd/core.abi3.so": elf(AMD64 + 1)}
    checkout.add_wheel("odd-1-cp311-abi3-manylinux_2_17_x86_64.whl", wheel)
    assert "core.abi3.so is not for amd64" in refusal(checkout)


def test_compiled_parts_for_a_newer_debian_are_refused(checkout: Checkout) -> None:
    """And what is glibc's own, which a static libm asks of it."""
    code = elf(AMD64) + b"\0libm.so.6\0GLIBC_2.4\0GLIBC_2.38\0GLIBC_PRIVATE\0GLIBC_2.2.5\0"
    checkout.add_wheel("odd-1-cp311-abi3-manylinux_2_17_x86_64.whl", {"odd/core.abi3.so": code})
    said = refusal(checkout)
    assert "core.abi3.so needs GLIBC_2.38, GLIBC_PRIVATE, which Debian 12 has not" in said


def test_wheels_that_disagree_are_refused(checkout: Checkout) -> None:
    checkout.add_wheel("rival-1-py3-none-any.whl", {"plain/__init__.py": b"x = 2\n"})
    assert "have different plain/__init__.py" in refusal(checkout)


def test_the_list_of_wheels_has_what_the_project_needs(builder: ModuleType) -> None:
    wheels = builder.read_lock(builder.LOCK.read_text())
    assert wheels == sorted(wheels, key=lambda each: each.file)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for architecture in ("amd64", "arm64"):
        for python in builder.PYTHONS:
            suits = [w for w in wheels if w.suits(builder.ARCHITECTURES[architecture], python)]
            found = {each.name: each.version for each in suits}
            assert len(found) == len(suits), "one wheel of each"
            for line in project["dependencies"]:
                wanted = Requirement(line)
                assert wanted.specifier.contains(found[wanted.name.lower()]), line


def test_what_has_no_wheel_for_armhf_is_compiled_from_listed_sources(builder: ModuleType) -> None:
    wheels = builder.read_lock(builder.LOCK.read_text())
    sources = {each.key for each in builder.read_lock(builder.SOURCES.read_text())}
    without = list(builder.without_wheel(builder.ARCHITECTURES["armhf"], wheels))
    cross = sys.modules["cross"]
    assert {name for name, number in sources} == {*cross.PARTS, cross.CYTHON}
    listed = {(name, number) for name, number in sources if name != cross.CYTHON}
    assert {(name, number) for name, number, _ in without} == listed


def test_what_only_a_debugger_reads_is_left_out(
    builder: ModuleType, tmp_path: Path, required_tool: Callable[[str], str]
) -> None:
    source = tmp_path / "part.c"
    source.write_text("static int table[9000] = {7}; int first(void) { return table[0]; }\n")
    whole = tmp_path / "whole.so"
    words = [required_tool("gcc"), "-g3", "-shared", "-fPIC", "-o", str(whole), str(source)]
    subprocess.run(words, check=True)
    kept = tmp_path / "kept.so"
    kept.write_bytes(builder.without_debugging(whole.read_bytes()))
    assert kept.stat().st_size < whole.stat().st_size * 0.8
    assert ctypes.CDLL(str(kept)).first() == 7
    assert builder.without_debugging(kept.read_bytes()) == kept.read_bytes()


def test_the_program_starts_with_the_pythons_of_the_package(builder: ModuleType) -> None:
    text = (ROOT / "systemd/debian/meter-gateway").read_text()
    pythons = re.findall(r"\((\d+), (\d+)\)", text.split("PYTHONS = ")[1].splitlines()[0])
    assert tuple(".".join(each) for each in pythons) == builder.PYTHONS


def test_a_box_has_no_part_of_a_communitys_server_and_says_where_it_is(
    builder: ModuleType, tmp_path: Path
) -> None:
    builder.lay_out(tmp_path, [])
    tree = tmp_path / "usr/lib/meter-gateway"
    assert not (tree / "gateway/fleet").exists()
    assert (tree / "gateway/outbox/fleet/messages.py").exists(), "what a home says to it, it has"
    said = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "fleet", "run"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )  # fmt: skip
    assert said.returncode == 1
    assert "on the server, pip install 'meter-gateway[fleet]'" in said.stderr
    imports = (
        "import gateway.app, gateway.delivery.kinds.fleet_mqtt, sys; "
        "assert gateway.__file__.startswith(sys.argv[1]), gateway.__file__"
    )
    subprocess.run(
        [sys.executable, "-P", "-c", imports, str(tree)],
        check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tree)},
    )  # fmt: skip
