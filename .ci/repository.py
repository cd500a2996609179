"""Makes a signed apt repository of packages that were built: plain files, for any web server or USB
stick.

    python3 .ci/repository.py --key FINGERPRINT [--channel stable] [--output dist/repository] FILE…

    pool/<channel>/        the packages, those of earlier runs too: a box may go back to one
    dists/<channel>/       what apt reads: InRelease, Packages
    meter-gateway.gpg      the public key, which a box is given once

What is published as stable is in both channels, stable and testing. The key is one of gpg's, of
whoever runs this; it never leaves there.
"""

import argparse
import gzip
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

CHANNELS = {"stable": ("stable",), "testing": ("stable", "testing")}
"""Each channel, and what was published as what is in it."""
ARCHITECTURES = ("amd64", "arm64", "armhf")
PUBLIC_KEY = "meter-gateway.gpg"
NAME = "meter-gateway"


class Unpublishable(Exception):
    """It cannot be made. The text says why, and what to do."""


def publish(files: Sequence[Path], key: str, channel: str, output: Path) -> None:
    """Add packages to a channel, and write the repository's lists anew. Raises Unpublishable."""
    for tool in ("dpkg-deb", "gpg"):
        if shutil.which(tool) is None:
            raise Unpublishable(f"{tool} is not here: apt install dpkg gnupg")
    public = _run("gpg", "--batch", "--export", key)
    if not public:
        raise Unpublishable(
            f"gpg has no key {key!r}. Make one that is for nothing else (gpg --quick-generate-key "
            f"'{NAME} repository' ed25519 sign never), and name its fingerprint"
        )
    pool = output / "pool" / channel
    pool.mkdir(parents=True, exist_ok=True)
    for file in files:
        there = pool / file.name
        if there.exists() and there.read_bytes() != file.read_bytes():
            raise Unpublishable(
                f"{there} is published already, and is another file: boxes have it. Give the new "
                "one another version"
            )
        shutil.copyfile(file, there)
    (output / PUBLIC_KEY).write_bytes(public)
    for name, parts in CHANNELS.items():
        debs = [deb for part in parts for deb in sorted((output / "pool" / part).glob("*.deb"))]
        _write_lists(output, name, debs, key)


def _write_lists(output: Path, channel: str, debs: Sequence[Path], key: str) -> None:
    new, folder = output / "dists" / f".{channel}.new", output / "dists" / channel
    shutil.rmtree(new, ignore_errors=True)
    for architecture in ARCHITECTURES:
        text = "\n".join(_stanza(output, deb) for deb in debs if _field(deb) == architecture)
        part = new / "main" / f"binary-{architecture}"
        part.mkdir(parents=True)
        (part / "Packages").write_text(text)
        (part / "Packages.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (new / "Release").write_text("\n".join(_release(new, channel)) + "\n")
    _run("gpg", "--batch", "--yes", "--local-user", key, "--digest-algo", "SHA512",
         "--output", str(new / "InRelease"), "--clearsign", str(new / "Release"))  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _stanza(output: Path, deb: Path) -> str:
    """What `Packages` says of a file: its control file, and where it is (deb822(5))."""
    data = deb.read_bytes()
    control = _run("dpkg-deb", "--field", str(deb)).decode().rstrip("\n")
    return (
        f"{control}\nFilename: {deb.relative_to(output)}\nSize: {len(data)}\n"
        f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
    )


def _field(deb: Path) -> str:
    return _run("dpkg-deb", "--field", str(deb), "Architecture").decode().strip()


def _release(folder: Path, channel: str) -> Iterator[str]:
    yield f"Origin: {NAME}"
    yield f"Label: {NAME}"
    yield f"Suite: {channel}"
    yield f"Codename: {channel}"
    yield f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S} +0000"
    yield f"Architectures: {' '.join(ARCHITECTURES)}"
    yield "Components: main"
    yield "SHA256:"
    for path in sorted(folder.rglob("Packages*")):
        data = path.read_bytes()
        yield f" {hashlib.sha256(data).hexdigest()} {len(data)} {path.relative_to(folder)}"


def _run(*words: str) -> bytes:
    """What a program prints. Raises Unpublishable."""
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise Unpublishable(f"{' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def main() -> int:
    """Returns 1 where it was not made."""
    parser = argparse.ArgumentParser(description="Makes a signed apt repository of packages.")
    parser.add_argument("--key", required=True, help="of gpg: its fingerprint")
    parser.add_argument("--channel", choices=CHANNELS, default="stable")
    parser.add_argument("--output", type=Path, default=Path("dist/repository"))
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    args = parser.parse_args()
    try:
        publish(args.files, args.key, args.channel, args.output)
    except (Unpublishable, OSError) as error:
        print(f"no repository: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {len(args.files)} packages published as {args.channel}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
