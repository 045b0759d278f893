"""One writer per process and database, shared by all who ask for it."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import URL, make_url

from ledger.backends import open_database
from ledger.forks import survives_forks
from ledger.ledger import Ledger
from ledger.settings import LedgerSettings, SpoolSettings
from ledger.spool import Spool
from ledger.writer import EXIT_SECONDS, Writer

__all__ = ["absolute_url", "shared_writer"]


def shared_writer(url: str | None = None) -> Writer:
    """This process's writer to the ledger at `url`, by default at `LLM_LEDGER_DATABASE_URL`.

    The ledger is opened with the first append, by the writer's thread: records wait in the spool for a database
    that is down. Raises `ConfigurationError` for a URL that can be none.
    """
    return _writers.at(url or LedgerSettings.from_env().database_url)


class _SharedWriter(Writer):
    """A writer with a ledger of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ledger: Ledger | None = None
        super().__init__(self._opened, Spool.at(url, SpoolSettings.from_env()))

    def _opened(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger.open(self._url)
        return self._ledger

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        super().close(timeout)
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()


class _Writers:
    """Those of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writers: dict[URL, Writer] = {}
        survives_forks(self)

    def at(self, url: str) -> Writer:
        open_database(url).close()  # connects to nothing, and refuses what is no ledger's URL
        place = absolute_url(make_url(url))
        with self._lock:
            writer = self._writers.get(place)
            if writer is None or writer.closed:
                writer = self._writers[place] = _SharedWriter(place.render_as_string(hide_password=False))
            return writer

    def before_fork(self) -> None:
        # Nothing to wait for: who holds the lock may be waiting for the fork, to tell of a writer that it makes.
        pass

    def after_fork(self, *, child: bool) -> None:
        if child:
            self._lock = threading.Lock()


def absolute_url(url: URL) -> URL:
    """The same for every spelling of a file, and wherever the process goes."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return url
    return URL.create("sqlite", database=str(Path(url.database).resolve()))


_writers = _Writers()
