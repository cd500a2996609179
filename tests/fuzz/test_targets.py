"""Whatever comes in raises only documented errors and says only printable things: the targets of
`make fuzz`, fed by hypothesis.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.profile import decode_profile
from drivers.strict_yaml import decode, parse
from gateway.delivery.kinds import load
from gateway.site.devices import DeviceFile
from gateway.site.settings import GatewayFile
from tests.draws import draws
from tests.fuzz.meter_drivers import LOOP
from tests.fuzz.settings import SMALL_PROFILE, ordinary_folder, remove_folder, yaml_seeds
from tests.fuzz.target import Target, run
from tests.fuzz.targets import TARGETS

INPUTS_PER_EXAMPLE = 25
"""Drawing an example takes hypothesis as long as most targets need for many inputs."""

EXAMPLES = 80
FEWER_EXAMPLES = {
    "p1": 40, "p1-reader": 40, "p1-cipher": 40, "meter-drivers": 20, "meter-pauses": 30,
    "sml-frames": 40, "iec62056": 40,
    "yaml": 20, "profile": 6, "folder": 2, "credentials": 20, "exchange-session": 12,
    "status-page": 20, "mqtt": 12,
}  # fmt: skip
"""Of the targets that are slow."""


@pytest.fixture(autouse=True, scope="module")
def _tidied_up() -> Iterator[None]:
    yield
    while LOOP:
        LOOP.pop().close()
    remove_folder()


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    return tuple(TARGETS[name].seeds())


def damaged(target: Target, data: bytes, rng: random.Random) -> bytes:
    """The input with a few bytes changed, lost, doubled, or replaced by one of the target's
    words.
    """
    changed = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.choice((0, 1, 1, 2, 4, 8, 60)))
        match rng.randrange(5):
            case 0 if target.words:
                changed[at:end] = rng.choice(target.words)
            case 1:
                changed[at:end] = b""
            case 2:
                changed[at:at] = changed[at:end]
            case 3 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case _:
                changed[at:end] = rng.randbytes(end - at)
    if changed and rng.random() < 0.3:
        changed[0] = rng.randrange(256)  # the options
    return bytes(changed[: target.longest])


@contextmanager
def told(data: bytes) -> Iterator[None]:
    """A finding says by which input it is found again."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the input: {data!r}")
        raise


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_taken(name: str) -> None:
    for seed in seeds(name):
        with told(seed):
            run(TARGETS[name], seed)


def test_mutations_of_settings_begin_at_right_ones() -> None:
    assert load(ordinary_folder()).devices
    assert decode_profile("fuzz/meter", parse(SMALL_PROFILE, "fuzz.yaml")).settings.registers
    for seed in yaml_seeds():
        document = parse(seed[1:], "fuzz.yaml")
        assert decode(GatewayFile if seed[0] else DeviceFile, document), document.problems


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_in_only_documented_errors_come_out(name: str) -> None:
    target = TARGETS[name]

    @settings(draws(FEWER_EXAMPLES.get(name, EXAMPLES)), suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False), st.binary(max_size=200))
    def feed(rng: random.Random, anything: bytes) -> None:
        for data in (
            anything,
            *(damaged(target, rng.choice(seeds(name)), rng) for _ in range(INPUTS_PER_EXAMPLE - 1)),
        ):
            with told(data):
                run(target, data)

    feed()
