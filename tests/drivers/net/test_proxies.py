"""Which proxy the environment names, and for whom."""

import pytest

from drivers.net.environment import UnusableSetting
from drivers.net.proxies import proxy_for


@pytest.mark.parametrize(
    ("environment", "host", "port"),
    [
        ({"HTTPS_PROXY": "http://h:3128"}, "h", 3128),
        ({"https_proxy": "h:3128", "HTTPS_PROXY": "http://other:1"}, "h", 3128),
        ({"all_proxy": "http://h:3128/"}, "h", 3128),
        ({"https_proxy": "http://h:3128", "ALL_PROXY": "socks5://s:1080"}, "h", 3128),
        ({"HTTPS_PROXY": " http://h "}, "h", 80),
        ({"HTTPS_PROXY": "https://h"}, "h", 443),
        ({"HTTPS_PROXY": "http://[fd00::1]:3128"}, "fd00::1", 3128),
        ({"HTTPS_PROXY": "http://h:1", "NO_PROXY": ""}, "h", 1),
    ],
)
def test_variables_are_read_as_other_programs_read_them(
    environment: dict[str, str], host: str, port: int
) -> None:
    proxy = proxy_for("exchange.example", 443, environment)
    assert proxy is not None
    assert (proxy.host, proxy.port) == (host, port)
    assert str(proxy).startswith("the proxy ")


@pytest.mark.parametrize(
    "environment", [{}, {"https_proxy": "", "HTTPS_PROXY": "http://h"}, {"http_proxy": "foo://"}]
)
def test_none_is_named(environment: dict[str, str]) -> None:
    assert proxy_for("exchange.example", 443, environment) is None


def test_a_login_travels_and_is_not_shown() -> None:
    proxy = proxy_for("x", 443, {"HTTPS_PROXY": "http://Aladdin:open%20sesame@h:1"})
    assert proxy is not None
    assert proxy.login == "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert "sesame" not in f"{proxy} {proxy!r}" and proxy.login not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    "no_proxy",
    [
        "*",
        "exchange.example",
        "EXAMPLE",
        ".example",
        "*.example",
        "localhost,fd00::/8,exchange.example",
        "a.b exchange.example:443",
        "https://exchange.example/",
        "exchange.example.",
    ],
)
def test_who_is_excepted_by_name_is_reached_directly(no_proxy: str) -> None:
    environment = {"HTTPS_PROXY": "http://h:1", "NO_PROXY": no_proxy}
    assert proxy_for("exchange.example", 443, environment) is None
    assert proxy_for("Exchange.Example.", 443, environment) is None


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.77"),
        ("192.0.2.7/24:443", "192.0.2.77"),
        ("localhost,fd00::/8", "fd12::1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[::1]:443", "::1"),
    ],
)
def test_who_is_excepted_by_address_is_reached_directly(no_proxy: str, host: str) -> None:
    environment = {"HTTPS_PROXY": "http://h:1", "no_proxy": no_proxy}
    assert proxy_for(host, 443, environment) is None


@pytest.mark.parametrize(
    "no_proxy",
    [
        "localhost,fd00::/8",
        "change.example",
        "exchange.example:8443",
        "192.0.2.0/24",
        "e.*",
        "127.1",
    ],
)
def test_who_is_not_excepted_goes_by_the_proxy(no_proxy: str) -> None:
    environment = {"HTTPS_PROXY": "http://h:1", "no_proxy": no_proxy}
    if "*" in no_proxy:
        with pytest.raises(UnusableSetting, match="no_proxy cannot be used"):
            proxy_for("exchange.example", 443, environment)
    else:
        assert proxy_for("exchange.example", 443, environment) is not None
