"""What `check` and `doctor` say of the certificate with which a fleet's broker knows a site."""

import pytest

from drivers.net.issuing import client_certificate, new_authority
from gateway.site.named_files import named_files


@pytest.fixture(scope="module")
def authority():
    return new_authority("a fleet")


@pytest.fixture
def member(home):
    """Of a fleet."""
    text = (home.folder / "gateway.yaml").read_text()
    fleet = "{kind: fleet_mqtt, host: 127.0.0.1, certificate: fleet.pem}"
    home.write("gateway.yaml", f"{text}\ndestinations:\n  fleet: {fleet}\n")
    return home


def give(home, made):
    home.write("fleet.pem", (made.certificate_pem + made.key_pem).decode())


def test_one_that_holds_for_long_is_not_told(run, member, authority):
    give(member, client_certificate(authority, "home-12", 100))
    code, out, _ = run("check")
    assert (code, "certificate" in out) == (0, False)
    kinds = {file.path.name: file.kind for file in named_files(member.folder)}
    assert kinds["fleet.pem"] == "certificate", "the service's user must be able to read it"


@pytest.mark.parametrize(("days", "verb"), [(20, "ends"), (0, "ended")])
def test_one_that_ends_is_a_warning_with_its_file_and_what_to_do(
    run, member, authority, days, verb
):
    give(member, client_certificate(authority, "home-12", days))
    code, out, _ = run("check")
    assert code == 0
    [line] = [line for line in out.splitlines() if line.startswith("warning:")]
    assert line.startswith(f"warning: fleet: the certificate {member.folder}/fleet.pem {verb} 20")
    assert line.endswith("(fleet sites renew); copy it over that file")
    told = run("doctor")[1]
    assert f"fleet: the certificate {member.folder}/fleet.pem {verb} 20" in told


def test_one_that_cannot_be_used_is_a_problem(run, member, authority):
    made = client_certificate(authority, "home-12", 100)
    member.write("fleet.pem", made.certificate_pem.decode())  # without its key
    code, out, _ = run("check")
    assert code == 1
    assert f"problem: delivery to fleet: {member.folder}/fleet.pem cannot be used: " in out
    (member.folder / "fleet.pem").unlink()
    code, out, err = run("check")
    assert code == 1
    assert f"there is no file {member.folder}/fleet.pem" in out + err
