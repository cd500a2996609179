import pytest

from drivers.p1.keys import Keys
from drivers.profile import load_profile

KEY = "6b6579206f6620746865206d65746572"
METER = load_profile("p1/luxembourg")


def test_the_entries_of_a_credentials_file_become_bytes_and_are_shown_nowhere() -> None:
    entries = {
        "encryption_key": KEY.upper(),
        "authentication_key": KEY[::-1],
        "system_title": "5341473030313233",
    }
    assert list(METER.check_credentials(entries)) == []
    keys = Keys.of(entries)
    assert keys == Keys(
        encryption=b"key of the meter",
        authentication=bytes.fromhex(KEY[::-1]),
        system_title=b"SAG00123",
    )
    assert repr(keys) == "Keys()"


def test_only_the_encryption_key_is_needed() -> None:
    assert list(METER.check_credentials({"encryption_key": KEY})) == []
    assert Keys.of({"encryption_key": KEY}) == Keys(encryption=b"key of the meter")
    assert Keys.of({}) is None


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({}, ["encryption_key is missing"]),
        ({"encryption_key": f"{KEY}0"}, ["encryption_key is not what it has to be"]),
        ({"encryption_key": f"{KEY[:-1]}g"}, ["encryption_key is not what it has to be"]),
        (
            {"encryption_key": KEY, "authentication_key": "00"},
            ["authentication_key is not what it has to be"],
        ),
        (
            {"encryption_key": KEY, "sytem_title": "5341473030313233"},
            ["has an entry that is not known — did you mean 'system_title'?"],
        ),
    ],
)
def test_what_is_wrong_is_named_without_quoting_it(
    entries: dict[str, str], said: list[str]
) -> None:
    assert list(METER.check_credentials(entries)) == said


def test_a_meter_without_secrets_has_no_entries() -> None:
    assert load_profile("eastron/sdm120").credentials == {}
