"""Walking the chain: whatever a device answers, the walk ends within bounded requests, with what is
there or with what is wrong.
"""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sunspec.chain import BASES, MAX_MODELS, Ask, Chain, ChainError, Owner, choose, walk
from drivers.sunspec.models import MODELS


def text(word, registers):
    return word.encode().ljust(2 * registers, b"\0")


def common(maker, model, version, serial, length=66):
    body = text(maker, 16) + text(model, 16) + text("", 8) + text(version, 8) + text(serial, 16)
    return struct.pack(">HH", 1, length) + body.ljust(2 * length, b"\0")


def model(number, length):
    return struct.pack(">HH", number, length) + bytes(2 * length)


END = struct.pack(">HH", 0xFFFF, 0)


def answers(steps, image, base):
    """Walk over an image that begins at `base`; what is outside it is refused. Returns the chain
    and what was asked.
    """
    asked = []
    try:
        ask = next(steps)
        while True:
            asked.append(ask)
            at = 2 * (ask.address - base)
            data = image[at : at + 2 * ask.count] if at >= 0 else b""
            ask = steps.send(data if len(data) == 2 * ask.count else None)
    except StopIteration as done:
        return done.value, asked


def walked(*parts, base=40000):
    return answers(walk(), b"SunS" + b"".join(parts), base)[0]


# The chain of a Kostal Plenticore with its built-in grid meter, as its answers to these reads were
# published: model, length, next address.
PLENTICORE = [(1, 66), (103, 50), (113, 60), (120, 26), (123, 24), (160, 68), (203, 105), (802, 62)]
PLENTICORE_AT = [0x9C42, 0x9C86, 0x9CBA, 0x9CF8, 0x9D14, 0x9D2E, 0x9D74, 0x9DDF, 0x9E1F]


def test_a_published_chain_is_walked_address_by_address():
    image = (
        b"SunS"
        + common("KOSTAL", "PLENTICORE", "1.47", "9054")
        + b"".join(model(*each) for each in PLENTICORE[1:])
        + END
    )
    chain, asked = answers(walk(), image, 40000)
    headers = [ask.address for ask in asked if ask.count == 2]
    assert headers == [0x9C40, *PLENTICORE_AT]
    assert asked[2] == Ask(0x9C44, 64)
    assert [(part.number, part.address) for part in chain.parts] == [
        (103, 0x9C86),
        (113, 0x9CBA),
        (203, 0x9D74),
    ]
    assert {part.owner for part in chain.parts} == {Owner("KOSTAL", "PLENTICORE", "1.47", "9054")}


@pytest.mark.parametrize("base", BASES)
def test_the_marker_is_found_at_each_of_its_three_addresses(base):
    chain = walked(common("Acme", "One", "1", "17"), model(203, 105), END, base=base)
    assert [part.address for part in chain.parts] == [base + 2 + 68]


@pytest.mark.parametrize(("length", "address"), [(65, 40069), (66, 40070)])
def test_a_common_model_may_have_its_pad_register_or_not(length, address):
    chain = walked(common("KOSTAL", "KSEM", "2.6", "72", length), model(203, 105), END)
    assert [(part.number, part.address) for part in chain.parts] == [(203, address)]


def test_each_part_belongs_to_the_common_model_before_it():
    inverter, meter = (
        common("SolarEdge", "SE3000", "4.1", "7E1"),
        common("SolarEdge", "PRO380-Mod", "2.19", "19032098", 65),
    )
    chain = walked(inverter, model(103, 50), meter, model(203, 105), END)
    assert [part.owner.serial_number for part in chain.parts] == ["7E1", "19032098"]
    assert chain.owner.model == "SE3000"
    assert choose(chain.parts, "auto").number == 103
    assert choose(chain.parts, "inverter").number == 103
    assert choose(chain.parts, "meter").owner.model == "PRO380-Mod"


def test_integers_are_preferred_to_floats_of_the_same_thing():
    chain = walked(common("Acme", "One", "1", "1"), model(113, 60), model(103, 50), END)
    assert choose(chain.parts, "auto").number == 103


def test_a_device_without_the_part_that_is_wanted_says_what_it_has():
    chain = walked(common("Acme", "One", "1", "1"), model(103, 50), model(120, 26), END)
    with pytest.raises(ChainError, match=r"it has no meter .*found: inverter \(model 103\)"):
        choose(chain.parts, "meter")
    with pytest.raises(ChainError, match=r"found: none"):
        choose(walked(common("Acme", "One", "1", "1"), END).parts, "auto")


def test_a_device_that_leaves_the_end_mark_out_is_read_all_the_same():
    assert [
        part.number for part in walked(common("Acme", "One", "1", "1"), model(103, 50)).parts
    ] == [103]


@pytest.mark.parametrize(
    "after",
    [
        bytes(400),  # number 0
        struct.pack(">HH", 0x8000, 0x8000) * 2,
        struct.pack(">HH", 120, 0xFFFF),  # beyond the last register
        struct.pack(">HH", 203, 3),  # too short for a meter
        struct.pack(">HH", 1, 10),  # too short for an owner
        model(120, 0) * 200,  # and no end of it
        b"",
    ],
)
def test_behind_a_part_that_can_be_read_the_chain_ends_at_anything_but_a_model(after):
    chain = walked(common("Acme", "One", "1", "1"), model(103, 50), after)
    assert [part.number for part in chain.parts] == [103]


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ((b"",), "it refuses register 40002"),
        ((common("A", "B", "1", "1"),), "it refuses register 40070"),
        (
            (common("A", "B", "1", "1"), model(103, 20), END),
            "model 103 at register 40070 says it is 20 registers long; it has 25 at least",
        ),
        ((struct.pack(">HH", 1, 10),), "model 1 at register 40002 says it is 10 registers long"),
        (
            (common("A", "B", "1", "1"), struct.pack(">HH", 120, 0xFFFF)),
            "is 65535 registers long, beyond register 65535",
        ),
        (
            (common("A", "B", "1", "1"), bytes(400)),
            r"no SunSpec model at register 40070 \(number 0\)",
        ),
        (tuple(model(120, 0) for _ in range(200)), f"does not end within {MAX_MODELS} models"),
    ],
)
def test_a_chain_that_lies_or_never_ends_is_named(parts, complaint):
    with pytest.raises(ChainError, match=complaint):
        walked(*parts)


def test_nothing_beyond_the_last_register_is_asked_for():
    """A model may end at 65534: then one register is left, and no header fits into that."""
    at = 40000 + 2
    length = 0xFFFF - at - 2
    with pytest.raises(ChainError, match=f"is {length} registers long, beyond register 65535"):
        walked(model(120, length))


def test_a_device_of_zeros_is_no_sunspec_device():
    with pytest.raises(ChainError, match="no SunSpec marker at register 40000, 50000 or 0"):
        answers(walk(), bytes(2 * 0x10000), 0)


@given(
    st.lists(st.binary(min_size=4, max_size=4) | st.none(), min_size=1, max_size=50), st.booleans()
)
def test_whatever_comes_the_walk_ends_within_its_bound(headers, marked):
    steps, count = walk(), 0
    try:
        ask = next(steps)
        while True:
            assert ask.address >= 0
            assert ask.address + ask.count <= 0x10000
            count += 1
            assert count <= len(BASES) + 2 * MAX_MODELS
            header = b"SunS" if count == 1 and marked else headers[count % len(headers)]
            ask = steps.send(header if ask.count == 2 else bytes(2 * ask.count))
    except ChainError as error:
        assert str(error)
    except StopIteration as done:
        assert isinstance(done.value, Chain)
        assert all(part.address + part.model.count <= 0x10000 for part in done.value.parts)


@given(st.lists(st.sampled_from([*MODELS, 120, 160, 802]), max_size=8), st.integers(0, 40))
def test_every_part_of_a_proper_chain_is_found_where_it_is(numbers, more):
    lengths = {
        number: (MODELS[number].count - 2 if number in MODELS else 10) + more for number in numbers
    }
    chain = walked(
        common("A", "B", "1", "1"), *(model(number, lengths[number]) for number in numbers), END
    )
    address, expected = 40070, []
    for number in numbers:
        if number in MODELS:
            expected.append((number, address))
        address += 2 + lengths[number]
    assert [(part.number, part.address) for part in chain.parts] == expected
