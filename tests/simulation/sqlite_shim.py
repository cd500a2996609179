"""A shim between SQLite and the files it writes: whoever watches a folder is asked before a file
below it is opened, written, truncated, synced or deleted.

It is a VFS (https://www.sqlite.org/vfs.html) registered by ctypes in the very library that Python's
own `sqlite3` is linked to, so the program under test needs no change. It wraps the VFS "unix". A
file of that one stays at the beginning of the structure that SQLite allocates; only its table of
methods is replaced by a copy in which the writing ones are ours. So reads, locks and shared memory
are the original C functions and cost nothing extra; a file outside the watched folders keeps its
own table altogether.

What goes wrong in a callback cannot be raised through SQLite: it is kept in `Shim.errors`, and
SQLite is told of an I/O error.
"""

import ctypes
import functools
import os
import sqlite3
from collections.abc import Callable
from ctypes import CFUNCTYPE, PYFUNCTYPE, c_char_p, c_int, c_int64, c_void_p
from typing import Any, Protocol

NAME = b"simulated-disk"


class ShimError(Exception):
    """SQLite's VFS cannot be wrapped on this machine. The text says why."""


class Watcher(Protocol):
    """Who answers for the files below a folder. Every answer is an SQLite result code."""

    folder: str
    """An absolute path without symbolic links."""
    waits: int
    """How often SQLite wanted to wait, which it does for a lock that another has."""

    def open(self, opening: "Opening") -> int:
        """SQLite opens (and perhaps makes) a file."""

    def write(self, file: "OpenFile", data: int, amount: int, offset: int) -> int:
        """SQLite writes `amount` bytes that are at the address `data`."""

    def truncate(self, file: "OpenFile", size: int) -> int:
        """SQLite cuts a file off."""

    def sync(self, file: "OpenFile") -> int:
        """SQLite wants all that was written to a file to stay."""

    def delete(self, path: str, pass_on: Callable[[], int], *, sync_folder: bool) -> int:
        """SQLite deletes a file, and perhaps wants that to stay."""

    def share(
        self, file: "OpenFile", pass_on: Callable[[], int], *, region_bytes: int, extend: bool
    ) -> int:
        """SQLite maps a region of the shared memory that belongs to a database."""


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`, version 3. What is not ours is copied from the inner one."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        ("xAccess", c_void_p),
        ("xFullPathname", c_void_p),
        ("xDlOpen", c_void_p),
        ("xDlError", c_void_p),
        ("xDlSym", c_void_p),
        ("xDlClose", c_void_p),
        ("xRandomness", c_void_p),
        ("xSleep", c_void_p),
        ("xCurrentTime", c_void_p),
        ("xGetLastError", c_void_p),
        ("xCurrentTimeInt64", c_void_p),
        ("xSetSystemCall", c_void_p),
        ("xGetSystemCall", c_void_p),
        ("xNextSystemCall", c_void_p),
    )


_OPEN = (c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = (c_int, c_void_p, c_void_p, c_int)
_SLEEP = (c_int, c_void_p, c_int)
_METHODS: dict[str, tuple[int, tuple[Any, ...]]] = {
    # name: its place in sqlite3_io_methods (0 is the version), result and parameters
    "close": (1, (c_int, c_void_p)),
    "read": (2, (c_int, c_void_p, c_void_p, c_int, c_int64)),
    "write": (3, (c_int, c_void_p, c_void_p, c_int, c_int64)),
    "truncate": (4, (c_int, c_void_p, c_int64)),
    "sync": (5, (c_int, c_void_p, c_int)),
    "lock": (7, (c_int, c_void_p, c_int)),
    "share": (13, (c_int, c_void_p, c_int, c_int, c_int, c_void_p)),
    "unshare": (16, (c_int, c_void_p, c_int)),
}
_TABLE_WORDS = {1: 13, 2: 17, 3: 19}
_WAL_WORDS = 17


class _Table:
    """The methods of one kind of file: the inner functions, and the two tables that replace
    theirs.
    """

    def __init__(self, address: int, ours: dict[str, Any]) -> None:
        version = c_int.from_address(address).value
        words = _TABLE_WORDS[min(version, 3)]
        original = (c_void_p * words).from_address(address)
        self.inner: dict[str, Any] = {}
        self.alive = (c_void_p * words)(*original)
        self.dead = (c_void_p * words)(*original)
        if version > 3:
            ctypes.cast(self.alive, ctypes.POINTER(c_int))[0] = ctypes.cast(
                self.dead, ctypes.POINTER(c_int)
            )[0] = 3
        for name, (place, signature) in _METHODS.items():
            if place >= words or not original[place]:
                continue
            self.inner[name] = PYFUNCTYPE(*signature)(original[place] or 0)
            if name in ("close", "write", "truncate", "sync", "share"):
                self.alive[place] = _address(ours[name])
            if name != "read":
                self.dead[place] = _address(ours[name])


class OpenFile:
    """One open file of a watched folder."""

    __slots__ = (
        "_address",
        "_table",
        "dead",
        "flags",
        "name",
        "other_name",
        "path",
        "record",
        "watcher",
    )

    def __init__(
        self, watcher: Watcher, path: str, name: int, flags: int, address: int, table: _Table
    ) -> None:
        self.watcher = watcher
        self.path = path
        self.name = name
        """The address of its name, by which SQLite knows it for as long as it is open."""
        self.other_name: int | None = None
        """The address of the name by which the inner VFS knows it, where that is another."""
        self.flags = flags
        self.dead = False
        self.record: Any = None
        """Whatever the watcher keeps of it."""
        self._address = address
        self._table = table

    def read(self, buffer: int, amount: int, offset: int) -> int:
        """Really read to an address. Returns the result code."""
        return int(self._table.inner["read"](self._address, buffer, amount, offset))

    def write(self, data: int, amount: int, offset: int) -> int:
        """Really write from an address. Returns the result code."""
        return int(self._table.inner["write"](self._address, data, amount, offset))

    def truncate(self, size: int) -> int:
        """Really cut it off. Returns the result code."""
        return int(self._table.inner["truncate"](self._address, size))

    def abandon(self) -> None:
        """From now on its connection gets no lock and deletes nothing; it can still be closed."""
        self.dead = True
        c_void_p.from_address(self._address).value = ctypes.addressof(self._table.dead)


class Opening:
    """A file that SQLite wants to open."""

    def __init__(
        self,
        shim: "Shim",
        watcher: Watcher,
        path: str,
        name: int,
        address: int,
        flags: int,
        flags_out: int | None,
    ) -> None:
        self.path = path
        self.flags = flags
        """SQLITE_OPEN_…; may be changed before `proceed`."""
        self.file: OpenFile | None = None
        """What was opened."""
        self._shim, self._watcher, self._name, self._address, self._flags_out = (
            shim,
            watcher,
            name,
            address,
            flags_out,
        )

    def proceed(self, *, shares_readonly: bool = False) -> int:
        """Really open it; `shares_readonly`: where shared memory belongs to it, that is only to be
        read. Returns the result code; on success there is a `file`.
        """
        shim = self._shim
        other_name = (
            shim.readonly_name(self.path)
            if shares_readonly and self.flags & SQLITE_OPEN_MAIN_DB
            else None
        )
        code = int(
            shim.inner_open(
                shim.inner_vfs, other_name or self._name, self._address, self.flags, self._flags_out
            )
        )
        methods = c_void_p.from_address(self._address)
        if code or not methods.value:
            shim.free_name(other_name)
            return code
        if methods.value not in shim.tables:
            shim.tables[methods.value] = _Table(methods.value, shim.methods)
        table = shim.tables[methods.value]
        methods.value = ctypes.addressof(table.alive)
        self.file = OpenFile(self._watcher, self.path, self._name, self.flags, self._address, table)
        self.file.other_name = other_name
        shim.files[self._address] = self.file
        return code


class Shim:
    """The one VFS of this process. Made by `the_shim`; it stays until the process ends, because
    connections may outlive who made them.
    """

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        self.files: dict[int, OpenFile] = {}
        self.errors: list[BaseException] = []
        self.tables: dict[int, _Table] = {}
        self._library = library = _library()
        self.inner_vfs: int = library.sqlite3_vfs_find(b"unix") or 0
        if not self.inner_vfs:
            raise ShimError(
                "this SQLite has no VFS named unix; the simulated disk works on Linux and macOS"
            )
        inner = _Vfs.from_address(self.inner_vfs)
        self.inner_open = PYFUNCTYPE(*_OPEN)(inner.xOpen)
        self._inner_delete = PYFUNCTYPE(*_DELETE)(inner.xDelete)
        # SQLite holds their addresses, so they must stay as long as this.
        self._entry_points = (
            CFUNCTYPE(*_OPEN)(self._kept(self._on_open, sqlite3.SQLITE_IOERR)),
            CFUNCTYPE(*_DELETE)(self._kept(self._on_delete, sqlite3.SQLITE_IOERR_DELETE)),
            CFUNCTYPE(*_SLEEP)(self._on_sleep),
        )
        ours: dict[str, tuple[Callable[..., int], int]] = {
            "close": (self._on_close, sqlite3.SQLITE_IOERR_CLOSE),
            "write": (self._on_write, sqlite3.SQLITE_IOERR_WRITE),
            "truncate": (self._on_truncate, sqlite3.SQLITE_IOERR_TRUNCATE),
            "sync": (self._on_sync, sqlite3.SQLITE_IOERR_FSYNC),
            "lock": (_refuse_lock, sqlite3.SQLITE_IOERR_LOCK),
            "share": (self._on_share, sqlite3.SQLITE_IOERR_SHMMAP),
            "unshare": (self._on_unshare, sqlite3.SQLITE_IOERR),
        }
        self.methods = {
            name: CFUNCTYPE(*_METHODS[name][1])(self._kept(do, failed))
            for name, (do, failed) in ours.items()
        }
        self._vfs = _Vfs.from_buffer_copy(inner)
        self._vfs.iVersion = min(inner.iVersion, 3)
        self._vfs.pNext = None
        self._vfs.zName = NAME
        self._vfs.xOpen, self._vfs.xDelete, self._vfs.xSleep = map(_address, self._entry_points)
        self._former: int | None = None
        library.sqlite3_vfs_register(ctypes.addressof(self._vfs), 0)
        try:
            sqlite3.connect(f"file::memory:?vfs={NAME.decode()}", uri=True).close()
        except sqlite3.Error as error:
            raise ShimError(
                f"this Python's sqlite3 uses another SQLite than the one found for it: {error}; "
                f"{_REMEDY}"
            ) from error
        # SQLite may call back until the last connection is gone, which can be after Python has
        # cleared its modules.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def watch(self, watcher: Watcher) -> None:
        """Ask `watcher` of everything below its folder that is opened from now on."""
        if not self.watchers:
            self._former = self._library.sqlite3_vfs_find(None)
            self._library.sqlite3_vfs_register(ctypes.addressof(self._vfs), 1)
        self.watchers.append(watcher)

    def leave(self, watcher: Watcher) -> None:
        """The reverse. With the last one the former VFS is the default again."""
        self.watchers.remove(watcher)
        if not self.watchers:
            self._library.sqlite3_vfs_register(self._former, 1)

    def readonly_name(self, path: str) -> int:
        """The name of a database whose shared memory is only to be read; to be freed."""
        name = os.fsencode(path)
        parameters = (c_char_p * 2)(b"readonly_shm", b"1")
        return int(
            self._library.sqlite3_create_filename(
                name, name + b"-journal", name + b"-wal", 1, parameters
            )
        )

    def free_name(self, name: int | None) -> None:
        """Free what `readonly_name` returned."""
        if name is not None:
            self._library.sqlite3_free_filename(name)

    def _watcher(self, path: str) -> Watcher | None:
        return next((w for w in self.watchers if path.startswith(w.folder + os.sep)), None)

    def _kept(self, do: Callable[..., int], failed: int) -> Callable[..., int]:
        def callback(*arguments: Any) -> int:
            try:
                return do(*arguments)
            except BaseException as error:  # noqa: BLE001 — nothing can be raised through C; who uses the shim raises it
                self.errors.append(error)
                return failed

        return callback

    def _abandoned(self, name: int) -> bool:
        """Whether a file is named by a connection that was abandoned: its journal and log lie
        beside the name of its database.
        """
        journal, log = self._library.sqlite3_filename_journal, self._library.sqlite3_filename_wal
        databases = (
            file.name
            for file in self.files.values()
            if file.dead and file.flags & SQLITE_OPEN_MAIN_DB
        )
        return any(name in (database, journal(database), log(database)) for database in databases)

    def _on_open(
        self, _: int, name: int | None, address: int, flags: int, flags_out: int | None
    ) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        watcher = self._watcher(path)
        if not name or not watcher:
            return int(self.inner_open(self.inner_vfs, name, address, flags, flags_out))
        c_void_p.from_address(address).value = None
        if self._abandoned(name):
            return sqlite3.SQLITE_CANTOPEN
        return watcher.open(Opening(self, watcher, path, name, address, flags, flags_out))

    def _on_delete(self, _: int, name: int, sync_folder: int) -> int:
        path = os.fsdecode(ctypes.string_at(name))
        watcher = self._watcher(path)
        if not watcher:
            return int(self._inner_delete(self.inner_vfs, name, sync_folder))
        if self._abandoned(name):
            return sqlite3.SQLITE_IOERR_DELETE
        return watcher.delete(
            path,
            lambda: int(self._inner_delete(self.inner_vfs, name, 0)),
            sync_folder=bool(sync_folder),
        )

    def _on_sleep(self, _: int, microseconds: int) -> int:
        """Nobody gives up a lock while the only thread waits for it."""
        for watcher in self.watchers:
            watcher.waits += 1
        return microseconds

    def _on_close(self, address: int) -> int:
        file = self.files.pop(address)
        code = int(file._table.inner["close"](address))
        self.free_name(file.other_name)
        return code

    def _on_write(self, address: int, data: int, amount: int, offset: int) -> int:
        file = self.files[address]
        return (
            sqlite3.SQLITE_IOERR_WRITE
            if file.dead
            else file.watcher.write(file, data, amount, offset)
        )

    def _on_truncate(self, address: int, size: int) -> int:
        file = self.files[address]
        return sqlite3.SQLITE_IOERR_TRUNCATE if file.dead else file.watcher.truncate(file, size)

    def _on_sync(self, address: int, _: int) -> int:
        file = self.files[address]
        return sqlite3.SQLITE_IOERR_FSYNC if file.dead else file.watcher.sync(file)

    def _on_share(self, address: int, region: int, region_bytes: int, extend: int, out: int) -> int:
        file = self.files[address]
        if file.dead:
            return sqlite3.SQLITE_IOERR_SHMMAP
        share = file._table.inner["share"]
        return file.watcher.share(
            file,
            lambda: int(share(address, region, region_bytes, extend, out)),
            region_bytes=(region + 1) * region_bytes,
            extend=bool(extend),
        )

    def _on_unshare(self, address: int, _: int) -> int:
        # Of an abandoned connection. By its name it would delete what belongs to the next one.
        return int(self.files[address]._table.inner["unshare"](address, 0))


_REMEDY = (
    "the simulated disk needs a Python whose sqlite3 is linked to a shared SQLite of 3.32 "
    "or newer, such as Debian's"
)

SQLITE_OPEN_READONLY = 0x1
SQLITE_OPEN_READWRITE = 0x2
SQLITE_OPEN_CREATE = 0x4
SQLITE_OPEN_MAIN_DB = 0x100
SQLITE_OPEN_MAIN_JOURNAL = 0x800
SQLITE_OPEN_SUPER_JOURNAL = 0x4000
SQLITE_OPEN_WAL = 0x80000


def _refuse_lock(*_: int) -> int:
    return sqlite3.SQLITE_IOERR_LOCK


def _address(function: Any) -> int | None:
    return ctypes.cast(function, c_void_p).value


@functools.cache
def the_shim() -> Shim:
    """The shim of this process. Raises ShimError."""
    return Shim()


def _library() -> ctypes.CDLL:
    """The SQLite that Python's own module uses. Raises ShimError."""
    import _sqlite3

    where = getattr(_sqlite3, "__file__", None)
    # Without a file the module is part of the interpreter, and so may SQLite be.
    library = ctypes.CDLL(where)
    try:
        library.sqlite3_vfs_find.argtypes, library.sqlite3_vfs_find.restype = [c_char_p], c_void_p
        library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
        for name in ("sqlite3_filename_journal", "sqlite3_filename_wal"):
            function = getattr(library, name)
            function.argtypes, function.restype = [c_void_p], c_void_p
        library.sqlite3_create_filename.argtypes = [c_char_p, c_char_p, c_char_p, c_int, c_void_p]
        library.sqlite3_create_filename.restype = c_void_p
        library.sqlite3_free_filename.argtypes, library.sqlite3_free_filename.restype = (
            [c_void_p],
            None,
        )
    except AttributeError as error:
        raise ShimError(
            f"the SQLite of this Python ({where or 'built in'}) cannot be reached from outside: "
            f"{error}; {_REMEDY}"
        ) from error
    return library
