"""`meter-gateway doctor`, and what it gives away: nothing."""

import re
import tarfile
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.cli.support import bundle
from gateway.cli.support.examination import judged
from gateway.cli.support.machine import machine

SECRETS = {
    "exchange": "hunter2-of-the-exchange",
    "broken": "broken-file-passphrase-7",
    "key": "00112233445566778899AABBCCDDEEFF",
    "token": "status-token-abcdefghijkl",
    "unnamed": "left-behind-in-old-file",
    "proxy": "proxy-pa55word",
    "userinfo": "url-pa55word",
    "comment": "comment-pa55word",
    "environment": "env-pa55word",
    "bearer": "eyJhbGciOiJIUzI1NiJ9.abcdefghijk",
}

GATEWAY = """\
# The old login was password: {comment}
site: home-12
exchange:
  dialect: sdk
  url: http://127.0.0.1:9
  canary_network: 8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10
  credentials: exchange.credentials
assets:
  - {{name: House, kind: load, energy: grid.import}}
buffer: {{path: buffer.sqlite}}
status: {{port: 1}}
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder with a secret wherever one can be."""
    folder = tmp_path / "conf"
    (folder / "devices").mkdir(parents=True)
    (folder / "gateway.yaml").write_text(GATEWAY.format(**SECRETS))
    (folder / "devices/grid.yaml").write_text(
        "profile: p1/auto\nline: tcp:127.0.0.1:9\nkey: grid.key\n"
        f"# seen at http://admin:{SECRETS['userinfo']}@192.168.1.9/ before\n"
    )
    for name, text in {
        "exchange.credentials": f"username: 'home-12'\npassword: '{SECRETS['exchange']}'\n",
        "grid.key": f"encryption_key: '{SECRETS['key']}'\n",
        "status.credentials": f"token: '{SECRETS['token']}'\n",
        "mqtt.credentials": f"user name: x\n\tpass: [{SECRETS['broken']}\n{SECRETS['broken']}",
        "exchange.credentials.old": f"password: {SECRETS['unnamed']}\n",
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    monkeypatch.setenv("https_proxy", f"http://me:{SECRETS['proxy']}@127.0.0.1:9")
    monkeypatch.setenv("METER_GATEWAY_PASSWORD", SECRETS["environment"])
    said = " ".join(SECRETS[name] for name in ("exchange", "key", "token", "broken", "unnamed"))
    log = f"it answered {said}\nAuthorization: Bearer {SECRETS['bearer']}\n"
    log += f"password={SECRETS['comment']}\n"
    monkeypatch.setattr(bundle, "_journal", lambda: log)
    return folder


def test_nothing_that_is_secret_is_in_the_bundle_or_on_the_terminal(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "bundle.tar.gz"
    code = main(["doctor", "--config", str(planted), "--bundle", str(archive)])
    shown = capsys.readouterr()
    assert code == 1  # neither exchange nor meter is there
    assert archive.stat().st_mode & 0o777 == 0o600
    texts = {"terminal": shown.out + shown.err}
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            texts[member.name] = file.read().decode()
    for name, text in texts.items():
        for kind, secret in SECRETS.items():
            assert secret.lower() not in text.lower(), f"{kind} in {name}"
    # It is of use all the same: the log, the configuration, what was tried.
    assert "it answered (secret)" in texts["meter-gateway/journal.txt"]
    assert "home-12" in texts["meter-gateway/configuration/gateway.yaml"]
    assert "line: tcp:127.0.0.1:9" in texts["meter-gateway/configuration/devices/grid.yaml"]
    assert "grid: tcp:127.0.0.1:9" in texts["meter-gateway/doctor.txt"]
    assert "0600" in texts["meter-gateway/files.txt"]
    assert not [name for name in texts if "credentials" in name or "grid.key" in name]

    assert main(["doctor", "--config", str(planted), "--bundle", str(archive)]) == 1
    assert "is there already" in capsys.readouterr().err


def test_what_is_said_without_being_a_secret_stays(planted: Path) -> None:
    masked = bundle.mask_of(planted)
    for text in (
        "credentials: exchange.credentials",
        "key: grid.key",
        "the token of the status page: run meter-gateway token",
        "2026-11-29T21:00:00Z grid: import 1,234.567 kWh",
        "status: {host: 0.0.0.0}     # needs a token",
    ):
        assert masked(text) == text
    assert "hunter" not in masked("api_key = 'hunter', next")
    assert masked("wss://user:hunter@host/x") == "wss://user:(secret)@host/x"


def test_a_configuration_with_mistakes_is_told_line_by_line_and_nothing_is_tried(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = planted / "gateway.yaml"
    site.write_text(site.read_text().replace("grid.import", "pv.import"))
    assert main(["doctor", "--config", str(planted)]) == 1
    out = capsys.readouterr().out
    assert re.search(
        r"✗  mistake: .*gateway.yaml:\d+: assets\[0\].energy: there is no meter 'pv'", out
    )
    assert "not tried: mend the configuration first" in out


@pytest.mark.parametrize(
    ("said", "marks", "words"),
    [
        ({"ActiveState": "active", "StatusText": "all is well", "UnitFileState": "enabled"},
         ["ok"], "all is well"),
        ({"ActiveState": "active", "StatusText": "not started: gateway.yaml:3: …",
          "UnitFileState": "enabled"}, ["✗"], "not started"),
        ({"ActiveState": "active", "StatusText": "reload refused, the old …",
          "UnitFileState": "enabled"}, ["✗"], "reload refused"),
        ({"ActiveState": "inactive", "ConditionResult": "no", "UnitFileState": "enabled"},
         ["✗"], "meter-gateway init"),
        ({"ActiveState": "failed", "UnitFileState": "disabled", "NRestarts": "40"},
         ["✗", "✗", "✗"], "systemctl start"),
    ],
)  # fmt: skip
def test_what_systemd_says_of_the_service(
    said: dict[str, str], marks: list[str], words: str
) -> None:
    found = list(judged(said))
    assert [tried.mark for tried in found] == marks
    assert words in found[0].said


def test_what_is_wrong_with_a_machine_is_named_with_its_remedy(tmp_path: Path) -> None:
    def put(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    put("proc/device-tree/model", "Raspberry Pi Zero 2 W Rev 1.0\0")
    put("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n')
    put("proc/meminfo", "MemTotal: 437804 kB\nMemAvailable: 31000 kB\n")
    put("proc/mounts", "/dev/mmcblk0p2 / ext4 ro,noatime 0 0\n")
    put("sys/class/thermal/thermal_zone0/temp", "84500\n")
    put("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    put("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    put("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    told = {tried.what: tried for tried in machine(tmp_path)}
    assert "Raspberry Pi Zero 2 W Rev 1.0, Debian GNU/Linux 13 (trixie)" in told["machine"].said
    bad = {what for what, tried in told.items() if tried.mark == "✗"}
    assert bad == {"memory", "temperature", "supply", "root file system"}
    assert all(" — " in told[what].said for what in bad)

    put("proc/meminfo", "MemAvailable: 310000 kB\n")
    put("proc/mounts", "rootfs / rootfs ro 0 0\n/dev/mmcblk0p2 / ext4 rw 0 0\n")
    put("sys/class/thermal/thermal_zone0/temp", "44500\n")
    put("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    told = {tried.what: tried.mark for tried in machine(tmp_path)}
    assert told.pop("updates") == "–", "no channel is set: they come by hand"
    assert set(told.values()) == {"ok"}
