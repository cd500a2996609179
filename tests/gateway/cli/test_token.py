"""`meter-gateway token`, and who may read the status page: as `check` and the start see it."""

import asyncio
import os
import stat
from argparse import Namespace

import pytest

from gateway.cli.commands import status as status_command
from gateway.delivery import kinds
from gateway.monitoring.server import StatusServer
from gateway.site.credentials import ConfigError, read_token
from gateway.site.page_access import NOTE, ListenHost, TokenFile, access_of, note_access
from gateway.site.settings import StatusSettings


def token_of(home):
    return read_token(home.folder, "status.credentials")[0]


@pytest.fixture
def listen(home):
    """Sets `status: {host: …}`."""
    text = (home.folder / "gateway.yaml").read_text(encoding="utf-8")

    def write(host):
        home.write("gateway.yaml", f'{text}status: {{host: "{host}"}}\n')

    return write


def test_a_token_is_written_for_its_owner_alone_and_shown_to_nobody(run, home):
    code, out, err = run("token")
    assert (code, err) == (0, "")
    path = home.folder / "status.credentials"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in out
    assert len(token_of(home)) >= 32
    assert token_of(home) not in out
    assert "for this machine only" in out, "with the page as it is, no token is asked for"
    assert sorted(home.folder.glob(".*")) == []


def test_each_token_is_another_one_and_the_mode_is_right_again(run, home):
    run("token")
    before = token_of(home)
    (home.folder / "status.credentials").chmod(0o644)
    assert "There is a new token" in run("token")[1]
    assert token_of(home) not in (None, before)


def test_a_configuration_with_mistakes_gets_its_token_all_the_same(run, home):
    home.write("gateway.yaml", "nonsense: 1\nstatus: {host: 0.0.0.0}\n")
    assert run("token")[0] == 0
    assert token_of(home)


def test_a_folder_that_is_not_there_is_said(run, tmp_path):
    code, out, err = run("token", "--config", tmp_path / "none")
    assert (code, out) == (1, "")
    assert "cannot be written: No such file or directory" in err
    assert "sudo" in err


def test_a_new_installation_is_not_opened_to_the_network_without_a_token(run, home, listen):
    for host in ("0.0.0.0", "::", "[::]", "192.168.1.5", "gateway.local", "127.evil.example"):
        listen(host)
        code, out, _ = run("check")
        assert code == 1
        assert "status.host" in out
        assert "make one with: meter-gateway token" in out
        with pytest.raises(ConfigError, match="no token"):
            kinds.load(home.folder)
        assert kinds.load(home.folder, logins=False), "commands that only look go on"

    run("token")
    code, out, _ = run("check")
    assert code == 0
    assert "for whoever has the token" in out
    (home.folder / "status.credentials").write_text("token: 'short'\n")
    assert "is not a token of the status page" in run("check")[1]


def test_an_installation_that_was_open_goes_on_with_a_loud_warning(run, home, listen):
    listen("0.0.0.0")
    (home.folder / "buffer.sqlite").touch()
    code, out, _ = run("check")
    assert code == 0
    assert "warning: everybody on the network can read the status page" in out
    settings = kinds.load(home.folder)
    assert settings.page_access == "open"
    assert "meter-gateway token" in settings.warnings()[0]

    note_access("open", settings.buffer_path)
    assert kinds.load(home.folder).page_access == "open", "also the next time"
    run("token")
    assert settings.warnings() == [], "while it runs"
    assert kinds.load(home.folder).page_access == "token"


@pytest.mark.parametrize("before", ["local", "token"])
def test_a_page_that_was_not_open_with_this_version_does_not_become_so(home, before):
    buffer = home.folder / "buffer.sqlite"
    buffer.touch()
    note_access(before, buffer)
    assert (home.folder / NOTE).read_text() == f"{before}\n"
    assert access_of("0.0.0.0", home.folder, "status.credentials", buffer) is None
    assert access_of("127.0.0.1", home.folder, "status.credentials", buffer) == "local"


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("", "is empty"),
        ("eth0", "the name of an interface"),
        ("wlan0", "the name of an interface"),
        ("*", "no address"),
        ("0", "not an address"),
        ("127.1", "not an address"),
        ("0x7f000001", "not an address"),
        ("127.0.0.1:8080", "the port goes to port:"),
        ("http://127.0.0.1", "the port goes to port:"),
        ("224.0.0.1", "the address of a group"),
        ("a b", "not the name of a host"),
    ],
)
def test_what_nothing_can_listen_on_is_named(run, listen, host, says):
    listen(host)
    code, out, _ = run("check")
    assert code == 1
    assert "status.host" in out
    assert says in out


def test_an_address_may_stand_in_brackets():
    assert ListenHost.parse("[::1]") == "::1"
    assert ListenHost.parse("::") == "::"


def test_a_token_is_read_again_when_its_file_changes(run, home, caplog):
    used = []
    token = TokenFile(home.folder, "status.credentials", lambda *secret: used.append(secret))
    assert token() is None
    run("token")
    first = token()
    assert first == token() == token_of(home)
    run("token")
    assert token() == token_of(home) != first
    assert used == [("the status page", first), ("the status page", token())], "to be masked"
    (home.folder / "status.credentials").chmod(0o644)
    assert token() is token() is None, "others can read it"
    [told] = [record.getMessage() for record in caplog.records]
    assert "others can read this file" in told
    assert "lets nobody in" in told
    (home.folder / "status.credentials").unlink()
    assert token() is None


async def test_status_brings_the_token_of_the_configuration_to_this_machine_only(
    run, home, healthy_report
):
    run("token")
    settings = StatusSettings(host=ListenHost("0.0.0.0"), port=0)
    page = kinds.load(home.folder).page_token()
    server = StatusServer(settings, lambda: healthy_report, page)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    try:
        assert (await asyncio.to_thread(run, "status", "--url", server.url))[0] == 0
        (home.folder / "status.credentials").rename(home.folder / "mine")
        await asyncio.to_thread(run, "token")

        file = home.folder / "mine"
        words = ("status", "--url", server.url, "--token-file", file)
        code, _, err = await asyncio.to_thread(run, *words)
        assert (code, "does not take this token" in err) == (2, True)
        (home.folder / "status.credentials").rename(file)
        code, _, err = await asyncio.to_thread(run, "status", "--url", server.url)
        assert (code, "asks for its token" in err) == (2, True)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_another_machine_is_not_told_the_token_of_this_one(run, home):
    run("token")

    def sent_to(url):
        args = Namespace(config=home.folder, url=url, token_file=None)
        return status_command._page(args)[1]()

    assert sent_to("http://127.0.0.1:8080") == sent_to("http://[::1]:8080/") == token_of(home)
    for url in ("http://192.168.1.5:8080", "http://127.evil.example", "https://a@127.0.0.1@b"):
        assert sent_to(url) is None


def test_a_token_file_that_cannot_be_used_is_said(run, home):
    code, _, err = run("status", "--token-file", str(home.folder / "none"))
    assert code == 2
    assert "cannot be read" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("passes_on", [False, True])
def test_root_gives_it_to_the_user_of_the_unit(run, home, tmp_path, monkeypatch, passes_on):
    path = home.folder / "status.credentials"
    passed = f"LoadCredential=status.credentials:{path}" if passes_on else ""
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f"#!/bin/sh\necho User=nobody\necho '{passed}'\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{systemctl.parent}:{os.environ['PATH']}")

    out = run("token")[1]
    assert path.owner() == "nobody"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "owner nobody" in out
    assert ("systemctl restart meter-gateway" in out) is passes_on
    assert ("nothing has to be started again" in out) is not passes_on
