"""What the broker and a home are given: logins, access rules, and the section of a `gateway.yaml`.
Pure, but for chance.

A home may publish its own slots, backlog and status, and hear its own acknowledgements; nothing
else. mosquitto's acl_file says so once for all, by the user's name; its dynamic-security plugin,
and most other brokers, need a role for each site.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from gateway.fleet.settings import FleetSettings

COLLECTOR_ROLE = "fleet-collector"

_ITERATIONS = 101
"""As mosquitto_passwd has it. A password of 192 random bits needs no stretching."""


@dataclass(frozen=True, slots=True)
class Login:
    """Of a site, or of the collectors."""

    username: str
    password: str = field(repr=False)


def new_login(site: str) -> Login:
    """A login with a password that nobody has thought of."""
    return Login(site, secrets.token_urlsafe(24))


def credentials_file(login: Login) -> str:
    """What stands in a file of credentials."""
    return f"username: '{login.username}'\npassword: '{login.password}'\n"


def password_line(login: Login) -> str:
    """A line of mosquitto's password_file, as mosquitto_passwd writes it (mosquitto 2:
    `$7$iterations$salt$hash`, PBKDF2 with SHA-512).
    """
    salt = secrets.token_bytes(12)
    found = hashlib.pbkdf2_hmac("sha512", login.password.encode(), salt, _ITERATIONS)
    return (
        f"{login.username}:$7${_ITERATIONS}${base64.b64encode(salt).decode()}"
        f"${base64.b64encode(found).decode()}"
    )


def acl_file(topic: str, collector: str) -> str:
    """mosquitto's acl_file for the whole fleet. `collector` is the collectors' user."""
    return (
        f"# meter-gateway: the fleet under {topic}/. Written by meter-gateway fleet init.\n"
        "# Each home: its own, by its user name, which is its site's name.\n"
        f"pattern write {topic}/v1/%u/slots\n"
        f"pattern write {topic}/v1/%u/backlog\n"
        f"pattern write {topic}/v1/%u/status\n"
        f"pattern read {topic}/v1/%u/ack\n"
        "\n"
        "# The collectors.\n"
        f"user {collector}\n"
        f"topic read {topic}/v1/+/slots\n"
        f"topic read {topic}/v1/+/backlog\n"
        f"topic read {topic}/v1/+/status\n"
        f"topic readwrite {topic}/v1/+/ack\n"
    )


Command = dict[str, object]


def collector_commands(topic: str, login: Login) -> list[Command]:
    """The collectors' role and user for the dynamic-security plugin."""
    channels = [f"{topic}/v1/+/{channel}" for channel in ("slots", "backlog", "status", "ack")]
    # A shared subscription is looked at with its group.
    shared = [f"$share/+/{each}" for each in channels]
    acls = [
        _allow("publishClientSend", f"{topic}/v1/+/ack"),
        *(_allow("publishClientReceive", each) for each in channels),
        *(_allow("subscribePattern", each) for each in (*channels, *shared)),
        *(_allow("unsubscribePattern", each) for each in (*channels, *shared)),
    ]
    return [*_replaced(COLLECTOR_ROLE, acls), *_user(login, COLLECTOR_ROLE)]


def site_commands(topic: str, login: Login) -> list[Command]:
    """The role and the user of a site, for the dynamic-security plugin."""
    site = login.username
    own = f"{topic}/v1/{site}"
    acls = [
        *(_allow("publishClientSend", f"{own}/{each}") for each in ("slots", "backlog", "status")),
        _allow("publishClientReceive", f"{own}/ack"),
        _allow("subscribeLiteral", f"{own}/ack"),
        _allow("unsubscribeLiteral", f"{own}/ack"),
    ]
    return [*_replaced(site_role(site), acls), *_user(login, site_role(site))]


def removal_commands(site: str) -> list[Command]:
    """Takes them away again."""
    return [
        {"command": "deleteClient", "username": site},
        {"command": "deleteRole", "rolename": site_role(site)},
    ]


def site_role(site: str) -> str:
    """What a site's role is called."""
    return f"fleet-site-{site}"


def as_request(commands: Iterable[Command]) -> str:
    """What is published to `$CONTROL/dynamic-security/v1`."""
    return msgspec.json.format(msgspec.json.encode({"commands": list(commands)})).decode() + "\n"


CREDENTIALS = "fleet.credentials"
CERTIFICATE = "fleet.pem"
"""A home's certificate and key, beside its gateway.yaml."""


def gateway_section(settings: FleetSettings, site: str, *, certificate: bool = False) -> str:
    """What a home's gateway.yaml gets. `certificate`: the broker knows it by that, not by a
    password.
    """
    broker = settings.file.broker
    key, file = ("certificate", CERTIFICATE) if certificate else ("credentials", CREDENTIALS)
    ca_file = f"    ca_file: {broker.ca_file}\n" if broker.ca_file else ""
    return (
        f"# Goes into gateway.yaml, and {file} (mode 0600) beside it. There `site:` has\n"
        f"# to say {site}: the broker drops what comes under any other name, and tells nobody.\n"
        "destinations:\n"
        "  fleet:\n"
        "    kind: fleet_mqtt\n"
        f"    host: {broker.host}\n"
        f"    port: {broker.port}\n"
        f"    tls: {'true' if broker.tls else 'false'}\n"
        f"{ca_file}"
        f"    {key}: {file}\n"
        f"    topic: {settings.topic}\n"
    )


def _allow(kind: str, topic: str) -> Command:
    return {"acltype": kind, "topic": topic, "priority": 0, "allow": True}


def _replaced(role: str, acls: list[Command]) -> list[Command]:
    """The role as it is to be, whether it is there already or not."""
    return [
        {"command": "createRole", "rolename": role},
        {"command": "modifyRole", "rolename": role, "acls": acls},
    ]


def _user(login: Login, role: str) -> list[Command]:
    roles = [{"rolename": role, "priority": 0}]
    name = login.username
    return [
        {"command": "createClient", "username": name, "password": login.password},
        {"command": "modifyClient", "username": name, "password": login.password, "roles": roles},
    ]
