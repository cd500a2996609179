"""A broker and a database of the demo's own: mosquitto and PostgreSQL as they are installed, in a
folder that is gone afterwards. They may be killed and started again.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.terminal import Refused

NOBODY = 65534
"""PostgreSQL refuses to run as root."""
START_S = 30.0

_POSTGRES = (
    *("listen_addresses=", "shared_buffers=32MB", "max_connections=60"),
    "fsync=off",  # processes are killed here, not machines
)


def installed(name: str, package: str) -> str:
    """Where a server's program is; Debian keeps PostgreSQL's in a folder for each version. Raises
    Refused.
    """
    found = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    path = found[-1] if found else shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        raise Refused(
            f"{name} is not installed, and this demo uses it: sudo apt-get install {package}"
        )
    return path


@dataclass(slots=True)
class Server:
    """One of the two. `user` is whose process it is where we are root."""

    name: str
    command: tuple[str, ...]
    log: Path
    user: int | None
    knock: Path | int
    """The socket, or the port, at which it answers once it is there."""
    process: asyncio.subprocess.Process | None = None
    starts: int = 0

    async def start(self) -> None:
        """Returns once it answers. Raises Refused. After a kill it may take a while: PostgreSQL
        waits for the last of its children.
        """
        try:
            async with asyncio.timeout(START_S):
                while not await self._answers():
                    if self.process is None or self.process.returncode is not None:
                        await self._run()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise Refused(f"{self.name} does not start: see {self.log}") from None
        self.starts += 1

    async def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            self.process = None

    async def _run(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                start_new_session=True,
            )

    async def _answers(self) -> bool:
        if self.process is None:
            return False
        try:
            if isinstance(self.knock, Path):
                _, writer = await asyncio.open_unix_connection(str(self.knock))
            else:
                _, writer = await asyncio.open_connection("127.0.0.1", self.knock)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True


def postgres(folder: Path) -> Server:
    """A new one, whose superuser is `postgres`, reached by the socket in its folder. Raises
    Refused.
    """
    initdb = Path(installed("initdb", "postgresql"))
    user = NOBODY if os.geteuid() == 0 else None
    folder.mkdir(parents=True)
    if user is not None:
        os.chown(folder, user, user)
    made = subprocess.run(  # noqa: S603 — of constants and our own folders
        [initdb, "-D", folder / "data", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync",
         "--auth=trust"],
        check=False, capture_output=True, text=True, user=user, group=user,
        extra_groups=None if user is None else [],
    )  # fmt: skip
    if made.returncode:
        raise Refused(f"initdb failed in {folder}: {made.stderr.strip()[-300:]}")
    options = tuple(word for each in _POSTGRES for word in ("-c", each))
    command = (str(initdb.parent / "postgres"), "-D", str(folder / "data"), "-k", str(folder))
    return Server(
        "PostgreSQL", (*command, *options), folder.parent / "postgres.log", user,
        folder / ".s.PGSQL.5432",
    )  # fmt: skip


def mosquitto(folder: Path, port: int, files: Path) -> Server:
    """With the access rules and logins that `fleet init` and `fleet sites add` have written into
    `files`. Raises Refused.
    """
    config = folder / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""  # else root's files are not its own
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npersistence false\n{user}"
        f"acl_file {files / 'mosquitto.acl'}\npassword_file {files / 'mosquitto.passwd'}\n"
    )
    command = (installed("mosquitto", "mosquitto"), "-c", str(config))
    return Server("mosquitto", command, folder / "mosquitto.log", None, port)
