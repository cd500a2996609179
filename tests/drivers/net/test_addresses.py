import pytest

from drivers.net.addresses import address_of, is_any, is_host_name, is_loopback


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"],
)
def test_this_machine_is_known_by_its_address(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("127.evil.example", "127.0.0.1.nip.io", "127.1", "0x7f.0.0.1", "2130706433", "0", ""),
        *("localhost.evil.example", "0.0.0.0", "::", "192.168.1.5", "127.0.0.1:80"),
        "::ffff:1.2.3.4",
    ],
)
def test_another_machine_is_not_taken_for_this_one(host: str) -> None:
    assert not is_loopback(host)


def test_all_interfaces_are_known_however_they_are_written() -> None:
    assert all(map(is_any, ("0.0.0.0", "::", "[::]", "0:0::0", "::ffff:0.0.0.0")))
    assert not is_any("127.0.0.1")
    assert address_of("eth0") is None


@pytest.mark.parametrize(
    "text", ["broker", "a.b-c.example", "b.", "my_box.lan", "192.0.2.1", "xn--4ca", "x" * 63]
)
def test_what_may_be_a_name_is_one(text: str) -> None:
    assert is_host_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        ".b",
        "-",
        "-a",
        "a-",
        "x" * 64,
        "a." * 127,
        "ä.example",
        "a b",
        "a:1",
        "a/b",
    ],
)
def test_what_no_system_looks_up_is_no_name(text: str) -> None:
    assert not is_host_name(text)
