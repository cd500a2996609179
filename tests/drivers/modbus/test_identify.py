"""What a register holds tells whose it is."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.identify import matches
from drivers.modbus.settings import Identity
from drivers.simulated.meters import ModbusTwin
from tests.drivers.shipped import shipped_profile, sound_ids

MODBUS = [shipped_profile(each) for each in sound_ids("modbus")]


@pytest.mark.parametrize(
    ("identity", "data", "expected"),
    [
        (Identity(address=0, values=[0x70, 0x79]), "0079", True),
        (Identity(address=0, values=[0x70, 0x79]), "0000", False),
        (Identity(address=0, values=[0x70]), "0070 0000", False),
        (Identity(address=0, values=[0x70]), "", False),
        (Identity(address=0, type="int16", values=[-2]), "FFFE", True),
        (Identity(address=0, type="uint32", values=[13]), "0000 000D", True),
        (Identity(address=0, type="uint32", word_order="little", values=[13]), "000D 0000", True),
        (Identity(address=0, type="uint32", word_order="little", values=[13]), "0000 000D", False),
        (Identity(address=0, type="string", words=2, text="B23"), "4232 3320", True),
        (Identity(address=0, type="string", words=2, text="B23"), "4232 3420", False),
        (Identity(address=0, type="string", words=2, text="b23"), "4232 3320", True),
        (Identity(address=0, type="string", words=4, text="SOCO"), "0053 004F 0043 004F", True),
        (Identity(address=0, type="string", words=2, text="B23"), "0000 0000", False),
        (Identity(function=17, values=[0x41, 0x57]), "57 02 FF", True),
        (Identity(function=17, values=[0x41]), "79", False),
        (Identity(function=17, values=[0x41]), "", False),
        (Identity(function=17, none_of=[0x41]), "41 FF", False),
        (Identity(function=17, none_of=[0x41]), "10", True),
        (Identity(function=17, none_of=[0x41]), "", True),
        (Identity(address=0, type="float32", between=[100, 300]), "4366 3333", True),
        (Identity(address=0, type="float32", between=[100, 300]), "0000 0000", False),
        (Identity(address=0, type="float32", between=[100, 300]), "7FC0 0000", False),
        (
            Identity(address=0, type="int32", word_order="little", between=[1000, 3000]),
            "091B 0000",
            True,
        ),
    ],
)
def test_a_register_matches_where_it_holds_what_the_profile_says(
    identity: Identity, data: str, expected: bool
) -> None:
    assert matches(identity, bytes.fromhex(data)) is expected


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_between_takes_its_bounds_and_what_lies_in_them(a: int, b: int, raw: int) -> None:
    low, high = min(a, b), max(a, b) + 1
    identity = Identity(address=0, type="uint32", between=[low, high])
    assert list(identity.check()) == []
    assert matches(identity, struct.pack(">I", raw)) is (low <= raw <= high)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_answer_or_none_and_never_an_error(data: bytes) -> None:
    for profile in MODBUS:
        for identity in profile.settings.identify:
            assert matches(identity, data) in (True, False)


def test_a_meter_that_answers_zeros_to_everything_is_nobody() -> None:
    for profile in MODBUS:
        assert not all(
            matches(identity, bytes(2 * identity.count)) for identity in profile.settings.identify
        )


@pytest.mark.parametrize("profile", MODBUS, ids=lambda profile: profile.id)
def test_the_twin_of_a_profile_is_recognised_as_its_model(profile) -> None:
    mains = {"voltage_l1_v": 230.0, "voltage_l2_v": 230.0, "voltage_v": 230.0, "frequency_hz": 50.0}
    twin = ModbusTwin(profile, lambda: {**mains, "energy_import_wh": 1e6, "power_w": 500.0})
    for identity in profile.settings.identify:
        if identity.asks_who:
            assert matches(identity, twin.server_id)
            continue
        words = twin.read(identity.function, identity.address, identity.count)
        assert isinstance(words, list), words
        assert matches(identity, struct.pack(f">{len(words)}H", *words))
