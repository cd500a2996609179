"""`.ci/environment.py`: a .venv that cannot be used is noticed, whatever made it so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / ".ci" / "environment.py"


def environment_py(
    folder: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def is_sound(folder: Path, *words: str) -> bool:
    return environment_py(folder, "check", *words).stdout == "sound\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with an environment in which pip is there, as an empty package."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=folder, check=True)
    pip = next((folder / ".venv/lib").glob("python3*/site-packages")) / "pip"
    pip.mkdir()
    (pip / "__init__.py").touch()
    return folder


def test_one_that_was_made_here_is_used(checkout: Path) -> None:
    assert is_sound(checkout)
    assert is_sound(checkout, sys.executable)


def test_none_is_not_sound(tmp_path: Path) -> None:
    assert not is_sound(tmp_path)


def test_one_without_pip_was_interrupted(checkout: Path) -> None:
    shutil.rmtree(next((checkout / ".venv/lib").glob("python3*/site-packages")) / "pip")
    assert not is_sound(checkout)


def test_one_whose_python_is_gone_is_not_sound(checkout: Path) -> None:
    for python in (checkout / ".venv/bin").glob("python*"):
        python.unlink()
    (checkout / ".venv/bin/python").symlink_to(checkout / "nowhere")
    assert not is_sound(checkout)


def test_one_that_was_moved_is_not_sound(checkout: Path) -> None:
    moved = checkout.rename(checkout.with_name("moved"))
    assert not is_sound(moved)


def test_one_of_another_python_than_asked_for_is_not_sound(checkout: Path) -> None:
    other = checkout / "other-python"
    other.write_text("#!/bin/sh\necho 3 99 True\n")
    other.chmod(0o755)
    assert not is_sound(checkout, str(other))


def test_a_missing_ensurepip_is_told_with_its_debian_package(tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError('as Debian without python3-venv')\n")
    done = environment_py(tmp_path, "make", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert f"apt install python3.{sys.version_info[1]}-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_it_makes_one(tmp_path: Path) -> None:
    done = environment_py(tmp_path, "make")
    assert (done.returncode, done.stderr) == (0, "")
    assert is_sound(tmp_path)
