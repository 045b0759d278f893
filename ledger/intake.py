"""Taking in what earlier processes left in their spool files. Once is enough, and twice does no harm."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec

from ledger.encoding import encode
from ledger.errors import DatabaseUnusable, LedgerError
from ledger.spool import decode_record, lock, set_aside, spool_files
from ledger.turns import Append

__all__ = ["Intake", "Log", "take_in"]

_log = logging.getLogger(__name__)

PAGE: Final = 500
PAGE_BYTES: Final = 4 * 1024 * 1024
"""Records, and bytes of them, that are appended at once."""


class Log(Protocol):
    """As much of a ledger as taking in takes."""

    def append_all(self, appends: Sequence[Append]) -> None:
        """Decide many appends, each for itself."""
        ...


class Intake(msgspec.Struct):
    """What became of the records found: `taken`, set aside as `rejected`, or `torn` at a crash.

    `left` counts files that stay for another time, because the database or the file could not be used.
    """

    taken: int = 0
    rejected: int = 0
    torn: int = 0
    left: int = 0


def take_in(log: Log, base: Path | None) -> Intake:
    """Append what stands in the spool files that no process holds, and remove them. Raises nothing of its own."""
    found = Intake()
    for path in spool_files(base) if base is not None else ():
        try:
            with path.open("r+b") as file:
                # Whoever held it has let go; but somebody may have taken it in meanwhile, and removed it.
                if lock(file.fileno()) and os.fstat(file.fileno()).st_nlink:
                    _take_file(log, path, file, found)
        except FileNotFoundError:
            continue
        except (OSError, DatabaseUnusable) as error:
            found.left += 1
            _log.warning("%s is kept, and taken in at another start: %s", path, error)
    return found


def _take_file(log: Log, path: Path, file: BinaryIO, total: Intake) -> None:
    found = Intake()
    for page in _pages(path, file, found):
        log.append_all([append for _, append in page])
        for line, append in page:
            if append.refusal is None:
                found.taken += 1
            elif isinstance(append.refusal, DatabaseUnusable):
                raise append.refusal
            else:
                _reject(path, line, append.refusal, found)
    path.unlink()
    total.taken += found.taken
    total.rejected += found.rejected
    total.torn += found.torn
    _log.info("%s: took in %d records", path, found.taken)
    if found.torn:
        _log.warning("%s ended within a record, which is lost: its process or machine stopped there", path)


def _pages(path: Path, file: BinaryIO, found: Intake) -> Iterator[list[tuple[bytes, Append]]]:
    page: list[tuple[bytes, Append]] = []
    size = 0
    for line in file:
        if not line.endswith(b"\n"):
            found.torn += 1
        elif not line.startswith(b"#"):
            try:
                events, payloads = decode_record(line)
                page.append((line, Append(encode(events), payloads, None)))
            except (ValueError, LedgerError) as error:  # msgspec's are ValueErrors
                _reject(path, line, error, found)
            size += len(line)
        if len(page) >= PAGE or size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    yield page


def _reject(path: Path, line: bytes, reason: Exception, found: Intake) -> None:
    where = set_aside(path, reason, line)
    found.rejected += 1
    _log.warning("a spooled record is set aside in %s: %s", where, reason)
