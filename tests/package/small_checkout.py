"""A checkout in small: the real builder, control files and unit, with wheels and a program that fit
into a test.
"""

import hashlib
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
AMD64, ARM64 = 62, 183
PROGRAM = Path(__file__).with_name("small_program.py")


def elf(machine: int) -> bytes:
    """The head of a shared object."""
    return b"\x7fELF" + bytes(14) + struct.pack("<H", machine) + b"code"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder as `make deb` works in."""

    folder: Path

    def add_wheel(self, file: str, content: Mapping[str, bytes]) -> None:
        """One that has been fetched already, and is listed."""
        path = self.folder / "build" / "wheels" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        with (self.folder / "systemd/debian/wheels.sha256").open("a") as lock:
            lock.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {file}\n")

    def add_migration(self, number: int) -> None:
        """The buffer's schema has this number."""
        (self.folder / f"gateway/store/migrations/{number:03}.sql").write_text("SELECT 1;\n")

    def build(self, suffix: str = "", architecture: str = "amd64", maintainer: str = "") -> Path:
        """The package. Raises subprocess.CalledProcessError."""
        words = ["build", "--architecture", architecture, "--suffix", suffix]
        words += ["--maintainer", maintainer] if maintainer else []
        subprocess.run(
            [sys.executable, ".ci/package.py", *words],
            cwd=self.folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return self.folder / "dist" / f"meter-gateway_0.1.0{suffix}_{architecture}.deb"
