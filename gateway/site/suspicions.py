"""What a configuration may say and hardly means: no mistake, but worth a word."""

from collections.abc import Iterator
from pathlib import Path

from drivers.settings_file import read_bounded
from drivers.strict_yaml import Problem
from gateway.site.credentials import credential_path, cut_by_comments
from gateway.site.named_files import named_files
from gateway.site.settings import MqttSettings, Settings

_PLAIN_PORT, _TLS_PORT = 1883, 8883
"""The ports of MQTT (IANA)."""


def suspicions(settings: Settings) -> Iterator[Problem]:
    """All that is suspected of a configuration that has no mistakes."""
    names = {file.name for file in named_files(settings.folder) if file.kind == "credentials"}
    for name in sorted(names):
        yield from _cut(credential_path(settings.folder, name))

    if settings.mqtt is not None:
        yield from _broker_port(settings.mqtt, str(settings.folder / "gateway.yaml"))


def _cut(path: Path) -> Iterator[Problem]:
    try:
        text, _ = read_bounded(path)
    except OSError:
        return
    for line, key in cut_by_comments(text):
        message = "the value ends at the #, for what follows is a comment"
        hint = "if the # belongs to it, put the whole value in single quotes"
        yield Problem(str(path), line, key, message, hint)


def _broker_port(mqtt: MqttSettings, file: str) -> Iterator[Problem]:
    """The port of the other way to speak MQTT."""
    if mqtt.tls and mqtt.port == _PLAIN_PORT:
        hint = f"with TLS it is {_TLS_PORT} mostly; without, write tls: false"
        yield Problem(file, 0, "mqtt.port", f"{_PLAIN_PORT} is the port without TLS", hint)
    if not mqtt.tls and mqtt.port == _TLS_PORT:
        hint = f"without TLS it is {_PLAIN_PORT} mostly; with it, leave tls: false out"
        yield Problem(file, 0, "mqtt.port", f"{_TLS_PORT} is the port for TLS", hint)
