"""`meter-gateway init` on a box whose clock says 1970: it is named with its remedy, and the
configuration is written all the same.
"""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, time
real, began = time.time, time.time()
time.time = lambda: 12 * 86_400 + real() - began
from gateway.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("trust", ["kernel", "assured"])
def test_a_clock_of_1970_is_named_with_its_remedy(tmp_path: Path, trust: str) -> None:
    """Also where somebody answers for it: nobody can for a time before this version was made."""
    folder = tmp_path / "site"
    (folder / "devices").mkdir(parents=True)
    meter = "profile: eastron/sdm630\nline: tcp:127.0.0.1:9\naddress: 1\n"
    (folder / "devices" / "grid.yaml").write_text(meter)
    said = _says(folder, "init", "--yes", "--no-exchange", "--no-scan", "--clock", trust)
    assert "This machine believes that it is 1970-01-13" in said, said
    assert "no slot is dated: connect it to the network, or set it: timedatectl" in said
    assert "before this version was made" in said, said
    assert "The first whole slot ends" not in said
    for words in (["check", "--try"], ["doctor"]):
        said = _says(folder, *words)
        (line,) = (each for each in said.splitlines() if "before this version was made" in each)
        assert "✗" in line and "1970-01-13" in line, said


def _says(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--config", str(folder), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout
    return done.stdout
