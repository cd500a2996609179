"""What tests of connections share."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def certificate(
    tmp_path_factory: pytest.TempPathFactory, required_tool: Callable[[str], str]
) -> tuple[Path, Path]:
    """A certificate of localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    making = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "
        f"/CN=localhost -addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}"
    )
    subprocess.run([required_tool("openssl"), *making.split()], check=True, capture_output=True)
    return certificate, key
