"""Certificates for trying things out at a desk: an authority that is kept in a folder, and a new
certificate from it with each start.
"""

import ipaddress
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CA_DAYS = 3650
SERVER_DAYS = 30
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


def server_context(folder: Path, hosts: list[str]) -> tuple[ssl.SSLContext, Path]:
    """What a server for these names and addresses needs, and the file of the authority that its
    clients have to trust. The authority is made where the folder has none. Raises ValueError where
    its files are of another kind, and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority, key = _authority(folder)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _signed(_name(hosts[0]), server_key, authority.subject, key, SERVER_DAYS, hosts)

    file = folder / "server.pem"
    _write(file, server.public_bytes(serialization.Encoding.PEM) + _pem(server_key), secret=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, folder / "ca.pem"


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    if certificate_file.exists() and key_file.exists():
        kept = serialization.load_pem_private_key(key_file.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if not isinstance(kept, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} is a key of another kind")
        if certificate.public_key() != kept.public_key():
            raise ValueError(f"{certificate_file} and {key_file} do not belong together")
        if certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=SERVER_DAYS):
            return certificate, kept

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("meter-gateway desk authority")
    certificate = _signed(name, key, name, key, CA_DAYS, None)
    _write(key_file, _pem(key), secret=True)
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), secret=False)
    return certificate, key


def _signed(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: int,
    hosts: list[str] | None,
) -> x509.Certificate:
    """A certificate; that of an authority where there are no hosts. RFC 5280 is kept strictly, as
    Python 3.13 verifies it.
    """
    now, is_ca = datetime.now(UTC), hosts is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_ca,
                key_cert_sign=is_ca,
                crl_sign=is_ca,
                **dict.fromkeys(_NO_USE, False),
            ),
            critical=True,
        )
    )
    if hosts is not None:
        names = x509.SubjectAlternativeName([_general(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text[:64])])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(file: Path, data: bytes, *, secret: bool) -> None:
    """Whole, and readable by its owner only where it is a secret."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    mode = 0o600 if secret else 0o644
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(data)
    fresh.replace(file)
