"""`meter-gateway init` on a box whose clock says 1970: it is named with its remedy, and the
configuration is written all the same.
"""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, time
real, began = time.time, time.time()
time.time = lambda: 12 * 86_400 + real() - began
from gateway.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_clock_of_1970_is_named_with_its_remedy(tmp_path: Path) -> None:
    words = ["init", "--yes", "--no-exchange", "--no-scan", "--no-start"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--config", str(tmp_path / "site"), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert "This machine believes that it is 1970-01-13" in done.stdout, done.stdout
    assert "no slot is dated: connect it to the network, or set it: timedatectl" in done.stdout
    assert "Traceback" not in done.stdout
