"""Certificates for tests of TLS, good for a day."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Papers:
    """An authority's certificate, and those it signed for a device at 127.0.0.1 and for us (each
    with its key in the same file).
    """

    ca: Path
    device: Path
    ours: Path


def papers_in(folder: Path) -> Papers:
    """Made anew, in that folder."""
    ca_key, ca_name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "throw-away")]),
    )
    now = datetime.now(UTC)

    def certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> bytes:
        builder = x509.CertificateBuilder(
            ca_name, name, key.public_key(), 17, now - timedelta(days=1), now + timedelta(days=1)
        )
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        # Python 3.13 verifies strictly, by RFC 5280: keys are named, and what an authority's may be
        # used for.
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        if is_ca:
            uses = dict.fromkeys(
                (
                    "digital_signature",
                    "content_commitment",
                    "key_encipherment",
                    "data_encipherment",
                    "key_agreement",
                    "crl_sign",
                ),
                False,
            )
            usage = x509.KeyUsage(
                **uses, key_cert_sign=True, encipher_only=False, decipher_only=False
            )
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "ca.pem").write_bytes(certificate(ca_name, ca_key, is_ca=True))
    for who in ("device", "ours"):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, who)])
        (folder / f"{who}.pem").write_bytes(pem + certificate(name, key, is_ca=False))
    return Papers(folder / "ca.pem", folder / "device.pem", folder / "ours.pem")


def device_side(papers: Papers, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.device)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(papers.ca)
    return context
