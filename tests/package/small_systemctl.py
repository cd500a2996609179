"""A systemd in small, for the maintainer scripts: it runs the program once at each start, which is
ready if that goes well. What it was told is in calls.txt of the root.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])
ACTIVE = ROOT / "active"


def main(words: list[str]) -> int:
    """What systemctl would return."""
    with (ROOT / "calls.txt").open("a") as calls:
        calls.write(f"{' '.join(words)}\n")
    if words[0] == "stop":
        ACTIVE.unlink(missing_ok=True)
    elif words[0] == "start":
        if not (ROOT / "etc/meter-gateway/gateway.yaml").exists():
            return 0  # ConditionPathExists: skipped
        command = [ROOT / "usr/bin/meter-gateway", "--config", ROOT / "etc/meter-gateway", "run"]
        if subprocess.run(command, check=False).returncode:
            return 1
        ACTIVE.touch()
    elif words[0] == "is-active":
        return 0 if ACTIVE.exists() else 3
    elif words[:2] == ["show", "--property=MainPID"]:
        sys.stdout.write("17\n" if ACTIVE.exists() else "0\n")
    elif words[:2] == ["show", "--property=StatusText"]:
        sys.stdout.write("not started: as it said\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
