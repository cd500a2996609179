"""Compiles the libraries of the package that have no wheel for armhf, on any Debian: no machine of
that kind is needed, no emulation, and no right to install anything.

Such a library is the wheel of amd64 with its compiled part made anew, by Debian's cross compiler,
from the same version's sources, which systemd/debian/sources.sha256 lists. The headers are those
of the Debians that the package is for: apt fetches them from the archive that this machine uses,
into a folder of its own, and verifies them. All is linked against Debian 12's glibc, so that it
runs on Debian 13 as well. The same compiler gives the same bytes.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TRIPLET = "arm-linux-gnueabihf"
COMPILER = f"{TRIPLET}-gcc"
TOOLS: Mapping[str, str] = {
    COMPILER: f"gcc-{TRIPLET}",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
"""Each program, and the Debian package that has it."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

HEADERS: Mapping[str, Sequence[str]] = {
    "bookworm": (
        *("libc6", "libc6-dev", "linux-libc-dev", "libffi8", "libffi-dev", "libpython3.11-dev"),
        "libyaml-dev",
    ),
    "trixie": ("libpython3.13-dev",),
}
"""What is compiled against, by the Debian that it is of."""

FLAGS = (
    *("-O2", "-g0", "-DNDEBUG", "-fwrapv", "-fno-strict-aliasing", "-fstack-protector-strong"),
    *("-fPIC", "-w", "-shared", "-s", "-Wl,-z,relro,-z,now", "-Wl,--as-needed"),
)
"""As Debian's Pythons are compiled; warnings are for whoever writes these libraries."""


class CannotCompile(Exception):
    """The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Part:
    """The one compiled part of a library, as its setup.py has it."""

    source: str
    module: str
    """Where it is in the wheel, without what tells the Python."""
    options: Sequence[str]
    cython: str = ""
    """What Cython makes its source of, where the authors' sources have it so."""


CYTHON = "cython"
"""Its sources are listed beside those of the libraries: it runs from them."""

PARTS: Mapping[str, Part] = {
    # Debian's libffi8 is there wherever Python is: its ctypes needs it.
    "cffi": Part(
        "src/c/_cffi_backend.c",
        "_cffi_backend",
        ("-DFFI_BUILDING=1", "-DUSE__THREAD", "-DHAVE_SYNC_SYNCHRONIZE", "-l:libffi.so.8"),
    ),
    "msgspec": Part("src/msgspec/_core.c", "msgspec/_core", ("-l:libm.so.6",)),
    "pyyaml": Part("yaml/_yaml.c", "yaml/_yaml", ("-Iyaml", "-l:libyaml.a"), "yaml/_yaml.pyx"),
}


@dataclass(frozen=True, slots=True)
class Task:
    """A wheel to make."""

    library: str
    python: str
    sources: Path
    """As its authors packed them (.tar.gz)."""
    like: Path
    """The wheel of amd64 for the same Python."""
    file: Path
    cython: Path | None = None
    """Cython's sources."""


def compile_all(tasks: Sequence[Task]) -> None:
    """Make these wheels. Raises CannotCompile: nothing is left half-made."""
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    missing += [] if KEYRING.exists() else ["debian-archive-keyring"]
    if missing:
        raise CannotCompile(
            f"not on this machine: {', '.join(missing)}. On Debian: sudo apt install "
            f"{' '.join(missing)}; then try again"
        )
    if unknown := sorted({each.library for each in tasks} - PARTS.keys()):
        raise CannotCompile(
            f"how {', '.join(unknown)} is compiled is not known: say it in PARTS of {__file__}"
        )
    with tempfile.TemporaryDirectory(prefix="meter-gateway-cross-") as made:
        system = Path(made) / "system"
        fetch_headers(Path(made), system)
        for task in tasks:
            compile_one(task, Path(made), system)


# --- headers --------------------------------------------------------------------------------------


def archive() -> str:
    """Where this machine has its Debian packages from. Raises CannotCompile."""
    said = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian",
               f"Codename: {codename()}", "Component: main", "Created-By: Packages")  # fmt: skip
    if not said.split():
        raise CannotCompile(
            "apt knows no archive of Debian (nor lists of one): build this on Debian, after "
            "'sudo apt update'"
        )
    return said.split()[0]


def codename() -> str:
    """Of the Debian that this machine is, such as bookworm; empty where it has none."""
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r'^VERSION_CODENAME="?(\w+)', text, re.M)
    return found[1] if found else ""


def fetch_headers(folder: Path, system: Path) -> None:
    """Put `HEADERS` into a folder as into the root of such a machine. Raises CannotCompile."""
    where = archive()
    sources = folder / "sources.list"
    sources.write_text(
        "".join(f"deb [arch=armhf signed-by={KEYRING}] {where} {suite} main\n" for suite in HEADERS)
    )
    for name in ("state/lists/partial", "cache/archives/partial", "debs"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    # What else is set on this machine stays, such as a proxy.
    settings = {
        "APT::Architecture": "armhf",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Dir::Etc::SourceList": str(sources),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": str(folder / "state"),
        "Dir::State::status": str(folder / "status"),
        "Dir::Cache": str(folder / "cache"),
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    run("apt-get", *options, "-qq", "update")
    wanted = [f"{name}/{suite}" for suite, names in HEADERS.items() for name in names]
    run("apt-get", *options, "-qq", "download", *wanted, cwd=folder / "debs")
    for deb in sorted((folder / "debs").glob("*.deb")):
        run("dpkg-deb", "--extract", str(deb), str(system))


# --- wheels ---------------------------------------------------------------------------------------


def compile_one(task: Task, folder: Path, system: Path) -> None:
    """Make one wheel. Raises CannotCompile."""
    part, tag = PARTS[task.library], task.python.replace(".", "")
    sources = unpack(task.sources, folder)
    if part.cython:
        if task.cython is None:
            raise CannotCompile(f"no sources of {CYTHON} are listed: choose the libraries anew")
        program = unpack(task.cython, folder) / "cython.py"
        run(sys.executable, str(program), part.cython, "-o", part.source, cwd=sources)
    made = folder / f"{task.library}-{tag}.so"
    headers = [system / "usr/include" / at / f"python{task.python}" for at in ("", TRIPLET)]
    run(
        COMPILER, f"--sysroot={system}", f"-ffile-prefix-map={system}=", *FLAGS,
        *time_flags(headers[1] / "pyconfig.h"), *(f"-I{path}" for path in headers),
        part.source, *part.options, "-o", str(made), cwd=sources,
    )  # fmt: skip
    with zipfile.ZipFile(task.like) as like:
        names = [name for name in like.namelist() if not name.endswith((".so", "/"))]
        files = {name: like.read(name) for name in names}
    files[f"{part.module}.cpython-{tag}-{TRIPLET}.so"] = made.read_bytes()
    write_wheel(task.file, files)


def unpack(sources: Path, folder: Path) -> Path:
    """Where they are then, in the folder."""
    with tarfile.open(sources) as archive:
        archive.extractall(folder, filter="data")
    return folder / sources.name.removesuffix(".tar.gz")


def time_flags(pyconfig: Path) -> Sequence[str]:
    """Debian 13's armhf counts seconds beyond 2038, Debian 12's does not; Python's own structures
    have to be read as Python was compiled.
    """
    is_64 = "#define SIZEOF_TIME_T 8" in pyconfig.read_text(encoding="utf-8")
    return ("-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64") if is_64 else ()


def write_wheel(file: Path, files: Mapping[str, bytes]) -> None:
    """With the tag that its name has, and a RECORD of its own (PEP 427)."""
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    about = record.replace("RECORD", "WHEEL")
    tag = "-".join(file.stem.split("-")[-3:])
    kept = [line for line in files[about].decode().splitlines() if not line.startswith("Tag:")]
    written = {**files, about: "\n".join([*filter(None, kept), f"Tag: {tag}", ""]).encode()}
    written[record] = "".join(
        f"{name},sha256={digest(data)},{len(data)}\n" if name != record else f"{name},,\n"
        for name, data in sorted(written.items())
    ).encode()
    half = file.with_suffix(".part")
    with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(written.items()):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    half.replace(file)


def digest(data: bytes) -> str:
    """As RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def run(*words: str, cwd: Path | None = None) -> str:
    """What a program prints. Raises CannotCompile."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        raise CannotCompile(
            f"{' '.join(words)}: exit code {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout
