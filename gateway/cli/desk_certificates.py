"""Certificates for trying things out at a desk: an authority that is kept in a folder, and a new
certificate from it with each start.
"""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drivers.net.issuing import (
    Issued,
    new_authority,
    read_authority,
    server_certificate,
    write_whole,
)

SERVER_DAYS = 30


def server_context(folder: Path, hosts: list[str]) -> tuple[ssl.SSLContext, Path]:
    """What a server for these names and addresses needs, and the file of the authority that its
    clients have to trust. The authority is made where the folder has none. Raises ValueError where
    its files are of another kind, and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = server_certificate(_authority(folder), hosts, SERVER_DAYS)
    file = folder / "server.pem"
    write_whole(file, server.certificate_pem + server.key_pem, secret=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, folder / "ca.pem"


def _authority(folder: Path) -> Issued:
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    if certificate_file.exists() and key_file.exists():
        kept = read_authority(certificate_file, key_file)
        until = datetime.now(UTC) + timedelta(days=SERVER_DAYS)
        if kept.certificate.not_valid_after_utc > until:
            return kept
    authority = new_authority("meter-gateway desk authority")
    write_whole(key_file, authority.key_pem, secret=True)
    write_whole(certificate_file, authority.certificate_pem, secret=False)
    return authority
