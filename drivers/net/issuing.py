"""Certificates that we sign ourselves: of an authority, of a server, of a client. RFC 5280 is kept
strictly, as Python 3.13 verifies it.
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
EARLIER = timedelta(days=1)
"""For clocks that are behind: a Pi without a clock of its own, at its first boot."""

_NO_USE = (
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone: everybody may see it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, not encrypted: a secret."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def new_authority(name: str) -> Issued:
    """One that signs others."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=False, key_cert_sign=True, crl_sign=True, **dict.fromkeys(_NO_USE, False)
    )
    builder = _builder(name, key, key, _name(name), CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return Issued(builder.sign(key, hashes.SHA256()), key)


def read_authority(certificate_file: Path, key_file: Path) -> Issued:
    """The one that is kept there. Raises ValueError where the files are of another kind or do not
    belong together, and OSError.
    """
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key_file} is a key of another kind")
    if certificate.public_key() != key.public_key():
        raise ValueError(f"{certificate_file} and {key_file} do not belong together")
    return Issued(certificate, key)


def server_certificate(authority: Issued, hosts: Sequence[str], days: int) -> Issued:
    """Of a server with these names and addresses."""
    names = x509.SubjectAlternativeName([_general(host) for host in hosts])
    return _leaf(authority, hosts[0], days, names, ExtendedKeyUsageOID.SERVER_AUTH)


def client_certificate(authority: Issued, name: str, days: int) -> Issued:
    """Of a client, which is known by its common name: 64 characters at most."""
    names = x509.SubjectAlternativeName([x509.DNSName(name)]) if _is_dns(name) else None
    return _leaf(authority, name, days, names, ExtendedKeyUsageOID.CLIENT_AUTH)


def revocation_list(authority: Issued, serials: Sequence[int]) -> bytes:
    """The authority's word on which of its certificates count no more, as PEM. It holds as long as
    the authority does: brokers refuse everybody once a list has ended.
    """
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - EARLIER)
        .next_update(now + timedelta(days=CA_DAYS))
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(revoked.build())
    found = builder.sign(authority.key, hashes.SHA256())
    return found.public_bytes(serialization.Encoding.PEM)


def write_whole(file: Path, data: bytes, *, secret: bool) -> None:
    """Whole, and readable by its owner only where it is a secret. Raises OSError."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    mode = 0o600 if secret else 0o644
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(data)
    fresh.replace(file)


def _leaf(
    authority: Issued,
    name: str,
    days: int,
    names: x509.SubjectAlternativeName | None,
    purpose: x509.ObjectIdentifier,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=False, crl_sign=False, **dict.fromkeys(_NO_USE, False)
    )
    builder = _builder(name, key, authority.key, authority.certificate.subject, days)
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return Issued(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _is_dns(name: str) -> bool:
    return name.isascii() and "_" not in name and ".." not in name and not name.endswith(".")


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])
