"""Builds the Debian packages of meter-gateway: a plain tree with the compiled parts of the
libraries for each Python of `PYTHONS` side by side, so that nothing is fetched or built where it is
installed.

    python3 .ci/package.py build [--architecture amd64] [--output dist] [--suffix +test1]
                                   [--maintainer 'Name <address>']
    python3 .ci/package.py check FILE   install it into a folder, and try what can be tried there
    python3 .ci/package.py lock      choose the libraries anew, as pyproject.toml allows them

Libraries come as wheels, whose names and SHA-256 are in systemd/debian/wheels.sha256. They are
fetched once by pip, into build/wheels. The same sources and wheels give the same bytes. A package
is put together on any architecture for any other one; dpkg-deb writes it. What has no wheel for
armhf is compiled (`cross.py`).
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cross import CYTHON, CannotCompile, Task, compile_all

ROOT = Path(__file__).resolve().parents[1]
DEBIAN = ROOT / "systemd" / "debian"
LOCK = DEBIAN / "wheels.sha256"
SOURCES = DEBIAN / "sources.sha256"
"""Of the libraries that have no wheel for armhf."""
WHEELS = ROOT / "build" / "wheels"

PYTHONS = ("3.11", "3.13")
"""Those of Debian 12 and Debian 13."""

GLIBC = range(5, 37)
"""Minor versions of glibc 2 whose wheels can be used: Debian 12 has 2.36 (PEP 600)."""

LIBRARY = Path("usr/lib/meter-gateway")
DOCS = Path("usr/share/doc/meter-gateway")
OURS = ("gateway", "drivers", "hardware_profiles")
NOT_ON_A_BOX = ("gateway/fleet", "gateway/cli/fleet")
"""A community's server: it needs psycopg, which a box never has."""
MAINTAINER = "meter-gateway maintainers"
"""Who answers for a package, where whoever builds it does not say: no address that nobody reads."""
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")

NOT_USED = frozenset({"markdown-it-py", "mdurl", "pycparser", "pygments"})
"""Libraries that others ask for, for parts that we do not use: rich for coloured sources and
Markdown, cffi to compile. They would add 8 MB, and as much bytecode.
"""

USELESS = (".pyi", ".c", ".h", ".cpp", ".pyx", ".pxd", ".pyc")
"""Kinds of files that nothing reads at run time."""


class Unbuildable(Exception):
    """A package cannot be built. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """As Debian calls it, as wheels call it, and its number in ELF files (e_machine)."""

    name: str
    machine: str
    elf: int


ARCHITECTURES = {
    each.name: each
    for each in (
        Architecture("amd64", "x86_64", 62),
        Architecture("arm64", "aarch64", 183),
        Architecture("armhf", "armv7l", 40),
    )
}


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel by its file name (PEP 427), or sources by theirs, and what its bytes must be."""

    file: str
    sha256: str

    @property
    def _tags(self) -> Sequence[str]:
        return self.file.removesuffix(".whl").split("-")[-3:]

    @property
    def name(self) -> str:
        """As the index calls it, in one spelling."""
        return self.file.split("-")[0].replace("_", "-").lower()

    @property
    def version(self) -> str:
        """Its version."""
        return self.file.removesuffix(".tar.gz").split("-")[1]

    @property
    def key(self) -> tuple[str, str]:
        """Name and version."""
        return self.name, self.version

    def suits(self, architecture: Architecture, python: str) -> bool:
        """Whether that Python on that architecture can use it."""
        _, abi, platforms = self._tags
        platform_suits = any(
            each == "any" or each.endswith(f"_{architecture.machine}")
            for each in platforms.split(".")
        )
        return platform_suits and (abi in ("none", "abi3") or f"cp{python.replace('.', '')}" == abi)


# --- libraries ------------------------------------------------------------------------------------


def read_lock(text: str) -> list[Wheel]:
    """The wheels of a list as sha256sum writes it."""
    pairs = (line.split("  ", 1) for line in text.splitlines() if line and line[0] != "#")
    return [Wheel(file, digest) for digest, file in pairs]


def pip_platforms(architecture: Architecture) -> list[str]:
    """Options of pip that stand for Debian on that architecture."""
    names = ["manylinux1", "manylinux2010", "manylinux2014", *(f"manylinux_2_{n}" for n in GLIBC)]
    return [f"--platform={name}_{architecture.machine}" for name in names]


def pip(*words: str) -> None:
    """Raises Unbuildable."""
    command = [sys.executable, "-m", "pip", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Unbuildable("\n".join(said or [done.stderr]))


def choose_wheels() -> list[Wheel]:
    """What pip would install for each architecture and Python, as pyproject.toml allows it. Raises
    Unbuildable.
    """
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found: dict[str, Wheel] = {}
    for architecture in (ARCHITECTURES["amd64"], ARCHITECTURES["arm64"]):
        for python in PYTHONS:
            for wheel in would_install(architecture, python, wanted):
                found[wheel.file] = wheel
    # Of these versions, what there is for armhf: the index has not all of them.
    exact = sorted({f"{w.name}=={w.version}" for w in found.values()})
    for python in PYTHONS:
        for each in exact:
            with contextlib.suppress(Unbuildable):
                for wheel in would_install(ARCHITECTURES["armhf"], python, ["--no-deps", each]):
                    found[wheel.file] = wheel
    return [found[file] for file in sorted(found)]


def would_install(
    architecture: Architecture, python: str, wanted: Sequence[str]
) -> Iterator[Wheel]:
    """What pip would install there for these requirements. Raises Unbuildable."""
    with tempfile.TemporaryDirectory(prefix="meter-gateway-lock-") as made:
        report = Path(made) / "report.json"
        pip(
            "install", "--dry-run", "--ignore-installed", "--only-binary=:all:",
            f"--target={made}/nowhere", f"--report={report}", f"--python-version={python}",
            *pip_platforms(architecture), *wanted,
        )  # fmt: skip
        chosen = json.loads(report.read_text())["install"]
    for each in chosen:
        info = each["download_info"]
        file = info["url"].rpartition("/")[2]
        wheel = Wheel(file, info["archive_info"]["hashes"]["sha256"])
        if wheel.name not in NOT_USED and wheel.suits(architecture, python):
            yield wheel


def fetch(wheels: Iterable[Wheel], architecture: Architecture, python: str) -> None:
    """Have these wheels in `WHEELS`, as they are listed. Raises Unbuildable."""
    missing = [each for each in wheels if not is_there(each)]
    if not missing:
        return
    WHEELS.mkdir(parents=True, exist_ok=True)
    wanted = WHEELS / "wanted.txt"
    wanted.write_text("".join(f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in missing))
    pip(
        "download", "--no-deps", "--only-binary=:all:", "--require-hashes",
        f"--dest={WHEELS}", f"--requirement={wanted}", f"--python-version={python}",
        *pip_platforms(architecture),
    )  # fmt: skip
    wanted.unlink()
    if lost := [each.file for each in missing if not is_there(each)]:
        raise Unbuildable(f"the package index gave other files than {', '.join(lost)}")


def fetch_sources(sources: Wheel) -> None:
    """Have them in `WHEELS`, as they are listed. Raises Unbuildable."""
    if is_there(sources):
        return
    wanted = WHEELS / "wanted.txt"
    wanted.write_text(f"{sources.name}=={sources.version} --hash=sha256:{sources.sha256}\n")
    pip(
        "download", "--no-deps", f"--no-binary={sources.name}", "--require-hashes",
        f"--dest={WHEELS}", f"--requirement={wanted}",
    )  # fmt: skip
    wanted.unlink()
    if not is_there(sources):
        raise Unbuildable(f"the package index gave another file than {sources.file}")


def choose_sources(wheels: Sequence[Wheel]) -> Iterator[Wheel]:
    """The sources of what has no wheel for armhf, and of Cython. Raises Unbuildable."""
    missing = without_wheel(ARCHITECTURES["armhf"], wheels)
    for wanted in sorted({CYTHON, *(f"{name}=={number}" for name, number, _ in missing)}):
        name = wanted.partition("==")[0]
        with tempfile.TemporaryDirectory(prefix="meter-gateway-lock-") as made:
            pip(
                "download",
                "--no-deps",
                f"--no-binary={name}",
                f"--dest={made}",
                wanted,
            )
            (file,) = Path(made).iterdir()
            yield Wheel(file.name, hashlib.sha256(file.read_bytes()).hexdigest())


def is_there(wheel: Wheel) -> bool:
    """Whether its file has been fetched, undamaged."""
    path = WHEELS / wheel.file
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256


def own_wheels(architecture: Architecture) -> list[Wheel]:
    """Wheels that were made, here or by somebody, for an architecture that has none, and are in
    `WHEELS`.
    """
    return [
        Wheel(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(WHEELS.glob(f"*-linux_{architecture.machine}.whl"))
    ]


def libraries(architecture: Architecture, locked: Sequence[Wheel]) -> list[Wheel]:
    """The wheels of all libraries for all Pythons: fetched, or compiled. Raises Unbuildable, naming
    those that are nowhere.
    """
    if missing := sorted(without_wheel(architecture, locked, own_wheels(architecture))):
        compile_wheels(architecture, locked, missing)
    chosen: dict[str, Wheel] = {}
    for python in PYTHONS:
        known = {each.file: each for each in [*own_wheels(architecture), *locked]}
        used = [each for each in known.values() if each.suits(architecture, python)]
        used = list({each.key: each for each in used}.values())
        chosen |= {each.file: each for each in used}
        fetch(used, architecture, python)
    return list(chosen.values())


def without_wheel(
    architecture: Architecture, locked: Sequence[Wheel], own: Sequence[Wheel] = ()
) -> Iterator[tuple[str, str, str]]:
    """The name and version of each library that has none there, and for which Python."""
    for python in PYTHONS:
        there = {each.key for each in [*own, *locked] if each.suits(architecture, python)}
        for name, number in {each.key for each in locked} - there:
            yield name, number, python


def compile_wheels(
    architecture: Architecture,
    locked: Sequence[Wheel],
    missing: Sequence[tuple[str, str, str]],
) -> None:
    """Have these wheels in `WHEELS`. Raises Unbuildable."""
    whole = "; ".join(f"{name} {number} for Python {python}" for name, number, python in missing)
    sources = {each.key: each for each in read_lock(SOURCES.read_text())}
    cython = next((each for each in sources.values() if each.name == CYTHON), None)
    try:
        if architecture.name != "armhf" or any(each[:2] not in sources for each in missing):
            raise CannotCompile(f"{SOURCES} lists no sources of them")
        if cython is not None:
            fetch_sources(cython)
        tasks = []
        for name, number, python in missing:
            (like,) = (
                each
                for each in locked
                if each.key == (name, number) and each.suits(ARCHITECTURES["amd64"], python)
            )
            fetch([like], ARCHITECTURES["amd64"], python)
            fetch_sources(sources[name, number])
            tag = f"cp{python.replace('.', '')}"
            made = f"{name}-{number}-{tag}-{tag}-linux_{architecture.machine}.whl"
            source, target = WHEELS / sources[name, number].file, WHEELS / made
            tools = WHEELS / cython.file if cython is not None else None
            tasks.append(Task(name, python, source, WHEELS / like.file, target, tools))
        compile_all(tasks)
    except CannotCompile as error:
        raise Unbuildable(
            f"there are no wheels for {architecture.name} of: {whole}. They cannot be compiled "
            f"here: {error}. Or build them on such a machine (python3 -m pip wheel --no-deps "
            f"NAME==VERSION), and put them into {WHEELS}"
        ) from error


def unpack(wheel: Path, into: Path) -> None:
    """Put the modules of a wheel into the tree. What another one has put there must be the same.
    Raises Unbuildable.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            target = _place(Path(name))
            if target is None or name.endswith("/"):
                continue
            path, data = into / target, without_debugging(archive.read(name))
            if path.exists() and path.read_bytes() != data:
                raise Unbuildable(f"{wheel.name} and another wheel have different {target}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _place(path: Path) -> Path | None:
    """Where a file of a wheel goes; None where nothing needs it."""
    top = path.parts[0]
    if top.endswith(".data"):
        if path.parts[1] not in ("purelib", "platlib"):
            return None
        path = Path(*path.parts[2:])
    elif top.endswith(".dist-info") and path.name in ("RECORD", "WHEEL", "entry_points.txt"):
        return None
    return None if path.suffix in USELESS else path


def compiled_parts(tree: Path) -> Iterator[tuple[Path, int]]:
    """Every shared object, and the ELF number of the machine it is for."""
    for path in sorted(tree.rglob("*.so*")):
        head = path.read_bytes()[:20]
        if head[:4] == b"\x7fELF":
            yield path, int.from_bytes(head[18:20], "little")


def without_debugging(code: bytes) -> bytes:
    """A shared object without what only a debugger reads: all behind the last byte that is ever
    loaded, and the table of sections, which says where that is (System V ABI, "Object Files":
    it is optional where a table of program headers is). `strip` would do it for one machine.
    """
    if b"\0.debug_info\0" not in code:
        return code
    is_64 = code[4] == 2
    table, count = (32, 56) if is_64 else (28, 44)
    (first,) = struct.unpack_from("<Q" if is_64 else "<I", code, table)
    size, number = struct.unpack_from("<HH", code, count - 2)
    end = 0
    for at in range(first, first + size * number, size):
        fields = struct.unpack_from("<8xQ16xQ" if is_64 else "<4xI8xI", code, at)
        end = max(end, sum(fields))
    kept = bytearray(code[:end])
    struct.pack_into("<Q" if is_64 else "<I", kept, table + (8 if is_64 else 4), 0)
    struct.pack_into("<HH", kept, count + 4, 0, 0)
    return bytes(kept)


def unknown_glibc(code: bytes) -> Sequence[str]:
    """The versions of glibc that a shared object asks for and Debian 12 does not have, or that are
    glibc's own business.
    """
    asked = sorted(set(re.findall(rb"\0(GLIBC_(?:2\.(\d+)[.\d]*|PRIVATE))(?=\0)", code)))
    return [name.decode() for name, minor in asked if not minor or int(minor) >= GLIBC.stop]


# --- the package ----------------------------------------------------------------------------------


def version() -> str:
    """Of the project."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def schema() -> int:
    """The number of the buffer's schema."""
    return len(list((ROOT / "gateway/store/migrations").glob("*.sql")))


def epoch_s() -> int:
    """The time of all files: SOURCE_DATE_EPOCH, that of the commit, or that of the version."""
    if told := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(told)
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        command = [git, "-C", str(ROOT), "log", "-1", "--format=%ct"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip().isdigit():
            return int(done.stdout)
    made = re.search(r"^MADE_S = ([\d_]+)", (ROOT / "gateway/__init__.py").read_text(), re.M)
    return int(made[1]) if made else 0


def copy_sources(source: Path, target: Path) -> None:
    """Copy a folder of ours without what Python or an editor left in it."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*~")
    shutil.copytree(source, target, ignore=ignore)


def lay_out(root: Path, wheels: Iterable[Wheel]) -> None:
    """Put everything where it goes on the machine."""
    tree = root / LIBRARY
    tree.mkdir(parents=True)
    for wheel in sorted(wheels, key=lambda each: each.file):
        unpack(WHEELS / wheel.file, tree)
    for name in OURS:
        copy_sources(ROOT / name, tree / name)
    for name in NOT_ON_A_BOX:
        shutil.rmtree(tree / name, ignore_errors=True)

    for source, target in (
        (DEBIAN / "meter-gateway", "usr/bin/meter-gateway"),
        (DEBIAN / "compile.py", LIBRARY / "compile.py"),
        (ROOT / "systemd/meter-gateway.service", "usr/lib/systemd/system/meter-gateway.service"),
        (ROOT / "systemd/meter-gateway.sysusers", "usr/lib/sysusers.d/meter-gateway.conf"),
        (ROOT / "systemd/70-meter-gateway.rules", "usr/lib/udev/rules.d/70-meter-gateway.rules"),
        (ROOT / "README.md", DOCS / "README.md"),
        (ROOT / "CHANGELOG.md", DOCS / "CHANGELOG.md"),
        (DEBIAN / "copyright", DOCS / "copyright"),
    ):
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
    copy_sources(ROOT / "docs", root / DOCS / "docs")


def write_control(root: Path, fields: Mapping[str, str]) -> None:
    """The folder DEBIAN: control file, maintainer scripts, and the sums that `dpkg --verify`
    compares.
    """
    files = sorted(path for path in root.rglob("*") if path.is_file())
    size_kb = sum(-(-path.stat().st_size // 1024) for path in files)
    sums = (
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  "
        f"{path.relative_to(root)}\n"
        for path in files
    )
    folder = root / "DEBIAN"
    folder.mkdir()
    (folder / "md5sums").write_text("".join(sums))
    for name in ("control", "triggers", *SCRIPTS):
        text = (DEBIAN / name).read_text(encoding="utf-8")
        for key, value in {**fields, "INSTALLED_SIZE": str(size_kb)}.items():
            text = text.replace(f"@{key}@", value)
        if left := re.search(r"@[A-Z_]+@", text):
            raise Unbuildable(f"{DEBIAN / name}: nothing is known of {left[0]}")
        (folder / name).write_text(text, encoding="utf-8")


def settle(root: Path, time_s: int) -> None:
    """Give everything the same modes and times wherever and whenever it is built."""
    programs = {root / "usr/bin/meter-gateway", *(root / "DEBIAN" / name for name in SCRIPTS)}
    for path in sorted(root.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, (time_s, time_s))
    root.chmod(0o755)
    os.utime(root, (time_s, time_s))


def build(
    architecture: Architecture, output: Path, suffix: str = "", maintainer: str = MAINTAINER
) -> Path:
    """One package. Returns its file. Raises Unbuildable."""
    if shutil.which("dpkg-deb") is None:
        raise Unbuildable("dpkg-deb is not here: apt install dpkg (Debian and Ubuntu have it)")
    wheels = libraries(architecture, read_lock(LOCK.read_text()))
    number = f"{version()}{suffix}"
    fields = {
        "VERSION": number,
        "ARCHITECTURE": architecture.name,
        "SCHEMA": str(schema()),
        "MAINTAINER": maintainer,
    }
    output.mkdir(parents=True, exist_ok=True)
    file = output / f"meter-gateway_{number}_{architecture.name}.deb"
    # Each in a folder of its own: two may be built at once.
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="deb-") as made:
        root = Path(made) / "tree"
        lay_out(root, wheels)
        for part, machine in compiled_parts(root):
            if machine != architecture.elf:
                raise Unbuildable(f"{part.relative_to(root)} is not for {architecture.name}")
            if unknown := unknown_glibc(part.read_bytes()):
                raise Unbuildable(
                    f"{part.relative_to(root)} needs {', '.join(unknown)}, which Debian 12 has not"
                )
        write_control(root, fields)
        time_s = epoch_s()
        settle(root, time_s)
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(file)]
        # How many threads there are decides about the bytes that xz writes.
        environ = os.environ | {"SOURCE_DATE_EPOCH": str(time_s), "DPKG_DEB_THREADS_MAX": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
        if done.returncode:
            raise Unbuildable(done.stderr.strip())
    return file


# --- the package's own checks ---------------------------------------------------------------------

MOST_BYTES = 10_000_000
MOST_INSTALLED_KB = 45_000
"""With the bytecode that is made when it is installed."""
MOST_EXPOSED = 13
"""Tenths of what `systemd-analyze security` says."""


def said_by(*command: str | Path) -> str:
    """What a program prints. Raises Unbuildable where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(map(str, command))
        raise Unbuildable(f"{words}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def check(file: Path) -> Iterator[str]:
    """Try what can be tried of a package without installing it on this machine: a line for each.
    Raises Unbuildable.
    """
    if file.stat().st_size > MOST_BYTES:
        raise Unbuildable(f"{file} has more than {MOST_BYTES / 1e6:g} MB")
    info = said_by("dpkg", "--info", file)
    if "conffiles" in info:
        raise Unbuildable(f"{file} has conffiles: dpkg would ask about them in an upgrade")
    yield f"dpkg --info: version {said_by('dpkg-deb', '-f', file, 'Version').strip()}"

    with tempfile.TemporaryDirectory(prefix="meter-gateway-deb-") as made:
        root = Path(made)
        said_by("dpkg-deb", "--extract", file, root)
        python, program = "/usr/bin/python3", root / "usr/bin/meter-gateway"
        compiler = root / LIBRARY / "compile.py"
        said_by(python, "-I", "-X", "no_debug_ranges", compiler, root / LIBRARY)
        installed_kb = sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) // 1000
        if installed_kb > MOST_INSTALLED_KB:
            raise Unbuildable(f"it takes {installed_kb} kB when it is installed")
        yield f"installed, with bytecode: {installed_kb / 1000:.1f} MB"

        yield f"starts: {said_by(python, '-I', program, '--version').strip()}"
        home = root / DOCS / "docs/examples/home"
        (home / "exchange.credentials").write_text("username: 'a'\npassword: 'b'\n")
        (home / "exchange.credentials").chmod(0o600)
        last = said_by(python, "-I", program, "--config", home, "check").strip().splitlines()[-1]
        yield f"check of docs/examples/home: {last}"
        unit = root / "usr/lib/systemd/system/meter-gateway.service"
        score = ("--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit))
        found = said_by("systemd-analyze", "security", *score).strip().splitlines()[-1]
        yield f"systemd-analyze security: {found.encode('ascii', 'ignore').decode().strip()}"


def told(file: Path) -> str:
    """A line about a package that was built."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{shown}: {file.stat().st_size / 1e6:.1f} MB, SHA-256 {digest}"


def main() -> int:
    """Returns 1 where a package that was asked for by name could not be built."""
    parser = argparse.ArgumentParser(description="Builds the Debian packages of meter-gateway.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock", help="choose the libraries anew")
    building = commands.add_parser("build", help="build the packages")
    building.add_argument("--architecture", action="append", choices=ARCHITECTURES)
    building.add_argument("--output", type=Path, default=ROOT / "dist")
    building.add_argument("--suffix", default="", help="added to the version, such as +test1")
    building.add_argument("--maintainer", default=MAINTAINER, help="'Name <address>'")
    checking = commands.add_parser("check", help="check a package")
    checking.add_argument("file", type=Path)
    args = parser.parse_args()

    if args.command == "check":
        try:
            for line in check(args.file):
                print(line)
        except Unbuildable as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    if args.command == "lock":
        wheels = choose_wheels()
        for path, files in ((LOCK, wheels), (SOURCES, list(choose_sources(wheels)))):
            path.write_text("".join(f"{each.sha256}  {each.file}\n" for each in files))
            print(f"{path}: {len(files)} files")
        return 0
    code = 0
    for name in args.architecture or ARCHITECTURES:
        try:
            output = args.output.resolve()
            print(told(build(ARCHITECTURES[name], output, args.suffix, args.maintainer)))
        except Unbuildable as error:
            print(f"{name}: not built: {error}", file=sys.stderr)
            code = 1 if args.architecture else code
    return code


if __name__ == "__main__":
    sys.exit(main())
