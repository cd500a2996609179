"""What `meter-gateway fleet` does with certificates: files and words around
`gateway/fleet/certificates.py`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.fleet.files import some, write
from gateway.cli.terminal import Refused
from gateway.fleet import certificates, provisioning
from gateway.fleet.database import Connection
from gateway.fleet.settings import FleetSettings

COLLECTOR_FILE = "fleet-collector.pem"
SITE_FILE = provisioning.CERTIFICATE
LIST_FILE = "fleet.crl"


async def begin(
    settings: FleetSettings, connection: Connection, collector: str, output: Path
) -> None:
    """`init --ca`: an authority where there is none, and the collectors' certificate. Raises
    Refused, ConfigError, DatabaseError.
    """
    is_new = certificates.make_authority(settings.folder)
    of = certificates.authority(settings.folder)
    own = certificates.new_certificate(of, collector)
    write(settings.folder / COLLECTOR_FILE, own.certificate_pem + own.key_pem, secret=True)
    write(output / certificates.CA_FILE, of.certificate_pem)
    write(output / LIST_FILE, await certificates.revoked(connection, of))
    print(f"The fleet's authority is {settings.folder / certificates.CA_FILE}", end="")
    print(" (new). Keep its key, fleet-ca.key, as you keep a password." if is_new else ".")
    print(
        f"  {COLLECTOR_FILE:<23} the collectors' certificate ({collector}), in {settings.folder}:"
    )
    print(f"                          in fleet.yaml, broker: certificate: {COLLECTOR_FILE}")
    print(f"  {certificates.CA_FILE:<23} for mosquitto's cafile, with require_certificate and")
    print("                          use_identity_as_username")
    print(f"  {LIST_FILE:<23} for its crlfile: certificates of homes that were removed")


async def give(
    settings: FleetSettings, connection: Connection, sites: Sequence[str], output: Path
) -> None:
    """A new certificate for each of these, and the section of a gateway.yaml. Raises Refused,
    ConfigError, DatabaseError.
    """
    of = certificates.authority(settings.folder)
    for site in sites:
        made = certificates.new_certificate(of, site)
        write(output / site / SITE_FILE, made.certificate_pem + made.key_pem, secret=True)
        section = provisioning.gateway_section(settings, site, certificate=True)
        write(output / site / "gateway.yaml.fleet", section)
        await certificates.note(connection, site, made)
    print(f"  NAME/{SITE_FILE:<18} for each home its certificate with its key, for")
    print(f"                          {certificates.DAYS} days; and a section for its gateway.yaml")


async def renew(
    settings: FleetSettings, connection: Connection, names: Sequence[str], output: Path
) -> int:
    """`sites renew`: of these homes, or of all whose certificates end soon. Returns the exit code.
    Raises Refused, ConfigError, DatabaseError.
    """
    if names:
        have = {each.site for each in await certificates.ending(connection, None)}
        if missing := sorted({*names} - have):
            raise Refused(
                f"no certificate was made for {', '.join(missing)} — nothing was renewed; "
                "meter-gateway fleet sites add NAME --certificates makes the first one"
            )
    else:
        names = [each.site for each in await certificates.ending(connection)]
        if not names:
            print(f"No certificate ends within {certificates.RENEW_DAYS} days.")
            return 0
    await give(settings, connection, names, output)
    print(f"{len(names)} new, in {output}: {some(names)}. Copy each over the one in its")
    print(
        "home: the gateway there takes it at its next connection. Until then the one before holds."
    )
    return 0


async def take_away(
    settings: FleetSettings, connection: Connection, names: Sequence[str], output: Path
) -> bool:
    """Of homes that are removed or forgotten; whether they had any that has not ended. Raises
    Refused, ConfigError, DatabaseError.
    """
    if not await certificates.revoke(connection, names):
        return False
    of = certificates.authority(settings.folder)
    write(output / LIST_FILE, await certificates.revoked(connection, of))
    print(
        f"Its certificates count no more, once the broker has the new list, {output / LIST_FILE}:"
    )
    print(f"  {LIST_FILE:<23} for mosquitto's crlfile; then: systemctl restart mosquitto")
    return True


async def troubles(connection: Connection) -> list[str]:
    """What `check` says of certificates. Raises DatabaseError."""
    now = datetime.now(UTC)
    found = await certificates.ending(connection)
    ended = [each.site for each in found if each.ends <= now]
    soon = [each.site for each in found if each.ends > now]
    said = []
    if ended:
        said.append(f"the certificate has ended: {some(ended)}; run fleet sites renew")
    if soon:
        said.append(
            f"the certificate ends within {certificates.RENEW_DAYS} days: {some(soon)}; run fleet "
            "sites renew"
        )
    return said
