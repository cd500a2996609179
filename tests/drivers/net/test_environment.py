"""What other programs' settings in the environment do to us: nothing, or a failure by its name."""

import os
import re
import ssl
from pathlib import Path

import pytest

from drivers.line import LineError, LineUrl
from drivers.net.environment import UnusableSetting, authorities
from drivers.net.http import HttpClient, NoConnection
from drivers.net.tls import CertificateError, client_context, line_context

URL = "https://exchange.example"
PROXY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"NO_PROXY": "localhost,fd00::/888", "HTTPS_PROXY": PROXY}, "NO_PROXY cannot be used"),
        ({"no_proxy": "[::1", "https_proxy": PROXY}, "no_proxy cannot be used ('[::1')"),
        ({"ALL_PROXY": "socks5://me:geheim@h:1080"}, "ALL_PROXY names a SOCKS proxy"),
        ({"HTTPS_PROXY": "foo://me:geheim@h"}, "HTTPS_PROXY cannot be used"),
        ({"https_proxy": "http://me:geheim@[::1"}, "https_proxy cannot be used"),
        ({"HTTPS_PROXY": "://"}, "HTTPS_PROXY cannot be used"),
        ({"HTTPS_PROXY": "ht!tp:/::::"}, "HTTPS_PROXY cannot be used"),
        ({"HTTPS_PROXY": "http://h:99999"}, "HTTPS_PROXY cannot be used"),
        ({"HTTPS_PROXY": "http://me:\udcff@h:3128"}, "HTTPS_PROXY cannot be used"),  # a byte
        ({"HTTPS_PROXY": "http://me:1234/geheim@h:3128"}, "HTTPS_PROXY cannot be used"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "SSL_CERT_FILE names /nowhere.pem"),
        ({"SSL_CERT_FILE": "/etc/passwd"}, "it holds no certificates"),
        ({"SSL_CERT_DIR": "/nowhere"}, "SSL_CERT_DIR names /nowhere, which is no folder"),
        ({"SSLKEYLOGFILE": "/nowhere/keys"}, "SSLKEYLOGFILE names /nowhere/keys"),
    ],
)
async def test_what_cannot_be_used_fails_the_request_that_needs_it_by_name(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = HttpClient(URL, trust_env=True)
    for _ in range(2):
        with pytest.raises(NoConnection, match=re.escape(words)) as failed:
            await client.request("GET", "", 5.0)
        assert str(failed.value).startswith(f"{URL} cannot be reached: the environment's ")
        assert "geheim" not in str(failed.value)
    with pytest.raises(NoConnection, match=re.escape(words)):
        client.prepare()
    await client.aclose()


async def test_once_it_is_mended_requests_go_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "later.pem"))
    client = HttpClient("https://127.0.0.1:9", trust_env=True)
    with pytest.raises(NoConnection, match="SSL_CERT_FILE"):
        await client.request("GET", "", 5.0)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NoConnection, match="Connection refused"):
        await client.request("GET", "", 5.0)


@pytest.mark.parametrize("name", ["NO_PROXY", "ALL_PROXY"])
async def test_it_is_no_business_of_plain_http(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "socks5://h,fd00::/8")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    client = HttpClient("http://127.0.0.1:9")
    with pytest.raises(NoConnection, match="Connection refused"):
        await client.request("GET", "", 5.0)


def test_lines_and_brokers_name_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(UnusableSetting, match=r"SSL_CERT_FILE names /nowhere\.pem"):
        authorities()
    with pytest.raises(LineError, match=r"mqtts://b:8883/t: the environment's SSL_CERT_FILE"):
        line_context(LineUrl.parse("mqtts://b/t"))


def test_a_file_of_our_own_makes_it_no_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certifi = pytest.importorskip("certifi")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert isinstance(authorities(certifi.where()), ssl.SSLContext)
    with pytest.raises(FileNotFoundError):
        authorities(str(tmp_path / "none.pem"))


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_certificate_that_is_no_file_is_not_waited_for(tmp_path: Path, key: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "ours").touch()
    named = dict.fromkeys(("cert_file", "key_file"), str(tmp_path / "ours"))
    with pytest.raises(CertificateError, match="cannot be used: it is not a file"):
        client_context(**{**named, key: str(tmp_path / "fifo")})
