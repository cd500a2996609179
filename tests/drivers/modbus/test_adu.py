"""Frames are byte for byte those of pymodbus."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from drivers.modbus.adu import is_sealed, sealed
from drivers.modbus.frames import Question, Refused, find_rtu, frame_of

RTU, MBAP = FramerRTU(DecodePDU(False)), FramerSocket(DecodePDU(False))
REQUESTS = {3: ReadHoldingRegistersRequest, 4: ReadInputRegistersRequest}

questions = st.builds(
    Question,
    unit=st.integers(0, 255),
    function=st.sampled_from((3, 4)),
    address=st.integers(0, 0xFFFF),
    count=st.integers(1, 125),
    transaction=st.integers(1, 0xFFFF),
    timeout_s=st.just(1.0),
)


@given(questions)
def test_questions_are_those_of_pymodbus(question: Question) -> None:
    theirs = REQUESTS[question.function](
        address=question.address,
        count=question.count,
        dev_id=question.unit,
        transaction_id=question.transaction,
    )
    assert frame_of(question, "rtu") == RTU.buildFrame(theirs)
    assert frame_of(question, "tcp") == MBAP.buildFrame(theirs)


@given(st.binary(min_size=2, max_size=256), st.integers(0, 8 * 258 - 1))
def test_a_checksum_proves_a_frame_and_no_frame_with_one_bit_changed(
    frame: bytes, bit: int
) -> None:
    whole = sealed(frame)
    assert whole[-2:] == FramerRTU.compute_CRC(frame).to_bytes(2, "big")
    assert is_sealed(whole)
    damaged = bytearray(whole)
    damaged[bit // 8 % len(whole)] ^= 1 << bit % 8
    assert not is_sealed(bytes(damaged))


def test_the_frame_of_the_standard() -> None:
    """Modbus over Serial Line V1.02, 6.2.2: the checksum of 02 07 is 1241."""
    assert sealed(b"\x02\x07") == b"\x02\x07\x41\x12"


@given(questions.filter(lambda question: question.unit), st.integers(0, 255))
def test_a_refusal_bears_its_code(question: Question, code: int) -> None:
    answer = sealed(bytes((question.unit, question.function | 0x80, code)))
    with pytest.raises(Refused) as refused:
        find_rtu(question, answer, 0)
    assert refused.value.code == code
