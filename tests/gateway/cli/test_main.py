"""The entry point: finding the command, help, exit codes."""

import re
import subprocess
import sys

import pytest

from gateway import __version__
from gateway.cli.main import command_names

OF_THEIR_OWN = ["buffer", "check", "demo", "outbox", "profiles", "scan", "status"]
"""Commands whose exit codes say more than whether it could be done."""


def test_help_names_every_command_with_what_it_does(shell):
    done = shell("--help")
    assert done.returncode == 0
    for name in command_names():
        assert re.search(rf"^  {name} +\w", done.stdout, re.MULTILINE), name


@pytest.mark.parametrize("name", command_names())
def test_every_command_says_what_it_does_and_gives_an_example(run, name):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert re.search(rf"^  (sudo )?meter-gateway (--config \S+ )?{name}\b", out, re.MULTILINE)


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_a_command_with_exit_codes_of_its_own_tells_them(run, name):
    said = " ".join(run(name, "--help")[1].split()).lower()
    assert "exit code" in said


def test_an_unknown_command_is_a_usage_error_naming_the_nearest(run):
    code, _, err = run("slot")
    assert code == 2
    assert "there is no command 'slot' — did you mean 'slots'?" in err


def test_no_command_shows_the_help_and_is_a_usage_error(shell):
    done = shell()
    assert done.returncode == 2
    assert "commands:" in done.stderr


def test_version(run):
    assert run("--version")[:2] == (0, f"meter-gateway {__version__}\n")


def test_the_folder_is_taken_before_or_after_the_command_or_from_the_environment(shell, home):
    folder = str(home.folder)
    for words, environment in (
        (["--config", folder, "check"], {}),
        ([f"--config={folder}", "check"], {}),
        (["check", "--config", folder], {}),
        (["check"], {"METER_GATEWAY_CONFIG": folder}),
        (["check", "--config", folder], {"METER_GATEWAY_CONFIG": "/nowhere"}),
    ):
        done = shell(*words, **environment)
        assert (done.returncode, done.stderr) == (0, ""), words


def test_the_daemon_s_command_loads_nothing_that_only_people_need():
    code = """
import sys
from gateway.cli.main import main
try:
    main(["run", "--help"])
except SystemExit:
    pass
heavy = {"rich", "pandas", "openpyxl", "sqlite_utils"} & set(sys.modules)
commands = {name for name in sys.modules if name.startswith("gateway.cli.commands.")}
others = commands - {"gateway.cli.commands.run"}
print(sorted(heavy | others), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == "[]\n"


def test_an_expected_error_is_one_clear_text_and_exit_code_1(shell, tmp_path):
    done = shell("slots", "--config", tmp_path / "nowhere")
    assert done.returncode == 1
    assert (
        "gateway.yaml: cannot be read: No such file or directory — give --config the folder that "
        "holds it"
    ) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly(home):
    home.fill([100] * 40, [0] * 40)
    words = [
        sys.executable,
        "-m",
        "gateway",
        "--config",
        str(home.folder),
        "slots",
        "--meters",
        "--last",
        "1000",
        "--csv",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_whoever_names_the_file_of_the_site_means_its_folder(shell, home):
    done = shell("check", "--config", home.folder / "gateway.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    done = shell("check", METER_GATEWAY_CONFIG=str(home.folder / "gateway.yaml"))
    assert (done.returncode, done.stderr) == (0, "")


def test_another_file_is_not_taken_for_a_folder(shell, home):
    done = shell("check", "--config", home.folder / "exchange.credentials")
    assert done.returncode == 2
    assert (
        f"is a file — give the folder that holds gateway.yaml, such as {home.folder}" in done.stderr
    )

    done = shell("check", "--config", home.folder / "devices" / "pv.yaml")
    assert f"such as {home.folder}\n" in done.stderr, "not the folder of the meters"


def test_the_folder_of_the_meters_is_told_from_the_one_above(run, home):
    code, out, _ = run("check", "--config", home.folder / "devices")
    assert code == 1
    assert f"give --config the folder that holds it, {home.folder}\n" in out


def test_a_name_with_a_blank_is_answered_in_plain_words(run, home):
    text = (home.folder / "gateway.yaml").read_text(encoding="utf-8")
    home.write("gateway.yaml", text.replace("site: home-12", 'site: "a b"'))
    _, out, _ = run("check")
    assert (
        "site: 'a b' cannot stand here — it is the name of this site: letters, digits, dot, - and _"
        in out
    )
