"""Beliefs about a register that are taken back: nothing stays booked that did not flow."""

import math
import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.fold import advance
from gateway.energy.slot import MeterState
from tests.draws import draws
from tests.gateway.energy.samples import meter, sample
from tests.gateway.energy.written import Shows, Written, counting_up, while_, written


def hourly(by: int, lasts_s: int) -> Shows:
    """So much less for so long, once an hour."""
    return lambda t, wh: wh + by if 1800 <= t % 3600 < 1800 + lasts_s else wh


def silent_then(value: float) -> Shows:
    def shows(t: int, wh: int) -> float | None:
        if 3600 <= t < 3660:
            return value
        return None if 3660 <= t < 7260 else wh

    return shows


def risen_unseen(by: int, lasts_s: int) -> Shows:
    """So much more for so long, from within a silence of 20 minutes on."""

    def shows(t: int, wh: int) -> float | None:
        if 3600 <= t < 4800:
            return None
        return wh + by if 4800 <= t < 4800 + lasts_s else wh

    return shows


def another_meter(begin_s: int, end_s: int, more_wh: int, power_w: int) -> Shows:
    """What another meter counts is shown meanwhile."""

    def shows(t: int, wh: int) -> float | None:
        other_wh = 60_000 + more_wh + (t - begin_s) * power_w // 3600
        return other_wh if begin_s <= t < end_s else wh

    return shows


LIES: dict[str, tuple[int, float, Shows]] = {
    "one count back for 30 s an hour": (100, 12, hourly(-100, 30)),
    "seven counts back for a minute an hour": (100, 12, hourly(-700, 60)),
    "four counts back for a minute an hour": (1, 12, hourly(-4, 60)),
    "three counts back for five minutes an hour": (10, 12, hourly(-30, 300)),
    "0 for a minute, then an hour of silence": (1, 3, silent_then(0)),
    "42 for a minute, then an hour of silence": (1, 3, silent_then(42)),
    "0 for 20 minutes": (1, 3, while_(3600, 4800, lambda _: 0)),
    "7 for 20 minutes": (1, 3, while_(3600, 4800, lambda _: 7)),
    "2 MWh more for three readings": (1, 3, while_(3600, 3630, lambda wh: wh + 2e6)),
    "2 MWh more for 40 minutes": (1, 3, while_(3600, 6000, lambda wh: wh + 2e6)),
    "2 MWh more for five hours": (1, 8, while_(3600, 6 * 3600, lambda wh: wh + 2e6)),
    "300 Wh more for 75 minutes, since a silence": (1, 4, risen_unseen(300, 4500)),
    "6 Wh more for two minutes, since a silence": (1, 3, risen_unseen(6, 120)),
    "a meter 5 MWh higher that counts 3 kW for ten minutes": (
        1,
        3,
        another_meter(3600, 4200, 5_000_000, 3000),
    ),
    "a meter 900 Wh higher that counts 1.5 kW for half an hour": (
        10,
        3,
        another_meter(3600, 5400, 900, 1500),
    ),
    "0xFFFFFFF0 for five minutes": (100, 3, while_(3600, 3900, lambda _: 429_496_728_000)),
}


@pytest.mark.parametrize("power_w", [0, 500])
@pytest.mark.parametrize("tells_power", [True, False])
@pytest.mark.parametrize("name", LIES)
def test_a_register_that_comes_back_has_moved_by_what_flowed(
    name: str, tells_power: bool, power_w: int
) -> None:
    step_wh, hours, shows = LIES[name]
    samples, flowed_wh = counting_up(
        shows, hours=hours, power_w=power_w, step_wh=step_wh, tells_power=tells_power
    )
    books = written(samples, meter(step_wh))
    assert abs(books.booked_wh() - flowed_wh) <= step_wh
    assert books.unallocated == []
    assert books.widest_bytes <= 4096
    books.check_chain("import")


@pytest.mark.parametrize("tells_power", [True, False])
def test_zeros_before_the_first_total_are_no_total(tells_power: bool) -> None:
    """A buffer was lost at night, and the inverter's meter shows 0 until it is heard."""
    samples, _ = counting_up(
        while_(0, 1200, lambda _: 0), hours=3, power_w=500, step_wh=1, tells_power=tells_power
    )
    books = written(samples, meter(1))
    assert books.unallocated_wh("jump") == 0
    assert "jump" in books.kinds()
    assert books.booked_wh() <= 3 * 500 + 1
    books.check_chain("import")


@pytest.mark.parametrize("total_wh", [40, 700, 4321])
@pytest.mark.parametrize("tells_power", [True, False])
def test_a_small_total_after_zeros_and_a_silence_has_not_flowed_in_the_silence(
    total_wh: int, tells_power: bool
) -> None:
    samples, _ = counting_up(
        lambda t, wh: 0 if t < 600 else wh if t >= 3000 else None,
        hours=2,
        power_w=0,
        begin_wh=total_wh,
        tells_power=tells_power,
    )
    books = written(samples, meter(1))
    assert books.booked_wh() == 0
    assert books.unallocated_wh() == 0
    assert "a 0 before was no total" in books.events[-1].text
    books.check_chain("import")


def test_a_new_meter_that_shows_0_counts_from_there() -> None:
    samples, flowed_wh = counting_up(
        lambda _, wh: wh, hours=2, power_w=700, begin_wh=0, tells_power=False
    )
    books = written(samples, meter(1))
    assert books.booked_wh() + sum(left.energy_uwh for left in books.starts) / 1e6 == pytest.approx(
        flowed_wh, abs=1
    )


def test_what_a_jump_left_unallocated_is_withdrawn_with_an_event() -> None:
    samples, _ = counting_up(while_(3600, 6000, lambda wh: wh + 2e6), hours=2, power_w=500)
    jumped = written(samples[: 3650 // 10], meter())
    assert jumped.unallocated_wh("jump") == pytest.approx(2e6, abs=10)

    books = written(samples, meter())
    assert books.unallocated == []
    assert [left.kind for left in books.withdrawn] == ["jump"]
    assert books.kinds() == {"jump": 1, "glitch": 1}
    assert "are no longer unallocated" in books.events[-1].text


@pytest.mark.parametrize("lasts_s", [1900, 4000])
def test_what_was_conceded_to_a_register_that_rose_too_fast_is_withdrawn_when_it_is_back(
    lasts_s: int,
) -> None:
    def shows(t: int, wh: int) -> float:
        return wh + (t - 3590) * 5000 if 3600 <= t < 3600 + lasts_s else wh

    samples, flowed_wh = counting_up(shows, hours=4, power_w=500)
    conceded = written(samples[: (3600 + lasts_s) // 10], meter())
    assert conceded.unallocated_wh("jump") > 1e6

    books = written(samples, meter())
    assert books.unallocated == []
    assert abs(books.booked_wh() - flowed_wh) <= 1
    assert books.kinds()["glitch"] == 1
    assert books.widest_bytes <= 4096
    books.check_chain("import")


def test_slots_that_were_closed_meanwhile_come_as_revisions_with_what_flowed() -> None:
    samples, _ = counting_up(while_(3600, 6000, lambda wh: wh - 59_000), hours=3, power_w=400)
    books = written(samples, meter())
    slots = sorted(books.slots.values(), key=lambda slot: slot.start_s)
    imports = [slot for slot in slots if slot.direction == "import"]
    assert [round(slot.energy_uwh or 0, -6) / 1e6 for slot in imports[1:]] == [100] * 11
    assert [slot.revision for slot in imports[3:8]] == [1, 1, 1, 0, 0]
    assert [slot.quality for slot in imports[3:8]] == ["estimated"] * 4 + ["measured"]


def test_a_sub_meter_that_counts_up_to_where_it_was_reset_undoes_nothing() -> None:
    step = 100
    stood_wh = 12_000

    def shows(t: int, wh: int) -> float:
        return wh if t < 3600 else (wh - stood_wh - 3000) // step * step + step

    samples, flowed_wh = counting_up(shows, hours=8, power_w=3000, step_wh=step, begin_wh=stood_wh)
    books = written(samples, meter(step))
    assert books.kinds() == {"reset": 1}
    assert abs(books.booked_wh() - flowed_wh) <= 2 * step


def test_one_stale_reading_after_a_reset_brings_nothing_back() -> None:
    def shows(t: int, wh: int) -> float:
        if t == 5400:
            return 60_500
        return wh if t < 3600 else wh - 60_400

    samples, flowed_wh = counting_up(shows, hours=3, power_w=500)
    books = written(samples, meter())
    assert books.kinds() == {"reset": 1, "glitch": 1}
    assert abs(books.booked_wh() - flowed_wh) <= 3


def test_a_jump_that_is_no_jump_after_a_reset_that_was_one() -> None:
    def shows(t: int, wh: int) -> float:
        if t < 3600:
            return wh
        return wh - 60_400 + (2e6 if 7200 <= t < 7500 else 0)

    samples, flowed_wh = counting_up(shows, hours=3, power_w=500)
    books = written(samples, meter())
    assert books.kinds() == {"reset": 1, "jump": 1, "glitch": 1}
    assert books.unallocated == []
    assert abs(books.booked_wh() - flowed_wh) <= 3
    assert books.widest_bytes <= 4096


def test_a_register_that_was_never_used_is_zero_again_when_the_others_were_reset() -> None:
    samples = [
        sample(
            10 * n,
            1000 + n if n < 100 else n - 100,
            360,
            export_wh=12 if n < 100 else 0,
        )
        for n in range(300)
    ]
    books = written(samples, meter())
    assert books.kinds() == {"reset": 2}
    assert books.state is not None
    assert books.state.directions["export"].counter.shown_uwh == 0


# --- any stream -----------------------------------------------------------------------------------

FAULTS = st.lists(
    st.tuples(
        st.integers(4, 300),  # readings before it
        st.sampled_from(["jitter", "high", "low", "zero", "underflow", "gap", "long gap", "reset"]),
        st.integers(1, 40),  # readings that it lasts for
        st.one_of(st.integers(3, 50), st.integers(3, 5_000_000)),  # counts
    ),
    max_size=6,
)


def lying(
    faults: Sequence[tuple[int, str, int, int]],
    *,
    seed: int,
    step_wh: int,
    powers_w: Sequence[int],
    tells_power: bool,
) -> tuple[list[Sample], float, int]:
    """Samples of a meter that lies; what flowed; and how often it was truly reset."""
    rng = random.Random(seed)
    wh, offset_wh, resets, flowed_wh = 70_000.0, 0, 0, 0.0
    samples = []
    t_s = 0

    def count(what: str, by_wh: int = 0) -> None:
        nonlocal wh, t_s, flowed_wh
        power_w = powers_w[t_s // 600 % len(powers_w)]
        shown_wh = _lie(what, int(wh) // step_wh * step_wh + offset_wh, by_wh, step_wh, rng)
        if shown_wh is not None:
            samples.append(sample(t_s, shown_wh, power_w if tells_power else None))
        wh += power_w / 360
        flowed_wh += power_w / 360
        t_s += 10

    for before, what, lasts, counts in faults:
        for _ in range(before):
            count("")
        if what == "reset":
            offset_wh -= int(wh) // step_wh * step_wh + offset_wh - step_wh
            resets += 1
        for _ in range(lasts * 30 if what == "long gap" else lasts):
            count(what, counts * step_wh)
    for _ in range(100):
        count("")
    return samples, flowed_wh, resets


def _lie(what: str, true_wh: int, by_wh: int, step_wh: int, rng: random.Random) -> int | None:
    match what:
        case "jitter":
            return max(true_wh + rng.choice((-1, 0, 1)) * step_wh, 0)
        case "high":
            return true_wh + by_wh
        case "low":
            return max(true_wh - by_wh, 0)
        case "zero":
            return 0
        case "underflow":
            return 4_294_967_290 * step_wh
        case "gap" | "long gap":
            return None
    return true_wh


@draws(80)
@example(  # a rise, and not the register from before a reset a while ago
    faults=[
        (13, "reset", 25, 36),
        (55, "reset", 33, 49),
        (192, "long gap", 7, 1_175_700),
        (203, "high", 27, 33),
        (232, "gap", 40, 740_537),
        (22, "high", 6, 47),
    ],
    seed=0,
    step_wh=10,
    powers_w=[200, 0, 0],
    tells_power=True,
)
@given(
    FAULTS,
    st.integers(0, 99),
    st.sampled_from([1, 10, 100]),
    st.lists(st.sampled_from([0, 0, 200, 3000]), min_size=1, max_size=4),
    st.booleans(),
)
def test_what_is_booked_is_no_more_than_what_flowed_but_for_two_steps_for_each_reset(
    faults: list[tuple[int, str, int, int]],
    seed: int,
    step_wh: int,
    powers_w: list[int],
    tells_power: bool,
) -> None:
    # A load that nobody tells of, switched on just when a register lies, is not to be told from the
    # lie.
    powers_w = powers_w if tells_power else powers_w[:1]
    samples, flowed_wh, resets = lying(
        faults, seed=seed, step_wh=step_wh, powers_w=powers_w, tells_power=tells_power
    )
    books = written(samples, meter(step_wh))
    books.check_chain("import")
    assert books.booked_wh() - flowed_wh <= step_wh * (2 + 2 * resets)


@draws(60)
@example(  # power speaks for the rise
    faults=[(12, "high", 1, 3)], seed=0, step_wh=1, powers_w=[0], lies=[(17_000.0, False)]
)
@example(  # power speaks for the way back
    faults=[(298, "low", 13, 4_638_798), (258, "low", 13, 10)],
    seed=61,
    step_wh=1,
    powers_w=[0],
    lies=[(math.nan, False), (-1e9, True), (math.nan, False), (-1e9, False), (17_000.0, False)],
)
@example(  # the way back is hidden by a stranger, and power goes on
    faults=[
        (164, "long gap", 4, 22),
        (89, "underflow", 8, 26),
        (164, "zero", 22, 287_910),
        (29, "low", 19, 6),
    ],
    seed=94,
    step_wh=1,
    powers_w=[3000, 0],
    lies=[(math.inf, True), (math.inf, True), (0.0, False), (500.0, False)],
)
@example(  # a 0 after a reset that was one
    faults=[(31, "reset", 31, 42), (38, "low", 13, 10)],
    seed=8,
    step_wh=10,
    powers_w=[200, 200],
    lies=[(500.0, False), (-1e9, True), (17_000.0, False)],
)
@given(
    FAULTS,
    st.integers(0, 99),
    st.sampled_from([1, 10, 100]),
    st.lists(st.sampled_from([0, 200, 3000]), min_size=1, max_size=4),
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 500.0, 17_000.0, -1e9, 1e12, float("inf"), float("nan")]),
            st.booleans(),
        ),
        min_size=1,
        max_size=7,
    ),
)
def test_a_meter_that_lies_of_its_number_register_and_power_at_once_books_no_more(
    faults: list[tuple[int, str, int, int]],
    seed: int,
    step_wh: int,
    powers_w: list[int],
    lies: list[tuple[float, bool]],
) -> None:
    """Each third reading bears another number, or shows a power that never was."""
    told, flowed_wh, resets = lying(
        faults, seed=seed, step_wh=step_wh, powers_w=powers_w, tells_power=True
    )
    samples = []
    for n, each in enumerate(told):
        power_w, is_stranger = lies[n // 3 % len(lies)]
        if n % 3 == 0 and n > 9:
            values = {**each.values, "power_w": power_w}
            serial = "B" if is_stranger else each.serial_number
            samples.append(replace(each, values=values, serial_number=serial))
        else:
            samples.append(each)
    books = written(samples, meter(step_wh))
    books.check_chain("import")
    assert "swap" not in books.kinds()
    assert books.booked_wh() - flowed_wh <= step_wh * (2 + 2 * resets)


@draws(15)
@given(FAULTS, st.lists(st.integers(0, 1500), max_size=4))
def test_a_restart_changes_nothing(
    faults: list[tuple[int, str, int, int]], cuts: list[int]
) -> None:
    samples, _, _ = lying(faults, seed=1, step_wh=1, powers_w=[0, 500], tells_power=True)
    once = written(samples, meter())
    again = Written()
    for n, each in enumerate(samples):
        if n in cuts and again.state is not None:
            stored = msgspec.json.encode(again.state)
            again.state = msgspec.json.decode(stored, type=MeterState)
        again.write(advance(again.state, each, meter()))
    assert (again.slots, again.unallocated) == (once.slots, once.unallocated)


def test_a_0_beside_which_something_is_shown_is_a_total() -> None:
    """A new meter is read once, and then not for an hour: what passed in it is booked."""
    first = sample(0, 0, 800.0)
    later = [sample(t, t * 800 // 3600, 800.0) for t in range(3600, 7300, 10)]
    books = written([first, *later], meter(1))
    assert books.booked_wh() == pytest.approx(1600, abs=20)
    assert books.unallocated_wh() == 0
