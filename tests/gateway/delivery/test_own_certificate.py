"""The certificate with which a fleet's broker knows this site."""

import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivers.net.issuing import Issued, client_certificate, new_authority
from gateway.delivery.own_certificate import OwnCertificate, certificates_told


@pytest.fixture(scope="module")
def authority() -> Issued:
    return new_authority("a fleet")


def write(file: Path, of: Issued, days: int) -> int:
    """One that ends in so many days; gives when, Unix time."""
    made = client_certificate(of, "home-12", days)
    fresh = file.with_suffix(".new")
    fresh.write_bytes(made.certificate_pem + made.key_pem)
    fresh.replace(file)
    return int(made.certificate.not_valid_after_utc.timestamp())


def test_it_is_read_again_where_its_file_was_replaced(tmp_path: Path, authority: Issued) -> None:
    file = tmp_path / "home.pem"
    own = OwnCertificate(file)
    assert own.validity() is None
    ends_s = write(file, authority, 20)
    found = own.validity()
    assert found is not None
    assert found.ends_s == ends_s
    assert own.validity() is found, "it is not read each time that somebody looks"

    later_s = write(file, authority, 397)
    found = own.validity()
    assert found is not None
    assert found.ends_s == later_s

    # One that is copied half says nothing, and is read again once it is whole.
    whole = file.read_bytes()
    file.write_bytes(whole[:200])
    assert own.validity() is None
    assert own.validity() is None
    file.write_bytes(whole)
    os.utime(file, ns=(0, 1))
    assert own.validity() is not None
    file.unlink()
    assert own.validity() is None


def test_what_is_said_of_those_that_a_configuration_names(
    tmp_path: Path, authority: Issued
) -> None:
    ends_s = write(tmp_path / "home.pem", authority, 20)
    write(tmp_path / "good.pem", authority, 397)
    destinations = {
        "exchange": SimpleNamespace(),
        "none": SimpleNamespace(certificate=None),
        "good": SimpleNamespace(certificate="good.pem"),
        "fleet": SimpleNamespace(certificate="home.pem"),
    }

    def told(now_s: float) -> list[str]:
        return list(certificates_told(tmp_path, destinations, now_s))

    when = f"{datetime.fromtimestamp(ends_s, UTC):%Y-%m-%d %H:%M}Z"
    hint = "the community's manager makes a new one (fleet sites renew); copy it over that file"
    assert told(ends_s - 5.0) == [
        f"fleet: the certificate {tmp_path / 'home.pem'} ends {when}: {hint}"
    ]
    assert told(ends_s + 5.0) == [
        f"fleet: the certificate {tmp_path / 'home.pem'} ended {when}: {hint}"
    ]
    assert told(ends_s - 31 * 86_400.0) == [
        f"{name}: the certificate {tmp_path / file} is not valid before {begins}: is the clock "
        "right?"
        for name, file in (("good", "good.pem"), ("fleet", "home.pem"))
        for begins in [begin_of(tmp_path / file)]
    ]


def begin_of(file: Path) -> str:
    found = OwnCertificate(file).validity()
    assert found is not None
    return f"{datetime.fromtimestamp(found.begins_s, UTC):%Y-%m-%d %H:%M}Z"
