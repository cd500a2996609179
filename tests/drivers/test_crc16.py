import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers import crc16
from tests.draws import draws

# Name: polynomial with its lowest power first, what it begins with, what the end is XORed with, and
# the catalogue's check value: the checksum of "123456789".
CATALOGUE = {
    "arc": (0xA001, 0, 0, 0xBB3D),
    "modbus": (0xA001, 0xFFFF, 0, 0x4B37),
    "ibm_sdlc": (0x8408, 0xFFFF, 0xFFFF, 0x906E),
    "kermit": (0x8408, 0, 0, 0x2189),
}


def bit_by_bit(data: bytes, polynomial: int, crc: int, end: int) -> int:
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc ^ end


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_checksum_has_the_check_value_of_the_catalogue(name: str) -> None:
    assert getattr(crc16, name)(b"123456789") == CATALOGUE[name][3]


@pytest.mark.parametrize("name", CATALOGUE)
@draws(60)
@given(data=st.one_of(st.binary(max_size=300), st.integers(0, 5000).map(lambda n: b"\xa5\x00" * n)))
@example(data=b"")
@example(data=b"\0")
@example(data=b"\xff" * 4096)
def test_a_checksum_is_that_of_the_division_bit_by_bit(name: str, data: bytes) -> None:
    polynomial, begin, end, _ = CATALOGUE[name]
    assert getattr(crc16, name)(data) == bit_by_bit(data, polynomial, begin, end)
