"""New versions come by themselves from a signed repository, and none that was tampered with: real
apt and unattended-upgrades on a booted Debian 12. `make test-system` runs this, as root.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machines.debian import Machine, booted
from tests.machines.test_pages import signed_repository

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("machines")]

OFFLINE = "Acquire::http::Proxy=http://127.0.0.1:9"
"""Of Debian's own archive nothing is fetched."""


def test_a_new_version_comes_by_itself_and_a_tampered_one_does_not(
    as_root: None, build: Callable[[str, bool], Path], tmp_path: Path
) -> None:
    repository = signed_repository(tmp_path, build("+next", False))
    with booted("bookworm", tmp_path) as machine:
        shutil.copytree(repository, machine.root / "srv/repository")
        machine.install(build("", False))
        machine.gateway(
            *("updates", "stable", "--repository", "file:/srv/repository"),
            *("--key", "/srv/repository/meter-gateway.gpg"),
        )
        (deb,) = (machine.root / "srv/repository/pool/stable").glob("*.deb")
        right = deb.read_bytes()
        deb.write_bytes(right[:-1000] + bytes(1000))
        said = _upgraded(machine)
        assert "+next" not in machine.run("dpkg-query", "--show", "meter-gateway"), said

        deb.write_bytes(right)
        said = _upgraded(machine)
        assert "Packages that will be upgraded: meter-gateway" in said
        assert "+next" in machine.run("dpkg-query", "--show", "meter-gateway")
        assert "Installed: 0.1.0+next" in machine.gateway("updates")


def _upgraded(machine: Machine) -> str:
    machine.run("apt-get", "update", "-o", OFFLINE, code=None)
    return machine.run("unattended-upgrade", "--debug", code=None)
