"""What a broker costs in memory: paho alone, not what it would look for a proxy with."""

import subprocess
import sys

_CONNECTS_LATER = """
import sys
from drivers.net.mqtt import Broker, _client

client = _client(Broker("127.0.0.1", 1883, client_id="me"))
print(type(client).__module__, "urllib.request" in sys.modules, "email" in sys.modules)

import urllib.request

print(callable(urllib.request.urlopen), "email" in sys.modules)
_client(Broker("127.0.0.1", 1883, client_id="me"))
print(sys.modules["urllib.request"] is urllib.request)
"""


def test_pahos_way_to_a_proxy_is_not_imported_and_is_there_for_others() -> None:
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", _CONNECTS_LATER],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert told == ["paho.mqtt.client False False", "True True", "True"]
