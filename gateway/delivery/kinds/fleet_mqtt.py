"""Kind `fleet_mqtt`: all slots of assets and meters go to a fleet's collector over an MQTT broker
that is there, and are kept until it has stored them.
"""

import hashlib
import resource
import secrets
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta

from drivers.net.mqtt import Broker, MqttConnection
from drivers.net.tls import client_context
from drivers.strict_yaml import Mistake, Seconds
from gateway import __version__
from gateway.delivery.fleet_delivery import FleetDelivery
from gateway.delivery.fleet_parcels import Place
from gateway.delivery.opening import Opening
from gateway.outbox.fleet.change import Deliver
from gateway.outbox.fleet.messages import MAX_PROBLEMS, VERSION, Status
from gateway.outbox.fleet.shipping import Shipping
from gateway.outbox.item import EXCHANGE
from gateway.site.settings import Surroundings
from gateway.site.values import BrokerHost


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A fleet that this site belongs to."""

    is_fleet: ClassVar[bool] = True
    """Changes are kept for it, and it may deliver to the exchange."""

    host: Annotated[
        BrokerHost,
        Meta(description="name or address of the broker", examples=["broker.example"]),
    ]
    port: Annotated[
        int, Meta(ge=1, le=65535, description="TCP port of the broker", examples=[8883])
    ] = 8883
    tls: Annotated[
        bool,
        Meta(description="encrypt, and verify the broker's certificate", examples=[True]),
    ] = True
    ca_file: Annotated[
        str | None,
        Meta(
            description="PEM file of the authority that signed the broker's certificate (default: "
            "the authorities this machine trusts)",
            examples=["fleet-ca.pem"],
        ),
    ] = None
    certificate: Annotated[
        str | None,
        Meta(
            description="PEM file of this site's certificate and key, mode 0600, where the broker "
            "knows sites by certificates",
            examples=["home-12.pem"],
        ),
    ] = None
    credentials: Annotated[
        str | None,
        Meta(
            description="file with username and password, mode 0600, or a systemd credential of "
            "that name (default: no login)",
            examples=["fleet.credentials"],
        ),
    ] = None
    topic: Annotated[
        str,
        Meta(
            pattern=r"^[^#+\x00]+$",
            description="first part of every topic, without # and +",
            examples=["mg"],
        ),
    ] = "mg"
    spread: Annotated[
        Seconds,
        Meta(
            description="what has just closed goes within this time after the slot's end, each "
            "home at another moment",
            examples=["30s"],
        ),
    ] = field(default_factory=lambda: Seconds(30))

    def check(self, site: Surroundings) -> Iterator[Mistake]:
        """Files that are named and not there, and a client that nobody would know."""
        fleets = [each for each in site.destinations.values() if isinstance(each, Settings)]
        if len(fleets) > 1 and fleets[0] is not self:
            hint = "a home belongs to one: leave the others out"
            yield Mistake((), "there is another fleet already", hint)

        for key in ("ca_file", "certificate"):
            name = getattr(self, key)
            if name is not None and not (site.folder / name).is_file():
                message = f"there is no file {site.folder / name}"
                yield Mistake((key,), message, "copy the PEM file there")
        if self.certificate is not None and not self.tls:
            message = "a certificate is shown in TLS only, and tls is off"
            yield Mistake(("certificate",), message, "set tls: true, or leave it out")

    def trusts(self, folder: Path) -> ssl.SSLContext:
        """TLS of a connection, from the files as they are now. Raises CertificateError (an
        OSError).
        """
        certificate = _path(folder, self.certificate)
        return client_context(_path(folder, self.ca_file), certificate, certificate)


def open(settings: Settings, opening: Opening) -> FleetDelivery:
    """Its task."""
    site = opening.site
    exchange = site.destinations.get(EXCHANGE)
    deliver: Deliver = "fleet" if getattr(exchange, "deliver", "") == "fleet" else "direct"
    # Two gateways of one name would throw each other off, and never hear that there is another one.
    client_id = f"meter-gateway-fleet-{site.site}-{secrets.token_hex(3)}"
    own = None
    if settings.certificate is not None:
        from gateway.delivery.own_certificate import OwnCertificate  # memory of who has one

        own = OwnCertificate(site.folder / settings.certificate)
    place = Place(
        name=opening.name,
        topic=settings.topic,
        site=site.site,
        version=__version__,
        deliver=deliver,
        url=f"mqtt{'s' if settings.tls else ''}://{settings.host}:{settings.port}",
        broker=partial(_broker, settings, opening, client_id),
        connect=opening.mqtt or MqttConnection.connect,
        status=partial(_status, opening, deliver),
        certificate=own,
    )
    return FleetDelivery(
        place,
        opening.buffer,
        Shipping(opening.slot_s, float(settings.spread), opening.jitter),
        opening.shared_handover(),
        now=opening.now,
        trusted=opening.trusted,
        jitter=opening.jitter,
    )


def _broker(settings: Settings, opening: Opening, client_id: str) -> Broker:
    site = opening.site
    login = site.credentials(settings.credentials) if settings.credentials else None
    return Broker(
        settings.host,
        settings.port,
        tls=settings.trusts(site.folder) if settings.tls else None,
        client_id=client_id,
        username=login.username if login else None,
        password=login.password if login else None,
        login_from=settings.credentials or "the broker's users",
    )


def _status(opening: Opening, deliver: Deliver, store: str) -> Status:
    """How the gateway is. Raises StoreError."""
    from gateway.history.roles import meter_roles

    site = opening.site
    owed, oldest_change_s = opening.buffer.tables.changes.count()
    backlog = opening.buffer.outbox(EXCHANGE).backlog()
    starts_s = [each for each in (oldest_change_s, backlog.oldest_slot_s) if each is not None]
    mood, problems, written_bytes = "", [], 0
    if opening.condition is not None:
        from gateway.history.problems import mood_of

        report, found = opening.condition()
        mood, problems = str(mood_of(report, found)), [each.id for each in found]
        written_bytes = report.buffer.bytes_written_per_day or 0
    return Status(
        v=VERSION,
        site=site.site,
        store=store,
        online=True,
        sent=int(opening.now()),
        version=__version__,
        deliver=deliver,
        mood=mood,
        problems=list(dict.fromkeys(problems))[:MAX_PROBLEMS],
        disk_written_per_day_bytes=written_bytes,
        rss_bytes=_rss_bytes(),
        disk_free_bytes=shutil.disk_usage(site.buffer_path.parent).free,
        clock_trusted=opening.trusted(),
        oldest_owed_s=min(starts_s, default=None),
        owed=owed,
        config=_config_hash(site.folder),
        meters={**meter_roles(site.assets, site.devices)},
    )


def _path(folder: Path, name: str | None) -> str | None:
    return None if name is None else str(folder / name)


def _rss_bytes() -> int:
    """What this process has in memory (proc(5), /proc/pid/statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _config_hash(folder: Path) -> str:
    """Of what the installer wrote: two sites with the same one are configured the same. Secrets do
    not count.
    """
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("devices/*.yaml")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
