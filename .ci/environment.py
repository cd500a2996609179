"""Makes .venv, the environment inside the checkout, unless there is a sound one.

    python3 .ci/environment.py check [PYTHON]   print "sound" if .venv can be used (by this PYTHON)
    python3 .ci/environment.py make             make it anew, with the Python that runs this

Older Pythons can read this, too, so that one that is too old is told so.
"""

import subprocess
import sys
from pathlib import Path

NEEDED = (3, 11)
FOLDER = Path.cwd() / ".venv"
ASK = "import sys, importlib.util as u; print(*sys.version_info[:2], bool(u.find_spec('pip')))"


def ask(python):
    """The version of a Python, and whether it has pip: "3 11 True". Empty where it does not run."""
    try:
        done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def is_sound(wanted):
    """Whether .venv was made here, to its end, and by a Python that will do."""
    major, minor, has_pip = [*ask(str(FOLDER / "bin" / "python")).split(), "", "", ""][:3]
    if has_pip != "True" or (int(major), int(minor)) < NEEDED:
        return False  # its making was interrupted, or its Python is gone
    if wanted and ask(wanted).split()[:2] != [major, minor]:
        return False
    try:
        # Its scripts name the folder where it was made.
        return str(FOLDER) in (FOLDER / "bin" / "activate").read_text(encoding="utf-8")
    except OSError:
        return False


def make():
    """Make it anew. Returns what is wrong, if something is."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info < NEEDED:
        return f"Python 3.11 or newer is needed, and this is {version}: make PYTHON=python3.11 …"
    try:
        import ensurepip  # noqa: F401 — Debian has it in a package of its own
        import venv
    except ImportError:
        return (
            f"Python {version} cannot make an environment here: on Debian, "
            f"apt install python{version}-venv (or python3-venv)"
        )
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(str(FOLDER))
    return None


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        sys.exit(make())
    if is_sound("".join(sys.argv[2:3])):
        print("sound")
