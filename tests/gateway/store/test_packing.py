"""A sample's values in bytes: what slots are made of comes back as it was, to the last bit."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.packing import Packing
from tests.draws import draws

NAMES = ("energy_import_wh", "power_w", "voltage_l1_v", "energy_export_wh", "frequency_hz")
EXACT = (0, 1, 3)

finite = st.floats(allow_nan=False)
register = st.integers(0, 10**12).map(float)
inexact = st.floats(width=32)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@draws(200)
@given(
    st.tuples(
        register | finite | st.just(math.nan), finite, inexact, register | finite | inexact, inexact
    )
)
def test_what_slots_are_made_of_keeps_every_bit(values: tuple[float, ...]) -> None:
    packing = Packing(NAMES)
    data = packing.pack(values)
    found = packing.unpack(data)
    assert all(bits(found[n]) == bits(values[n]) for n in EXACT)
    assert all(found[n] == values[n] or math.isnan(values[n]) for n in (2, 4))
    assert len(data) <= 3 * 8 + 2 * 4
    assert Packing(NAMES).unpack(data)[:2] == found[:2] or math.isnan(values[0])


def test_a_register_of_a_home_takes_four_bytes_and_one_beyond_float32_eight() -> None:
    packing = Packing(("energy_import_wh", "energy_export_wh"))
    assert len(packing.pack((1_234_567.0, 7654.0))) == 1 + 4 + 4
    assert len(packing.pack((16_777_217.0, 7654.0))) == 1 + 8 + 4
    assert len(packing.pack((1e300, 7654.0))) == 16, "as samples were before"


def test_samples_of_before_version_6_are_read_as_they_are() -> None:
    values = (1_234_567.0, -512.5, 230.5, 7654.0, 50.0)
    assert Packing(NAMES).unpack(struct.pack("<ddfdf", *values)) == values


@pytest.mark.parametrize("exact", [0, 1, 8, 9, 24, 25, 40])
def test_any_number_of_registers_comes_back(exact: int) -> None:
    packing = Packing([*(f"energy_import_t{n}_wh" for n in range(exact)), "voltage_l1_v"])
    values = (*(n + (0.1 if n % 3 else 0.0) for n in range(exact)), 230.5)
    assert packing.unpack(packing.pack(values)) == values


@draws(200)
@given(st.binary(max_size=40))
def test_bytes_that_are_no_sample_are_refused_or_are_one(data: bytes) -> None:
    try:
        found = Packing(NAMES).unpack(data)
    except ValueError as error:
        assert f"{len(data)} bytes" in str(error)
    else:
        assert len(found) == len(NAMES)


def test_a_meter_whose_shape_always_changes_keeps_only_some_of_them() -> None:
    packing = Packing([f"energy_import_t{n}_wh" for n in range(10)])
    for flags in range(1024):
        values = tuple(n + (0.0 if flags >> n & 1 else 0.1) for n in range(10))
        assert packing.unpack(packing.pack(values)) == values
    assert len(packing._tight) <= 256
