"""Every test of one profile and its recording, in a few seconds:

python -m tests.profile acme/em1
"""

import sys
from pathlib import Path

import pytest

from drivers.profile import profile_ids
from drivers.strict_yaml import nearest

ROOT = Path(__file__).parents[2]

FILES = (
    "tests/drivers/test_profile.py",
    "tests/drivers/test_recordings.py",
    "tests/drivers/test_replay.py",
    "tests/gateway/cli/test_profiles.py",
)
"""The tests that a profile has because it is there."""


def hint(profile_id: str, known: list[str]) -> str:
    """What to do where the profile is not there."""
    if not profile_id:
        return "say which: make profile ID=acme/em1"
    near = nearest(profile_id, known)
    begin = f"meter-gateway profiles new {profile_id} --output hardware_profiles/{profile_id}.yaml"
    return near if near.startswith("did") else f"begin it with: {begin}"


def main(words: list[str]) -> int:
    """Returns the exit code of pytest; 2 where the profile is not there."""
    known = profile_ids()
    profile_id = words[0] if len(words) == 1 else ""
    if profile_id not in known:
        print(
            f"{profile_id or 'ID'} is no profile in hardware_profiles/ — {hint(profile_id, known)}"
        )
        return 2

    options = ("--quiet", "--no-header", "-rN", "--tb=short", "--numprocesses=0")
    which = f"{profile_id} or {profile_id.replace('/', '-')} or committed_page"
    return int(pytest.main([*options, *(str(ROOT / file) for file in FILES), "-k", which]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
