"""What was told to be committed is there after SIGKILL, whenever it comes. `make bench` kills a
thousand times.
"""

import subprocess
import sys
from pathlib import Path


def test_a_process_that_is_killed_at_random_moments_breaks_no_law() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.kills", "10", "7"]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("10 kills, ")
    assert " 0 laws broken" in done.stdout
    assert " 0 commits" not in done.stdout
