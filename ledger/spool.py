"""The spool: what the database would not take in time waits in a file, and is taken in at the next start.

A record is one append, on one line: `<crc32 of the JSON, 8 hex digits> <JSON>`. Each process writes a file of its
own, `<ledger>.spool-<uuid>`, and holds a lock on it as long as it may write there. What the log refused for good
stands in `<file>.rejected`, each line below a `#` that says why.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import msgspec
from sqlalchemy import make_url

from ledger.codec import decode_data, encode_data
from ledger.events import NewEvent
from ledger.ids import IdFactory
from ledger.payloads import EncodedPayload
from ledger.settings import SpoolSettings

try:
    import fcntl
except ImportError:  # Windows, where nobody removes a file that another process has open
    fcntl = None  # type: ignore[assignment]

__all__ = ["Spool", "decode_record", "encode_record", "lock", "set_aside", "spool_base", "spool_files"]

SYNC_EVERY: Final = 256
"""Records after which the file is synced by whoever writes the next; the writer thread does so more often."""

_NAME: Final = re.compile(r"\.spool-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _SpooledEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    stream_id: str
    version: int
    event_id: UUID
    type: str
    schema_version: int
    occurred_at: datetime
    data: msgspec.Raw
    correlation_id: UUID | None = None
    causation_id: UUID | None = None


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    events: tuple[_SpooledEvent, ...]
    payloads: tuple[EncodedPayload, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Record).decode


def encode_record(events: Sequence[NewEvent], payloads: Iterable[EncodedPayload]) -> bytes:
    """The line that keeps an append, its ids and instants included."""
    spooled = tuple(
        _SpooledEvent(
            one.stream_id,
            one.version,
            one.event_id,
            one.data.TYPE,
            one.data.SCHEMA_VERSION,
            one.occurred_at,
            msgspec.Raw(encode_data(one.data)),
            one.correlation_id,
            one.causation_id,
        )
        for one in events
    )
    content = _encode(_Record(spooled, tuple(payloads)))
    return b"%08x %b\n" % (zlib.crc32(content), content)


def decode_record(line: bytes) -> tuple[list[NewEvent], tuple[EncodedPayload, ...]]:
    """What `encode_record` wrote. Raises `ValueError` for another line, `LedgerCorrupt` for an unknown event."""
    content = line[9:].removesuffix(b"\n")
    if line[:9] != b"%08x " % zlib.crc32(content):
        raise ValueError("the checksum is wrong")
    record = _decode(content)
    events = [
        NewEvent(
            one.stream_id,
            one.version,
            decode_data(one.type, one.schema_version, bytes(one.data)),
            one.event_id,
            one.occurred_at,
            one.correlation_id,
            one.causation_id,
        )
        for one in record.events
    ]
    return events, record.payloads


def spool_base(url: str, settings: SpoolSettings) -> Path | None:
    """What the names of a ledger's spool files begin with; None for a ledger in memory, which needs none."""
    parsed = make_url(url)
    database = parsed.database or ""
    if parsed.get_backend_name() == "sqlite":
        if database in ("", ":memory:"):
            return None
        path = Path(database).resolve()
        if settings.folder is None:
            return path
        database, where = path.name, str(path)
    else:
        query = parsed.query
        where = repr((query.get("host", parsed.host), query.get("port", parsed.port), query.get("dbname", database)))
    folder = settings.folder or settings.state
    return folder.absolute() / f"{database or 'ledger'}-{sha256(where.encode()).hexdigest()[:12]}"


def spool_files(base: Path) -> list[Path]:
    """The spool files of a ledger, oldest first, whoever holds them."""
    try:
        names = sorted(entry.name for entry in os.scandir(base.parent) if entry.name.startswith(base.name))
    except OSError:
        return []
    return [base.parent / name for name in names if _NAME.fullmatch(name[len(base.name) :])]


def lock(file: int) -> bool:
    """Hold an open file until it is closed. False if another process does."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def set_aside(path: Path, reason: object, line: bytes) -> Path:
    """Keep a record of the spool file at `path` that cannot be taken in. Returns where. Raises `OSError`."""
    rejected = path.with_name(f"{path.name}.rejected")
    file = os.open(rejected, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        _write_all(file, b"# %b\n%b\n" % (" ".join(str(reason).split()).encode(), line.removesuffix(b"\n")))
        os.fsync(file)
    finally:
        os.close(file)
    return rejected


class Spool:
    """The spool file of this process: made when there is something to write. Safe to share between threads."""

    def __init__(self, base: Path, *, max_bytes: int, ids: IdFactory | None = None) -> None:
        self.base = base
        self._max_bytes = max_bytes
        self._ids = ids or IdFactory()
        self._lock = threading.Lock()
        self._file: int | None = None
        self._room = 0
        self._unsynced = 0
        self.path = self._next_path()

    @classmethod
    def at(cls, url: str, settings: SpoolSettings) -> Self | None:
        """The one for the ledger at `url`; None for a ledger in memory."""
        base = spool_base(url, settings)
        return cls(base, max_bytes=settings.max_bytes) if base is not None else None

    def _next_path(self) -> Path:
        return self.base.with_name(f"{self.base.name}.spool-{self._ids.new()}")

    def append(self, record: bytes) -> None:
        """Write one record down. It survives this process at once, and the machine when it is synced.

        Raises `OSError` where there is no room for it.
        """
        with self._lock:
            file = self._open()
            self._take_room(len(record))
            start = os.fstat(file).st_size
            try:
                _write_all(file, record)
            except OSError:
                os.ftruncate(file, start)
                raise
            self._unsynced += 1
            if self._unsynced >= SYNC_EVERY:
                self._sync()

    def set_aside(self, reason: object, record: bytes) -> Path:
        """Keep a record that the log refused for good. Returns where. Raises `OSError`."""
        with self._lock:
            self._open()
            self._take_room(len(record))
            return set_aside(self.path, reason, record)

    def sync(self) -> None:
        """Have everything on the disk that was appended. Raises `OSError`."""
        with self._lock:
            self._sync()

    def close(self) -> None:
        """Let go of the file: from now on any process may take it in, and another one is begun if needed."""
        with self._lock:
            file, self._file = self._file, None
            if file is None:
                return
            try:
                if os.fstat(file).st_size:
                    os.fsync(file)
                else:
                    self.path.unlink(missing_ok=True)
            finally:
                os.close(file)
                self.path, self._unsynced = self._next_path(), 0

    def after_fork(self) -> None:
        """Leave the file to the parent, in a child."""
        self._lock = threading.Lock()
        self._ids = IdFactory()
        if self._file is not None:
            os.close(self._file)
        self._file, self._unsynced, self.path = None, 0, self._next_path()

    def _open(self) -> int:
        if self._file is None:
            self.base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._room = self._max_bytes - sum(map(_size, spool_files(self.base)))
        while self._file is None:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            if lock(file) and os.fstat(file).st_nlink:
                self._file = file
            else:  # another process came between, took in the empty file and removed it
                os.close(file)
                self.path = self._next_path()
        return self._file

    def _take_room(self, size: int) -> None:
        if size > self._room:
            raise OSError(errno.EFBIG, f"the spool holds its {self._max_bytes} bytes (LLM_LEDGER_SPOOL_BYTES)")
        self._room -= size

    def _sync(self) -> None:
        if self._file is not None and self._unsynced:
            os.fsync(self._file)
            _sync_folder(self.base.parent)
            self._unsynced = 0


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
