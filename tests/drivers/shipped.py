"""The shipped profiles, each read once by a process: there are a hundred, and many tests go through
all of them.
"""

from contextlib import suppress
from functools import cache

from drivers.profile import Profile, ProfileError, load_profile, profile_ids

shipped_profile = cache(load_profile)
"""The shipped profile of that id."""


@cache
def sound_ids(*protocols: str) -> tuple[str, ...]:
    """The ids of those of these protocols (by default all). One that does not load fails its own
    test, and hides no others.
    """
    found = []
    for each in profile_ids():
        with suppress(ProfileError):
            profile: Profile = shipped_profile(each)
            if not protocols or profile.protocol in protocols:
                found.append(each)
    return tuple(found)
