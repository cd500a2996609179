"""`fleet.yaml`: the broker and the database of a community, or every mistake at once.

<folder>/fleet.yaml              what stands below
<folder>/fleet-broker.credentials, fleet-database.credentials, fleet-exchange.credentials
                                 mode 0600: `username:` and `password:`; or systemd credentials
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from drivers.settings_file import read_bounded
from drivers.strict_yaml import Document, Mistake, Problem, decode, parse
from gateway.fleet.aggregator.settings import ExchangeSettings
from gateway.site.credentials import ConfigError, Credentials, read_credentials
from gateway.site.timezone import TimezoneName
from gateway.site.values import BrokerHost

FILE = "fleet.yaml"

UTC = TimezoneName("UTC")

TOPIC = r"^[^#+/\x00$][^#+\x00]*$"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The MQTT broker to which the gateways deliver."""

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
            description="PEM file of the collector's certificate and key, where the broker knows "
            "it by that",
            examples=["collector.pem"],
        ),
    ] = None
    credentials: Annotated[
        str | None,
        Meta(
            description="file with username and password, mode 0600, or a systemd credential of "
            "that name (default: no login)",
            examples=["fleet-broker.credentials"],
        ),
    ] = None
    shared: Annotated[
        Literal["auto", "never"],
        Meta(
            description="whether the broker deals messages out among collectors ($share): auto "
            "tries it with a message of its own; never: each collector takes some of the sites",
            examples=["auto"],
        ),
    ] = "auto"

    def check(self, folder: Path) -> Iterator[Mistake]:
        """Files that are named and not there, and a certificate that nobody would see."""
        yield from _missing(folder, ("ca_file", self.ca_file), ("certificate", self.certificate))
        if self.certificate is not None and not self.tls:
            message = "a certificate is shown in TLS only, and tls is off"
            yield Mistake(("certificate",), message, "set tls: true, or leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The PostgreSQL database into which everything is written."""

    host: Annotated[
        str,
        Meta(
            min_length=1,
            description="name or address of the server, or the folder of its socket; several with "
            "commas between them: the one that can be written to is used",
            examples=["db1.example,db2.example", "/var/run/postgresql"],
        ),
    ]
    port: Annotated[
        int, Meta(ge=1, le=65535, description="TCP port of the server", examples=[5432])
    ] = 5432
    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=63,
            description="the database; a schema `fleet` is made in it",
            examples=["community"],
        ),
    ]
    tls: Annotated[
        Literal["verify-full", "verify-ca", "require", "off"],
        Meta(
            description="how the server's certificate is looked at; off is for a socket, or a "
            "network of one's own",
            examples=["verify-full"],
        ),
    ] = "verify-full"
    ca_file: Annotated[
        str | None,
        Meta(
            description="PEM file of the authority that signed the server's certificate (default: "
            "the authorities this machine trusts)",
            examples=["database-ca.pem"],
        ),
    ] = None
    credentials: Annotated[
        str | None,
        Meta(
            description="file with username and password, mode 0600, or a systemd credential of "
            "that name (default: the user of this process, whom the server knows: `peer`)",
            examples=["fleet-database.credentials"],
        ),
    ] = None

    def check(self, folder: Path) -> Iterator[Mistake]:
        """Files that are named and not there."""
        yield from _missing(folder, ("ca_file", self.ca_file))
        if not all(each.strip() for each in self.host.split(",")):
            yield Mistake(("host",), "a name between the commas is empty", "write each host once")

    @property
    def is_local(self) -> bool:
        """Whether it is reached by a socket of this machine, over which there is no TLS."""
        return self.host.startswith("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFile:
    """`fleet.yaml`."""

    broker: BrokerSettings
    database: DatabaseSettings
    topic: Annotated[
        str,
        Meta(
            pattern=TOPIC,
            max_length=100,
            description="first part of every topic, without # and +, as the gateways have it",
            examples=["mg"],
        ),
    ] = "mg"
    timezone: Annotated[
        TimezoneName,
        Meta(
            description="the community's time zone: that of its days. After a change run `fleet "
            "init`, which counts all days anew",
            examples=["Europe/Berlin"],
        ),
    ] = UTC
    pack_after_days: Annotated[
        int,
        Meta(
            ge=30,
            le=400,
            description="how many days after its end a month is packed",
            examples=[60],
        ),
    ] = 60
    exchange: Annotated[
        ExchangeSettings | None,
        Meta(description="the exchange to which the fleet delivers for homes with deliver: fleet"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """All that a collector is told. Logins are read when they are used: they may be changed."""

    folder: Path
    file: FleetFile = field(repr=False)

    @property
    def topic(self) -> str:
        """First part of every topic."""
        return self.file.topic

    def login(self, name: str | None) -> Credentials | None:
        """The login in that credential file, read now; None where there is none. Raises
        ConfigError.
        """
        if name is None:
            return None
        login, problems = read_credentials(self.folder, name)
        if login is None:
            raise ConfigError(problems)
        return login

    def path(self, name: str | None) -> str | None:
        """Of a file beside `fleet.yaml`."""
        return None if name is None else str(self.folder / name)


def load(folder: Path) -> FleetSettings:
    """What the folder's `fleet.yaml` says. Raises ConfigError with every mistake."""
    path = folder / FILE
    try:
        text, _ = read_bounded(path)
    except OSError as error:
        hint = (
            "give --config the folder that holds it; docs/fleet.md says what stands in it"
            if not path.exists()
            else f"run: ls -l {path}"
        )
        message = f"cannot be read: {error.strerror}"
        raise ConfigError([Problem(str(path), 0, "", message, hint)]) from error
    document = parse(text, str(path))
    file = decode(FleetFile, document)
    problems = list(document.problems)
    if file is not None:
        problems = _check(file, document, folder)
    if problems or file is None:
        raise ConfigError(problems)
    return FleetSettings(folder=folder, file=file)


def _check(file: FleetFile, document: Document, folder: Path) -> list[Problem]:
    document.report_all(("broker",), file.broker.check(folder))
    document.report_all(("database",), file.database.check(folder))
    logins = [file.broker.credentials, file.database.credentials]
    if file.exchange is not None:
        document.report_all(("exchange",), file.exchange.check())
        logins.append(file.exchange.credentials)
    problems = list(document.problems)
    for name in logins:
        if name is not None:
            problems += read_credentials(folder, name)[1]
    return problems


def _missing(folder: Path, *files: tuple[str, str | None]) -> Iterator[Mistake]:
    for key, name in files:
        if name is not None and not (folder / name).is_file():
            yield Mistake((key,), f"there is no file {folder / name}", "copy the PEM file there")
