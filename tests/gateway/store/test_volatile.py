"""A buffer in memory is warned of."""

from pathlib import Path

import pytest

from gateway.store.mounts import parsed
from gateway.store.volatile import volatile

MOUNTS = r"""
22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw
24 22 0:21 / /run rw,nosuid,nodev shared:2 - tmpfs tmpfs rw,size=93000k
30 22 0:30 / /var/log rw - ext4 /dev/zram0 rw
31 22 0:31 / /srv rw - tmpfs tmpfs rw
32 31 179:3 / /srv/my\040disk rw - ext4 /dev/sda1 rw
40 22 0:40 / /data rw - overlay overlay rw,lowerdir=/,upperdir=/run/upper,workdir=/run/work
41 22 0:41 / /container rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/var/lib/upper,workdir=/c
42 22 0:42 / /var/tmp rw - tmpfs tmpfs rw
43 22 179:2 /x /var/tmp rw - ext4 /dev/root rw
""".strip().splitlines()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/meter-gateway/buffer.sqlite", None),
        ("/run/meter-gateway/buffer.sqlite", "tmpfs on /run"),
        ("/var/log/buffer.sqlite", "ext4 on /var/log"),
        ("/srv/buffer.sqlite", "tmpfs on /srv"),
        ("/srv/my disk/buffer.sqlite", None),
        ("/data/buffer.sqlite", "overlay on /data"),
        ("/container/buffer.sqlite", None),
        ("/var/tmp/buffer.sqlite", None),
        ("/runner/buffer.sqlite", None),
    ],
)
def test_what_lies_in_memory_is_told_from_what_lies_on_a_disk(path: str, kind: str | None) -> None:
    told = volatile(Path(path), parsed(MOUNTS))
    assert told == "" if kind is None else f"{path}: lies in memory ({kind})" in told


def test_a_mountinfo_that_cannot_be_read_says_nothing() -> None:
    assert volatile(Path("/run/buffer.sqlite"), []) == ""
    assert volatile(Path("/run/buffer.sqlite"), parsed(["", "a b", "1 2 3 4 /run rw -"])) == ""
