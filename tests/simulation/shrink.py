"""The smallest scenario that still breaks a law: fewer happenings, shorter ones, a shorter run.
Pure but for what it is given to try.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from drivers.strict_yaml import Seconds
from tests.simulation.scenario import QUIET_S, Scenario

MAX_TRIES = 60


def shrunk(
    scenario: Scenario, fails: Callable[[Scenario], bool], max_tries: int = MAX_TRIES
) -> Scenario:
    """The smallest scenario found that `fails`; the given one must. At most `max_tries` are
    tried.
    """
    tries = 0
    found = True
    while found:
        found = False
        for smaller in _smaller(scenario):
            if tries >= max_tries:
                return scenario
            tries += 1
            if fails(smaller):
                scenario, found = smaller, True
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Every way of making it a little smaller, the boldest first."""
    happens = scenario.happens
    half = len(happens) // 2
    if half:
        yield replace(scenario, happens=happens[:half])
        yield replace(scenario, happens=happens[half:])
    for n in range(len(happens)):
        yield replace(scenario, happens=happens[:n] + happens[n + 1 :])
    end_s = max((each.at + each.lasts for each in happens), default=0.0) + QUIET_S
    if end_s < scenario.lasts:
        yield replace(scenario, lasts=Seconds(end_s))
    for n, each in enumerate(happens):
        if each.lasts > 20:
            yield replace(
                scenario,
                happens=(
                    *happens[:n],
                    replace(each, lasts=Seconds(round(each.lasts / 2))),
                    *happens[n + 1 :],
                ),
            )
