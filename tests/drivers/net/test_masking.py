import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from drivers.net.masking import MASK, basic, masked, masked_bytes

SECRETS = st.text(
    st.characters(codec="utf-8", exclude_characters="".join({*MASK})), min_size=3, max_size=20
)


def test_a_secret_is_not_in_the_message() -> None:
    said = masked("cannot send Bearer abc.def: 403, abc.def is unknown", ["abc.def"])
    assert said == "cannot send Bearer (secret): 403, (secret) is unknown"


def test_where_there_is_no_secret_nothing_is_hidden() -> None:
    assert masked("cannot reach 192.168.1.20", ["", "another"]) == "cannot reach 192.168.1.20"
    assert masked("cannot reach 192.168.1.20", []) == "cannot reach 192.168.1.20"


def test_of_a_secret_that_is_a_part_of_another_nothing_is_left_over() -> None:
    assert masked("gate and gatekeeper", ["gate", "gatekeeper"]) == "(secret) and (secret)"


def test_what_is_no_text_stays_as_it_is() -> None:
    assert masked_bytes(b"\xff\x00token\xfe", ["token"]) == b"\xff\x00(secret)\xfe"


@given(SECRETS)
def test_no_way_to_write_a_secret_shows_it(secret: str) -> None:
    ways = [secret, quote(secret), quote(secret, safe=""), json.dumps(secret)]
    ways.append(json.dumps(secret, ensure_ascii=False))
    for way in ways:
        assert secret not in masked(f"it said {way}", [secret])
    assert masked_bytes(f"it said {secret}".encode(), [secret]) == f"it said {MASK}".encode()


def test_a_login_is_a_secret_as_it_travels() -> None:
    # RFC 7617, section 2
    assert basic("Aladdin", "open sesame") == "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
