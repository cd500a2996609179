"""What the commands of a fleet write for the broker and the homes, and how they name many."""

from collections.abc import Sequence
from pathlib import Path

from drivers.net.issuing import write_whole
from gateway.cli.terminal import Refused


def write(path: Path, data: str | bytes, *, secret: bool = False) -> None:
    """Readable by its owner only where it is a secret. Raises Refused."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data.encode() if isinstance(data, str) else data, secret=secret)
    except OSError as error:
        raise Refused(
            f"{path}: cannot be written: {error.strerror or error} — give --output another folder"
        ) from error


def some(names: Sequence[str]) -> str:
    """The first five of them, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
