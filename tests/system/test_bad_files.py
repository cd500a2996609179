"""Configuration files that are no YAML."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("file", "text", "where"),
    [
        ("gateway.yaml", "site: home\nmarket: {slot: 15min\nassets: []\n", "gateway.yaml:3"),
        (
            "devices/pv.yaml",
            "profile: eastron/sdm120\n\tline: serial:/dev/ttyUSB0\n",
            "devices/pv.yaml:2",
        ),
        ("devices/pv.yaml", "\x00\x01\x02 not text at all", "devices/pv.yaml:1"),
    ],
)
def test_yaml_that_is_not_yaml_is_told_with_its_file_and_line(
    tmp_path: Path, command: str, file: str, text: str, where: str
) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "gateway.yaml").write_text("site: home\n")
    (tmp_path / "devices" / "pv.yaml").write_text(
        "profile: eastron/sdm120\nline: serial:/dev/ttyUSB0\n"
    )
    (tmp_path / file).write_text(text)
    result = subprocess.run(
        [sys.executable, "-m", "gateway", "--config", str(tmp_path), command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    told = result.stdout + result.stderr
    assert where in told, told
    assert "Traceback" not in told
