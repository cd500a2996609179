"""Whether a file lies in memory, and is gone with the power.

Source: overlayfs: docs.kernel.org/filesystems/overlayfs.html.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from gateway.store.mounts import Mount, mount_of, own_mounts, resolved

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
_RAM_DISK = re.compile(r"/dev/(ram|zram)\d+")


def volatile(path: Path, mounts: Sequence[Mount] | None = None) -> str:
    """What to say of a buffer that lies in memory; nothing where it does not, or where that cannot
    be found out.
    """
    found = own_mounts() if mounts is None else mounts
    mount = mount_of(resolved(path), found)
    if mount is None or not _is_in_memory(mount, found):
        return ""
    return (
        f"{path}: lies in memory ({mount.kind} on {mount.point}): all of it is gone with the "
        "power, also what is still owed; let buffer.path in gateway.yaml name a file on a disk"
    )


def _is_in_memory(mount: Mount, mounts: Sequence[Mount]) -> bool:
    if mount.kind in _IN_MEMORY or _RAM_DISK.fullmatch(mount.source):
        return True
    upper = re.search(r"(?:^|,)upperdir=([^,]+)", mount.options)
    if mount.kind != "overlay" or upper is None:
        return False
    # What is written lies in its upper folder.
    beneath = mount_of(Path(upper[1]), [each for each in mounts if each != mount])
    return beneath is not None and beneath.kind in _IN_MEMORY
