"""What the tests of the package share."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.package.small_checkout import AMD64, ARM64, PROGRAM, ROOT, Checkout, elf


@pytest.fixture
def new_checkout(required_tool: Callable[[str], str]) -> Callable[[Path], Checkout]:
    """Makes one in a folder."""
    required_tool("dpkg-deb")

    def make(folder: Path) -> Checkout:
        for name in (".ci", "systemd"):
            shutil.copytree(ROOT / name, folder / name)
        for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
            shutil.copy(ROOT / name, folder / name)
        for name in ("docs", "drivers", "hardware_profiles", "gateway/store/migrations"):
            (folder / name).mkdir(parents=True)
            (folder / name / "one.md").write_text("1\n")
        (folder / "gateway/cli").mkdir()
        (folder / "gateway/__init__.py").write_text("MADE_S = 1_767_225_600.0\n")
        shutil.copy(PROGRAM, folder / "gateway/cli/entry.py")
        for name in ("wheels", "sources"):
            (folder / f"systemd/debian/{name}.sha256").write_text("")

        checkout = Checkout(folder)
        checkout.add_migration(1)
        checkout.add_wheel("plain-1.0-py3-none-any.whl", {"plain/__init__.py": b"x = 1\n"})
        for python in ("311", "313"):
            for machine, number in (("x86_64", AMD64), ("aarch64", ARM64)):
                checkout.add_wheel(
                    f"quick-2.0-cp{python}-cp{python}-manylinux_2_17_{machine}.whl",
                    {
                        "quick/__init__.py": b"",
                        "quick/__init__.pyi": b"",
                        f"quick/core.cpython-{python}-{machine}-linux-gnu.so": elf(number),
                        "quick-2.0.dist-info/METADATA": b"License: MIT\n",
                        "quick-2.0.dist-info/RECORD": python.encode(),
                    },
                )
        return checkout

    return make


@pytest.fixture
def checkout(new_checkout: Callable[[Path], Checkout], tmp_path: Path) -> Checkout:
    return new_checkout(tmp_path / "checkout")
