"""`python -m tests.simulation`: what it prints, and what it refuses."""

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.strict_yaml import Seconds
from gateway.cli.terminal import Refused
from tests.simulation import __main__ as simulate
from tests.simulation.examples import HOUR, fault_event
from tests.simulation.scenario import (
    FAULTS,
    Must,
    read,
    written,
)


def command(*words: str) -> int:
    parser = ArgumentParser()
    simulate.arguments(parser)
    return simulate.run(parser.parse_args([*words]))


def test_the_command_prints_what_came_of_a_scenario(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(
        written(
            replace(HOUR, about="short", lasts=Seconds(1200), happens=(fault_event("kill", 300),))
        )
    )
    assert command(str(path), "--jobs", "1") == 0
    out = capsys.readouterr().out
    assert "ok      short" in out
    assert (
        "1 runs, 0.0 gateway-days" in out and "1 faults of 1 kinds, 2 starts of the daemon" in out
    )
    assert "runs that broke a law: 0" in out


def test_the_command_prints_seed_and_smallest_scenario_where_something_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "impossible.yaml"
    must = Must(measured=10**6)
    scenario = replace(
        HOUR,
        about="impossible",
        seed=4711,
        lasts=Seconds(1200),
        happens=(fault_event("kill", 300),),
        must=must,
    )
    path.write_text(written(scenario))
    assert command(str(path), "--jobs", "1") == 1
    out = capsys.readouterr().out
    assert "BROKEN  impossible" in out
    assert "seed 4711" in out
    assert "slots are measured, at least 1000000 must be" in out
    smallest = out.partition("the smallest scenario found that breaks it too:\n")[2].partition(
        "\n\n"
    )[0]
    assert read(smallest, "printed.yaml") == scenario
    assert "runs that broke a law: 1" in out


def test_the_command_lists_the_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--faults") == 0
    out = capsys.readouterr().out
    assert [fault for fault in FAULTS if fault not in out] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--days", "0"), "--days 0: must be more than 0"),
        (("--years", "-1"), "--years -1: must be more than 0"),
        (("--jobs", "0", "--days", "1"), "--jobs 0: must be more than 0"),
        (("nowhere.yaml",), "nowhere.yaml: cannot be read: No such file or directory"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(Refused, match=message):
        command(*words)


def test_the_command_names_what_is_wrong_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("about: x\nlasts: soon\n")
    with pytest.raises(Refused, match=r"bad.yaml:2: lasts"):
        command(str(path))
