"""Samples: what is kept of them, and how they are found."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample import Sample
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.timing.undated_boots import Dating
from tests.gateway.store.rig import DAY_S, NOW_S, SMALL, closing, sample

VALUES = st.dictionaries(
    st.sampled_from(
        ["energy_import_wh", "energy_export_wh", "power_w", "power_import_w", "gas_m3", "heat_gj"]
    ),
    st.floats(-1e15, 1e15),
    max_size=6,
)


@given(values=st.lists(VALUES, min_size=1, max_size=5))
def test_what_slots_are_made_of_comes_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, float]]
) -> None:
    store = open_buffer(tmp_path_factory.mktemp("store") / "buffer.sqlite", SMALL, now_s=NOW_S)
    taken = [Sample("grid", None, "boot", n, n, each) for n, each in enumerate(values)]
    for each in taken:
        store.add(each)
    store.flush()
    assert [each for _, each in store.samples()] == taken
    store.close_file()


def test_what_fluctuates_anyway_is_kept_as_a_32_bit_float(store: Buffer) -> None:
    store.add(sample(1, voltage_l1_v=230.12345678))
    store.flush()
    ((_, back),) = store.samples()
    assert back.values["voltage_l1_v"] == pytest.approx(230.12345678, rel=1e-7)
    assert back.values["voltage_l1_v"] != 230.12345678


def test_samples_wait_in_memory_until_the_flush_and_are_numbered_in_their_order(
    store: Buffer,
) -> None:
    assert [store.add(sample(n)) for n in range(3)] == [1, 2, 3]
    assert (store.waiting, store.sample_count, list(store.samples())) == (3, 0, [])
    store.flush()
    assert (store.waiting, store.sample_count) == (0, 3)
    assert [number for number, _ in store.samples(after=1)] == [2, 3]


def test_samples_of_a_time_are_found(store: Buffer) -> None:
    for n in range(100):
        store.add(sample(n, utc=n % 7 > 0))
    store.flush()
    found = [
        each.boottime_ms // 10_000
        for _, each in store.samples(since_ms=(NOW_S + 300) * 1000, until_ms=(NOW_S + 400) * 1000)
        if each.utc_ms
    ]
    assert found == [n for n in range(30, 40) if n % 7]


def test_numbers_never_go_back_even_when_every_sample_has_been_pruned(tmp_path: Path) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    for n in range(5):
        store.add(sample(n))
    store.close(closing(number=5))
    store.prune(NOW_S + 365 * DAY_S)
    assert (store.sample_count, list(store.samples())) == (0, [])
    store.close_file()
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    assert store.sample_count == 0
    assert store.add(sample(6)) == 6
    store.close_file()


def test_undated_samples_of_this_boot_get_their_time_and_those_of_another_do_not(
    store: Buffer,
) -> None:
    store.add(sample(1, utc=False, boot="before"))
    store.add(sample(2, utc=False))
    store.add(sample(3))
    store.date_samples(Dating("boot", 5_000_000))
    assert [each.utc_ms for _, each in store.samples()] == [None, 5_020_000, (NOW_S + 30) * 1000]


def test_the_search_for_a_time_steps_over_boots_that_have_none(tmp_path: Path) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    for boot in ("a", "none", "none-2", "b", "none-3"):
        for n in range(100):
            store.add(sample(n + 1000 * (boot == "b"), utc=not boot.startswith("none"), boot=boot))
    store.flush()
    assert store.tables.samples.last_before(NOW_S * 1000 + 500_001) == 51
    assert store.tables.samples.last_before(NOW_S * 1000 + 10**7 + 1) == 301
    assert store.tables.samples.last_before(NOW_S * 1000 + 10**9) == 400
    store.close_file()
