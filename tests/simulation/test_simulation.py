"""The simulator: it replays exactly, its judge finds what is wrong, and it shrinks what breaks a
law.
"""

import asyncio
import itertools
import sqlite3
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.strict_yaml import Seconds
from gateway.cli.terminal import Refused
from tests.simulation import __main__ as simulate
from tests.simulation import years
from tests.simulation.laws import judge
from tests.simulation.scenario import (
    FAULTS,
    Fault,
    Happening,
    Must,
    Scenario,
    ScenarioError,
    at_random,
    read,
    written,
)
from tests.simulation.shrink import shrunk
from tests.simulation.truth import Home, TrueMeter
from tests.simulation.virtual_time import Standstill, VirtualLoop
from tests.simulation.world import Remains, World, run

HOUR = Scenario(
    about="an hour and a half",
    lasts=Seconds(5400),
    interval=Seconds(60),
    starts="2026-03-10T09:50:00",
)


def happening(
    fault: str, at_s: float = 1800, lasts_s: float = 0, amount: float = 0.0, on: str = "grid"
) -> Happening:
    return Happening(
        at=Seconds(at_s), fault=Fault(fault), lasts=Seconds(lasts_s), on=on, amount=amount
    )


# --- a run depends on nothing but its scenario ----------------------------------------------------


@pytest.mark.parametrize(
    "happens",
    [
        (),
        (
            happening("power_cut", 1500, 30, 5),
            happening("power_cut", 2400, 60, 17),
            happening("line_noise", 600, 3000, 0.3, "pv"),
        ),
        (
            happening("store_noise", 2000, 0, 0.3),
            happening("exchange_slow", 900, 1800, 20),
            happening("meter_swapped", 2400),
        ),
    ],
    ids=["quiet", "power cuts", "noise on the disk"],
)
def test_the_same_scenario_gives_the_same_run(happens: tuple[Happening, ...]) -> None:
    scenario = replace(HOUR, happens=happens)
    first, second = years.try_out(scenario), years.try_out(scenario)
    assert first.violations == []
    assert (first.digest, first.events, first.deliveries, first.starts) == (
        second.digest,
        second.events,
        second.deliveries,
        second.starts,
    )


def test_another_seed_gives_another_run() -> None:
    assert years.try_out(HOUR).digest != years.try_out(replace(HOUR, seed=2)).digest


@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_a_random_half_day_breaks_no_law(seed: int) -> None:
    assert years.try_out(at_random(seed, 43_200)).violations == []


def test_a_random_scenario_depends_on_its_seed_alone() -> None:
    assert at_random(7) == at_random(7) != at_random(8)


def test_runs_on_several_processors_come_in_their_order() -> None:
    scenarios = [replace(HOUR, about=f"number {n}", lasts=Seconds(900), seed=n) for n in range(3)]
    total = years.tally(years.try_all(scenarios, jobs=2), lambda _, __: None)
    assert (total.runs, total.seconds, total.starts, total.broken) == (3, 2700.0, 3, [])


# --- virtual time ---------------------------------------------------------------------------------


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


def test_a_virtual_year_passes_at_once(runner: asyncio.Runner) -> None:
    async def sleeps() -> float:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await asyncio.sleep(365 * 86_400)
        return loop.time() - began_s

    assert runner.run(sleeps()) == pytest.approx(365 * 86_400)


def test_timers_run_in_the_order_of_their_times(runner: asyncio.Runner) -> None:
    async def all_of_them() -> list[float]:
        rang: list[float] = []

        async def ring(after_s: float) -> None:
            await asyncio.sleep(after_s)
            rang.append(after_s)

        await asyncio.gather(*map(ring, (3.0, 0.5, 3600.0, 2.0)))
        return rang

    assert runner.run(all_of_them()) == [0.5, 2.0, 3.0, 3600.0]


def test_a_world_in_which_all_wait_for_nothing_is_a_bug(runner: asyncio.Runner) -> None:
    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Standstill, match="no timer"):
        runner.run(waits())


def test_a_signal_is_delivered_to_who_listens_for_it(runner: asyncio.Runner) -> None:
    async def listens() -> list[str]:
        heard: list[str] = []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.add_signal_handler(15, heard.append, "TERM")
        loop.deliver(15)
        loop.deliver(2)
        await asyncio.sleep(0)
        assert loop.remove_signal_handler(15) and not loop.remove_signal_handler(15)
        loop.deliver(15)
        await asyncio.sleep(0)
        return heard

    assert runner.run(listens()) == ["TERM"]


# --- the truth ------------------------------------------------------------------------------------


def test_what_flows_between_two_times_is_the_sum_of_what_flows_in_between() -> None:
    home = Home(3, 1_773_100_800)
    times_ms = [home.origin_s * 1000 + k * 7_001 for k in range(2000)]
    total_mj = home.energy_mj("consumption", times_ms[-1]) - home.energy_mj(
        "consumption", times_ms[0]
    )
    parts = itertools.pairwise(times_ms)
    assert (
        total_mj
        == sum(
            home.energy_mj("consumption", b) - home.energy_mj("consumption", a) for a, b in parts
        )
        > 0
    )


def test_what_the_house_uses_comes_from_the_grid_or_its_panels() -> None:
    home = Home(3, 1_773_100_800)
    for t_ms in range(home.origin_s * 1000, home.origin_s * 1000 + 86_400_000, 613_000):
        supplied_w = (
            home.watts("grid_import", t_ms)
            + home.watts("pv", t_ms)
            - home.watts("grid_export", t_ms)
        )
        assert supplied_w == home.watts("consumption", t_ms)
        assert 0 in (home.watts("grid_import", t_ms), home.watts("grid_export", t_ms))


def test_a_glitch_is_in_as_many_readings_as_it_was_made_for() -> None:
    home = Home(3, 1_773_100_800)
    meter = TrueMeter("grid", home, {"import": "consumption"}, {"import": 1000}, 10, "1")
    t_ms = home.origin_s * 1000
    meter.zeros, meter.flips, meter.flip_bit = 2, 1, 4
    assert [meter.reading_wh(t_ms)["import"] for _ in range(4)] == [0, 0, 1000 ^ 16, 1000]


# --- the judge ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def remains(tmp_path_factory: pytest.TempPathFactory) -> Remains:
    return run(replace(HOUR, must=Must(measured=30)), tmp_path_factory.mktemp("judged") / "site")


@pytest.fixture
def tampered(remains: Remains) -> Iterator[Callable[[str], list[str]]]:
    """Changes the books with SQL, and gives out which laws are broken then. The books are as before
    afterwards.
    """
    path = remains.settings.buffer_path
    before = path.read_bytes()

    def tamper(sql: str) -> list[str]:
        db = sqlite3.connect(path)
        with db:
            assert db.execute(sql).rowcount > 0
        db.close()
        return broken(remains)

    yield tamper
    path.write_bytes(before)


def broken(remains: Remains) -> list[str]:
    return sorted({text.partition(":")[0] for text in judge(remains).violations})


def test_the_judge_finds_nothing_wrong_in_what_is_right(remains: Remains) -> None:
    assert judge(remains).violations == []


SLOT = "device = 'pv' AND direction = 'export' AND quality = 'measured' AND start_s % 3600 = 900"


@pytest.mark.parametrize(
    ("sql", "laws"),
    [
        (f"UPDATE slots SET energy_uwh = energy_uwh + 1 WHERE {SLOT}", ["chained"]),
        (
            f"UPDATE slots SET begin_uwh = end_uwh + 1, energy_uwh = -1 WHERE {SLOT}",
            ["chained", "true"],
        ),
        (
            "UPDATE slots SET energy_uwh = energy_uwh - 1000000, begin_uwh = begin_uwh + "
            f"1000000 WHERE {SLOT}",
            ["chained"],
        ),
        (
            "UPDATE slots SET energy_uwh = energy_uwh + 900000000, begin_uwh = begin_uwh - "
            f"900000000 WHERE {SLOT}",
            ["chained", "true"],
        ),
        (f"DELETE FROM slots WHERE {SLOT}", ["booked", "chained", "expected"]),
        (f"UPDATE slots SET quality = 'partial' WHERE {SLOT}", ["booked", "expected"]),
        (
            f"UPDATE slots SET start_s = start_s + 900, serial_number = 'twin' WHERE {SLOT}",
            ["booked", "chained", "true"],
        ),
        ("UPDATE samples SET utc_ms = utc_ms + 1000 WHERE id = 10", ["dated"]),
        (
            "DELETE FROM outbox WHERE kind = 'measurement' AND slot_s % 3600 = 900",
            ["booked", "complete"],
        ),
        (
            "UPDATE outbox SET state = 'pending' WHERE kind = 'measurement' AND slot_s % 3600 = "
            "900",
            ["complete"],
        ),
        (
            "UPDATE outbox SET state = 'missed', reason = '' WHERE kind = 'measurement' AND "
            "slot_s % 3600 = 900",
            ["complete"],
        ),
        (
            "UPDATE outbox SET energy_uwh = energy_uwh + 1 WHERE kind = 'measurement' AND slot_s "
            "% 3600 = 900",
            ["booked"],
        ),
        ("DELETE FROM outbox WHERE kind = 'measurement'", ["booked", "complete"]),
    ],
)
def test_the_judge_finds_what_is_wrong_in_the_books(
    tampered: Callable[[str], list[str]], sql: str, laws: list[str]
) -> None:
    assert tampered(sql) == laws


def test_the_judge_finds_damage(remains: Remains) -> None:
    path = remains.settings.buffer_path
    before = path.read_bytes()
    try:
        path.write_bytes(before[:4096] + b"\x5a" * 40_000 + before[44_096:])
        assert broken(remains)
        path.write_bytes(b"noise" * 1000)
        assert judge(remains).violations[0].startswith("the database cannot be read")
    finally:
        path.write_bytes(before)


def test_the_judge_finds_what_is_wrong_at_the_exchange(remains: Remains) -> None:
    asset = next(uuid for uuid, name in remains.exchange.assets.items() if name == "PV")
    held = remains.exchange.books.measurements[asset]
    before = dict(held)
    slot_s = sorted(held)[1]
    wrong: list[tuple[dict[int, int], str]] = [
        ({**before, slot_s: before[slot_s] + 1}, "owed were"),
        ({**before, slot_s + 86_400: 1}, "never owed"),
        ({s: uwh for s, uwh in before.items() if s != slot_s}, "does not hold it"),
    ]
    for tampered_with, words in wrong:
        held.clear()
        held.update(tampered_with)
        assert [text for text in judge(remains).violations if words in text], words
    held.clear()
    held.update(before)
    assert judge(remains).violations == []


def test_the_judge_tells_of_a_daemon_that_died(remains: Remains) -> None:
    remains.crashes.append("ValueError: what nobody thought of")
    try:
        assert judge(remains).violations == ["alive: ValueError: what nobody thought of"]
    finally:
        remains.crashes.clear()


@pytest.mark.parametrize(
    ("must", "words"),
    [
        (Must(measured=31), "30 slots are measured, at least 31 must be"),
        (Must(lost=5), "6 partial or missing, at most 5 may be"),
        (Must(missed=3), "4 missed, at most 3 may be"),
        (Must(starts=2), "the daemon was started 1 times, where 2 must be"),
        (Must(events={"swap": 1}), "events {} are noted, where {'swap': 1} must be"),
        (Must(off_wh=0.0), "it is called measured and off by"),
        (Must(within=Seconds(0.5), late=19), "20 numbers came later than 0.5 s, at most 19 may"),
    ],
)
def test_the_judge_finds_what_does_not_come_out_as_it_must(
    remains: Remains, must: Must, words: str
) -> None:
    texts = judge(replace(remains, scenario=replace(remains.scenario, must=must))).violations
    assert [text for text in texts if text.startswith("expected:") and words in text], texts


# --- the smallest ---------------------------------------------------------------------------------


def test_the_smallest_scenario_is_that_which_it_takes() -> None:
    scenario = at_random(5)
    guilty = happening("meter_swapped", 40_000, 4000)
    scenario = replace(scenario, happens=(*scenario.happens, guilty, happening("kill", 50_000)))

    def fails(tried: Scenario) -> bool:
        return any(each.fault == "meter_swapped" and each.lasts >= 600 for each in tried.happens)

    smallest = shrunk(scenario, fails)
    assert len(smallest.happens) == 1
    assert smallest.happens[0].fault == "meter_swapped"
    assert 600 <= smallest.happens[0].lasts < 1200
    assert smallest.lasts < scenario.lasts


def test_no_more_is_tried_than_allowed() -> None:
    tried: list[Scenario] = []

    def fails(scenario: Scenario) -> bool:
        tried.append(scenario)
        return False

    shrunk(at_random(5), fails, max_tries=3)
    assert len(tried) == 3


def test_what_only_does_not_come_out_as_asked_for_is_the_smallest() -> None:
    scenario = replace(
        HOUR, lasts=Seconds(900), happens=(happening("kill", 300),), must=Must(measured=1000)
    )
    assert years.smallest(scenario) == scenario


def test_a_broken_law_is_shrunk_to_what_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "_restart", _break_the_exchange)
    scenario = replace(
        HOUR,
        happens=(
            happening("restart", 2400),
            happening("kill", 2000),
            happening("exchange_slow", 600, 1200, 3),
        ),
    )
    assert [each.fault for each in years.smallest(scenario).happens] == ["restart"]


def _break_the_exchange(self: World, _: Happening) -> None:
    """A seeded bug: what the exchange holds is not what it was sent."""
    for held in self.exchange.books.measurements.values():
        held.update({slot_s: uwh + 5_000_000_000 for slot_s, uwh in held.items()})


# --- scenario files -------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.sampled_from((7200.0, 86_400.0, 3 * 86_400.0)))
def test_a_scenario_is_read_as_it_was_written(seed: int, lasts_s: float) -> None:
    scenario = at_random(seed, lasts_s)
    again = read(written(scenario), "again.yaml")
    assert replace(again, happens=()) == replace(scenario, happens=())
    for one, other in zip(again.happens, scenario.happens, strict=True):
        assert (one.fault, one.on) == (other.fault, other.on)
        assert (one.at, one.lasts, one.amount) == pytest.approx(
            (other.at, other.lasts, other.amount)
        )


def test_what_must_come_out_is_written_too() -> None:
    must = Must(
        measured=3,
        estimated=0,
        rejected=None,
        events={"meter clock": 1, "swap": 2},
        within=Seconds(120),
        late=4,
    )
    scenario = replace(HOUR, about="it's: quoted", trust="assured", must=must)
    assert read(written(scenario), "again.yaml") == scenario


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "about: x\nlasts: 1h\nhappens:\n  - {at: 1min, fault: lne_noise}\n",
            "there is no fault 'lne_noise'",
        ),
        (
            "about: x\nlasts: 1h\nhappens:\n  - {at: 50min, fault: silent_meter, lasts: 20min}\n",
            "bad.yaml:4: happens[0]: ends after",
        ),
        ("about: x\nlasts: 1h\nstarts: yesterday\n", "'yesterday' is not a time"),
        ("about: x\nlasts: 1h\nmust: {mesured: 3}\n", "must.mesured: unknown key"),
        ("about: x\n", "lasts"),
        ("about: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_scenario_is_named_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(text, "bad.yaml")
    assert words in str(caught.value)
    assert "bad.yaml:" in str(caught.value)


def test_every_fault_can_befall_the_world() -> None:
    assert [fault for fault in FAULTS if not hasattr(World, f"_{fault}")] == []


# --- the command ----------------------------------------------------------------------------------


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
            replace(HOUR, about="short", lasts=Seconds(1200), happens=(happening("kill", 300),))
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
        happens=(happening("kill", 300),),
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
