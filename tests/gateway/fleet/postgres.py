"""A real PostgreSQL in a folder of its own, which can be killed and started again."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

OPTIONS = (
    "listen_addresses=",
    "max_connections=40",
    "shared_buffers=16MB",
    "fsync=off",  # processes are killed here, not machines
    "max_wal_size=256MB",
    "logging_collector=off",
    "autovacuum_naptime=10min",
    "synchronous_commit=off",  # an administrator's own default: the collector must not go by it
    "timezone=Europe/Berlin",
)


@dataclass
class Postgres:
    """Its socket is in its folder; its superuser is `admin`, who needs no password."""

    folder: Path
    programs: Path
    owner: int | None
    """Whose processes they are: PostgreSQL refuses to run as root."""
    options: tuple[str, ...] = OPTIONS
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls, folder: Path, initdb: str, options: tuple[str, ...] = OPTIONS) -> "Postgres":
        programs = Path(initdb).resolve().parent
        owner = 65534 if os.geteuid() == 0 else None
        if owner is not None:
            os.chown(folder, owner, owner)
        subprocess.run(
            [initdb, "-D", str(folder / "data"), "-U", "admin", "--no-sync", "-E", "UTF8",
             "--locale=C", "--auth=trust"],
            check=True, stdout=subprocess.DEVNULL, user=owner, group=owner,
            extra_groups=None if owner is None else [],
        )  # fmt: skip
        return cls(folder, programs, owner, options)

    def start(self) -> None:
        """Raises where it does not answer in time. After a kill it may not start at once: it waits
        for the last of its children.
        """
        options = [word for each in self.options for word in ("-c", each)]
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k",
                   str(self.folder), *options]  # fmt: skip
        for _ in range(1000):
            if self.process is None or self.process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self.process = subprocess.Popen(
                        command, stdout=log, stderr=log, user=self.owner, group=self.owner,
                        extra_groups=None if self.owner is None else [],
                    )  # fmt: skip
            with contextlib.suppress(psycopg.OperationalError), self.connect():
                return
            time.sleep(0.03)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """kill -9: its children notice and end."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def connect(self, dbname: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """Another connection than the collector's, of the superuser, in UTC."""
        return psycopg.connect(
            host=str(self.folder), user="admin", dbname=dbname, autocommit=True,
            options="-c timezone=UTC", connect_timeout=5,
        )  # fmt: skip

    def rows(self, query: Any, *values: Any, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        with self.connect(dbname) as connection:
            return connection.execute(query, values).fetchall()

    def new_database(self, name: str, template: str = "template1") -> None:
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )


def programs() -> str:
    """Where initdb is; Debian keeps the programs of each version in a folder of their own. Where it
    is not installed the test is skipped, saying so; under CI it fails.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = str(found[-1]) if found else shutil.which("initdb")
    if path is None:
        message = "PostgreSQL is not installed (Debian: postgresql); install it to run this test"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


@contextlib.contextmanager
def running(options: tuple[str, ...] = OPTIONS) -> Iterator[Postgres]:
    """One that runs, and is gone afterwards."""
    initdb = programs()
    folder = Path(tempfile.mkdtemp(prefix="mg-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = None
    try:
        server = Postgres.make(folder, initdb, options)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def write_config(folder: Path, port: int, postgres: Postgres, database: str) -> None:
    """A fleet.yaml for the broker on that port, and that database."""
    (folder / "fleet.yaml").write_text(
        f"broker:\n  host: 127.0.0.1\n  port: {port}\n  tls: false\n"
        f"database:\n  host: {postgres.folder}\n  name: {database}\n"
        "  credentials: fleet-database.credentials\n"
    )
    login = folder / "fleet-database.credentials"
    login.write_text("username: 'admin'\npassword: 'unused'\n")
    login.chmod(0o600)
