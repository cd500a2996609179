"""What the maintainer scripts call, in small: the commands with their exit codes and what they do
to the buffer. A file `fails` in the tree names the command in which this version fails.
"""

import shutil
import sqlite3
import sys
from pathlib import Path

TREE = Path(__file__).parents[2]
SCHEMA = len(list((TREE / "gateway/store/migrations").glob("*.sql")))
FAILS = TREE / "gateway" / "fails"


def main() -> int:
    """One command; returns its exit code."""
    at = sys.argv.index("--config")
    folder, command, *words = Path(sys.argv[at + 1]), *sys.argv[at + 2 :]
    store = folder / "buffer.sqlite"
    does = {
        "buffer": lambda: print(store),
        "backup": lambda: shutil.copyfile(store, words[-1]),
        "restore": lambda: shutil.copyfile(words[0], store),
        "outbox": lambda: print((folder / "outbox.json").read_text()),
        "export": lambda: Path(words[2], "PV.csv").write_text("a;b\n"),
        "check": lambda: None,
        "run": lambda: _run(store),
    }
    done = does[command]()
    if FAILS.exists() and FAILS.read_text() == command:
        print("gateway.yaml:1: wrong", file=sys.stderr)
        return 1
    return 1 if done == "refused" else 0


def _run(store: Path) -> str:
    """Opens the buffer, and gives it its schema; says "refused" where that is a newer one."""
    with sqlite3.connect(store) as buffer:
        if buffer.execute("PRAGMA user_version").fetchone()[0] > SCHEMA:
            return "refused"
        buffer.execute(f"PRAGMA user_version = {SCHEMA}")
    (store.parent / "ran.txt").write_text(str(TREE))
    return ""
