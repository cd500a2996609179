"""`make repository` and `meter-gateway updates`: apt takes a package from the signed repository,
and nothing that was tampered with.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli.terminal import Refused
from gateway.cli.update_channel import Channel, channel_of, choose, leave
from tests.package.small_checkout import ROOT, Checkout

pytestmark = pytest.mark.xdist_group("package")


@dataclass(frozen=True, slots=True)
class Maintainer:
    """Somebody with a key, and a folder in which the repository is."""

    folder: Path
    key: str
    environ: dict[str, str]

    @property
    def repository(self) -> Path:
        """Where it is."""
        return self.folder / "repository"

    def publish(self, *files: Path, channel: str = "stable", code: int = 0, key: str = "") -> str:
        """What the command says."""
        words = ["--key", key or self.key, "--channel", channel, "--output", self.repository]
        done = subprocess.run(
            [sys.executable, ROOT / ".ci/repository.py", *words, *files],
            env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout


@pytest.fixture
def maintainer(required_tool: Callable[[str], str], public_folder: Path) -> Iterator[Maintainer]:
    """With a key that was made just now. What gpg starts is ended."""
    for tool in ("gpg", "gpgconf", "dpkg-deb"):
        required_tool(tool)
    home = public_folder / "gnupg"
    home.mkdir(mode=0o700)
    environ = os.environ | {"GNUPGHOME": str(home)}
    about = "meter-gateway repository"
    words = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", about, "ed25519", "sign"]
    subprocess.run([*words, "never"], env=environ, check=True, capture_output=True)
    told = subprocess.run(
        ["gpg", "--list-keys", "--with-colons"], env=environ, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    key = next(line.split(":")[9] for line in told.stdout.splitlines() if line.startswith("fpr"))
    yield Maintainer(public_folder, key, environ)
    subprocess.run(["gpgconf", "--kill", "all"], env=environ, check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Box:
    """A folder that apt takes for a machine."""

    root: Path

    def apt(self, *words: str, code: int | None = 0) -> str:
        """What apt-get says."""
        state, cache = self.root / "state", self.root / "cache"
        for folder in (state / "lists/partial", cache / "archives/partial"):
            folder.mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        options = {
            "Dir::Etc": self.root / "etc/apt",
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::State": state,
            "Dir::State::status": state / "status",
            "Dir::Cache": cache,
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
        }
        flags = [f"-o{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            ["apt-get", *flags, *words], cwd=self.root, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout
        return done.stdout

    def fetched(self) -> str:
        """The package that apt takes, by its file's name; what it said where it took none."""
        said = self.apt("download", "meter-gateway", code=None)
        return next((path.name for path in self.root.glob("*.deb")), said)


@pytest.fixture
def box(required_tool: Callable[[str], str], tmp_path: Path, maintainer: Maintainer) -> Box:
    """It knows the channel stable of that repository."""
    required_tool("apt-get")
    root = tmp_path / "box"
    keys = root / "etc/apt/keyrings"
    key = tmp_path / "key.gpg"
    words = ["gpg", "--export", maintainer.key]
    key.write_bytes(
        subprocess.run(words, env=maintainer.environ, check=True, capture_output=True).stdout
    )
    choose("stable", f"file:{maintainer.repository}", key, root)
    # apt looks for the key from the root of this machine, and not of the folder.
    sources = root / "etc/apt/sources.list.d/meter-gateway.sources"
    sources.write_text(sources.read_text().replace("/etc/apt/keyrings", str(keys)))
    return Box(root)


def test_apt_takes_the_newest_package_of_the_channel(
    checkout: Checkout, maintainer: Maintainer, box: Box
) -> None:
    maintainer.publish(checkout.build("+a"), checkout.build("+a", "arm64"))
    maintainer.publish(checkout.build("+b"), channel="testing")
    box.apt("update")
    assert box.fetched() == "meter-gateway_0.1.0+a_amd64.deb"

    maintainer.publish(checkout.build("+c"))
    box.apt("update")
    (box.root / "meter-gateway_0.1.0+a_amd64.deb").unlink()
    assert box.fetched() == "meter-gateway_0.1.0+c_amd64.deb"


def test_what_is_tampered_with_is_refused(
    checkout: Checkout, maintainer: Maintainer, box: Box
) -> None:
    deb = checkout.build("+a")
    maintainer.publish(deb)
    box.apt("update")
    published = maintainer.repository / "pool/stable" / deb.name
    published.write_bytes(published.read_bytes().replace(b"!<arch>", b"?<arch>"))
    assert "Hash Sum mismatch" in box.fetched() or "unexpected size" in box.fetched()
    assert not list(box.root.glob("*.deb"))

    packages = maintainer.repository / "dists/stable/main/binary-amd64/Packages"
    packages.with_suffix(".gz").unlink()
    packages.write_text(packages.read_text().replace("+a", "+b"))
    shutil.rmtree(box.root / "state")
    assert "Hash Sum mismatch" in box.apt("update", code=None)

    release = maintainer.repository / "dists/stable/InRelease"
    release.write_text(release.read_text().replace("Suite: stable", "Suite: stabler"))
    assert "signature" in box.apt("update", code=None)


def test_a_repository_of_another_key_is_refused(
    checkout: Checkout, maintainer: Maintainer, box: Box, tmp_path: Path
) -> None:
    words = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "another"]
    subprocess.run(
        [*words, "ed25519", "sign", "never"], env=maintainer.environ, check=True,
        capture_output=True,
    )  # fmt: skip
    maintainer.publish(checkout.build("+a"), key="another")
    assert "NO_PUBKEY" in box.apt("update", code=None)
    assert "Unable to locate package" in box.fetched()


def test_a_version_is_published_once(checkout: Checkout, maintainer: Maintainer) -> None:
    deb = checkout.build("+a")
    maintainer.publish(deb)
    deb.write_bytes(deb.read_bytes() + b"\n")
    assert "is published already" in maintainer.publish(deb, code=1)


def test_without_a_key_it_says_how_to_make_one(checkout: Checkout, maintainer: Maintainer) -> None:
    said = maintainer.publish(checkout.build("+a"), key="nobody", code=1)
    assert "--quick-generate-key" in said


def public_key(folder: Path) -> Path:
    path = folder / "key.asc"
    path.write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxyz\n")
    return path


def test_a_channel_is_chosen_changed_and_left(tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert channel_of(root) is None
    choose("stable", "https://example.org/debian", public_key(tmp_path), root)
    assert channel_of(root) == Channel("stable", "https://example.org/debian")
    text = (root / "etc/apt/sources.list.d/meter-gateway.sources").read_text()
    assert "Signed-By: /etc/apt/keyrings/meter-gateway.asc\n" in text
    assert "origin=meter-gateway" in (root / "etc/apt/apt.conf.d/52meter-gateway").read_text()

    choose("testing", None, None, root)
    assert channel_of(root) == Channel("testing", "https://example.org/debian")
    leave(root)
    assert channel_of(root) is None
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_what_is_missing_or_wrong_is_said_and_changes_nothing(tmp_path: Path) -> None:
    root, url = tmp_path / "root", "https://example.org/debian"
    with pytest.raises(Refused, match="from where"):
        choose("stable", None, public_key(tmp_path), root)
    with pytest.raises(Refused, match="without its public key"):
        choose("stable", url, None, root)
    with pytest.raises(Refused, match="no address of a repository"):
        choose("stable", "example.org", public_key(tmp_path), root)
    private = tmp_path / "private.asc"
    private.write_text("-----BEGIN PGP PRIVATE KEY BLOCK-----\n")
    with pytest.raises(Refused, match="no public key"):
        choose("stable", url, private, root)
    assert not root.exists()
