"""From when to when a certificate holds, beside what a library of certificates says."""

from base64 import encodebytes
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from drivers.net.issuing import client_certificate, new_authority
from drivers.net.validity import Validity, validity_of
from tests.draws import draws

moments = st.integers(-631_152_000, 253_370_764_800).map(
    lambda at_s: datetime.fromtimestamp(at_s, UTC)
)
"""1950 to 9998."""


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def a_certificate(
    begins: datetime, ends: datetime, serial: int, names: list[str]
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, n) for n in names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key().public_key())
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    return builder.sign(key(), hashes.SHA256())


def pem_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@draws(60)
@given(
    st.tuples(moments, moments),
    st.integers(1, 2**159 - 1),
    st.lists(st.text(min_size=1, max_size=64), min_size=1, max_size=40),
)
def test_it_is_what_the_library_says(
    times: tuple[datetime, datetime], serial: int, names: list[str]
) -> None:
    begins, ends = sorted(times)
    made = a_certificate(begins, ends, serial, names)
    assert validity_of(pem_of(made)) == Validity(
        int(made.not_valid_before_utc.timestamp()), int(made.not_valid_after_utc.timestamp())
    )


def test_the_first_of_a_chain_is_ours_whatever_stands_around_it() -> None:
    authority = new_authority("an authority")
    own = client_certificate(authority, "home-12", 20)
    ends_s = int(own.certificate.not_valid_after_utc.timestamp())
    for pem in (
        own.certificate_pem + own.key_pem,
        own.key_pem + own.certificate_pem + authority.certificate_pem,
        b"Bag Attributes\n  friendlyName: home-12\n" + own.certificate_pem,
        own.certificate_pem.replace(b"\n", b"\r\n"),
        own.certificate_pem.replace(b" CERTIFICATE-", b" X509 CERTIFICATE-"),
    ):
        assert validity_of(pem).ends_s == ends_s


def wrapped(tag: int, content: bytes) -> bytes:
    """DER."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def written(begins: bytes, ends: bytes, *, version: bool = True) -> bytes:
    """The beginning of a certificate, with these times."""
    inside = wrapped(0xA0, b"\x02\x01\x02") if version else b""
    inside += b"\x02\x01\x05" + wrapped(0x30, b"") + wrapped(0x30, b"x" * 200)
    der = wrapped(0x30, wrapped(0x30, inside + wrapped(0x30, begins + ends)))
    return b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"


def test_one_of_the_first_version_and_times_of_both_forms() -> None:
    utc = wrapped(0x17, b"491231235959Z")
    general = wrapped(0x18, b"99991231235959Z")
    for version in (True, False):
        found = validity_of(written(utc, general, version=version))
        assert found.begins_s == int(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
        assert found.ends_s == int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
    old = validity_of(written(wrapped(0x17, b"500101000000Z"), utc))
    assert old.begins_s == int(datetime(1950, 1, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "time",
    [
        wrapped(0x17, b"4912312359Z"),
        wrapped(0x17, b"491231235959+0100"),
        wrapped(0x17, b"491331235959Z"),
        wrapped(0x18, b"00001231235959Z"),
        wrapped(0x04, b"491231235959Z"),
        wrapped(0x17, b"\xff" * 13),
    ],
)
def test_a_time_that_no_certificate_has_is_none(time: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        validity_of(written(time, time))


@draws(200)
@given(st.data())
def test_damaged_ones_are_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    pem = bytearray(written(wrapped(0x17, b"260101000000Z"), wrapped(0x17, b"270101000000Z")))
    for _ in range(data.draw(st.integers(1, 4))):
        pem[data.draw(st.integers(0, len(pem) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(pem)))
    try:
        found = validity_of(bytes(pem[:cut] if cut % 2 else pem))
    except ValueError:
        return
    assert isinstance(found.ends_s, int)


def test_what_is_no_certificate_says_so() -> None:
    for text in (b"", b"\0" * 100, new_authority("x").key_pem):
        with pytest.raises(ValueError, match="there is no certificate in it"):
            validity_of(text)
