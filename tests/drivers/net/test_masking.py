import html
import json
import re
from base64 import b64encode, encodebytes, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.net.masking import MASK, SecretsInUse, basic, masked, masked_bytes

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


PASSWORD = 'Größe/7 & "mehr" it\'s+so'


def _small(text: str) -> str:
    """Percent-encoding in small letters."""
    return re.sub("%..", lambda found: found[0].lower(), text)


def _ways(secret: str) -> list[str]:
    """How programs write a text that they quote."""
    body = json.dumps({"username": "me", "password": secret})
    texts = [secret, body, json.dumps(body), json.dumps(secret, ensure_ascii=False)]
    texts += [repr(secret), repr(body), repr(secret.encode()), repr(body.encode())]
    texts += [html.escape(text) for text in texts] + [quote(body), quote_plus(secret)]
    texts += [quote(quote(secret)), _small(quote(secret)), body.replace("/", "\\/")]
    texts += ["".join(f"%{byte:02X}" for byte in secret.encode()), secret.encode().hex().upper()]
    for before in ("", "x", "xx"):
        texts += [b64encode((before + text).encode()).decode() for text in (secret, body)]
        texts.append(urlsafe_b64encode((before + secret).encode()).decode())
        texts.append(encodebytes((70 * "x" + before + secret).encode()).decode())
    for coding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        texts.append(secret.encode(coding).decode("utf-8", "surrogateescape"))
    return texts


@pytest.mark.parametrize("secret", [PASSWORD, "S3cret-Pa55wd", "kl€in😀!ab", "12345678"])
def test_a_secret_is_found_however_a_program_quotes_it(secret: str) -> None:
    for way in _ways(secret):
        said = masked(f"I got <{way}>, sorry", [secret])
        assert MASK in said, way
        assert secret not in said
        assert masked(said, [secret]) == said


def test_a_key_is_found_in_capitals_in_pairs_and_as_base64() -> None:
    key = "00112233445566778899aabbccddeeff"
    pairs = [key[at : at + 2] for at in range(0, 32, 2)]
    for way in (key.upper(), " ".join(pairs), "0x" + ", 0x".join(pairs), "\\x".join(pairs)):
        assert pairs[5] not in masked(f"key {way}!", [key]).lower()
    assert masked(f"key {b64encode(bytes.fromhex(key)).decode()}!", [key]) == f"key {MASK}!"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('{"password": "S3cret-P', f'{{"password": "{MASK}'),
        ("you sent S3cret…", f"you sent {MASK}…"),
        ("password=S3cret-Pa...", f"password={MASK}..."),
        ('"password": "S3cret-P", more', f'"password": "{MASK}", more'),
        ("…-Pa55wd' is wrong", f"…{MASK}' is wrong"),
        ("S3cret services said no", "S3cret services said no"),
    ],
)
def test_what_was_left_of_a_secret_is_hidden_where_a_quotation_was_cut(
    said: str, shown: str
) -> None:
    assert masked(said, ["S3cret-Pa55wd"]) == shown


def test_numbers_and_short_words_stay_what_they_are() -> None:
    page = b'{"power": 1234, "energy": [1234.5, 1234 ], "pin": "1234"}'
    assert masked_bytes(page, ["1234"]) == page.replace(b'"1234"', b'"(secret)"')
    assert masked("1234 at 12:34:1234, 1234.5 and 41234", ["1234"]).startswith(MASK + " at 12:34")
    assert masked("at 1234.5 and 41234", ["1234"]) == "at 1234.5 and 41234"
    assert masked("to be or not to be", ["to"]) == "to be or not to be"


def test_what_is_masked_already_stays_as_it_is() -> None:
    assert masked("(secret) and secret", ["secret"]) == "(secret) and (secret)"


def test_of_a_token_that_is_very_long_nothing_is_left_over() -> None:
    token = "eyJ" + "abcdefgh" * 500
    assert masked(f"Authorization: JWT {token}, so", [token]) == f"Authorization: JWT {MASK}, so"


@given(st.text(alphabet='"/\\ &%+#x5;0uS3cret…', max_size=2000))
def test_it_ends_soon_whatever_the_text_is(text: str) -> None:
    secrets = ['"/\\ &%+x', "S3cret-Pa55wd"]
    assert masked(masked(text * 10, secrets), secrets) == masked(text * 10, secrets)


def test_what_was_used_before_is_hidden_for_as_long_as_it_may_come_back() -> None:
    secrets = SecretsInUse()
    for token in ("first-token", "second-token", "third-token"):
        secrets.use("the exchange", token)
    secrets.use("the broker", "open sesame", "")
    said = secrets.masked("first-token second-token third-token open sesame")
    assert said == f"first-token {MASK} {MASK} {MASK}"
    assert repr(secrets) == "SecretsInUse(the exchange, the broker)"
