"""What the user of the service may read and write is judged from owners and modes."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.delivery import kinds
from gateway.site.access import access_problems
from gateway.site.service_unit import SHIPPED, Account, ServiceUnit, account_of, service_unit

UNIT = """\
[Unit]
User=not-this-one
[Service]
User=somebody
SupplementaryGroups=dialout
StateDirectory=meter-gateway
ProtectSystem=strict
ExecStart=/opt/meter-gateway/bin/meter-gateway --config {folder} run
"""
STRANGER = Account("stranger", 54321, 54321, frozenset({54321}))
MEMBER = Account("member", 54321, 54321, frozenset({54321, os.getgid()}))


@pytest.fixture(autouse=True)
def _no_unit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METER_GATEWAY_UNIT", raising=False)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter. Those of pytest are closed."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def home(open_folder: Path) -> Path:
    folder = open_folder / "etc"
    write(folder / "gateway.yaml", "site: a\nbuffer: {path: ../state/buffer.sqlite}\n")
    write(folder / "devices" / "pv.yaml", "profile: eastron/sdm120\nline: tcp:127.0.0.1:1502\n")
    (open_folder / "state").mkdir(mode=0o777)
    (open_folder / "state").chmod(0o777)
    return folder


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True, mode=0o755)
    path.write_text(text)
    path.chmod(mode)
    return path


def unit_in(folder: Path, text: str = UNIT) -> ServiceUnit:
    write(folder / "units" / "meter-gateway.service", text.format(folder=folder / "etc"))
    return service_unit((folder / "units",))


def told(home: Path, account: Account = STRANGER, unit: ServiceUnit | None = None) -> list[str]:
    unit = unit or ServiceUnit(None, False, ())
    return [str(each) for each in access_problems(home, kinds.load(home), unit, account)]


def test_what_everybody_may_read_is_no_problem(home: Path) -> None:
    assert told(home) == []


@pytest.mark.parametrize("name", ["gateway.yaml", "devices/pv.yaml"])
def test_a_file_that_its_owner_alone_can_read_is_named_with_its_remedy(
    home: Path, name: str
) -> None:
    path = home / name
    path.chmod(0o600)
    [problem] = told(home)
    assert problem.startswith(f"{path}: the service runs as stranger, who cannot read this file")
    assert "(mode 0600, owner " in problem
    assert f"run: chgrp 54321 {path} && chmod g+r {path}" in problem


def test_a_member_of_the_group_may_read_what_the_group_may(home: Path) -> None:
    (home / "gateway.yaml").chmod(0o640)
    assert told(home, MEMBER) == []
    assert len(told(home, STRANGER)) == 1


def test_credentials_keep_their_mode_and_get_another_owner(home: Path) -> None:
    (home / "gateway.yaml").write_text(
        "site: a\nbuffer: {path: ../state/buffer.sqlite}\n"
        "mqtt: {host: broker, credentials: mqtt.credentials}\n"
    )
    path = write(home / "mqtt.credentials", "username: 'a'\npassword: 'b'\n", 0o600)
    [problem] = told(home)
    assert problem.endswith(f"— run: chown stranger {path}")
    passed = ServiceUnit(None, False, (("LoadCredential", f"mqtt.credentials:{path}"),))
    assert told(home, unit=passed) == [], "systemd reads it as root"

    gone = ServiceUnit(None, False, (("LoadCredential", "mqtt.credentials:/nowhere"),))
    assert (
        "LoadCredential=mqtt.credentials names /nowhere, which is not there"
        in told(home, unit=gone)[0]
    )

    stands_in = ServiceUnit(None, False, (*gone.lines, ("SetCredential", "mqtt.credentials:no")))
    assert "systemd would not start the service" in told(home, unit=gone)[0]
    assert "the service gets what SetCredential= says instead" in told(home, unit=stands_in)[0]


def test_profiles_and_folders_are_looked_at_too(home: Path) -> None:
    write(home / "hardware_profiles" / "acme" / "em1.yaml", "maker: a\n", 0o600)
    assert "em1.yaml: the service runs as stranger" in told(home)[0]
    (home / "hardware_profiles").chmod(0o700)
    assert f"{home}/hardware_profiles: the service runs as stranger, who cannot" in told(home)[0]


def test_a_closed_folder_above_is_named_once(home: Path) -> None:
    home.parent.chmod(0o700)
    [problem] = told(home)
    assert f"{home.parent}: the service runs as stranger, who cannot enter this folder" in problem
    assert f"chmod o+x {home.parent}" in problem


def test_the_state_folder_and_the_files_in_it_must_be_written(home: Path) -> None:
    state = home.parent / "state"
    write(state / "buffer.sqlite", "", 0o640)
    [problem] = told(home)
    assert (
        f"{state}/buffer.sqlite: the service runs as stranger, who cannot read and write" in problem
    )
    state.chmod(0o755)
    [problem] = told(home)
    assert problem.endswith(f"— run: chown -R stranger: {state}")


def test_a_port_that_belongs_to_another_is_named(home: Path) -> None:
    master, port = os.openpty()
    try:
        path = os.ttyname(port)
        for mode, says in ((0o600, "start what is behind this pty as stranger"), (0o666, "")):
            Path(path).chmod(mode)
            line = f"profile: eastron/sdm120\nline: serial:{path}\n"
            write(home / "devices" / "pv.yaml", line)
            problems = told(home)
            assert len(problems) == (1 if says else 0)
            assert says in "".join(problems)
    finally:
        os.close(master)
        os.close(port)


def test_the_unit_is_read_with_its_drop_ins(open_folder: Path) -> None:
    assert unit_in(open_folder).user == "somebody"
    drop_ins = open_folder / "units" / "meter-gateway.service.d"
    write(drop_ins / "10-user.conf", "[Service]\nUser=root\nSupplementaryGroups=\n")
    write(drop_ins / "20-group.conf", "[Service]\n# a word\nSupplementaryGroups=adm \\\n  tty\n")
    unit = service_unit((open_folder / "units",))
    assert (unit.user, unit.groups) == ("root", ["adm", "tty"])
    account = account_of(unit)
    assert account is not None
    assert account.uid == 0


def test_without_an_installed_unit_the_shipped_one_is_taken(open_folder: Path) -> None:
    unit = service_unit((open_folder / "nowhere",))
    assert (unit.path, unit.is_installed) == (SHIPPED, False)
    assert (unit.user, unit.groups) == ("meter-gateway", ["dialout"])


def test_there_may_be_no_such_user_yet(open_folder: Path) -> None:
    assert account_of(unit_in(open_folder)) is None


def test_a_group_that_is_not_there_is_named(home: Path) -> None:
    unit = ServiceUnit(None, False, (("SupplementaryGroups", "no-such-group"),))
    assert (
        "there is no such group — run: groupadd --system no-such-group" in told(home, unit=unit)[0]
    )


def test_a_folder_that_the_unit_may_not_write_to_is_named(home: Path) -> None:
    unit = unit_in(home.parent, UNIT.replace("SupplementaryGroups=dialout\n", ""))
    state = (home / ".." / "state").absolute()
    [problem] = told(home, unit=unit)
    assert "the service may not write to this folder (ProtectSystem=strict)" in problem
    assert f"ReadWritePaths={state}" in problem


def test_another_unit_may_be_named(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write(open_folder / "other.service", "[Service]\nUser=another\n")
    monkeypatch.setenv("METER_GATEWAY_UNIT", str(other))
    assert (service_unit().user, service_unit().path) == ("another", other)
